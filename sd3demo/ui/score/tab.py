"""The Score tab: how often pictures are what their prompts say, those pictures, and studies of it."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import islice

import gradio as gr

from sd3demo.settings import counted
from sd3demo.studies.study import Measured, find_study
from sd3demo.ui.context import Core
from sd3demo.ui.controls.build import opening_of
from sd3demo.ui.controls.deep_links import linked
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.run.markdown import section, text_file
from sd3demo.ui.score.geneval import published
from sd3demo.ui.studies.panel import StudyGallery
from sd3demo.ui.studies.tabs import packed, study_tabs, unpacked

TEXT = text_file("score")
FRONT = ("model", "categories", "n", "steps", "cfg")
SCORE = "score"
STUDIES = {
    SCORE: "Score",
    "score-steps": "Steps",
    "score-cfg": "CFG scale",
    "score-shift": "Shift by size",
    "t5-off": "Without T5",
    "depth": "Depth",
}
"""The studies, and what their tabs are called."""
BELOW = "score-steps"
"""What a link of old that names no study had open."""
SHOWN = 40  # pictures
NO_PICTURES = (
    '<p class="hint">Press Run: the pictures appear here with their prompts, each marked right or wrong.</p>'
)


def score(core: Core) -> None:
    """The whole tab: the score, its pictures and the studies of it, then the published table."""
    with gr.Column(elem_id="scores"):
        section(TEXT, "Score")
        studies = study_tabs(
            core,
            STUDIES,
            fronts={SCORE: FRONT},
            galleries={SCORE: StudyGallery("judged", NO_PICTURES, gallery)},
        )
        with gr.Accordion("GenEval as published, for context", open=False):
            section(TEXT, "GenEval", more=f"\n\n{published()}\n")
    kind = find_study(SCORE).settings
    link = studies.kind(kind)

    def unfold(text: str) -> dict[str, object]:
        held = studies.settings(text)
        return {**unpacked(core, SCORE, str(held.pop(SCORE)))[0], **held}

    def fill(values: Mapping[str, object]) -> list[object]:
        own = packed(core, SCORE, *(values[name] for name in kind.model_fields))
        study = values["study"]
        if study == SCORE and not own and values[BELOW]:
            study = BELOW
        return [studies.folded({**values, SCORE: own, "study": study})]

    linked(
        link,
        {"studies": studies.text},
        opening_of(kind, core.models),
        titles=titles(kind),
        when=[studies.text.change],
        fill=fill,
        unfold=unfold,
    )


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
