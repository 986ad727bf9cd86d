"""The Score tab: how often pictures are what their prompts say, those pictures, and studies of it."""

from collections.abc import Sequence
from html import escape
from itertools import islice

import gradio as gr
from gradio.context import Context

from sd3demo.settings import counted
from sd3demo.studies.study import Measured, find_study
from sd3demo.ui.context import Core
from sd3demo.ui.controls import build as controls
from sd3demo.ui.controls.deep_links import linked
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.score.geneval import published
from sd3demo.ui.studies.panel import study_panel
from sd3demo.ui.studies.tabs import studies

TEXT = text_file("score")
FRONT = ("model", "categories", "n", "steps", "cfg")
BELOW = {
    "score-steps": "Steps",
    "score-cfg": "Guidance",
    "score-shift": "Shift by size",
    "t5-off": "Without T5",
    "depth": "Depth",
}
"""The studies that stand below, and what their tabs are called."""
SHOWN = 40  # pictures
NO_PICTURES = (
    '<p class="hint">With Run, the pictures appear here as they are made, each with its prompt and with what '
    "the judge says of it.</p>"
)


def score(core: Core) -> None:
    """The whole tab: the score, its pictures, the published table, and the studies."""
    tab = Context.block
    with gr.Column(elem_id="scores"):
        section(TEXT, "Score")
        with gr.Column(elem_id="score-bench"):
            marked = gr.HTML(NO_PICTURES, render=False, elem_id="judged")
            panel = study_panel(
                core,
                "score",
                front=FRONT,
                also=[marked],
                extra=lambda found: [gallery(found)],
                when=tab if isinstance(tab, gr.Tab) else None,
            )
        with gr.Accordion("GenEval as published, for context", open=False):
            section(TEXT, "GenEval")
            gr.HTML(published())
        section(TEXT, "Studies")
        below = studies(core, BELOW)
    kind = find_study("score").settings
    start = controls.opening_of(kind, core.models)
    every = {**panel.controls, **below.controls}
    changed = [one.change for one in every.values()]
    linked(below.kind(kind), every, start, titles=titles(kind), when=changed)


def gallery(measured: Sequence[Measured]) -> str:
    """The newest pictures, each with its prompt and whether it is right."""
    pictures = [one for one in reversed(measured) if "picture" in one.raw]
    right = sum(bool(one.raw["passed"]) for one in pictures)
    cards = "".join(_card(one) for one in islice(pictures, SHOWN))
    more = f", the newest {SHOWN} below" if len(pictures) > SHOWN else ""
    are = "is" if right == 1 else "are"
    return (
        f"<p class='caption'>{right} of {counted(len(pictures), 'picture')} {are} right{more}.</p>"
        f"<ul class='judged'>{cards}</ul>"
    )


def _card(one: Measured) -> str:
    exam = one.cell.given["exam"]
    prompt = str(exam["prompt"]) if isinstance(exam, dict) else ""
    passed = bool(one.raw["passed"])
    word = "right" if passed else "wrong"
    return (
        f"<li class='{word}'><img src='data:image/png;base64,{one.raw['picture']}' alt='{escape(prompt)}'>"
        f"<span class='judgement'>{'✓' if passed else '✗'} {word}</span><span>{escape(prompt)}</span></li>"
    )
