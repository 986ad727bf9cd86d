"""The formulations of table 1: conversions there and back, the loss weights as printed, exact samples."""

import pytest
import torch
from torch import Tensor

from sd3demo.errors import Failure
from sd3demo.flow.densities import Uniform
from sd3demo.flow.paths import Ends
from sd3demo.flow.weights import LOSS_WEIGHTS
from sd3demo.studies.race import ENTRANTS
from sd3demo.training.formulations import FORMULATIONS, Formulation, sample_formulation, train_formulation
from sd3demo.training.toy_data import POINTS
from sd3demo.training.toy_flow import Flow
from tests.paper_tables import PAPER_TABLES

every = pytest.mark.parametrize("name", FORMULATIONS)
TIMES = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
SPREAD = 0.6


def drawn(count: int, seed: int = 0) -> Ends:
    both = torch.randn((2, count, 2), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Ends(*both)


def test_the_names_are_those_of_table_1_and_all_of_them_race() -> None:
    printed = {row[0] for row in PAPER_TABLES["sd3_table1_global_rank"]["rows"]}
    assert printed - set(FORMULATIONS) == {"edm/rf", "edm/cos"}
    assert set(FORMULATIONS) - printed == {"eps/cos"}
    assert set(ENTRANTS["all"]) == set(FORMULATIONS)
    assert set(ENTRANTS["densities"]) == {name for name in FORMULATIONS if name.startswith("rf")}


@every
def test_the_ends_come_back_from_what_a_network_should_say(name: str) -> None:
    one, pair = FORMULATIONS[name], drawn(len(TIMES))
    z = one.noised(pair, TIMES)
    found = one.ends(z, TIMES, one.target(pair, TIMES))
    torch.testing.assert_close(found.x0, pair.x0)
    torch.testing.assert_close(found.eps, pair.eps)


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("rf", "rectified"),
        ("eps/cos", "cosine-eps"),
        ("v/cos", "cosine-v"),
        ("eps/linear", "ldm-linear-eps"),
        ("v/linear", "ldm-linear-v"),
    ],
)
def test_the_squared_error_of_the_output_has_the_weight_that_the_paper_prints(name: str, weight: str) -> None:
    """An error in eps at a z that stays the same: the loss is -1/2 w_t lambda'_t times its square."""
    one, pair = FORMULATIONS[name], drawn(len(TIMES))
    z, wrong = one.noised(pair, TIMES), torch.full((1, 2), 1e-3, dtype=torch.float64)
    a, b = (each.reshape(-1, 1) for each in (one.path.a(TIMES), one.path.b(TIMES)))
    other = Ends((z - b * (pair.eps + wrong)) / a, pair.eps + wrong)
    loss = (one.target(other, TIMES) - one.target(pair, TIMES)).square().sum(1) / wrong.square().sum()
    weighted = -0.5 * LOSS_WEIGHTS[weight](TIMES) * one.path.log_snr_slope(TIMES)
    ratio = loss / weighted
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-6, atol=0)


@every
@pytest.mark.parametrize("steps", [1, 5, 50])
def test_a_sampler_goes_from_noise_to_data_in_so_many_steps(name: str, steps: int) -> None:
    one = FORMULATIONS[name]
    times = one.times(steps)
    assert len(times) == steps + 1
    assert times[-1] == 0
    assert bool((times.diff() < 0).all())
    assert float(one.path.a(times[0]) / one.path.b(times[0])) < 0.1


@every
def test_a_perfect_network_samples_the_data(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of data N(0, SPREAD^2) the posterior means are known on any path."""

    def exact(self: Formulation, network: Flow, z: Tensor, t: Tensor) -> Tensor:
        a, b = self._amplitudes(t, z)
        share = z / (a**2 * SPREAD**2 + b**2)
        return self.target(Ends(a * SPREAD**2 * share, b * share), t)

    monkeypatch.setattr(Formulation, "ask", exact)
    noise = drawn(4000).eps
    errors = []
    for steps in (5, 400):
        samples = sample_formulation(FORMULATIONS[name], Flow(), noise, steps)
        errors.append(abs(float(samples.std() / (SPREAD * noise.std())) - 1))
    assert errors[1] < 0.02
    assert errors[1] < errors[0]


def test_a_seed_decides_all_and_the_density_nothing_but_the_times() -> None:
    one = FORMULATIONS["rf"]
    first, again = (train_formulation(one, POINTS["moons"], steps=3, seed=5) for _ in range(2))
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    other = train_formulation(FORMULATIONS["rf/cosmap"], POINTS["moons"], steps=3, seed=5)
    assert not torch.equal(next(iter(first.parameters())), next(iter(other.parameters())))


@every
def test_training_brings_the_samples_nearer_to_the_data(name: str) -> None:
    from sd3demo.flow.sliced_wasserstein import sliced_wasserstein

    one, data = FORMULATIONS[name], POINTS["clusters"]
    known = data(1000, torch.Generator().manual_seed(1))
    noise = torch.randn((1000, 2), generator=torch.Generator().manual_seed(2))
    distances = [
        sliced_wasserstein(
            sample_formulation(one, train_formulation(one, data, steps=steps, seed=0), noise, 25), known
        )
        for steps in (1, 60)
    ]
    assert distances[1] < distances[0]


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    broken = Formulation(FORMULATIONS["rf"].path, "velocity", Uniform())

    def points(count: int, generator: torch.Generator) -> Tensor:
        return torch.full((count, 2), float("inf"))

    with pytest.raises(Failure, match="the loss is nan after 1 steps"):
        train_formulation(broken, points, steps=2, seed=0)
