"""What a lesson is, as data: steps that each set the page by a link, and what is pressed, shown and measured.

The words stand elsewhere, one file a lesson and a language: see `lesson_texts`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sd3demo.studies.study import Scalar

PICTURE = "#/generate?prompt=a+red+circle+above+a+blue+square&seed=7"
"""The page that several lessons begin with."""

Relation: TypeAlias = tuple[str, Literal["<", ">", "="], str | float]
"""A figure, and another one or a number, that a text says something of: a test checks it."""


@dataclass(frozen=True)
class StudyFigure:
    """A figure of a recorded study: this column of the one row that has these values."""

    study: str
    column: str
    where: Mapping[str, Scalar]
    form: str = "{:.0%}"


@dataclass(frozen=True)
class ComputedFigure:
    """A figure that is computed when the lesson is shown."""

    compute: Callable[[], float]
    form: str = "{:.2f}"


Figure: TypeAlias = StudyFigure | ComputedFigure


def mean_score(study: str, column: str = "score", **where: Scalar) -> StudyFigure:
    """The mean over the categories of a recorded score."""
    return StudyFigure(study, column, {"category": "mean", **where})


@dataclass(frozen=True)
class LessonStep:
    """One question: the page that it is asked of, and what answers it.

    `look` is the id of the element that shows the answer, and `answer` the place of the right choice. A step
    that runs something names the button, and the status that says how the run ended; `ahead` is pressed
    before it where nothing was run yet. `quote` is an element whose figures the answer repeats.
    """

    name: str
    link: str
    look: str
    answer: int
    source: str
    press: str = ""
    status: str = ""
    ahead: str = ""
    quote: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    bars: tuple[str, ...] = ()
    """Figures that are drawn as bars, in this order."""
    holds: tuple[Relation, ...] = ()


@dataclass(frozen=True)
class GuidedLesson:
    """A lesson of about five minutes; its name is that of its file of texts and of its link."""

    name: str
    steps: tuple[LessonStep, ...]
