"""Every way to a larger picture runs on both Lumina families, from one native stage."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Engine, plan
from sd3demo.engine.events import Finished
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.settings.extrapolation import Extrapolation, method_arms, with_preset
from tests.engine.runs import HERE

ALL = tuple(name for name in METHODS if name != "super-resolution")


@pytest.mark.parametrize("kind", ["lumina-next", "lumina2"])
def test_every_method_makes_a_picture_of_its_own(checkpoint: Callable[..., Path], kind: str) -> None:
    folder = checkpoint(kind)
    spec = find(str(folder))
    values = {"prompt": "a red circle", "model": str(folder), "steps": 4, "start": 0.7, "scale": 2}
    request = with_preset(Extrapolation.model_validate(values), "paper-lumina", spec.family)
    arms = method_arms(request, ALL)
    *_, finished = Engine().run(plan(arms["projected"], spec, HERE, arms=arms))
    assert isinstance(finished, Finished)
    assert finished.arms.keys() == {"native", *ALL}
    pictures = [finished.arms[name].pictures[0] for name in ALL]
    assert {picture.shape for picture in pictures} == {(128, 128, 3)}
    for place, one in enumerate(pictures):
        assert all(not np.array_equal(one, other) for other in pictures[:place])
