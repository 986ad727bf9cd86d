"""A trace that is made up: a winding path of random moves, without torch and without a model."""

import numpy as np

from sd3demo.catalogue import find
from sd3demo.engine.plan.memory import Budget
from sd3demo.engine.plan.plan import resolve
from sd3demo.engine.record.traces import BLOCKS, MOMENTS, AttentionRecord, Trace, spread
from sd3demo.flow.grids import time_grid
from sd3demo.settings import Request

WORDS = (("CLIP", "⟨start⟩"), ("CLIP", "red"), ("T5", "red"), ("T5", "circle"), ("T5", "⟨padding⟩"))


def a_trace(
    *, steps: int = 12, attends: bool = True, seed: int = 0, bend: float = 0.2, depth: int = 4
) -> Trace:
    """The moves of a straight line with noise of relative size `bend`."""
    random = np.random.default_rng(seed)
    line = random.normal(size=40)
    moves = line / steps + bend * random.normal(size=(steps, 40)) / steps
    request = resolve(Request(prompt="a red circle", steps=steps, seed=seed), find("tiny"), Budget())
    maps = random.random((len(spread(steps, MOMENTS)), len(spread(depth, BLOCKS)), len(WORDS), 8, 8)) / 8
    attention = AttentionRecord(WORDS, spread(steps, MOMENTS), spread(depth, BLOCKS), maps.astype(np.float16))
    return Trace(
        request=request,
        calls=2 * steps,
        entries=40,
        noise_sha256="0" * 64,
        weights_sha256="1" * 64,
        sigmas=time_grid(steps),
        gram=moves @ moves.T,
        turns=random.random(steps).astype(np.float32),
        guidance=(1 + random.random((steps, 4))).astype(np.float32),
        norms=(1 + random.random((steps, 2))).astype(np.float32),
        film=random.integers(0, 256, (steps + 1, 2, 16, 16, 3)).astype(np.uint8),
        picture=random.integers(0, 256, (64, 64, 3)).astype(np.uint8),
        attention=attention if attends else None,
    )
