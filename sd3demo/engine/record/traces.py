"""A run kept small: all that its plots need. Showing it takes neither the model's weights nor torch."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import isqrt, prod

import numpy as np
from numpy.typing import NDArray

from sd3demo.engine.events import Finished, Pixels
from sd3demo.engine.plan.plan import Plan
from sd3demo.flow.path.geometry import PathGeometry
from sd3demo.settings import Resolved

RECORDED = ("lengths", "moves", "turns", "guidance", "norms", "film", "attention")
"""The recorders that a trace is made of."""
BLOCKS, MOMENTS = 6, 8
"""Of how many blocks and at how many steps the attention is kept, at most."""
MAP_SIDE, MOST_SHARES = 32, 3 * 2**20
"""Patches of a map, along a side, and numbers of all maps together, at most."""
THUMBNAIL = 128  # pixels of the finished picture, at most


@dataclass(frozen=True, eq=False)
class AttentionRecord:
    """The share of each patch's attention on each word, at some steps and in some blocks.

    A word is (encoder, text). The shares of a patch add up to its attention on the text; the rest is on the
    picture.
    """

    words: tuple[tuple[str, str], ...]  # U
    steps: tuple[int, ...]  # S
    blocks: tuple[int, ...]  # K
    maps: NDArray[np.float16]  # (S, K, U, h, w)


@dataclass(frozen=True, eq=False)
class Trace:
    """One picture's run. `request` makes it again, with a count of 1 and its own seed."""

    request: Resolved
    calls: int
    entries: int
    """D, the numbers of the latent."""
    noise_sha256: str
    weights_sha256: str
    sigmas: NDArray[np.float64]  # (N + 1,)
    gram: NDArray[np.float64]  # (N, N), of the moves
    turns: NDArray[np.float32]  # (N,), radians
    guidance: NDArray[np.float32]  # (N, 4)
    norms: NDArray[np.float32]  # (N, 2)
    film: NDArray[np.uint8]  # (N + 1, 2, h, w, 3)
    picture: Pixels  # (H, W, 3)
    attention: AttentionRecord | None

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    @cached_property
    def shape(self) -> PathGeometry:
        """Lengths, angles and projection of the path."""
        return PathGeometry(self.gram)


def recorded(plan: Plan) -> Plan:
    """The same plan, recording what a trace needs."""
    return replace(plan, recorders=RECORDED)


def traces_of(plan: Plan, finished: Finished) -> tuple[Trace, ...]:
    """A trace for each picture of a run that was `recorded`."""
    records, request = finished.records, plan.request
    traces = []
    for k, (picture, noise) in enumerate(zip(finished.pictures, finished.noise_sha256, strict=True)):
        traces.append(
            Trace(
                request=request.model_copy(update={"seed": plan.seeds[k], "count": 1}),
                calls=finished.calls,
                entries=prod(plan.spec.latent.shape(request.width, request.height)),
                noise_sha256=noise,
                weights_sha256=finished.weights_sha256,
                sigmas=np.array(finished.sigmas, np.float64),
                gram=records["moves"][k].astype(np.float64),
                turns=records["turns"][:, k].astype(np.float32),
                guidance=records["guidance"][:, :, k].astype(np.float32),
                norms=records["norms"][:, :, k].astype(np.float32),
                film=records["film"][:, :, k].astype(np.uint8),
                picture=averaged(picture, THUMBNAIL),
                attention=_attention(plan, finished, k),
            )
        )
    return tuple(traces)


def spread(count: int, most: int) -> tuple[int, ...]:
    """Up to `most` of the numbers 0 to count - 1, evenly spread, with the first and the last."""
    shown = min(count, most)
    return tuple(dict.fromkeys(round(k * (count - 1) / max(shown - 1, 1)) for k in range(shown)))


def map_side(steps: int, blocks: int, words: int) -> int:
    """How many patches along its longer side a map may have, so that all of a trace's maps stay small."""
    return max(min(MAP_SIDE, isqrt(MOST_SHARES // max(steps * blocks * words, 1))), 1)


def averaged(picture: Pixels, side: int) -> Pixels:
    """A picture made small, at most `side` pixels along the longer side: the mean over blocks of it."""
    stride = _stride(picture, side)
    if stride == 1:
        return picture
    rows, columns = (np.arange(0, end, stride) for end in picture.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(picture.astype(np.float64), rows, 0), columns, 1)
    across = _extents(rows, picture.shape[0])[:, None, None] * _extents(columns, picture.shape[1])[:, None]
    pixels: Pixels = (sums / across).round().astype(np.uint8)
    return pixels


def left_out(picture: Pixels, side: int) -> Pixels:
    """The same size by leaving pixels out, so that noise stays as strong as it is."""
    stride = _stride(picture, side)
    return np.ascontiguousarray(picture[::stride, ::stride])


def _stride(picture: Pixels, side: int) -> int:
    return -(-max(picture.shape[:2]) // side)


def _extents(starts: NDArray[np.int_], end: int) -> NDArray[np.int_]:
    return np.array([last - first for first, last in pairwise([*starts.tolist(), end])])


def _attention(plan: Plan, finished: Finished, k: int) -> AttentionRecord | None:
    maps = finished.records["attention"]
    if not finished.words or maps.ndim != 6:
        return None
    return AttentionRecord(
        words=finished.words,
        steps=spread(plan.request.steps, MOMENTS),
        blocks=spread(plan.spec.network.depth, BLOCKS),
        maps=maps[:, :, k].astype(np.float16),
    )
