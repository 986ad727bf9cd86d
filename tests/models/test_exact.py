"""The closed-form model keeps the protocol."""

import pytest
import torch

from sd3demo.flow.solvers import At
from sd3demo.models import load
from sd3demo.models.branches import branches_of
from sd3demo.models.exact import COLOURS, EXACT
from sd3demo.models.protocol import Dials
from tests.models.inputs import inputs


@pytest.mark.parametrize("colour", COLOURS)
def test_a_text_names_one_of_the_pictures_and_the_empty_text_none(colour: str) -> None:
    model = load(EXACT, torch.float32)
    texts = [model.encode(inputs(EXACT, text)) for text in (f"a {colour} one", "")]
    branches = branches_of(model.network(texts, Dials()), {"conditional": 0, "unconditional": 1})
    x = torch.zeros(1, 3, 8, 8)
    near = At(0.999, 0, 1)
    named, any_of_them = branches(x, near, ("conditional", "unconditional"))
    mean = torch.tensor(COLOURS[colour])[None, :, None, None]
    torch.testing.assert_close(-named, mean.expand_as(named), atol=0.02, rtol=0)
    everything = torch.tensor(list(COLOURS.values())).mean(0)[None, :, None, None]
    torch.testing.assert_close(-any_of_them, everything.expand_as(named), atol=0.05, rtol=0)
