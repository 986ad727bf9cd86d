"""Velocity loss by t, SD3 paper, appendix B.3, and at larger sizes, I-Max paper, figure 9.

E || v(z_t, t) - (eps - x0) ||^2 for each of the eight levels t = 1/8, ..., 1, a mean over the numbers of the
latent, on scenes that were never trained on, under their captions and without guidance. The level t = 1 is
shown and left out of the mean. A larger size is the same scene rendered larger, with the same model.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, cast

from pydantic import Field

from sd3demo.catalogue import find
from sd3demo.engine.plan.device import Device
from sd3demo.settings import Settings, T5Mode, non_default_values
from sd3demo.studies.exam_pictures import local_budget, plan_of, request_field, resolved
from sd3demo.studies.statistics import error, in_arm, mean, ratio
from sd3demo.studies.study import Cell, Column, Json, Measured, Measurement, Raw, Row, Scalar, Study, Table
from sd3demo.studies.value_lists import between, numbers_of

if TYPE_CHECKING:
    from sd3demo.engine import Engine
    from sd3demo.world.scenes import Scene

LEVELS = tuple(k / 8 for k in range(1, 9))
AVERAGED = len(LEVELS) - 1
"""How many levels count in the mean: all but the last, t = 1."""


class VelocityLoss(Settings):
    """Which scenes, at which sizes, for which model."""

    scales: Annotated[str, between(1, 8)] = Field(
        "1, 2, 4", description="Sizes in native sides, from 1 on, with commas between."
    )
    model: str = request_field("model")
    n: int = Field(16, ge=1, le=10_000, description="Scenes; a larger n extends what was kept.")
    t5: T5Mode = request_field("t5")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Draws the scenes and the noise.")
    device: Device = Field("auto", description="What computes.")


def models(settings: VelocityLoss) -> Sequence[str]:
    return [settings.model]


def cells(settings: VelocityLoss) -> list[Cell]:
    return [
        cell
        for index in range(settings.n)
        for scale in numbers_of(settings.scales)
        for cell in [loss_cell(settings, index, scale, settings.model)]
    ]


def loss_cell(settings: VelocityLoss, index: int, scale: float, model: str) -> Cell:
    """The losses of one scene at one size."""
    seed = f"velocity-loss/{settings.seed}/{index}"
    spec = find(model)
    side = round(scale * spec.native)
    changed = {"model": model, "prompt": drawn(seed)[1], "width": side, "height": side}
    request = resolved(settings, settings.device, changed)
    read = {"model", "prompt", "width", "height", "t5", "max_sequence_length", "precision", "placement"}
    given: dict[str, Json] = {
        "scene": seed,
        "noise": (settings.seed + 1_000_003 * (index + 1)) % 2**32,
        "request": non_default_values(request, read),
        "device": local_budget(settings.device).device,
    }
    return Cell(LOSSES, model, given, {"scale": scale, "index": index})


def table(settings: VelocityLoss, measured: Sequence[Measured]) -> Table:
    native = find(settings.model).native
    rows: list[Row] = []
    for scale in numbers_of(settings.scales):
        found = in_arm(measured, scale=scale)
        below = {one.cell.arm["index"]: one for one in in_arm(measured, scale=1)}
        pairs = [(one, below[one.cell.arm["index"]]) for one in found if one.cell.arm["index"] in below]
        again = settings.model_dump(mode="json")
        again["scales"] = f"{scale:g}" if scale == 1 or not below else f"1, {scale:g}"
        for level in (*range(len(LEVELS)), None):
            if found:
                losses = [loss(one.raw, level) for one in found]
                ratios: tuple[Scalar, Scalar] = (None, None)
                if pairs:
                    ratios = ratio(
                        [loss(a.raw, level) for a, _ in pairs], [loss(b.raw, level) for _, b in pairs]
                    )
                t: Scalar = "mean" if level is None else LEVELS[level]
                values = (scale, round(scale * native), t, mean(losses), error(losses), *ratios, len(losses))
                rows.append(Row(values, again))
    return Table(
        "velocity-loss",
        (
            Column("scale", "", "side of the scene in native sides"),
            Column("side", "px"),
            Column("t", "", "level; mean is that of the levels below 1"),
            Column("loss", "", "E || v - (eps - x0) ||^2, a mean over the latent's numbers"),
            Column("loss error", "", "its standard error over the scenes"),
            Column("ratio", "", "to the loss at the native size, of the same scenes"),
            Column("ratio error", "", "its standard error to first order"),
            Column("n", "", "scenes"),
        ),
        tuple(rows),
        f"Velocity loss of {settings.model} by t on held-out scenes (SD3, B.3; I-Max, figure 9); standard "
        "errors over scenes. Larger sizes keep the position table's own spacing (extend), as the network is "
        "without any toolkit; I-Max, section 3.5, does not say which positions its curves have.",
    )


def loss(raw: Raw, level: int | None) -> float:
    """The loss at a level; None for the mean of those that count."""
    losses = cast("Sequence[float]", raw["losses"])
    return mean(losses[:AVERAGED]) if level is None else losses[level]


def drawn(seed: str) -> tuple[Scene, str]:
    """A scene as training draws them, and one of its captions."""
    from sd3demo.world.captions import caption
    from sd3demo.world.scenes import draw

    rng = random.Random(seed)
    scene = draw(rng)
    return scene, caption(rng, scene)


def _losses(cell: Cell, engine: Engine) -> Raw:
    import torch

    from sd3demo.flow.solvers import At
    from sd3demo.models.protocol import Dials
    from sd3demo.settings import text_inputs
    from sd3demo.world.render import render

    given: Mapping[str, Json] = cell.given
    plan = plan_of({**given, "request": {"cfg": 1.0, **cast("Mapping[str, Json]", given["request"])}})
    scene, _ = drawn(cast(str, given["scene"]))
    noise = torch.Generator().manual_seed(cast(int, given["noise"]))
    found: list[float] = []
    with engine.hold(plan) as ready, torch.inference_mode():
        model = ready.model
        text = model.encode(text_inputs(plan.request, plan.spec))
        velocity = model.network([text], Dials(LEVELS))
        picture = render([scene], plan.request.width).to(ready.device) * 2 - 1
        x0 = model.to_latent(picture).float()
        for index, t in enumerate(LEVELS):
            eps = torch.randn(x0.shape, generator=noise).to(x0)
            v = velocity((1 - t) * x0 + t * eps, [At(t, index, len(LEVELS))], [0])
            found.append(float((v.float() - (eps - x0)).double().square().mean()))
    return {"losses": found}


LOSSES = Measurement("velocity-loss", 1, _losses)
"""losses: a number for each of LEVELS."""

STUDY = Study(VelocityLoss, models, cells, table, charts=("velocity-loss", "velocity-ratio"))
