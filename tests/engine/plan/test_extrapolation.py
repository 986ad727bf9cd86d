"""Plans of extrapolations: sizes, stages, what is counted, and what is refused before anything is loaded."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sd3demo.catalogue import CATALOGUE, ModelSpec
from sd3demo.engine import Budget, plan
from sd3demo.engine.plan.advice import refuse_unless_it_fits
from sd3demo.engine.plan.memory import GIB
from sd3demo.engine.plan.plan import Plan
from sd3demo.engine.plan.sizes import LARGEST, sizes_of
from sd3demo.engine.plan.stages import FlowStage, LiftStage
from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.flow.grids import shift, time_grid
from sd3demo.flow.solvers import SOLVERS, At
from sd3demo.settings import text_inputs
from sd3demo.settings.extrapolation import PLAIN, PRESETS, Extrapolation, method_arms, with_preset
from tests.engine.runs import EXACT, HERE

MEDIUM = CATALOGUE["sd3-medium"]
GPU = Budget("cuda", 140 * GIB, 1e14)
FLOWS = [name for name, method in METHODS.items() if method.flows]
WITHOUT_FILES = tuple(name for name in METHODS if name != "super-resolution")


def asked(**settings: object) -> Extrapolation:
    return Extrapolation.model_validate({"prompt": "a circle", "model": "sd3-medium", **settings})


def made(spec: ModelSpec = MEDIUM, budget: Budget = GPU, **settings: object) -> Plan:
    return plan(asked(**settings), spec, budget)


def test_a_native_stage_is_lifted_and_made_larger() -> None:
    found = made(scale=2)
    native, lift, large = found.stages
    assert [stage.kind for stage in found.stages] == ["flow", "lift", "flow"]
    assert (native.width, native.height) == (1024, 1024)
    assert (large.width, large.height) == (2048, 2048) == (found.request.width, found.request.height)
    assert lift.needs == (native.key,)
    assert large.needs == (lift.key,)
    assert [arm.name for arm in found.arms] == ["native", "projected"]
    assert found.calls == native.calls + large.calls == 2 * 28 * 2


def test_arms_share_the_native_stage_and_the_lift() -> None:
    request = asked(scale=2)
    found = plan(request, MEDIUM, GPU, arms=method_arms(request, WITHOUT_FILES))
    lifts = [stage.resampling for stage in found.stages if isinstance(stage, LiftStage)]
    assert lifts == ["bicubic", "lanczos"]  # sr-refine's own
    assert sum(stage.key == "native" for stage in found.stages) == 1
    assert [arm.name for arm in found.arms] == [
        "native",
        *(n for n in WITHOUT_FILES if n != "projected"),
        "projected",
    ]
    keys = [stage.key for stage in found.stages]
    assert len(set(keys)) == len(keys)
    for place, stage in enumerate(found.stages):
        assert set(stage.needs) <= set(keys[:place])


def test_lifts_that_differ_are_two() -> None:
    request = asked(scale=2)
    arms = {
        "mean": request,
        "sample": asked(scale=2, posterior="sample"),
        "lanczos": asked(scale=2, lift="lanczos"),
    }
    assert sum(stage.kind == "lift" for stage in plan(request, MEDIUM, GPU, arms=arms).stages) == 3


def test_arms_with_different_native_pictures_are_refused() -> None:
    request = asked(scale=2)
    with pytest.raises(Refusal, match="'other' has another native picture"):
        plan(request, MEDIUM, GPU, arms={"one": request, "other": asked(scale=2, seed=5)})


@pytest.mark.parametrize(
    ("cascade", "widths"),
    [
        ("straight", [4096]),
        ("doubling", [2048, 4096]),
        ("2,4", [2048, 4096]),
        ("1.5,3,4", [1536, 3072, 4096]),
    ],
)
def test_a_cascade_goes_through_its_sizes(cascade: str, widths: list[int]) -> None:
    found = made(scale=4, cascade=cascade)
    flows = [stage for stage in found.stages if stage.kind == "flow"]
    assert [stage.width for stage in flows] == [1024, *widths]
    assert [stage.scale for stage in flows[1:]] == pytest.approx(
        [b / a for a, b in zip([1024, *widths], widths, strict=False)]
    )
    assert [stage.level for stage in flows[1:]] == [round(math.log2(stage.scale)) for stage in flows[1:]]
    assert [stage.toolkit.native for stage in flows[1:]] == [(128, 128)] * len(widths)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"scale": 1.01}, r"scale is 1.01, .* sides must divide by 16: try 1.01562, which makes 1040"),
        ({"scale": 16}, f"sides go up to {LARGEST} px: try 8"),
        ({"width": 2050}, f"width is 2050; sides must divide by 16, up to {LARGEST} px: try 2048"),
        ({"width": 2048, "height": 1033}, "height is 1033; sides must divide by 16"),
        ({"width": 2048, "height": 2048, "scale": 3}, "try scale 2.97674, or leave scale out"),
        (
            {"scale": 4, "cascade": "2,3"},
            "cascade is 2,3, which ends at 3 times the native size and not at the t",
        ),
        ({"scale": 4, "cascade": "1.01,4"}, "a scale of the cascade is 1.01"),
        (
            {"scale": 4, "positions": "extend"},
            r"positions is extend, .* up to 3072 px .* 4096 is asked for: try int",
        ),
        ({"method": "skip-residual", "solver": "heun"}, "solver is heun; the method skip-residual"),
        ({"method": "upsample-guidance", "scale": 1.5}, "needs a whole scale; .* try a scale of 2, 3 or 4"),
        ({"method": "super-resolution"}, "upscaler is missing; give a super-resolution model's file"),
        ({"method": "super-resolution", "upscaler": "no.pth"}, "upscaler is no.pth, which is no file"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_would_work(
    settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(Refusal, match=sentence):
        made(**settings)


@pytest.mark.parametrize(
    "settings", [{"scale": 8}, {"width": 8192, "height": 4096}, {"scale": 4, "count": 4}]
)
def test_a_picture_that_does_not_fit_is_refused_with_a_scale_that_does(settings: dict[str, object]) -> None:
    tight = Budget("cuda", 24 * GIB, 1e14)
    found = made(budget=tight, placement="by-model", **settings)
    assert not found.fits
    with pytest.raises(Refusal, match=r"GiB are free: try one picture at a scale of ([\d.]+)") as caught:
        refuse_unless_it_fits(found)
    scale = float(caught.value.args[0].partition("at a scale of ")[2].partition(",")[0])
    native = found.stages[0]
    size = {name: round(scale * getattr(native, name)) for name in ("width", "height")}
    refuse_unless_it_fits(made(budget=tight, placement="by-model", **size))


def test_a_plain_plan_is_never_refused_for_its_memory() -> None:
    from sd3demo.settings import Request

    found = plan(Request(prompt="a", model="sd3-medium"), MEDIUM, Budget("cuda", GIB, 1e14))
    assert not found.fits
    refuse_unless_it_fits(found)


@pytest.mark.parametrize("method", FLOWS)
@pytest.mark.parametrize("scale", [2, 3])
def test_every_method_is_planned(method: str, scale: int) -> None:
    found = made(method=method, scale=scale, solver="euler")
    large = found.stages[-1]
    assert large.key == method
    assert large.sigmas[0] == (METHODS[method].start if "guide" in METHODS[method].needs else 1.0)
    assert large.sigmas[-1] == 0
    assert large.flops > 0
    assert found.seconds > plan(asked(method="upsample"), MEDIUM, GPU).seconds


def test_the_shift_of_the_larger_stage_is_equation_23() -> None:
    found = made(scale=2, schedule="uniform", steps=10)
    native, large = found.stages[0], found.stages[-1]
    assert large.sigmas == pytest.approx([float(shift(t, 2.0)) for t in native.sigmas])
    same = made(scale=2, schedule="uniform", steps=10, reshift=1)
    assert same.stages[-1].sigmas == pytest.approx(native.sigmas)


def test_a_release_shift_is_six_whatever_the_scale() -> None:
    for scale in (2, 4):
        request = with_preset(asked(scale=scale, schedule="uniform", steps=10), "release")
        sigmas = plan(request, MEDIUM, GPU).stages[-1].sigmas
        assert sigmas == pytest.approx([float(t) for t in time_grid(10, 6.0, "uniform")])


@pytest.mark.parametrize(("reshift", "factor"), [("auto", 1.0), ("1.5s", 1.5)])
def test_a_papers_shift_follows_the_scale(reshift: str, factor: float) -> None:
    """I-Max, section 2.3: s* = s for Lumina and 1.5 s for Flux."""
    for scale in (2, 3):
        sigmas = made(scale=scale, schedule="uniform", steps=10, shift=3.0, reshift=reshift).stages[-1].sigmas
        assert sigmas == pytest.approx([float(t) for t in time_grid(10, 3 * factor * scale, "uniform")])


@pytest.mark.parametrize("start", [1.0, 0.7, 0.05])
@pytest.mark.parametrize("tail", [0, 3])
def test_a_stage_begins_at_its_start_and_ends_with_its_tail(start: float, tail: int) -> None:
    sigmas = made(start=start, tail=tail, schedule="uniform", steps=10).stages[-1].sigmas
    assert sigmas[0] == start
    assert sigmas[-1] == 0
    assert all(a > b for a, b in itertools.pairwise(sigmas))
    without = made(start=start, schedule="uniform", steps=10).stages[-1].sigmas
    assert len(sigmas) == len(without) + tail
    for k in range(tail):
        assert sigmas[-2 - k] == pytest.approx(without[-2] / 2 ** (tail - k))


def test_without_a_guide_there_is_nothing_to_start_from_but_noise() -> None:
    assert made(method="direct", start=0.5).stages[-1].sigmas[0] == 1
    assert made(strength="off", start=0.5).stages[-1].sigmas[0] == 1
    assert made(method="sdedit", strength="off", start=0.5).stages[-1].sigmas[0] == 0.5


@pytest.mark.parametrize("solver", SOLVERS)
def test_upsample_guidance_asks_twice(solver: str) -> None:
    direct, twice = (made(method=name, solver=solver).stages[-1] for name in ("direct", "upsample-guidance"))
    assert twice.calls == 2 * direct.calls
    assert len(twice.native_visits) == len(direct.visits)
    assert direct.flops < twice.flops < 2 * direct.flops


def test_plain_settings_leave_the_network_as_it_is() -> None:
    found = made(scale=2, **PLAIN)
    assert found.stages[-1].toolkit.neutral
    assert not made(scale=2, **(PLAIN | {"attention": "log"})).stages[-1].toolkit.neutral


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_planned_at_twice_and_four_times_the_side(preset: str) -> None:
    for scale in (2, 4):
        found = plan(with_preset(asked(scale=scale), preset), MEDIUM, GPU)
        assert found.request.width == 1024 * scale


def test_a_proportion_that_whole_sides_cannot_keep_is_said() -> None:
    assert made(width=2048, height=1024).notes == ()
    (note,) = made(width=2048, height=1040).notes
    assert "not quite the proportions of 2048 x 1040" in note


SIDES = st.integers(1, LARGEST // 16).map(lambda k: 16 * k)


@given(SIDES, SIDES)
def test_every_size_has_a_native_one_near_the_models_own(width: int, height: int) -> None:
    request = asked(width=width, height=height, positions="interpolate")
    sizes = sizes_of(request, MEDIUM)
    assert sizes.target == (width, height)
    assert all(side % 16 == 0 and side >= 16 for side in sizes.native)
    assert all(small <= large for small, large in zip(sizes.native, sizes.target, strict=True))
    if sizes.exact:
        assert sizes.native[0] * height == sizes.native[1] * width
    if width * height >= 1024**2 and max(width / height, height / width) < 16:
        assert 1 / 1.7 < math.prod(sizes.native) / 1024**2 < 1.7


@given(st.sampled_from([1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 8.0]))
def test_a_scale_makes_both_sides_that_much_larger(scale: float) -> None:
    sizes = sizes_of(asked(scale=scale), MEDIUM)
    assert sizes.target == (1024 * scale, 1024 * scale)
    assert sizes.scale == pytest.approx(scale)
    assert sizes.exact


def test_a_resolved_request_makes_the_same_plan_again() -> None:
    request = asked(scale=4, cascade="doubling", text_copies="auto", attention="log", tail=2)
    first = plan(request, MEDIUM, GPU)
    again = plan(first.request, MEDIUM, GPU)
    assert again.request == first.request
    assert again.stages == first.stages


@pytest.mark.parametrize(("width", "height"), [(2048, 1040), (3088, 2064), (2048, 2048)])
def test_so_does_one_whose_proportions_are_not_kept_exactly(width: int, height: int) -> None:
    first = made(width=width, height=height)
    again = plan(first.request, MEDIUM, GPU)
    assert again.stages == first.stages
    assert again.notes == first.notes


def test_the_exact_model_takes_any_side() -> None:
    sizes = sizes_of(asked(width=17, height=34), replace(EXACT, native=16))
    assert sizes.native[0] * 2 == sizes.native[1]
    assert plan(asked(width=17, height=34), EXACT, HERE).request.width == 17


@pytest.mark.parametrize("name", ["sd3-medium", "flux-dev", "lumina-next", "lumina-image-2"])
@pytest.mark.parametrize(("scale", "further"), [(1, 0), (1.5, 2), (2, 2), (4, 6)])
def test_alignment_costs_its_further_bundlings_in_three_steps(name: str, scale: float, further: int) -> None:
    spec = CATALOGUE[name]
    asks = {"model": name, "scale": scale, "positions": "interpolate", "cfg": 1}
    direct, aligned = (made(spec, method=method, **asks).stages[-1] for method in ("direct", "spa"))
    assert isinstance(direct, FlowStage)
    assert isinstance(aligned, FlowStage)
    assert aligned.calls == direct.calls
    text = spec.text_length(text_inputs(direct.large, spec))
    more = 3 * further * spec.network.alignment_flops(spec.latent.tokens(aligned.width, aligned.height), text)
    assert aligned.flops == pytest.approx(direct.flops + more)
    regimes = [aligned.regime(At(0.5, index, 8)) for index in range(5)]
    assert regimes[0] == regimes[2] != regimes[3] == regimes[4]


def test_a_refinement_is_one_call_from_its_own_start_whatever_the_preset_says() -> None:
    request = with_preset(asked(scale=2, method="sr-refine"), "tuned")
    found = plan(request, MEDIUM, GPU)
    large = found.stages[-1]
    assert isinstance(large, FlowStage)
    assert large.sigmas == (0.12, 0.0)
    assert large.calls == 2  # both branches of guidance
    resolved = large.large
    assert (resolved.start, resolved.large_steps, resolved.tail, resolved.lift) == (0.12, 1, 0, "lanczos")
    assert made(scale=2, method="sr-refine", refine_start=0.2).sigmas == (0.2, 0.0)


def test_a_refinement_says_that_lanczos_stands_for_a_network() -> None:
    (note,) = made(scale=2, method="sr-refine").notes
    assert note.startswith("sr-refine enlarges by Lanczos here, since no super-resolution network ships")
    with pytest.raises(Refusal, match=r"upscaler is no\.pth, which is no file"):
        made(scale=2, method="sr-refine", upscaler="no.pth")


def test_a_refined_cascade_makes_one_call_of_each_size() -> None:
    found = made(scale=4, method="sr-refine", cascade="doubling")
    assert [stage.kind for stage in found.stages] == ["flow", "lift", "flow", "lift", "flow"]
    assert [stage.sigmas for stage in found.flow_stages[1:]] == [(0.12, 0.0)] * 2
