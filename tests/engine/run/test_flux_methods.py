"""Every way to a larger picture runs on FLUX.1, from one native stage; and a grid over its guidance."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Engine, Plan, plan
from sd3demo.engine.events import Finished
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.settings import Request
from sd3demo.settings.extrapolation import Extrapolation, method_arms, with_preset
from sd3demo.studies.grid.grid_plan import Grid, GridAxis, GridPicture, plan_grid
from sd3demo.studies.grid.grid_plan import run as run_grid
from tests.engine.runs import HERE, run

ALL = tuple(name for name in METHODS if name != "super-resolution")


@pytest.mark.parametrize("kind", ["flux-dev", "flux-schnell"])
def test_every_method_makes_a_picture_of_its_own(checkpoint: Callable[..., Path], kind: str) -> None:
    folder = checkpoint(kind)
    spec = find(str(folder))
    values = {"prompt": "a red circle", "model": str(folder), "steps": 4, "start": 0.7}
    sides = {"width": 128, "height": 128, "scale": 2}
    request = with_preset(Extrapolation.model_validate(values | sides), "paper-flux", spec.family)
    arms = method_arms(request, ALL)
    *_, finished = Engine().run(plan(arms["projected"], spec, HERE, arms=arms))
    assert isinstance(finished, Finished)
    assert finished.arms.keys() == {"native", *ALL}
    pictures = [finished.arms[name].pictures[0] for name in ALL]
    assert {picture.shape for picture in pictures} == {(128, 128, 3)}
    for place, one in enumerate(pictures):
        assert all(not np.array_equal(one, other) for other in pictures[:place])


def test_a_grid_over_guidance_makes_each_picture_as_a_run_of_its_own(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("flux-dev")
    spec = find(str(folder))
    base = {"prompt": "a red circle", "model": str(folder), "steps": 2, "width": 64, "height": 64}
    grid = Grid(GridAxis("guidance", ("1", "3.5")), GridAxis("cfg", ("1", "2")))

    def planned(values: Mapping[str, object]) -> Plan:
        return plan(Request.model_validate(values), spec, HERE)

    cells = plan_grid(grid, base, planned)
    found = [event for event in run_grid(cells, Engine().run_batch) if isinstance(event, GridPicture)]
    assert len(found) == 4
    for picture in found:
        alone = run(picture.plan.request, spec).finished
        apart = np.abs(picture.finished.pictures[0].astype(int) - alone.pictures[0])
        assert apart.max() <= 1
