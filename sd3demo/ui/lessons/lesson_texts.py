"""The words of the lessons: one folder a language, one file a lesson, checked when it is read.

A text may hold `code`, *emphasis*, [words](#term-NAME) of the glossary, and {figures} of its step by name.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sd3demo.ui.lessons.six_lessons import SIX
from sd3demo.ui.run.glossary import texts_of
from sd3demo.ui.run.markdown import TEXTS

PLACE = TEXTS / "lessons"
FALLBACK = "en"

Text = Annotated[str, Field(min_length=1)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepText(_Checked):
    """The words of a step; `paper` is what the paper says of it, `measured` what was measured here."""

    title: Text
    text: Text
    question: Text
    choices: Annotated[Sequence[Text], Field(min_length=2, max_length=4)]
    run: Text
    reveal: Text
    paper: Text
    measured: str = ""
    bars: Mapping[str, Text] = {}


class LessonText(_Checked):
    """The words of a lesson, by the names of its steps."""

    title: Text
    about: Text
    steps: Mapping[str, StepText]


class DockText(_Checked):
    """The words round the lessons."""

    lessons: Text
    intro: Text
    resume: Text
    back: Text
    next: Text
    all: Text
    close: Text
    fold: Text
    present: Text
    leave: Text
    keys: Text
    predict: Text
    running: Text
    skip: Text
    right: Text
    wrong: Text
    measured: Text
    live: Text
    missing: Text
    paper: Text


def languages() -> list[str]:
    """The languages that there are lessons in."""
    return sorted(folder.name for folder in PLACE.iterdir() if folder.is_dir())


def language_for(asked: str) -> str:
    """The language of the lessons for a browser's, such as de-CH; English where there is none."""
    first = asked.lower().partition("-")[0]
    return first if first in languages() else FALLBACK


@cache
def lesson_texts(language: str = FALLBACK) -> Mapping[str, LessonText]:
    """The words of all lessons by name. Raises ValueError for a file that does not fit."""
    return {
        lesson.name: LessonText.model_validate(
            texts_of((PLACE / language / f"{lesson.name}.yaml").read_text(encoding="utf-8"))
        )
        for lesson in SIX
    }


@cache
def dock_text(language: str = FALLBACK) -> DockText:
    """The words round the lessons. Raises ValueError for a file that does not fit."""
    file = PLACE / language / "interface.yaml"
    return DockText.model_validate(texts_of(file.read_text(encoding="utf-8")))
