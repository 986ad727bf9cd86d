"""`python -m tests.bench grid`: twelve cells of a grid against twelve calls of StableDiffusion3Pipeline.

One loaded pipeline and one engine in one process, both warm, in turns. A row shows the best time of each and
the ratio of their medians. The prompt is known to the engine, as it is when a grid is made from the form;
the pipeline has no memory and encodes it in every call. On one thread the seconds are the processor's, so
that whatever else the machine does is not counted.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sd3demo.catalogue import ModelSpec
from sd3demo.engine import Engine, Plan, plan
from sd3demo.engine.events import Finished
from sd3demo.engine.plan.device import Device, budget
from sd3demo.settings import Request
from tests.bench.__main__ import benchmark_model, pipeline, reference

GRIDS: Mapping[str, Mapping[str, Sequence[object]]] = {
    "cfg 1, 2, 4, 7 by steps 4, 8, 28": {"steps": (4, 8, 28), "cfg": (1, 2, 4, 7)},
    "cfg 1, 2, 4, 7 by steps 2, 4, 8": {"steps": (2, 4, 8), "cfg": (1, 2, 4, 7)},
    "cfg 1, 2, 4 by seed 0 to 3, 28 steps": {"cfg": (1, 2, 4), "seed": (0, 1, 2, 3)},
    "shift 1, 2, 3, 6 by cfg 2, 4, 7, 28 steps": {"shift": (1, 2, 3, 6), "cfg": (2, 4, 7)},
}


@dataclass(frozen=True)
class Row:
    """One grid: seconds of each side, the ratio ours to theirs, and how far the pictures are apart."""

    name: str
    theirs: float
    ours: float
    ratio: float
    difference: float


def rows(spec: ModelSpec, device: Device, rounds: int) -> Iterator[Row]:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    theirs, engine, here = pipeline(spec, device, "float32"), Engine(), budget(device)

    def cell_plan(values: Mapping[str, object]) -> Plan:
        asked = {"prompt": "a red circle above a blue square", "model": spec.name, "precision": "float32"}
        return plan(Request.model_validate({**asked, **values}), spec, here)

    for name, sides in GRIDS.items():
        (x, across), (y, down) = sides.items()
        plans = [cell_plan({x: one, y: other}) for one in across for other in down]
        slow: list[float] = []
        fast: list[float] = []
        difference = 0.0
        for number in range(rounds + 1):  # the first turn warms both up
            began = clock()
            expected = [reference(theirs, each)[0] for each in plans]
            between = clock()
            news = list(engine.run_batch(plans))
            ended = clock()
            got = {of.run: of.event.pictures[0] for of in news if isinstance(of.event, Finished)}
            for index, picture in enumerate(expected):
                difference = max(difference, float(np.abs(got[index].astype(int) - picture).max()) / 255)
            if number:
                slow.append(between - began)
                fast.append(ended - between)
        ratio = statistics.median(fast) / statistics.median(slow)
        yield Row(name, min(slow), min(fast), ratio, difference)


def report(device: Device, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spec = benchmark_model(Path(folder))
        print(f"{spec.name}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
        print("| 12 cells | 12 pipeline calls, s | the grid, s | ratio | largest difference |")
        print("|---|---|---|---|---|")
        for row in rows(spec, device, rounds):
            apart = f"{row.difference * 255:.0f}/255"
            print(
                f"| {row.name} | {row.theirs:.2f} | {row.ours:.2f} | {row.ratio:.2f} | {apart} |", flush=True
            )
