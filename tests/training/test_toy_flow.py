"""The flow in the plane against closed forms, and the promise of reflow."""

import math

import numpy as np
import pytest
import torch

from sd3demo.errors import Failure, Refusal
from sd3demo.flow.densities import DENSITIES, LogitNormal, Uniform
from sd3demo.flow.grids import time_grid
from sd3demo.flow.path.lengths import path_length
from sd3demo.flow.solvers import SOLVERS
from sd3demo.training.toy_data import NORMAL, POINTS, WIDTH, drawn
from sd3demo.training.toy_flow import (
    STRATA,
    Flow,
    Lesson,
    independent,
    losses_by_t,
    measured,
    reflowed,
    share_off,
    train,
    velocity_loss,
    walk,
)

NOISE = torch.randn((400, 2), generator=torch.Generator().manual_seed(3))


def taught(data: str, steps: int = 600) -> tuple[Flow, list[Lesson]]:
    flow = Flow()
    return flow, list(train(flow, independent(POINTS[data]), LogitNormal(), steps=steps))


@pytest.fixture(scope="module")
def normal() -> tuple[Flow, list[Lesson]]:
    return taught("normal")


@pytest.mark.parametrize("name", POINTS)
def test_data_are_about_as_wide_as_the_noise(name: str) -> None:
    points = POINTS[name](4000, torch.Generator().manual_seed(0))
    assert points.shape == (4000, 2)
    assert 0.3 < float(points.std(0).mean()) < 1.6
    assert float(points.mean(0).norm()) < 1.2
    assert torch.equal(points, POINTS[name](4000, torch.Generator().manual_seed(0)))


def test_a_checkerboard_has_points_in_its_dark_fields_alone() -> None:
    points = POINTS["checkerboard"](4000, torch.Generator().manual_seed(0))
    fields = ((points + WIDTH) / (WIDTH / 2)).floor().long()
    assert set(fields.flatten().tolist()) == {0, 1, 2, 3}
    assert bool(((fields[:, 0] + fields[:, 1]) % 2 == 0).all())


def test_points_of_a_drawing_lie_where_the_ink_is() -> None:
    ink = np.zeros((8, 8))
    ink[0, 7] = 1.0  # above, on the right
    points = drawn(ink)(200, torch.Generator().manual_seed(0))
    assert bool((points > WIDTH * 0.75 - 1e-6).all())
    assert bool((points < WIDTH + 1e-6).all())


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(Refusal, match="the sheet is empty"):
        drawn(np.zeros((4, 4)))


def test_training_brings_the_loss_down_to_what_no_flow_can_go_below(
    normal: tuple[Flow, list[Lesson]],
) -> None:
    """The exact velocity has the least loss: the variance of eps - x0 given z, here in closed form."""
    _, lessons = normal
    variance = NORMAL.std**2
    for k, found in enumerate(lessons[-1].by_t[:-1], 1):  # a logit-normal never trains t = 1 itself
        t = k / STRATA
        least = float((variance / ((1 - t) ** 2 * variance + t**2)).sum())
        assert found == pytest.approx(least, rel=0.03)
    assert lessons[-1].by_t[3] < lessons[0].by_t[3]


def test_the_learnt_flow_leads_where_the_exact_one_does(normal: tuple[Flow, list[Lesson]]) -> None:
    flow, _ = normal
    exact = NORMAL.transport(NOISE, 1.0, 0.0)
    ends = walk(flow, NOISE, 50)[-1].x_next
    assert float((ends - exact).norm(dim=1).mean()) < 0.12


def test_its_paths_are_as_long_as_the_exact_ones_and_longer_than_the_optimum(
    normal: tuple[Flow, list[Lesson]],
) -> None:
    flow, _ = normal
    exact = path_length(SOLVERS["euler"](NORMAL.velocity, NOISE, time_grid(50))).length.mean()
    shortest = (NORMAL.transport(NOISE, 1.0, 0.0) - NOISE).norm(dim=1).mean()
    length = measured(flow, NOISE).length.mean()
    assert float(length) == pytest.approx(float(exact), rel=0.05)
    assert float(length) > float(shortest)


@pytest.mark.slow
@pytest.mark.parametrize("data", ["normal", "rings"])
def test_one_round_of_reflow_straightens_the_paths_and_keeps_their_ends(data: str) -> None:
    before, _ = taught(data, steps=400)
    after = Flow()
    after.load_state_dict(before.state_dict())
    list(train(after, reflowed(before), LogitNormal(), steps=400))
    bent, straight = measured(before, NOISE), measured(after, NOISE)
    assert float(straight.straightness.mean()) > max(0.95, float(bent.straightness.mean()) + 0.04)
    assert float(straight.length.mean()) < float(bent.length.mean())
    ends = walk(before, NOISE, 50)[-1].x_next
    off = [float((walk(flow, NOISE, 1)[-1].x_next - ends).norm(dim=1).mean()) for flow in (before, after)]
    assert off[1] < 0.6 * off[0]  # one step goes nearer to where fifty went


@pytest.mark.parametrize("name", DENSITIES)
def test_any_density_trains(name: str) -> None:
    lessons = list(train(Flow(), independent(POINTS["moons"]), DENSITIES[name], steps=60))
    assert [lesson.step for lesson in lessons] == [50, 60]
    assert all(len(lesson.by_t) == STRATA for lesson in lessons)


def test_the_same_seeds_train_the_same_flow() -> None:
    first, again = (list(train(Flow(), independent(POINTS["moons"]), Uniform(), steps=50)) for _ in range(2))
    assert first[-1].by_t == again[-1].by_t


def test_closing_it_stops_the_training() -> None:
    flow = Flow()
    lessons = train(flow, independent(POINTS["moons"]), Uniform(), steps=5000)
    next(lessons)
    kept = [weight.clone() for weight in flow.parameters()]
    lessons.close()
    assert all(torch.equal(a, b) for a, b in zip(kept, flow.parameters(), strict=True))


def test_a_loss_that_is_not_finite_is_one_sentence() -> None:
    def broken(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((count, 2), math.inf), torch.zeros(count, 2)

    with pytest.raises(Failure, match="the loss is"):
        list(train(Flow(), broken, Uniform(), steps=1))


def test_the_loss_is_that_of_the_velocity() -> None:
    x0, eps = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, -1.0]])

    class Still(Flow):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x)

    assert float(velocity_loss(Still(), x0, eps, torch.tensor([0.3]))) == pytest.approx(0.25 + 9.0)
    assert losses_by_t(Still(), x0, eps) == pytest.approx([9.25] * STRATA)


def test_points_of_the_data_lie_on_them_and_those_between_the_moons_do_not() -> None:
    moons = POINTS["moons"]
    own = moons(4000, torch.Generator().manual_seed(9))
    assert share_off(own, moons) == pytest.approx(0.01, abs=0.006)
    assert share_off(torch.zeros(10, 2) + torch.tensor([3.0, 3.0]), moons) == 1.0
    half = torch.cat([own[:100], own[:100] + 5.0])
    assert share_off(half, moons) == pytest.approx(0.5, abs=0.03)
