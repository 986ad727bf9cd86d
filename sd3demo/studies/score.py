"""The score of a model on the embedded world: prompts by category, each picture marked by the judge.

Categories are GenEval's six (SD3 Table 5) and typography; the pictures are those that `generate` makes
for the same settings. Beside each score stands its ceiling: true pictures of the same prompts, through
the model's own autoencoder and back, marked by the same judge.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import Field, create_model

from sd3demo.catalogue import ModelSpec, find
from sd3demo.engine import Engine, plan
from sd3demo.engine.events import Finished, Pixels
from sd3demo.engine.machine import Device, budget
from sd3demo.errors import Failure, Refusal
from sd3demo.models import load
from sd3demo.settings import Request, Resolved, Settings
from sd3demo.world.judge import read
from sd3demo.world.prompts import CATEGORIES, Exam, Mark, exams, mark, truth
from sd3demo.world.render import render

GENEVAL = ("single", "two", "counting", "colours", "position", "attribution")
"""The categories whose mean is the overall score, as GenEval takes it."""

_OWN = ("prompt", "count", "prompt_2", "prompt_3")  # what the exam itself decides

Sampling = create_model(  # type: ignore[call-overload]
    "Sampling",
    __base__=Settings,
    __doc__="How the pictures are made: every setting of a request but its text.",
    **{name: (info.annotation, info) for name, info in Request.model_fields.items() if name not in _OWN},
)


class ScoreSettings(Settings):
    """How many prompts, of what, marked where."""

    n: int = Field(100, ge=1, le=10_000, description="Prompts a category.")
    category: str = Field("all", description="One category alone, or all of them.")
    exam_seed: int = Field(
        0, ge=0, le=2**32 - 1, description="Draws the prompts; 0 is the one to compare by."
    )
    device: Device = Field("auto", description="What computes.")


@dataclass(frozen=True)
class Marked:
    """One picture was made and marked; `done` of `count`."""

    exam: Exam
    mark: Mark
    picture: Pixels
    done: int
    count: int


@dataclass(frozen=True)
class Rate:
    """A share of n with its standard error sqrt(p (1 - p) / n), and the ceiling of the autoencoder."""

    rate: float
    error: float
    ceiling: float
    n: int
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """Rates by category; `overall` is the mean of GenEval's six, when all were asked."""

    scores: Mapping[str, Rate]
    overall: float | None
    settings: Resolved


def score(settings: ScoreSettings, sampling: Settings, engine: Engine) -> Iterator[Marked | Scores]:
    """Make and mark n pictures a category, then give the scores.

    Raises Refusal for an unknown category or a model whose pictures the judge cannot read.
    """
    names = _categories(settings.category)
    values = sampling.model_dump()
    spec = find(str(values["model"]))
    device = budget(settings.device)
    marks: dict[str, list[Mark]] = {name: [] for name in names}
    resolved = None
    for name in names:
        for index, exam in enumerate(exams(name, settings.n, settings.exam_seed)):
            seed = (values["seed"] + index) % 2**32
            made = plan(Request(**values | {"prompt": exam.prompt, "seed": seed}), spec, device)
            resolved = resolved or made.request
            picture = _picture(engine, made)
            result = mark(exam, read(picture.transpose(2, 0, 1) / 255))
            marks[name].append(result)
            yield Marked(exam, result, picture, sum(map(len, marks.values())), settings.n * len(names))
    assert resolved is not None
    ceilings = _ceilings(spec, names, settings, resolved.width)
    scores = {name: _rate(marks[name], ceilings[name]) for name in names}
    whole = all(name in scores for name in GENEVAL)
    overall = sum(scores[name].rate for name in GENEVAL) / len(GENEVAL) if whole else None
    yield Scores(scores, overall, resolved)


def _categories(wanted: str) -> tuple[str, ...]:
    if wanted == "all":
        return tuple(CATEGORIES)
    if wanted not in CATEGORIES:
        raise Refusal(f"unknown category {wanted!r}; choose one of {', '.join(CATEGORIES)}, or all")
    return (wanted,)


def _picture(engine: Engine, made: object) -> Pixels:
    for event in engine.run(made):  # type: ignore[arg-type]
        if isinstance(event, Finished):
            return event.pictures[0]
    raise Failure("the run stopped before it was finished")


@torch.inference_mode()
def _ceilings(
    spec: ModelSpec, names: tuple[str, ...], settings: ScoreSettings, size: int
) -> dict[str, float]:
    """The share of true pictures that still pass after the autoencoder, by category."""
    model = load(spec, torch.float32)
    found = {}
    for name in names:
        rng = random.Random(f"truth/{name}/{settings.exam_seed}")
        asked = exams(name, settings.n, settings.exam_seed)
        passed = 0
        for start in range(0, len(asked), 16):
            group = asked[start : start + 16]
            pictures = render([truth(exam, rng) for exam in group], size)
            again = (model.to_image(model.to_latent(pictures * 2 - 1)) / 2 + 0.5).clamp(0, 1).numpy()
            passed += sum(
                mark(exam, read(np.asarray(p))).passed for exam, p in zip(group, again, strict=True)
            )
        found[name] = passed / len(asked)
    return found


def _rate(marks: list[Mark], ceiling: float) -> Rate:
    n = len(marks)
    rate = sum(m.passed for m in marks) / n
    names = sorted({name for m in marks for name in m.parts})
    parts = {
        name: round(float(np.mean([m.parts[name] for m in marks if name in m.parts])), 4) for name in names
    }
    return Rate(rate, (rate * (1 - rate) / n) ** 0.5, ceiling, n, parts)
