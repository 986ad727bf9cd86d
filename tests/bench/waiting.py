"""`python -m tests.bench waiting`: runs that wait together as one batch against the same runs one by one.

One engine, warm, both ways in turns: k runs with their own prompts and seeds and equal settings, as visitors
of a page ask for them. A row shows the best time of each way, the median of the ratios of neighbouring turns,
and the mean wait in runs: (k + 1) / 2 one after another, and k times the ratio in a batch, whose pictures are
all there at its end. Every prompt is new in every turn, so that each way encodes all of them. On one thread
the seconds are the processor's, so that whatever else the machine does is not counted.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sd3demo.catalogue import ModelSpec
from sd3demo.engine import Engine, Plan, plan
from sd3demo.engine.events import Finished
from sd3demo.engine.plan.device import Device, budget
from sd3demo.settings import Request
from tests.bench.__main__ import benchmark_model

SIZES = (2, 4, 8, 16)
CASES: Mapping[str, Mapping[str, object]] = {
    "28 steps, CFG": {"steps": 28, "cfg": 5},
    "4 steps, CFG": {"steps": 4, "cfg": 5},
    "28 steps, CFG, twice the side": {"steps": 28, "cfg": 5, "scale": 2},
}


@dataclass(frozen=True)
class Row:
    """A batch of `count` runs: seconds a run each way, their ratio, and how far the pictures are apart."""

    name: str
    count: int
    alone: float
    together: float
    ratio: float
    difference: float


def rows(spec: ModelSpec, device: Device, rounds: int) -> Iterator[Row]:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    engine, here = Engine(), budget(device)

    def plans(case: Mapping[str, object], count: int, words: str) -> list[Plan]:
        side = spec.native * int(str(case.get("scale", 1)))
        asked = {name: value for name, value in case.items() if name != "scale"}
        asked |= {"model": spec.name, "width": side, "height": side}
        prompts = [f"a red circle {words} {place}" for place in range(count)]
        requests = [{**asked, "prompt": prompt, "seed": seed} for seed, prompt in enumerate(prompts)]
        return [plan(Request.model_validate(request), spec, here) for request in requests]

    for name, case in CASES.items():
        for count in SIZES:
            times: list[tuple[float, float]] = []
            for number in range(rounds + 1):  # the first turn warms both up
                one_by_one, as_batch = (plans(case, count, f"{way} {number}") for way in ("one", "batch"))
                began = clock()
                for each in one_by_one:
                    list(engine.run(each))
                between = clock()
                news = list(engine.run_batch(as_batch))
                ended = clock()
                if number:
                    times.append((between - began, ended - between))
            got = {of.run: of.event for of in news if isinstance(of.event, Finished)}
            difference = max(_difference(engine, each, got[run]) for run, each in enumerate(as_batch))
            ratio = statistics.median(batch / alone for alone, batch in times)
            alone, together = (min(seconds) / count for seconds in zip(*times, strict=True))
            yield Row(name, count, alone, together, ratio, difference)


def _difference(engine: Engine, asked: Plan, together: Finished) -> float:
    """How far the picture of a batch is from that of the run alone, in [0, 1]."""
    *_, alone = engine.run(asked)
    assert isinstance(alone, Finished)
    return float(np.abs(alone.pictures[0].astype(int) - together.pictures[0]).max()) / 255


def report(device: Device, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spec = benchmark_model(Path(folder))
        print(f"{spec.name}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
        print(
            "| runs | a batch of | alone, s a run | together, s a run | ratio | mean wait each way, runs "
            "| largest difference |"
        )
        print("|---" * 7 + "|")
        for row in rows(spec, device, rounds):
            apart = f"{row.difference * 255:.0f}/255"
            waits = f"{(row.count + 1) / 2:.1f}, {row.count * row.ratio:.1f}"
            print(
                f"| {row.name} | {row.count} | {row.alone:.3f} | {row.together:.3f} | {row.ratio:.2f} "
                f"| {waits} | {apart} |",
                flush=True,
            )
