"""What several studies measure: a picture of an exam's prompt, marked by the judge, and the way it came.

The pictures are those that `generate` makes for the same settings, one at a time: on a CPU eight at once take
as long as eight in turn, less a tenth. Studies that ask for the same picture share its measurement.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, Field, create_model

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.events import Finished, Pixels
from sd3demo.engine.plan.device import Device, budget
from sd3demo.engine.plan.resolve import resolve
from sd3demo.errors import Failure
from sd3demo.settings import (
    Request,
    Resolved,
    Scale,
    Settings,
    Shift,
    Solver,
    Steps,
    T5Mode,
    non_default_values,
    parse,
)
from sd3demo.studies.study import Cell, Json, Measurement, Raw, Scalar
from sd3demo.world.exam import CATEGORIES, Exam, Item, exams

if TYPE_CHECKING:
    from sd3demo.engine import Engine
    from sd3demo.flow.solvers import Step


GENEVAL = ("single", "two", "counting", "colours", "position", "attribution")
"""The categories whose mean is the overall score, as GenEval takes it."""
SHORTHANDS: Mapping[str, tuple[str, ...]] = {"all": tuple(CATEGORIES), "geneval": GENEVAL}

MORE = "Prompts a category; a larger n extends what was kept."
KINDS = "all, geneval (its six), or some by name with commas between."


def categories_of(text: str) -> tuple[str, ...]:
    """The categories that a text names."""
    if text in SHORTHANDS:
        return SHORTHANDS[text]
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def _known_categories(text: str) -> str:
    for name in categories_of(text):
        if name not in CATEGORIES:
            known = ", ".join((*CATEGORIES, *SHORTHANDS))
            raise ValueError(f"unknown category {name!r}; choose one or several of {known}")
    return text


Categories = Annotated[str, AfterValidator(_known_categories)]


def request_field(name: str) -> Any:  # as pydantic's own Field is typed
    """A setting of a request as the setting of a study."""
    return copy(Request.model_fields[name])


class ExamSettings(Settings):
    """Which prompts, of which model, from which noise."""

    model: str = request_field("model")
    n: int = Field(10, ge=1, le=10_000, description=MORE)
    categories: Categories = Field("geneval", description=KINDS)
    exam_seed: int = Field(
        0, ge=0, le=2**32 - 1, description="Draws the prompts; 0 is the one to compare by."
    )
    seed: int = Field(
        0, ge=0, le=2**32 - 1, description="Draws the noise; prompt k of a category has seed + k."
    )
    device: Device = Field("auto", description="What computes.")


class SamplingSettings(ExamSettings):
    """How the pictures are made, beside which."""

    steps: Steps | None = request_field("steps")
    cfg: Scale | None = request_field("cfg")
    shift: Shift | Literal["auto"] | None = request_field("shift")
    solver: Solver = request_field("solver")
    t5: T5Mode = request_field("t5")


GIVEN_BY_THE_EXAM = frozenset({"prompt", "prompt_2", "prompt_3", "count"})
"""The settings of a request that an exam's own prompt and picture leave no choice of."""

S = TypeVar("S", bound=ExamSettings)


def with_all_picture_settings(study: type[S]) -> type[S]:
    """Decorate a study's settings: add each of a request's that it lacks and that the exam leaves open."""
    known = GIVEN_BY_THE_EXAM | study.model_fields.keys()
    fields: dict[str, Any] = {
        name: (field.annotation, request_field(name))
        for name, field in Request.model_fields.items()
        if name not in known
    }
    return create_model(
        study.__name__, __base__=study, __doc__=study.__doc__, __module__=study.__module__, **fields
    )


@cache
def local_budget(device: Device) -> Budget:
    """What this machine offers, asked once: what a study itself puts on the device must not change it."""
    return budget(device)


def resolved(settings: Settings, device: Device, changed: Mapping[str, object]) -> Resolved:
    """The request that a study's settings make, with some of them changed."""
    fields = type(settings).model_fields
    values = {name: getattr(settings, name) for name in Request.model_fields if name in fields}
    request = parse(Request, {**values, "prompt": "-", **changed})
    return resolve(request, find(request.model), local_budget(device))


def indexed_exams(settings: ExamSettings) -> Iterator[tuple[int, Exam]]:
    """The exams of a study with their index in their category, category by category at each index."""
    drawn = {name: exams(name, settings.n, settings.exam_seed) for name in categories_of(settings.categories)}
    for index in range(settings.n):
        for found in drawn.values():
            yield index, found[index]


def cells_of(
    settings: ExamSettings, arms: Sequence[Mapping[str, Scalar]], *, at: Callable[..., Mapping]
) -> list[Cell]:
    """A cell for each exam and arm; `at` gives the request's changes from an arm's values.

    All arms of a prompt come together, so that a study that is stopped compares like with like; only models
    come one after another, since each has to be read.
    """
    bases = [resolved(settings, settings.device, at(**arm)) for arm in arms]
    groups = {model: [k for k, base in enumerate(bases) if base.model == model] for model in _models(bases)}
    return [
        exam_cell(exam, bases[k], settings.seed + index, settings.device, arms[k])
        for members in groups.values()
        for index, exam in indexed_exams(settings)
        for k in members
    ]


def single_model(settings: ExamSettings) -> tuple[str, ...]:
    """The one model of a study that asks no others."""
    return (settings.model,)


def _models(bases: Iterable[Resolved]) -> dict[str, None]:
    return dict.fromkeys(base.model for base in bases)


def exam_cell(exam: Exam, base: Resolved, seed: int, device: Device, arm: Mapping[str, Scalar]) -> Cell:
    """The picture of an exam under the settings of a request."""
    request = base.model_copy(update={"prompt": exam.prompt, "seed": seed % 2**32})
    given: dict[str, Json] = {
        "exam": asdict(exam),
        "request": non_default_values(request),
        "device": local_budget(device).device,
    }
    return Cell(PICTURE, base.model, given, {"category": exam.category, **arm})


def plan_of(given: Mapping[str, Json]) -> Plan:
    """The plan of what a cell was given."""
    request = parse(Request, cast("Mapping[str, object]", given["request"]))
    return plan(request, find(request.model), local_budget(cast(Device, given["device"])))


def exam_of(given: Mapping[str, Json]) -> Exam:
    """The exam of what a cell was given."""
    values = dict(cast("Mapping[str, Any]", given["exam"]))
    return Exam(**values | {"items": tuple(Item(**item) for item in values["items"])})


def run_to_end(
    engine: Engine,
    request_plan: Plan,
    watch: Callable[[Step], None] | None = None,
    own: Pixels | None = None,
) -> Finished:
    """The end of a run. Raises Failure where it has none, and Refusal for a model that is not here.

    `own` is the picture that the plan has in place of its native stage.
    """
    for event in engine.run(request_plan, recorders=[watch] if watch else [], own=own):
        if isinstance(event, Finished):
            return event
    raise Failure("the run stopped before it was finished")


def _picture(cell: Cell, engine: Engine) -> Raw:
    from sd3demo.world.exam import mark
    from sd3demo.world.judge import read

    finished = run_to_end(engine, plan_of(cell.given))
    (pixels,) = finished.pictures
    result = mark(exam_of(cell.given), read(pixels.transpose(2, 0, 1) / 255))
    return {
        "passed": result.passed,
        "parts": result.parts,
        "length": finished.path_length[0],
        "chord": finished.chord[0],
        "calls": finished.calls,
        "picture": png_base64(pixels),
    }


PICTURE = Measurement("picture", 1, _picture)
"""passed and parts as the judge marks them, length and chord of the path, calls of the network, the PNG."""

LARGEST = 128  # pixels: of a picture that is kept with its marks


def png_base64(pixels: Pixels) -> str:
    """A picture, made smaller where it is large, as a PNG in base64."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
