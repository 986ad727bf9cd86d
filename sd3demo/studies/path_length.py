"""Path length, SD3 paper, table 6: how long the way from noise to picture is, and how straight.

L = sum || v dt || over the steps, guided and unnormalised; the chord is || z_1 - z_0 ||; sqrt(2 D), for ends
of D numbers of unit variance, bounds the mean length of a perfect flow without guidance from above. Measured
over prompts, each with a seed of its own, against one setting at a time.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Literal

from pydantic import Field

from sd3demo.catalogue import depths
from sd3demo.errors import Refusal
from sd3demo.flow.grids import Convention
from sd3demo.settings import Steps, Text
from sd3demo.studies.exam_pictures import MORE, SamplingSettings, cells_of, plan_of, request_field
from sd3demo.studies.statistics import error, grouped, mean, number, numbers
from sd3demo.studies.study import Cell, Column, Measured, Row, Scalar, Study, Table
from sd3demo.studies.value_lists import numbers_of, words_of

USUAL = {"steps": "5, 10, 20, 50", "shift": "1, 2, 3, 6", "cfg": "1, 2, 4, 8", "t5": "on, zeros"}
COLUMNS = (
    Column("length", "", "sum of || v dt ||, the guided velocity's, in the latent's units"),
    Column("length error", "", "its standard error over the pictures"),
    Column("chord", "", "|| noise - latent of the picture ||"),
    Column("chord error"),
    Column("straightness", "", "chord / length; 1 is straight"),
    Column("straightness error"),
    Column(
        "bound", "", "sqrt(2 D), above the mean length of a perfect flow of unit variance without guidance"
    ),
    Column("calls", "", "evaluations of the network for a picture"),
    Column("n", "", "pictures"),
)


class PathLengthStudy(SamplingSettings):
    """What is varied, over which pictures."""

    along: Literal["steps", "shift", "cfg", "t5", "model"] = Field(
        "steps", description="The setting that is varied; the others stay."
    )
    values: Text = Field(
        "", description="Its values, with commas between; some usual ones, or all depths, when empty."
    )
    n: int = Field(2, ge=1, le=10_000, description=MORE)
    steps: Steps | None = Field(
        50, description="Steps of the solver from noise to picture, the paper's 50; not read along steps."
    )
    schedule: Convention | None = request_field("schedule")


def values_of(settings: PathLengthStudy) -> tuple[Scalar, ...]:
    """The values of the setting that is varied, as a request takes them."""
    text = settings.values or USUAL.get(settings.along, "")
    if settings.along == "model":
        return words_of(text) if text else depths_beside(settings.model)
    try:
        return words_of(text) if settings.along == "t5" else numbers_of(text)
    except ValueError as error:
        raise Refusal(
            f"values is {text!r}; give numbers with commas between, such as {USUAL[settings.along]}"
        ) from error


def depths_beside(model: str) -> tuple[str, ...]:
    """The embedded model's depths that are here, the shallowest first; the model alone when it has none."""
    family = depths()
    return family if model in family else (model,)


def models(settings: PathLengthStudy) -> Sequence[str]:
    return [str(value) for value in values_of(settings)] if settings.along == "model" else [settings.model]


def cells(settings: PathLengthStudy) -> list[Cell]:
    arms: list[dict[str, Scalar]] = [{settings.along: value} for value in values_of(settings)]
    return cells_of(settings, arms, at=dict)


def table(settings: PathLengthStudy, measured: Sequence[Measured]) -> Table:
    groups = grouped(measured, lambda arm: arm[settings.along])
    return Table(
        "path-length",
        (Column(settings.along), *COLUMNS),
        tuple(_row(settings, value, found) for value, found in groups.items()),
        f"Path length (SD3, table 6) of {settings.model} against {settings.along}: means over pictures with "
        "standard errors. The paper's models work at another resolution, so its lengths are no comparison.",
    )


def _row(settings: PathLengthStudy, value: Scalar, found: list[Measured]) -> Row:
    lengths, chords = numbers(found, "length"), numbers(found, "chord")
    straight = [min(c / l, 1.0) if l else 1.0 for l, c in zip(lengths, chords, strict=True)]  # noqa: E741
    again = settings.model_dump(mode="json") | {"values": str(value)}
    means: list[Scalar] = []
    for values in (lengths, chords, straight):
        means += [mean(values), error(values)]
    return Row(
        (value, *means, bound_of(found[0].cell.given), int(number(found[0], "calls")), len(found)),
        again,
    )


def bound_of(given: Mapping) -> float:
    """sqrt(2 D) for the latent of a cell."""
    from sd3demo.flow.path.lengths import mean_length_bound

    plan = plan_of(given)
    request = plan.request
    return mean_length_bound(prod(plan.spec.latent.shape(request.width, request.height)))


STUDY = Study(PathLengthStudy, models, cells, table, charts=("path-length", "straightness"))
