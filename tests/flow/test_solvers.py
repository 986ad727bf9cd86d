"""Solvers against fields with a known answer: how fast the error falls, where they look, what they keep."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sd3demo.flow.exact import Gaussian, Mixture
from sd3demo.flow.grids import time_grid
from sd3demo.flow.solvers import SOLVERS, At, Solver, Step, Velocity

ALMOST_DATA = 0.1  # where orders are measured: a step onto 0 would be Euler's whatever the method

solvers = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS.keys())


def last(solver: Solver, velocity: Velocity, x: Tensor, grid: np.ndarray) -> Step:
    *_, step = solver(velocity, x, grid)
    return step


def towards(goal: Tensor) -> Velocity:
    """The flow of a single point of data: straight."""
    return lambda x, at: (x - goal) / at.t


def recording(velocity: Velocity, visits: list[At]) -> Velocity:
    def recorded(x: Tensor, at: At) -> Tensor:
        visits.append(at)
        return velocity(x, at)

    return recorded


def even(steps: int) -> np.ndarray:
    return np.linspace(1, ALMOST_DATA, steps + 1)


def uneven(steps: int) -> np.ndarray:
    """Every other step three times as long: neighbours stay unequal however many there are."""
    lengths = np.resize([1.0, 3.0], steps)
    return 1 - (1 - ALMOST_DATA) * np.append(0, lengths.cumsum()) / lengths.sum()


@pytest.fixture(scope="module")
def arrival(mixture: Mixture, noise: Tensor) -> Tensor:
    """Where the mixture's flow is at ALMOST_DATA, to about 1e-12."""
    return last(SOLVERS["rk4"], mixture.velocity, noise, np.linspace(1, ALMOST_DATA, 2001)).x_next


@pytest.mark.parametrize("spacing", [even, uneven], ids=["even", "uneven"])
@solvers
def test_the_error_falls_at_the_order_that_the_method_claims(
    solver: Solver, spacing: Callable[[int], np.ndarray], mixture: Mixture, noise: Tensor, arrival: Tensor
) -> None:
    counts = np.array([48, 68, 96, 136, 192])
    errors = [
        float((last(solver, mixture.velocity, noise, spacing(n)).x_next - arrival).norm()) for n in counts
    ]
    order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert order == pytest.approx(solver.order, abs=0.15)


@solvers
def test_a_gaussian_flows_to_where_the_closed_form_says(solver: Solver, gaussian: Gaussian) -> None:
    x = torch.randn((16, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tolerance = {1: 2e-2, 2: 2e-4, 4: 1e-7}[solver.order]
    found = last(solver, gaussian.velocity, x, np.linspace(1, 0.2, 201)).x_next
    torch.testing.assert_close(found, gaussian.transport(x, 1, 0.2), atol=tolerance, rtol=0)


@pytest.mark.parametrize("steps", [1, 2, 7])
@solvers
def test_a_straight_flow_is_exact_in_any_number_of_steps(solver: Solver, steps: int, noise: Tensor) -> None:
    goal = torch.tensor([3.0, -1.0], dtype=torch.float64)
    found = last(solver, towards(goal), noise, time_grid(steps, 3)).x_next
    torch.testing.assert_close(found, goal.expand_as(found), atol=1e-12, rtol=0)


@solvers
def test_the_step_onto_zero_lands_on_the_prediction_of_the_data(
    solver: Solver, mixture: Mixture, noise: Tensor
) -> None:
    step = last(solver, mixture.velocity, noise, time_grid(6))
    assert step.t_next == 0
    assert step.calls == 1
    torch.testing.assert_close(step.x_next, step.denoised, atol=1e-14, rtol=0)
    torch.testing.assert_close(step.denoised, mixture.posterior(step.x, step.at.t).x0, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    "grid", [time_grid(5, 3), np.linspace(0.8, 0.1, 4)], ids=["onto 0", "stopping above 0"]
)
@solvers
def test_visits_foretell_every_evaluation(
    solver: Solver, grid: np.ndarray, mixture: Mixture, noise: Tensor
) -> None:
    visits: list[At] = []
    steps = list(solver(recording(mixture.velocity, visits), noise, grid))
    assert tuple(visits) == solver.visits(grid)
    assert sum(step.calls for step in steps) == len(visits)
    assert all(at.t > 0 for at in visits)
    for step in steps:
        mine = [at for at in visits if at.index == step.at.index]
        assert len(mine) == step.calls
        assert mine[0] == step.at
        assert all(step.at.t >= at.t >= step.t_next for at in mine)
        assert {at.count for at in mine} == {len(grid) - 1}


@given(grid=st.lists(st.floats(0, 1), min_size=2, max_size=5, unique=True))
def test_a_stage_at_the_end_of_a_step_stands_on_the_grid_to_the_last_bit(grid: list[float]) -> None:
    """What depends on time alone can then be computed once for each time of the grid."""
    grid = sorted(grid, reverse=True)
    for name in ("euler", "heun", "ab2"):
        assert {at.t for at in SOLVERS[name].visits(grid)} <= set(grid)


@pytest.mark.parametrize(
    ("name", "calls"), [("euler", 10), ("midpoint", 19), ("heun", 19), ("rk4", 37), ("ab2", 10)]
)
def test_ten_steps_cost_as_many_evaluations_as_known(name: str, calls: int) -> None:
    assert len(SOLVERS[name].visits(time_grid(10))) == calls


@solvers
def test_steps_join_up_and_report_the_field_where_they_start(
    solver: Solver, mixture: Mixture, noise: Tensor
) -> None:
    grid = time_grid(5, 3)
    x = noise
    for index, step in enumerate(solver(mixture.velocity, noise, grid)):
        assert step.at == At(grid[index], index, 5)
        assert step.t_next == grid[index + 1]
        assert step.x is x
        torch.testing.assert_close(step.v, mixture.velocity(x, step.at), rtol=0, atol=0)
        x = step.x_next


def test_euler_moves_along_the_velocity_alone(mixture: Mixture, noise: Tensor) -> None:
    for step in SOLVERS["euler"](mixture.velocity, noise, time_grid(4)):
        torch.testing.assert_close(step.x_next, step.x + (step.t_next - step.at.t) * step.v, rtol=0, atol=0)


@solvers
def test_a_solver_works_only_when_asked_for_the_next_step(solver: Solver, noise: Tensor) -> None:
    visits: list[At] = []
    steps = solver(recording(towards(torch.zeros(2, dtype=torch.float64)), visits), noise, time_grid(50))
    assert visits == []
    calls = next(steps).calls
    assert len(visits) == calls


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("field_dtype", [torch.bfloat16, torch.float32, torch.float64])
@solvers
def test_the_state_keeps_its_dtype_whatever_the_network_answers_in(
    solver: Solver, dtype: torch.dtype, field_dtype: torch.dtype
) -> None:
    x = torch.ones((2, 4, 3, 3), dtype=dtype)
    for step in solver(lambda x, at: torch.ones_like(x, dtype=field_dtype), x, time_grid(3)):
        assert step.x_next.dtype == step.v.dtype == step.denoised.dtype == dtype


def test_a_half_precision_field_is_widened_before_it_is_scaled() -> None:
    x, v = torch.zeros(1, dtype=torch.float64), torch.full((1,), 1 / 3, dtype=torch.bfloat16)
    step = next(SOLVERS["euler"](lambda x, at: v, x, [1.0, 0.9]))
    assert step.x_next.item() == pytest.approx(-0.1 * v.item(), rel=1e-12)


@solvers
def test_a_grid_may_be_a_list_an_array_or_a_tensor(solver: Solver, mixture: Mixture, noise: Tensor) -> None:
    grids = [[1.0, 0.5, 0.0], np.array([1.0, 0.5, 0.0]), torch.tensor([1.0, 0.5, 0.0])]
    ends = [last(solver, mixture.velocity, noise, grid).x_next for grid in grids]
    assert all(torch.equal(end, ends[0]) for end in ends)


@solvers
def test_a_new_regime_is_entered_as_if_the_run_began_there(
    solver: Solver, mixture: Mixture, noise: Tensor
) -> None:
    """Two halves under two fields, in one run with a regime or in two runs without: the same path."""
    grid = np.linspace(1, 0.2, 9)
    other = Gaussian(torch.tensor([0.0, 3.0], dtype=torch.float64), 0.4)

    def field(x: Tensor, at: At) -> Tensor:
        return (mixture if at.index < 4 else other).velocity(x, at)

    *_, whole = solver(field, noise, grid, regime=lambda at: at.index < 4)
    half = last(solver, mixture.velocity, noise, grid[:5])
    rest = last(solver, other.velocity, half.x_next, grid[4:])
    torch.testing.assert_close(whole.x_next, rest.x_next, rtol=0, atol=0)


def test_a_multistep_method_without_the_regime_carries_a_stale_slope(mixture: Mixture, noise: Tensor) -> None:
    grid = np.linspace(1, 0.2, 9)
    labels = [lambda at: 0, lambda at: at.index]
    never, always = ([*SOLVERS["ab2"](mixture.velocity, noise, grid, regime=label)] for label in labels)
    euler = [*SOLVERS["euler"](mixture.velocity, noise, grid)]
    assert torch.equal(always[-1].x_next, euler[-1].x_next)
    assert not torch.allclose(never[-1].x_next, euler[-1].x_next)


@pytest.mark.parity
def test_euler_is_the_scheduler_of_diffusers(mixture: Mixture, noise: Tensor) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3)
    scheduler.set_timesteps(28)
    x = theirs = noise.float()
    for t in scheduler.timesteps:
        v = mixture.velocity(theirs, At(float(t) / 1000, 0, 28))
        theirs = scheduler.step(v, t, theirs).prev_sample
    ours = last(SOLVERS["euler"], mixture.velocity, x, time_grid(28, 3, "diffusers")).x_next
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)  # float32, rounded in another order


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ([], "the grid holds 0 times; a step needs two"),
        ([1.0], "the grid holds 1 times"),
        ([0.0, 1.0], r"from 0 to 1; its times must lie in \[0, 1\] and strictly decrease, noise first"),
        ([1.0, 0.5, 0.5, 0.0], "strictly decrease"),
        ([1.5, 0.0], "from 1.5 to 0"),
        ([1.0, -0.1], "from 1 to -0.1"),
        ([1.0, float("nan"), 0.0], "strictly decrease"),
    ],
)
@solvers
def test_a_bad_grid_is_refused_at_the_call(solver: Solver, grid: list[float], sentence: str) -> None:
    for ask in (lambda: solver(towards(torch.zeros(1)), torch.ones(1, 1), grid), lambda: solver.visits(grid)):
        with pytest.raises(ValueError, match=sentence):
            ask()
