"""`python -m tests.bench`: the engine against StableDiffusion3Pipeline on the same weights, noise and sigmas.

Both are warm, in one process, and take turns, so that whatever else the machine does falls on both. A row
shows the best time of each and the median of the ratios of neighbouring turns. The embedded model is used
when it is there, else random weights of its size. `imax` measures projected flow instead, `page` the
server's work, `waiting` the batches of runs that wait, `full-size` networks of real sizes on a GPU.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

from sd3demo.catalogue import ModelSpec, find
from sd3demo.engine import Engine, Plan, plan
from sd3demo.engine.events import Finished
from sd3demo.engine.plan.device import Device, budget
from sd3demo.settings import Request
from tests.checkpoints import BENCHMARK, write_checkpoint


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of each side, the ratio ours to theirs, and how far the pictures are apart."""

    name: str
    theirs: float
    ours: float
    ratio: float
    difference: float


CASES = {
    "28 steps, CFG, the prompt known": {"steps": 28, "cfg": 5},
    "28 steps, no CFG, the prompt known": {"steps": 28, "cfg": 1},
    "28 steps, CFG, twice the side": {"steps": 28, "cfg": 5, "scale": 2},
    "28 steps, CFG, four pictures": {"steps": 28, "cfg": 5, "count": 4},
    "28 steps, CFG, bfloat16": {"steps": 28, "cfg": 5, "precision": "bfloat16"},
}


def rows(spec: ModelSpec, device: Device, rounds: int, known: bool = True) -> Iterator[Row]:
    """A row for each case, then one for a prompt that is new each time."""
    for name, case in CASES.items():
        yield compare(name, spec, device, rounds, dict(case), new_prompts=False)
    yield compare(
        "28 steps, CFG, a new prompt", spec, device, rounds, {"steps": 28, "cfg": 5}, new_prompts=True
    )


def compare(
    name: str, spec: ModelSpec, device: Device, rounds: int, case: dict[str, object], *, new_prompts: bool
) -> Row:
    side = spec.native * int(str(case.pop("scale", 1)))
    precision = str(case.pop("precision", "float32"))
    theirs, engine = pipeline(spec, device, precision), Engine()

    def prompt_plan(prompt: str) -> Plan:
        values = {"prompt": prompt, "model": spec.name, "width": side, "height": side, "precision": precision}
        return plan(Request.model_validate(values | case), spec, budget(device))

    prompts = [f"a red circle {number}" if new_prompts else "a red circle" for number in range(rounds + 1)]
    times: list[tuple[float, float]] = []
    difference = 0.0
    for number, prompt in enumerate(prompts):
        asked = prompt_plan(prompt)
        slow, expected = timed(lambda asked=asked: reference(theirs, asked))
        fast, got = timed(lambda asked=asked: finish(engine, asked))
        difference = max(difference, float(np.abs(got.astype(int) - expected).max()) / 255)
        if number:  # the first turn warms both up
            times.append((slow, fast))
    ratio = statistics.median(fast / slow for slow, fast in times)
    return Row(name, min(t for t, _ in times), min(t for _, t in times), ratio, difference)


def pipeline(spec: ModelSpec, device: Device, precision: str) -> StableDiffusion3Pipeline:
    """diffusers' own, told to take sigmas as they are given."""
    loaded = StableDiffusion3Pipeline.from_pretrained(spec.folder, torch_dtype=getattr(torch, precision))
    loaded.set_progress_bar_config(disable=True)
    loaded.scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    return loaded.to(budget(device).device)


def reference(pipe: StableDiffusion3Pipeline, asked: Plan) -> np.ndarray:
    request = asked.request
    pictures = pipe(
        prompt=request.prompt,
        width=request.width,
        height=request.height,
        guidance_scale=request.cfg,
        sigmas=list(asked.sigmas[:-1]),
        num_inference_steps=request.steps,
        max_sequence_length=request.max_sequence_length,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(seed) for seed in asked.seeds],
        output_type="np",
    ).images
    return np.round(pictures * 255).astype(int)


def finish(engine: Engine, asked: Plan) -> np.ndarray:
    *_, last = engine.run(asked)
    assert isinstance(last, Finished)
    return np.stack(last.pictures)


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def benchmark_model(folder: Path) -> ModelSpec:
    """The embedded model, or random weights of its size where it is not."""
    tiny = find("tiny")
    return tiny if tiny.folder else find(str(write_checkpoint(folder / "random", BENCHMARK)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = ["engine", "full-size", "grid", "imax", "page", "waiting"]
    parser.add_argument("what", nargs="?", choices=kinds, default="engine")
    parser.add_argument("--side", type=int, default=1024, help="px of the picture, for imax and full-size")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--rounds", type=int, default=7)
    words = parser.parse_args()
    if words.what == "imax":
        from tests.bench import imax

        return imax.report(words.side, words.rounds)
    if words.what == "full-size":
        from tests.bench import full_size

        return full_size.report(words.device, words.side)
    if words.what == "grid":
        from tests.bench import grid

        return grid.report(words.device, words.rounds)
    if words.what == "waiting":
        from tests.bench import waiting

        return waiting.report(words.device, words.rounds)
    if words.what == "page":
        from tests.bench import page

        return page.report(words.rounds)
    with tempfile.TemporaryDirectory() as folder:
        spec = benchmark_model(Path(folder))
        kind = "the embedded model" if spec.name == "tiny" else "random weights of the embedded model's size"
        print(f"{kind}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
        print("| case | diffusers, s | sd3demo, s | ratio | largest difference |")
        print("|---|---|---|---|---|")
        for row in rows(spec, words.device, words.rounds):
            apart = f"{row.difference * 255:.0f}/255"
            print(
                f"| {row.name} | {row.theirs:.3f} | {row.ours:.3f} | {row.ratio:.2f} | {apart} |", flush=True
            )


if __name__ == "__main__":
    main()
