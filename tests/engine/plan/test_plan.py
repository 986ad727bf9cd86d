"""A plan counts exactly what a run will do, for every solver, and refuses what the model cannot hold."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sd3demo.catalogue import CATALOGUE, MMDiTShape, ModelSpec
from sd3demo.catalogue.sd3 import sd3_encoders
from sd3demo.engine import Budget, plan
from sd3demo.engine.plan.memory import GIB, HEADROOM, PHASES, Demand, choose, memory_by_phase
from sd3demo.errors import Refusal
from sd3demo.flow.grids import CONVENTIONS, shift, time_grid
from sd3demo.flow.solvers import SOLVERS
from sd3demo.settings import Request
from tests.engine.runs import EXACT, exactly, run

MEDIUM = CATALOGUE["sd3-medium"]
GPU = Budget("cuda", 24 * GIB, 1e14)


def medium(**settings: object) -> Request:
    return Request.model_validate({"prompt": "a circle", "model": "sd3-medium", **settings})


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("interval", [(0.0, 1.0), (0.3, 0.8), (0.99, 1.0)])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_the_calls_that_are_planned_are_the_calls_that_are_made(
    solver: str, interval: tuple[float, float], cfg: float
) -> None:
    request = exactly(solver=solver, cfg=cfg, cfg_from=interval[0], cfg_to=interval[1], steps=6)
    ran = run(request, EXACT)
    assert ran.finished.calls == ran.plan.calls


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_sigmas_are_the_conventions_with_the_models_shift(convention: str) -> None:
    made = plan(medium(schedule=convention, steps=12), MEDIUM, GPU)
    np.testing.assert_allclose(made.sigmas, time_grid(12, 3.0, convention))  # type: ignore[arg-type]


def test_an_automatic_shift_follows_the_pixels_from_the_models_own() -> None:
    made = plan(medium(shift="auto", width=2048, height=1024), MEDIUM, GPU)
    assert made.request.shift == pytest.approx(3 * math.sqrt(2))
    native = plan(medium(schedule="uniform", steps=10), MEDIUM, GPU)
    wide = plan(medium(schedule="uniform", steps=10, shift="auto", width=2048, height=1024), MEDIUM, GPU)
    np.testing.assert_allclose(wide.sigmas, shift(np.array(native.sigmas), math.sqrt(2)), atol=1e-12)


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_is_left_open_takes_the_models_own_values(name: str) -> None:
    spec = CATALOGUE[name]
    request = plan(Request(prompt="a", model=name), spec, Budget()).request
    defaults = spec.defaults
    assert (request.width, request.height) == (spec.native, spec.native)
    assert (request.steps, request.cfg, request.shift) == (
        defaults.steps,
        defaults.cfg,
        spec.shift.default(spec.native**2, spec.native**2),
    )
    assert (request.schedule, request.max_sequence_length) == (defaults.schedule, spec.encoders[-1].tokens)


def test_the_arithmetic_is_float32_on_a_cpu_and_bfloat16_on_a_gpu() -> None:
    assert plan(medium(), MEDIUM, Budget()).request.precision == "float32"
    assert plan(medium(), MEDIUM, GPU).request.precision == "bfloat16"


@pytest.mark.parametrize("side", ["width", "height"])
@pytest.mark.parametrize(
    ("value", "better"), [(1000, "992"), (24, "32"), (8, "16"), (3088, "3072"), (8192, "3072")]
)
def test_a_size_that_the_model_cannot_hold_is_answered_with_one_that_it_can(
    side: str, value: int, better: str
) -> None:
    with pytest.raises(Refusal, match=f"{side} is {value}; .* divide by 16, up to 3072 px: try {better}"):
        plan(medium(**{side: value}), MEDIUM, GPU)


def test_more_t5_tokens_than_the_model_reads_are_refused() -> None:
    with pytest.raises(Refusal, match=r"max_sequence_length is 300; it must lie in \[1, 77\]"):
        plan(medium(max_sequence_length=300), replace(MEDIUM, encoders=sd3_encoders(longest=77)), GPU)


@pytest.mark.parametrize(
    ("modes", "calls"),
    [({}, 6), ({"t5": "zeros"}, 4), ({"t5": "omit"}, 4), ({"t5": "empty"}, 6), ({"clip_l": "zeros"}, 4)],
)
def test_an_encoder_that_is_left_out_costs_no_call(modes: dict[str, object], calls: int) -> None:
    assert plan(medium(**modes), MEDIUM, GPU).encoder_calls == calls
    assert plan(medium(cfg=1, **modes), MEDIUM, GPU).encoder_calls == calls // 2


def test_the_operations_of_a_network_call_are_those_that_torch_counts() -> None:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from tests.checkpoints import KINDS, pipeline

    kind = KINDS["sd3.5-medium"]
    network = pipeline(kind).transformer
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:  # the fused kernel is not counted
        network(torch.randn(1, 16, 16, 16), torch.randn(1, 18, 48), torch.randn(1, 24), torch.tensor([500.0]))
    counted = counter.get_total_flops()
    shape = CATALOGUE["sd3-medium"].network
    assert isinstance(shape, MMDiTShape)
    mine = replace(shape, depth=3, hidden=32, heads=4, joint_dim=48, pooled_dim=24, dual=2)
    assert mine.flops(64, 18) == pytest.approx(counted, rel=0.03)


@pytest.mark.parametrize(("gib", "expected"), [(80, "resident"), (20, "by-model"), (6, "streamed")])
def test_the_fastest_placement_that_fits_is_chosen(gib: int, expected: str) -> None:
    spec = CATALOGUE["sd3.5-large"]
    made = plan(Request(prompt="a", model=spec.name), spec, Budget("cuda", gib * GIB, 1e14))
    assert made.placement == expected
    assert made.fits


def test_a_plan_says_when_even_streaming_does_not_fit() -> None:
    spec = CATALOGUE["sd3.5-large"]
    made = plan(Request(prompt="a", model=spec.name), spec, Budget("cuda", GIB // 2, 1e14))
    assert made.placement == "streamed"
    assert not made.fits


@pytest.mark.parametrize("asked", ["resident", "by-model", "streamed"])
def test_a_placement_that_is_asked_for_is_kept(asked: str) -> None:
    assert plan(medium(placement=asked), MEDIUM, Budget("cuda", GIB, 1e14)).placement == asked


def test_weights_are_counted_once_whatever_the_phase() -> None:
    demands = {phase: Demand(weights=100, activations=10 * n) for n, phase in enumerate(PHASES, start=1)}
    assert memory_by_phase(demands, "resident")["flow"] == int(HEADROOM * (300 + 20))
    assert memory_by_phase(demands, "by-model")["flow"] == int(HEADROOM * (100 + 20))
    streamed, alone = memory_by_phase(demands, "streamed"), memory_by_phase(demands, "by-model")
    assert all(streamed[phase] < alone[phase] for phase in demands)
    assert choose(demands, Budget("cuda", 1, 1.0), "auto") == "streamed"


@pytest.mark.parametrize("memory", [0, -1])
def test_a_device_without_memory_is_refused(memory: int) -> None:
    with pytest.raises(Refusal, match="GiB"):
        Budget("cuda", memory)


def test_more_work_is_predicted_to_take_longer() -> None:
    def seconds(spec: ModelSpec = MEDIUM, **settings: object) -> float:
        return plan(medium(**settings), spec, GPU).seconds

    base = seconds(steps=10)
    assert seconds(steps=20) > base
    assert seconds(steps=10, cfg=1) < base
    assert seconds(steps=10, count=4) > 3 * base
    assert seconds(steps=10, width=2048, height=2048) > 4 * base
