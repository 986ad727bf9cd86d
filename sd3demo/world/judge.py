"""The judge: what a picture shows, read from its pixels alone, at any size.

The border tells the background; connected components of everything else are things or letters; each
component's colour is the most frequent palette colour in its inside, and its outline, brought to one
place and size, is compared with the outlines of every shape and letter. Nothing here knows the caption.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from sd3demo.world.render import render
from sd3demo.world.scenes import Lettering, Scene, Thing
from sd3demo.world.vocabulary import BACKGROUNDS, COLOURS, LETTERS, SHAPES, shade

Array = NDArray[np.floating]
BOX = 32
"""Outlines are compared in a box of BOX x BOX samples."""
REACH = 1.1
"""Half the box's side, in units of the root of the outline's area; every shape and letter fits."""
_SAMPLES = ((np.arange(BOX) + 0.5) / BOX * 2 - 1).astype(np.float32)
FOREGROUND = 0.2
"""RGB distance from the background at which a pixel is something."""
SMALLEST_AREA = 0.004
"""Share of the picture's area below which a component is a speck, not a thing."""
LARGEST_AREA = 0.5
"""Share of the picture's area above which a component is clutter."""
LIKENESS = {shape: 0.66 if shape == "star" else 0.70 for shape in SHAPES}
"""Least intersection over union with a shape's outline to be called that shape; a star's thin tips blur
away first."""
LETTER_LIKENESS = 0.55
"""Least intersection over union with a letter's outline to be read as that letter."""
COLOUR_DISTANCE = 0.30
"""Farthest RGB distance from a palette colour that still counts as that colour."""


@dataclass(frozen=True)
class Component:
    """A connected component: its best shape and letter with their likeness, its colour, texture, centre and
    radius."""

    shape: str
    shape_likeness: float
    letter: str
    letter_likeness: float
    colour: str
    texture: str
    x: float
    y: float
    r: float

    @property
    def is_shape(self) -> bool:
        return self.shape_likeness >= LIKENESS[self.shape]

    @property
    def is_letter(self) -> bool:
        return self.letter_likeness >= LETTER_LIKENESS


@dataclass(frozen=True)
class JudgedPicture:
    """What the judge reads from a picture: its components from left to right, and the share of its area
    that is specks or clutter."""

    background: str
    components: tuple[Component, ...]
    specks: float

    @property
    def text(self) -> str:
        """The components as letters, left to right; '?' for one that is no letter."""
        return "".join(f.letter if f.is_letter else "?" for f in self.components)


def _boxed(cover: Array) -> Array:
    """A cover (h, w) seen from its centroid at the scale of the root of its area, in BOX x BOX samples.

    Moments and not the extent: the tip of a star or of a diamond is the first thing that blurs away.
    """
    rows, columns = np.indices(cover.shape, dtype=np.float32)
    area = float(cover.sum())
    reach = REACH * area**0.5 * _SAMPLES
    at = [float((axis * cover).sum()) / area + reach for axis in (rows, columns)]
    grid = np.meshgrid(at[0], at[1], indexing="ij")
    sampled: Array = ndimage.map_coordinates(cover, grid, order=1, mode="constant")
    return sampled


def _likeness(one: Array, others: Array) -> Array:
    """Soft intersection over union of a box (BOX, BOX) with each of `others` (n, BOX, BOX)."""
    return np.minimum(one, others).sum((1, 2)) / np.maximum(one, others).sum((1, 2))


@cache
def _templates(glyphs: tuple[str, ...]) -> Array:
    """(n, BOX, BOX): outlines of these shapes or letters, drawn large."""
    boxes = []
    for glyph in glyphs:
        if glyph in SHAPES:
            scene = Scene("black", ((Thing(glyph, "white", "solid", 0.5, 0.5, 0.45),),))
        else:
            scene = Scene("black", lettering=Lettering(glyph, "white", 0.5, 0.5, 0.8))
        mask = (render([scene], 256)[0, 0].numpy() - COLOURS["black"][0]) / (1 - COLOURS["black"][0])
        boxes.append(_boxed(mask))
    return np.stack(boxes)


def _nearest(pixels: Array, palette: dict[str, tuple[float, float, float]]) -> tuple[NDArray[np.intp], Array]:
    """For pixels (n, 3): the index of the nearest palette colour and the distance to it."""
    gaps = np.linalg.norm(pixels[:, None] - np.array(list(palette.values()), np.float32)[None], axis=2)
    index = gaps.argmin(1)
    return index, gaps[np.arange(len(index)), index]


def _background(picture: Array) -> tuple[str, Array]:
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    index, _ = _nearest(border, BACKGROUNDS)
    best = int(np.bincount(index, minlength=len(BACKGROUNDS)).argmax())
    ground = np.median(border[index == best], axis=0)
    return list(BACKGROUNDS)[best], ground


def _colour(inside: Array) -> str:
    """The most frequent palette colour among pixels (n, 3), or 'unknown'."""
    index, gap = _nearest(inside, COLOURS)
    votes = np.bincount(index[gap < COLOUR_DISTANCE], minlength=len(COLOURS))
    return list(COLOURS)[int(votes.argmax())] if votes.sum() >= 0.3 * len(inside) else "unknown"


def _texture(cut: Array, core: NDArray[np.bool_], colour: str) -> str:
    """Stripes or dots when enough of the inside is the colour's shade; stripes when rows explain it."""
    if colour == "unknown" or core.sum() < 20:
        return "solid"
    base, second = np.array(COLOURS[colour], np.float32), np.array(shade(COLOURS[colour]), np.float32)
    along = np.clip(((cut - base) @ (second - base)) / np.square(second - base).sum(), 0, 1)
    if (along[core] > 0.5).mean() < 0.08:
        return "solid"
    rows = [along[k][core[k]] for k in range(len(core)) if core[k].sum() > 2]
    if len(rows) < 3:
        return "solid"
    spread = np.var(np.concatenate(rows))
    between = np.average([(r.mean() - along[core].mean()) ** 2 for r in rows], weights=[len(r) for r in rows])
    return "striped" if between > 0.55 * spread else "dotted"


def _examine(picture: Array, ground: Array, label: NDArray[np.bool_], at: tuple[slice, slice]) -> Component:
    height, width = picture.shape[:2]
    cut = picture[at]
    solid = ndimage.binary_fill_holes(label)
    core = ndimage.binary_erosion(label, iterations=max(1, round(min(label.shape) / 16)))
    inside = cut[core] if core.sum() >= 4 else cut[label]
    ink = np.median(inside, axis=0)
    # Where a pixel lies between ground and ink; a texture's second colour counts as ink.
    cover = np.clip(
        np.linalg.norm(cut - ground, axis=2) / max(float(np.linalg.norm(ink - ground)), 1e-3), 0, 1
    )
    cover = np.where(core, 1.0, cover * ndimage.binary_dilation(label)).astype(np.float32)
    box = _boxed(cover)
    shapes = _likeness(box, _templates(SHAPES))
    letters = _likeness(box, _templates(tuple(LETTERS)))
    colour = _colour(inside)
    return Component(
        shape=SHAPES[int(shapes.argmax())],
        shape_likeness=float(shapes.max()),
        letter=LETTERS[int(letters.argmax())],
        letter_likeness=float(letters.max()),
        colour=colour,
        texture=_texture(cut, core, colour),
        x=(at[1].start + at[1].stop) / 2 / width,
        y=(at[0].start + at[0].stop) / 2 / height,
        r=float(np.sqrt(solid.sum() / np.pi) / width),
    )


def read(picture: Tensor | Array) -> JudgedPicture:
    """Judge a picture (3, H, W) in [0, 1] from its pixels."""
    pixels = np.asarray(picture, dtype=np.float32).transpose(1, 2, 0)
    name, ground = _background(pixels)
    something = np.linalg.norm(pixels - ground, axis=2) > FOREGROUND
    labels, _ = ndimage.label(something)
    area = pixels.shape[0] * pixels.shape[1]
    components, specks = [], 0
    for number, at in enumerate(ndimage.find_objects(labels), start=1):
        label = labels[at] == number
        if not SMALLEST_AREA * area <= label.sum() <= LARGEST_AREA * area:
            specks += int(label.sum())
            continue
        rows, columns = (
            slice(max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(at, pixels.shape, strict=False)
        )
        components.append(_examine(pixels, ground, labels[rows, columns] == number, (rows, columns)))
    return JudgedPicture(
        background=name, components=tuple(sorted(components, key=lambda f: f.x)), specks=specks / area
    )


def prepare() -> None:
    """Draw the outlines that components are compared with, which the first picture would wait for."""
    _templates(SHAPES)
    _templates(tuple(LETTERS))
