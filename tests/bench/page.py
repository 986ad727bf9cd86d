"""`python -m tests.bench page`: what the page costs the server, beside bare gradio in the same run.

Seconds are the processor's, so that whatever else the machine does is not counted; the reference is a page
of as many text boxes as ours has components, which does nothing. Each row shows the best of its turns and
the median of the ratios of neighbouring turns.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import gradio as gr

from sd3demo.ui import Core, build
from sd3demo.ui.densities import tab as densities
from sd3demo.ui.densities.settings import TITLES, DensitySettings
from tests.ui.fake_page import Rehearsal


def redrawn(core: Core, m: float) -> object:
    """A visitor's move of one control in the density lab, with every density drawn."""
    values = {name: field.default for name, field in DensitySettings.model_fields.items()}
    values |= {"densities": list(TITLES), "m": m}
    return densities.redrawn(core, *(values[name] for name in densities.NAMES))


def bare(components: int) -> gr.Blocks:
    """A page of this many text boxes and no event."""
    with gr.Blocks() as page:
        for _ in range(components):
            gr.Textbox()
    return page


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def report(rounds: int) -> None:
    core = Core(("sd3-medium",), Rehearsal().run)
    components = len(build(core).blocks)
    redrawn(core, 0.0)  # torch and plotly come in
    cases: dict[str, Callable[[int], object]] = {
        "building the page": lambda _: build(core),
        "a move in the density lab": lambda turn: redrawn(core, turn / 10),
    }
    print(f"| what | {components} bare text boxes, s | sd3demo, s | ratio |\n|---|---|---|---|")
    for name, work in cases.items():
        turns = [
            (seconds(partial(bare, components)), seconds(partial(work, turn)))
            for turn in range(1, rounds + 1)
        ]
        ratio = statistics.median(ours / theirs for theirs, ours in turns)
        theirs, ours = (min(side) for side in zip(*turns, strict=True))
        print(f"| {name} | {theirs:.3f} | {ours:.3f} | {ratio:.2f} |", flush=True)
