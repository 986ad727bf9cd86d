"""Models with closed forms under names of the catalogue, so that studies ask for them as for any other."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from sd3demo import catalogue
from sd3demo.catalogue import ModelSpec
from sd3demo.catalogue.sd3 import sd3_encoders
from sd3demo.engine import Engine
from sd3demo.flow.exact import Gaussian
from sd3demo.flow.solvers import At
from sd3demo.models.exact import EXACT, Exact
from sd3demo.models.protocol import Conditioning, Dials, Rows
from sd3demo.settings import OPTIONS, SD3Options

POINT = 0.25
"""Every number of the one picture that the straight model knows."""


class Straight(Exact):
    """Data that are a single point: every path is straight."""

    def network(self, texts: Sequence[Conditioning], dials: Dials) -> Rows:
        def rows(x: Tensor, at: Sequence[At], numbers: Sequence[int], /, *, skip: bool = False) -> Tensor:
            data = Gaussian(torch.full(x.shape[1:], POINT), 0.0)
            return torch.cat([data.velocity(row, stands) for row, stands in zip(x.split(1), at, strict=True)])

        return rows


def exact(spec: ModelSpec, dtype: torch.dtype, components: frozenset[str]) -> Exact:
    """The loader of both."""
    return Straight(spec) if spec.name == "straight" else Exact(spec)


@pytest.fixture(autouse=True)
def exact_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """`exact`, colours in closed form, and `straight`; both take the options of SD3, which studies vary."""
    from dataclasses import replace

    encoders = sd3_encoders(clip=1, t5=1, longest=1)
    monkeypatch.setitem(OPTIONS, "studied", SD3Options)
    for name in ("exact", "straight"):
        monkeypatch.setitem(
            catalogue.CATALOGUE, name, replace(EXACT, name=name, family="studied", encoders=encoders)
        )


@pytest.fixture
def engine() -> Engine:
    return Engine(exact)
