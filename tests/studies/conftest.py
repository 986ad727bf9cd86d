"""Models with closed forms under names of the catalogue, so that studies ask for them as for any other."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from sd3demo import catalogue
from sd3demo.catalogue import ModelSpec
from sd3demo.engine import Engine
from sd3demo.flow.exact import Gaussian
from sd3demo.flow.guidance import Branch, Branches
from sd3demo.flow.solvers import At
from sd3demo.models.exact import EXACT, Exact
from sd3demo.models.protocol import Conditioning, Dials

POINT = 0.25
"""Every number of the one picture that the straight model knows."""


class Straight(Exact):
    """Data that are a single point: every path is straight."""

    def branches(self, conditionings: Mapping[Branch, Conditioning], dials: Dials) -> Branches:
        def branches(x: Tensor, at: At, wanted: tuple[Branch, ...]) -> tuple[Tensor, ...]:
            v = Gaussian(torch.full(x.shape[1:], POINT), 0.0).velocity(x, at)
            return tuple(v for _ in wanted)

        return branches


def exact(spec: ModelSpec, dtype: torch.dtype) -> Exact:
    """The loader of both."""
    return Straight(spec) if spec.name == "straight" else Exact(spec)


@pytest.fixture(autouse=True)
def exact_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """`exact`, colours in closed form, and `straight`."""
    from dataclasses import replace

    for name in ("exact", "straight"):
        monkeypatch.setitem(catalogue.CATALOGUE, name, replace(EXACT, name=name))


@pytest.fixture
def engine() -> Engine:
    return Engine(exact)
