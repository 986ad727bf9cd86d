"""What the studies of extrapolation measure: a prompt's larger pictures from one native picture and noise.

Every arm of a prompt is made in one run, which encodes the text and has the native picture once. That picture
is drawn: a scene of the caption, rendered at the native size. The world is exact at every size, so a larger
picture of it is compared with **the same scene** drawn at the larger size, by patches (`paired patches` and
`paired wins`): what a perfect method would make is known, up to detail that the native pixels do not hold.
Beside that, all are compared with real renders of other scenes of the caption (`patches`, `wins`), by which
the true scene itself is no sure winner. Two rows that no method made say what can be reached: the true scene,
and the same through the model's autoencoder and back.

A native picture that the model makes from the caption has no true larger one: the paired columns are empty.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, cast

from pydantic import Field

from sd3demo.catalogue import find
from sd3demo.engine import Plan, plan
from sd3demo.engine.input_image import InputImage, own_of
from sd3demo.engine.plan.device import Device
from sd3demo.engine.plan.stages import FlowStage
from sd3demo.errors import Refusal
from sd3demo.settings import Request, Scale, Steps, counted, non_default_values, parse
from sd3demo.settings.extrapolation import PLAIN, Extrapolation, RecordedPresetName, preset_of
from sd3demo.studies.exam_pictures import (
    MORE,
    ExamSettings,
    exam_of,
    indexed_exams,
    local_budget,
    request_field,
    run_to_end,
)
from sd3demo.studies.study import Cell, Json, Measured, Measurement, Raw
from sd3demo.studies.value_lists import between, numbers_of

if TYPE_CHECKING:
    from sd3demo.engine import Engine
    from sd3demo.engine.events import Finished, Pixels
    from sd3demo.studies.imax.measures import Picture
    from sd3demo.world.exam import Exam
    from sd3demo.world.scenes import Scene

RENDERS, AUTOENCODER, UPSAMPLE = "renders", "autoencoder", "upsample"
REFERENCES = (RENDERS, AUTOENCODER)
"""Arms that no method made: real renders, and the same through the autoencoder, which no method can pass."""
REAL = 4  # renders of each caption that pictures are compared with

Arms: TypeAlias = Mapping[str, Mapping[str, object]]
"""By name, what an arm changes in the settings."""


class ImaxSettings(ExamSettings):
    """Which prompts are made how large."""

    n: int = Field(2, ge=1, le=10_000, description=MORE)
    scales: Annotated[str, between(1, 16)] = Field(
        "2, 4", description="How many times larger than the native picture, with commas between."
    )
    native: Literal["drawn", "made"] = Field(
        "drawn",
        description="What is enlarged: a render of the caption, whose larger render is known, or a picture "
        "that the model makes.",
    )
    preset: RecordedPresetName = Field(
        "tuned",
        description="Which settings of the projected flow are looked at; paper is the mixture of the I-Max "
        "paper's two configurations that older tables were recorded with.",
    )
    steps: Steps | None = request_field("steps")
    large_steps: Steps = Field(
        8, description="Steps of each larger stage from t = 1; at 4x a step costs as much as 17 native ones."
    )
    cfg: Scale | None = request_field("cfg")
    precision: Literal["auto", "float32", "bfloat16"] = request_field("precision")


def full(settings: ImaxSettings) -> dict[str, object]:
    """The preset's settings, the defaults among them."""
    said = ("method", "start", *PLAIN)
    defaults = {name: Extrapolation.model_fields[name].default for name in said}
    return defaults | dict(preset_of(settings.preset, find(settings.model).family))


def preset_title(settings: ImaxSettings) -> str:
    """The preset's name; of the former `paper` also what it is."""
    if settings.preset == "paper":
        return (
            "paper, which is neither of the paper's two configurations: base and shift as for Lumina, copies "
            "of the text as for Flux, attention times s"
        )
    return settings.preset


def true_note(settings: ImaxSettings) -> str:
    """What the pictures are compared with."""
    others = "other scenes of their captions, drawn at that size"
    if settings.native == "made":
        return f"Distances are to {others}."
    return (
        "What is enlarged is a true native picture: paired distances and wins are to the same scene, drawn "
        f"at the larger size, all others to {others}."
    )


def steps_note(measured: Sequence[Measured]) -> str:
    """How many steps the larger stage has, and at which t its last one starts, by scale."""
    first = {cast(float, one.cell.arm["scale"]): one.cell for one in reversed(measured)}
    last_steps: list[str] = []
    steps = 0
    for scale, cell in sorted(first.items()):
        planned = plan_of(cell)
        stages = (planned.stage(arm.stage) for arm in planned.arms[1:])
        stage = next(stage for stage in stages if isinstance(stage, FlowStage))
        steps = len(stage.sigmas) - 1
        last_steps.append(f"{stage.sigmas[-2]:.2f} ({scale:g}x)")
    starts = " and ".join(last_steps)
    return f"The larger stage has {counted(steps, 'step')}; the last one starts at t = {starts}."


def cells_of(settings: ImaxSettings, arms: Callable[[float], Arms]) -> list[Cell]:
    """A cell for each prompt and scale, all its arms within; arms may differ by scale.

    Raises Refusal for arms that cannot be, before anything is made.
    """
    scales = [(scale, arms(scale)) for scale in numbers_of(settings.scales)]
    for scale, chosen in scales:
        asked = {name: _asked(settings, scale, change) for name, change in chosen.items()}
        side = find(settings.model).native
        stands_for = InputImage("0" * 64, side, side) if settings.native == "drawn" else None
        _planned(asked, settings.device, stands_for)
    return [
        _cell(settings, exam, index, scale, chosen)
        for index, exam in indexed_exams(settings)
        for scale, chosen in scales
    ]


def _cell(settings: ImaxSettings, exam: Exam, index: int, scale: float, arms: Arms) -> Cell:
    common = {"prompt": exam.prompt, "seed": (settings.seed + index) % 2**32}
    requests: dict[str, Json] = {
        name: non_default_values(_asked(settings, scale, {**change, **common}))
        for name, change in arms.items()
    }
    given: dict[str, Json] = {
        "exam": asdict(exam),
        "arms": requests,
        "order": list(requests),  # the arms' own order is lost in a key
        "real": REAL,
        "native": settings.native,
        "device": local_budget(settings.device).device,
    }
    return Cell(LARGER, settings.model, given, {"category": exam.category, "scale": scale})


def _asked(settings: ImaxSettings, scale: float, changed: Mapping[str, object]) -> Extrapolation:
    fields = type(settings).model_fields
    held = {name: getattr(settings, name) for name in Extrapolation.model_fields if name in fields}
    return parse(Extrapolation, {"prompt": "-", **held, "scale": scale, **changed})


def _planned(arms: Mapping[str, Extrapolation], device: Device, own: InputImage | None) -> Plan:
    *_, last = arms.values()
    return plan(last, find(last.model), local_budget(device), arms=arms, own=own)


def plan_of(cell: Cell) -> Plan:
    """The plan of a cell: all of its arms."""
    requests = cast("Mapping[str, Mapping[str, object]]", cell.given["arms"])
    arms = {name: parse(Extrapolation, requests[name]) for name in cast("list[str]", cell.given["order"])}
    drawn = drawn_of(cell)
    return _planned(arms, cast("Device", cell.given["device"]), None if drawn is None else own_of(drawn))


def drawn_of(cell: Cell) -> Pixels | None:
    """The true render that stands for a cell's native picture; None where the model makes it."""
    if not is_paired(cell):
        return None
    requests = cast("Mapping[str, Mapping[str, object]]", cell.given["arms"])
    request = parse(Extrapolation, next(iter(requests.values())))
    scene, side = _scenes(exam_of(cell.given), request, 1), find(request.model).native
    return _bytes(scene, side)[0]


def is_paired(cell: Cell) -> bool:
    """Whether a cell's native picture has a true larger one."""
    return cell.given.get("native") == "drawn"


def _larger(cell: Cell, engine: Engine) -> Raw:
    plans, exam = plan_of(cell), exam_of(cell.given)
    finished = run_to_end(engine, plans, own=drawn_of(cell))
    native = finished.arms["native"].pictures[0] / 255
    real = list(_renders(exam, plans, REAL + 1))
    again = _through_autoencoder(real[0], plans, engine)
    flat = native if is_paired(cell) else real[0]
    measured: dict[str, Json] = {
        name: _measured(
            picture, exam, flat if name in REFERENCES else native, by_method=name not in REFERENCES
        )
        | {"operations": operations}
        for name, picture, operations in _pictures(finished, plans, real[0], again)
    }
    return {"arms": measured, "real": _features(real[1:])}


def _pictures(
    finished: Finished, plan: Plan, render: Picture, again: Picture
) -> Iterator[tuple[str, Picture, float | None]]:
    """Name, picture and operations beyond the native stage of each arm, the references first."""
    yield RENDERS, render, None
    yield AUTOENCODER, again, None
    for arm in plan.arms[1:]:
        yield arm.name, finished.arms[arm.name].pictures[0] / 255, plan.stage(arm.stage).flops


def _measured(picture: Picture, exam: Exam, native: Picture, *, by_method: bool) -> dict[str, Json]:
    from sd3demo.studies.imax.measures import drift, flat_noise
    from sd3demo.world.exam import mark
    from sd3demo.world.judge import read

    result = mark(exam, read(picture.transpose(2, 0, 1)))
    return {
        "passed": result.passed,
        "parts": mean(result.parts.values()),
        "drift": round(drift(picture, native), 4) if by_method else None,
        "noise": round(flat_noise(picture, native), 4),
        **_features([picture]),
    }


def _features(pictures: Sequence[Picture]) -> dict[str, Json]:
    """The features of a few pictures, averaged."""
    import numpy as np

    from sd3demo.studies.imax.measures import patches, spectrum

    return {
        "spectrum": np.mean([spectrum(picture) for picture in pictures], 0).round(3).tolist(),
        "patches": np.mean([patches(picture) for picture in pictures], 0).round(5).tolist(),
    }


def _renders(exam: Exam, plan: Plan, count: int) -> Iterator[Picture]:
    """Real pictures of a caption at the target size, in bytes as made pictures are.

    The first is of the scene that a drawn native picture shows.
    """
    request = plan.request
    if request.width != request.height:
        raise Refusal(f"the world is square; {request.width} x {request.height} has no true pictures in it")
    for picture in _bytes(_scenes(exam, request, count), request.width):
        yield picture / 255


def _scenes(exam: Exam, request: Request, count: int) -> list[Scene]:
    """Scenes of a caption, the same ones for the same caption and seed."""
    from sd3demo.world.exam import truth

    rng = random.Random(f"imax/{exam.prompt}/{request.seed}")
    return [truth(exam, rng) for _ in range(count)]


def _bytes(scenes: list[Scene], side: int) -> list[Pixels]:
    """Renders (side, side, 3) in bytes."""
    from sd3demo.world.render import render

    return [(picture.permute(1, 2, 0) * 255).round().byte().numpy() for picture in render(scenes, side)]


def _through_autoencoder(picture: Picture, plan: Plan, engine: Engine) -> Picture:
    import torch

    from sd3demo.engine.run.state import pixels

    with engine.hold(plan) as ready, torch.inference_mode():
        image = torch.from_numpy(picture).float().permute(2, 0, 1)[None].to(ready.device) * 2 - 1
        return pixels(ready.model.to_image(ready.model.to_latent(image))[0]) / 255


LARGER = Measurement("larger", 2, _larger)
"""Of each arm: passed and parts as the judge marks them, drift, noise where the native picture is flat, the
features of its detail, its operations; and the features of real renders."""
