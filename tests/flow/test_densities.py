"""Densities: a pdf, a cdf and an inverse that belong together, at every parameter and in both precisions."""

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import integrate, stats

from sd3demo.flow.densities import DENSITIES, CosMap, Density, LogitNormal, Mode, Shifted, Uniform
from sd3demo.flow.grids import shift
from sd3demo.flow.paths import PATHS

STEEPEST = 2 / (math.pi - 2)

CASES = [
    *DENSITIES.values(),
    LogitNormal(1.0, 0.6),
    LogitNormal(-3.0, 2.5),
    Mode(-1.0),
    Mode(0.0),
    Mode(1.75),
    *(Shifted(density, 3.0) for density in DENSITIES.values()),
    Shifted(Mode(-0.5), 0.4),
    Shifted(Shifted(CosMap(), 2.0), 0.25),
]
densities = pytest.mark.parametrize("density", CASES, ids=repr)
precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def inner(count: int = 199, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.linspace(0, 1, count + 2, dtype=dtype)[1:-1]


@densities
def test_the_pdf_integrates_to_one(density: Density) -> None:
    def pdf(t: float) -> float:
        return float(density.pdf(torch.tensor(t, dtype=torch.float64)))

    # In halves and from 1e-9, for mode(-1) is infinite, though integrable, at both ends.
    halves = [(1e-9, 0.05), (0.05, 0.5), (0.5, 0.95), (0.95, 1 - 1e-9)]
    total = sum(integrate.quad(pdf, low, high, limit=200, epsabs=1e-7)[0] for low, high in halves)
    assert total == pytest.approx(1, abs=1e-4)


@densities
def test_the_cdf_rises_at_the_pdf(density: Density) -> None:
    t, h = (
        inner(200),
        1e-6,
    )  # an even number misses t = 1/2, where mode(1.75) peaks too sharply for a difference
    slope = (density.cdf(t + h) - density.cdf(t - h)) / (2 * h)
    torch.testing.assert_close(slope, density.pdf(t), rtol=1e-5, atol=1e-7)


@densities
@precisions
def test_the_inverse_undoes_the_cdf(density: Density, dtype: torch.dtype) -> None:
    t = inner(dtype=dtype)
    q = density.cdf(t)
    # What one rounding of q does to t where few samples fall and the inverse is steep.
    error = torch.finfo(dtype).eps * (8 + 4 / density.pdf(t).clamp(min=1e-30))
    assert q.dtype == dtype
    assert bool(((density.icdf(q) - t).abs() <= error).all())


@densities
@precisions
def test_the_cdf_undoes_the_inverse(density: Density, dtype: torch.dtype) -> None:
    q = inner(dtype=dtype)
    t = density.icdf(q)
    error = torch.finfo(dtype).eps * (8 + 4 * density.pdf(t).clamp(max=1e30))
    assert bool(((density.cdf(t) - q).abs() <= error).all())


@densities
@precisions
def test_the_ends_are_the_ends(density: Density, dtype: torch.dtype) -> None:
    ends = torch.tensor([0.0, 1.0], dtype=dtype)
    assert density.icdf(ends).tolist() == [0, 1]
    torch.testing.assert_close(density.cdf(ends), ends, rtol=0, atol=torch.finfo(dtype).eps)
    assert bool((density.pdf(ends) >= 0).all()), "a density is neither negative nor undefined"


@densities
@precisions
def test_times_next_to_the_ends_give_numbers(density: Density, dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    t = torch.tensor([eps**2, eps, 1e-3, 1 - 1e-3, 1 - eps], dtype=dtype)
    for values in (density.pdf(t), density.cdf(t), density.icdf(t)):
        assert bool(values.isfinite().all())
    assert bool((density.icdf(t).diff() >= 0).all())
    assert bool(((density.icdf(t) >= 0) & (density.icdf(t) <= 1)).all())


@densities
@pytest.mark.parametrize("shape", [(), (5,), (2, 0, 3), (4, 3, 2)])
def test_shapes_are_kept(density: Density, shape: tuple[int, ...]) -> None:
    t = torch.full(shape, 0.25)
    for function in (density.pdf, density.cdf, density.icdf):
        assert function(t).shape == shape
        assert function(t).dtype == torch.float32
    assert density.sample(shape).shape == shape


@densities
def test_a_sample_follows_the_cdf_and_its_generator(density: Density) -> None:
    sample, again = (density.sample((4000,), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(sample, again)
    assert sample.dtype == torch.float32
    assert stats.kstest(sample.numpy(), lambda t: density.cdf(torch.as_tensor(t)).numpy()).pvalue > 1e-3


@given(m=st.floats(-3, 3), s=st.floats(0.3, 3), alpha=st.floats(0.1, 10))
def test_a_shifted_logit_normal_is_one_with_its_mean_moved(m: float, s: float, alpha: float) -> None:
    shifted, moved = Shifted(LogitNormal(m, s), alpha), LogitNormal(m + math.log(alpha), s)
    t = inner(31)
    torch.testing.assert_close(shifted.pdf(t), moved.pdf(t), rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(shifted.cdf(t), moved.cdf(t), rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(shifted.icdf(t), moved.icdf(t), rtol=1e-8, atol=1e-12)


@given(m=st.floats(-5, 5), s=st.floats(0.1, 5))
def test_the_median_of_a_logit_normal_is_the_sigmoid_of_its_mean(m: float, s: float) -> None:
    median = LogitNormal(m, s).icdf(torch.tensor(0.5, dtype=torch.float64))
    assert float(median) == pytest.approx(1 / (1 + math.exp(-m)))


def test_a_logit_normal_is_that_of_equation_19() -> None:
    t, m, s = inner(), 0.5, 0.6
    paper = torch.exp(-((torch.logit(t) - m) ** 2) / (2 * s**2)) / (s * math.sqrt(2 * math.pi) * t * (1 - t))
    torch.testing.assert_close(LogitNormal(m, s).pdf(t), paper)


@precisions
def test_a_logit_normal_vanishes_at_both_ends(dtype: torch.dtype) -> None:
    t = torch.tensor([0, torch.finfo(dtype).tiny, 1], dtype=dtype)
    assert LogitNormal(0, 1).pdf(t).tolist() == [0, 0, 0]


@given(s=st.floats(-1, STEEPEST), u=st.floats(0, 1))
def test_mode_sampling_is_equation_20_with_time_reversed(s: float, u: float) -> None:
    paper = 1 - u - s * (math.cos(math.pi * u / 2) ** 2 - 1 + u)
    assert float(Mode(s).icdf(torch.tensor(1 - u, dtype=torch.float64))) == pytest.approx(paper, abs=1e-14)


@given(s=st.floats(-1, STEEPEST))
@example(s=1.13)  # without the clamp, its largest time is 1 + 1.2e-7
def test_rounding_never_takes_a_mode_sample_out_of_the_unit_interval(s: float) -> None:
    near = torch.linspace(0.999, 1, 1001, dtype=torch.float32)
    for q in (near, 1 - near):
        t = Mode(s).icdf(q)
        assert bool(((t >= 0) & (t <= 1)).all())


def test_mode_sampling_without_tails_is_uniform() -> None:
    t = inner()
    torch.testing.assert_close(Mode(0).pdf(t), Uniform().pdf(t))
    torch.testing.assert_close(Mode(0).cdf(t), t)


@given(s=st.floats(-0.999, STEEPEST))
def test_mode_sampling_stays_positive_at_both_ends(s: float) -> None:
    pdf = Mode(s).pdf(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert pdf.tolist() == pytest.approx([1 / (1 + s)] * 2, rel=1e-4)


@precisions
@pytest.mark.parametrize(("s", "t"), [(-1.0, 0.0), (-1.0, 1.0), (STEEPEST, 0.5)])
def test_the_poles_of_the_extreme_modes_are_high_and_not_negative(
    s: float, t: float, dtype: torch.dtype
) -> None:
    assert float(Mode(s).pdf(torch.tensor(t, dtype=dtype))) > 1e3


def test_cosmap_is_equation_22_and_symmetric() -> None:
    t = inner()
    torch.testing.assert_close(CosMap().pdf(t), 2 / (math.pi - 2 * math.pi * t + 2 * math.pi * t**2))
    torch.testing.assert_close(CosMap().pdf(t), CosMap().pdf(1 - t))
    torch.testing.assert_close(CosMap().icdf(t), 1 - 1 / (torch.tan(math.pi / 2 * t) + 1))


def test_cosmap_gives_the_straight_path_the_log_snr_of_the_cosine_path() -> None:
    u = inner()
    torch.testing.assert_close(PATHS["rectified"].log_snr(CosMap().icdf(u)), PATHS["cosine"].log_snr(u))


@densities
def test_a_shift_moves_every_quantile(density: Density) -> None:
    q = inner()
    torch.testing.assert_close(Shifted(density, 3).icdf(q), shift(density.icdf(q), 3))
    torch.testing.assert_close(Shifted(Shifted(density, 3), 1 / 3).pdf(q), density.pdf(q))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Mode(1.76), r"s is 1.76; mode sampling is monotonic for s in \[-1, 1.7519\] only"),
        (lambda: Mode(-1.01), "s is -1.01"),
        (lambda: Mode(math.nan), "s is nan"),
        (lambda: LogitNormal(0, 0), "s is 0; the logit-normal needs a positive deviation"),
        (lambda: LogitNormal(0, -1), "s is -1"),
        (lambda: LogitNormal(math.inf, 1), "m is inf; it must be finite"),
        (lambda: Shifted(Uniform(), 0), "alpha is 0; a shift must be positive"),
        (lambda: Shifted(Uniform(), math.nan), "alpha is nan"),
    ],
)
def test_a_density_that_is_none_says_why(make, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def test_the_extreme_modes_are_allowed() -> None:
    assert [Mode(-1).s, Mode(STEEPEST).s] == [-1, STEEPEST]
