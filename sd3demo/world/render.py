"""Exact pictures of scenes by signed distances, in batches, at any resolution, on any device.

A pixel's cover is its signed distance in pixels, clipped to half a pixel: the same scene at 1x, 2x and 4x.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sd3demo.world import letters, shapes
from sd3demo.world.scenes import Scene
from sd3demo.world.vocabulary import BACKGROUNDS, COLOURS, shade

PERIOD = 0.085
"""Distance between two stripes or two rows of dots, in units of the picture's side."""


def texture_cover(texture: str, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """Return the second colour's share at (x, y) from the thing's centre, in units of the picture's side."""
    if texture == "striped":
        wave = ((y / PERIOD) % 1 - 0.5).abs()  # 0 in the middle of a dark stripe
        return ((0.2 - wave) * PERIOD / pixel + 0.5).clamp(0, 1)
    row = torch.floor(y / PERIOD)
    u = (x / PERIOD + 0.5 * (row % 2)) % 1 - 0.5
    v = (y / PERIOD) % 1 - 0.5
    return ((0.30 - torch.hypot(u, v)) * PERIOD / pixel + 0.5).clamp(0, 1)


def _stamps(scene: Scene) -> Iterator[tuple[str, str, str, float, float, float]]:
    """Yield (glyph, texture, colour, x, y, scale) of every glyph on the picture."""
    for thing in scene.things:
        yield thing.shape, thing.texture, thing.colour, thing.x, thing.y, thing.r
    if (word := scene.lettering) is not None:
        for index, letter in enumerate(word.text):
            x = word.x + (index - (len(word.text) - 1) / 2) * word.height
            yield letter, "solid", word.colour, x, word.y, word.height


@dataclass(frozen=True)
class _GlyphLayer:
    """The n glyphs of one kind and texture on a batch of pictures, drawn together."""

    glyph: str
    texture: str
    colours: list[str]
    picture: Tensor  # (n,) which picture each lies on
    dx: Tensor  # (n, H, W) from its centre, in units of the side
    dy: Tensor
    cover: Tensor  # (n, H, W) share of each pixel that it covers


def _layers(scenes: Sequence[Scene], size: int, xs: Tensor, ys: Tensor) -> Iterator[_GlyphLayer]:
    """Yield the glyphs of the scenes, a layer a kind; xs, ys (B, side) are the centres of the pixels."""
    rows = defaultdict(list)
    for index, scene in enumerate(scenes):
        for glyph, texture, colour, cx, cy, scale in _stamps(scene):
            rows[glyph, texture].append((index, colour, cx, cy, scale))
    side = xs.shape[1]
    for (glyph, texture), group in rows.items():
        picture = torch.tensor([row[0] for row in group], device=xs.device)
        cx, cy, scale = torch.tensor([row[2:] for row in group], device=xs.device).T[:, :, None]
        dx = (xs[picture] - cx)[:, None, :].expand(-1, side, side)
        dy = (ys[picture] - cy)[:, :, None].expand(-1, side, side)
        distance = shapes.DISTANCES.get(glyph) or partial(letters.distance, glyph)
        signed = distance(dx / scale[..., None], dy / scale[..., None])
        cover = (0.5 - signed * scale[..., None] * size).clamp(0, 1)
        yield _GlyphLayer(glyph, texture, [row[1] for row in group], picture, dx, dy, cover)


def covers(
    scenes: Sequence[Scene], size: int = 64, device: torch.device | str = "cpu"
) -> Iterator[tuple[Tensor, str, list[str], Tensor]]:
    """Yield (pictures (n,), glyph, colours, cover (n, size, size)): the covered share of each pixel."""
    axis = ((torch.arange(size, device=device) + 0.5) / size).expand(len(scenes), -1)
    for layer in _layers(scenes, size, axis, axis):
        yield layer.picture, layer.glyph, layer.colours, layer.cover


def render(
    scenes: Sequence[Scene],
    size: int = 64,
    *,
    window: int | None = None,
    origins: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return pictures (B, 3, size, size) in [0, 1] of the scenes.

    With `window`, only that many pixels a side are drawn of each picture, from its row of `origins`
    (B, 2), the window's left and top in pixels of the whole picture.
    """
    side = window or size
    start = torch.zeros(len(scenes), 2, device=device) if origins is None else origins.to(device)
    axis = torch.arange(side, device=device) + 0.5
    xs, ys = ((start[:, k, None] + axis) / size for k in (0, 1))
    grounds = torch.tensor([BACKGROUNDS[scene.background] for scene in scenes], device=device)[
        :, :, None, None
    ]
    picture = grounds.expand(-1, -1, side, side).clone()
    for layer in _layers(scenes, size, xs, ys):
        ink = torch.tensor([COLOURS[name] for name in layer.colours], device=device)[:, :, None, None]
        if layer.texture != "solid":
            second = torch.tensor([shade(COLOURS[name]) for name in layer.colours], device=device)[
                :, :, None, None
            ]
            ink = ink + texture_cover(layer.texture, layer.dx, layer.dy, 1 / size)[:, None] * (second - ink)
        # Glyphs do not overlap, so that adding each one's change is exact whatever the order.
        picture.index_add_(0, layer.picture, layer.cover[:, None] * (ink - grounds[layer.picture]))
    return picture
