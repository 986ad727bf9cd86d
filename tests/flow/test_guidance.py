"""Guidance: the formula, and that no branch is asked for in vain."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.grids import time_grid
from sd3demo.flow.guidance import Branch, Guidance, guided
from sd3demo.flow.solvers import SOLVERS, At

V = {
    "conditional": torch.tensor([[1.0, 2.0]], dtype=torch.float64),
    "unconditional": torch.tensor([[-1.0, 0.5]], dtype=torch.float64),
    "skipped": torch.tensor([[3.0, 3.0]], dtype=torch.float64),
}
X = torch.zeros((1, 2), dtype=torch.float64)


class Asked:
    """A model of constant velocities that remembers which branches it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[Branch, ...]] = []

    def __call__(self, x: Tensor, at: At, wanted: tuple[Branch, ...], /) -> tuple[Tensor, ...]:
        self.calls.append(wanted)
        return tuple(V[branch] for branch in wanted)


def at(t: float) -> At:
    return At(t, 0, 1)


def test_at_scale_one_the_conditional_branch_alone_is_asked_for_and_returned_untouched() -> None:
    model = Asked()
    assert guided(model, Guidance(1.0))(X, at(0.5)) is V["conditional"]
    assert model.calls == [("conditional",)]


@given(scale=st.floats(-2, 20).filter(lambda w: w != 1))
def test_guidance_is_classifier_free(scale: float) -> None:
    v = guided(Asked(), Guidance(scale))(X, at(0.5))
    expected = V["unconditional"] + scale * (V["conditional"] - V["unconditional"])
    torch.testing.assert_close(v, expected, rtol=0, atol=0)


def test_scale_zero_is_the_unconditional_branch() -> None:
    torch.testing.assert_close(guided(Asked(), Guidance(0.0))(X, at(0.5)), V["unconditional"])


@pytest.mark.parametrize(
    ("t", "guides"), [(0.19, False), (0.2, True), (0.5, True), (0.8, True), (0.81, False)]
)
def test_outside_of_the_interval_the_conditional_branch_is_alone(t: float, guides: bool) -> None:
    model = Asked()
    v = guided(model, Guidance(5.0, interval=(0.2, 0.8)))(X, at(t))
    assert model.calls == [("conditional", "unconditional") if guides else ("conditional",)]
    assert torch.equal(v, V["conditional"]) is not guides


def test_skipped_layers_push_away_from_their_own_velocity() -> None:
    model = Asked()
    v = guided(model, Guidance(5.0, skip_scale=2.0, skip_interval=(0.8, 1.0)))
    plain = V["unconditional"] + 5 * (V["conditional"] - V["unconditional"])
    torch.testing.assert_close(v(X, at(0.9)), plain + 2 * (V["conditional"] - V["skipped"]))
    torch.testing.assert_close(v(X, at(0.7)), plain)
    assert model.calls == [("conditional", "unconditional", "skipped"), ("conditional", "unconditional")]


def test_layers_can_be_skipped_without_an_unconditional_branch() -> None:
    model = Asked()
    v = guided(model, Guidance(1.0, skip_scale=2.0))(X, at(0.9))
    torch.testing.assert_close(v, 3 * V["conditional"] - 2 * V["skipped"])
    assert model.calls == [("conditional", "skipped")]


@pytest.mark.parametrize("name", SOLVERS)
def test_a_plan_counts_the_branches_that_a_run_will_ask_for(name: str) -> None:
    guidance = Guidance(4.0, interval=(0.3, 0.9), skip_scale=1.0, skip_interval=(0.7, 1.0))
    solver, grid, model = SOLVERS[name], time_grid(9, 3), Asked()
    for _ in solver(guided(model, guidance), X, grid, regime=guidance.wanted):
        pass
    assert model.calls == [guidance.wanted(at) for at in solver.visits(grid)]


def test_a_multistep_solver_restarts_where_guidance_begins_and_ends() -> None:
    mixture = Mixture((0.5, 0.5), (Gaussian(X[0] + 1, 0.3), Gaussian(X[0] - 1, 0.3)))
    label = Gaussian(X[0] + 1, 0.3)

    def model(x: Tensor, at: At, wanted: tuple[Branch, ...], /) -> tuple[Tensor, ...]:
        fields = {"conditional": label, "unconditional": mixture}
        return tuple(fields[branch].velocity(x, at) for branch in wanted)

    guidance = Guidance(3.0, interval=(0.35, 0.65))
    x = torch.tensor([[0.4, -1.3]], dtype=torch.float64)
    steps = SOLVERS["ab2"](guided(model, guidance), x, time_grid(10), regime=guidance.wanted)
    euler = [
        torch.allclose(step.x_next, step.x + (step.t_next - step.at.t) * step.v, rtol=0, atol=1e-15)
        for step in steps
    ]
    # The start, the first step inside (t = 0.6), the first after (t = 0.3), and the last, onto 0.
    assert [index for index, restarted in enumerate(euler) if restarted] == [0, 4, 7, 9]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: Guidance(5, interval=(0.8, 0.2)),
            r"interval is \(0.8, 0.2\); it must be \(low, high\) in t",
        ),
        (lambda: Guidance(5, interval=(-0.1, 1)), r"^interval is \(-0.1, 1\)"),
        (lambda: Guidance(5, skip_interval=(0, 1.1)), r"^skip_interval is \(0, 1.1\)"),
        (lambda: Guidance(5, skip_scale=-1), "skip_scale is -1; it must be 0 for none or more"),
        (lambda: Guidance(float("nan")), "scale is nan"),
    ],
)
def test_guidance_that_cannot_be_says_why(make, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def test_a_model_that_answers_for_another_number_of_branches_is_caught() -> None:
    with pytest.raises(ValueError, match="shorter"):
        guided(lambda x, at, wanted: (x,), Guidance(5.0))(X, at(0.5))


def test_channels_beyond_the_guided_ones_are_the_conditional_branchs() -> None:
    x, u = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    found = Guidance(4.0, channels=3)((x, u), At(0.5, 0, 1))
    torch.testing.assert_close(found[:, :3], (u + 4 * (x - u))[:, :3])
    assert torch.equal(found[:, 3:], x[:, 3:])


def test_a_renormed_velocity_has_the_conditional_norm_by_row_or_shrinks_to_it_as_a_whole() -> None:
    x, u = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3, 5)
    rows = Guidance(4.0, renorm="rows")((x, u), At(0.5, 0, 1))
    torch.testing.assert_close(rows.norm(dim=-1), x.norm(dim=-1))
    whole = Guidance(4.0, renorm="whole")((x, u), At(0.5, 0, 1))
    torch.testing.assert_close(whole.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1))
    shrinking = Guidance(0.5, renorm="whole")((x, x / 4), At(0.5, 0, 1))
    torch.testing.assert_close(shrinking, Guidance(0.5)((x, x / 4), At(0.5, 0, 1)))  # never made longer
