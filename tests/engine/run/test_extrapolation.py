"""Extrapolations carried out: on a model whose answer is known, and on a small random SD3."""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.catalogue import EncoderInput, ModelSpec, find
from sd3demo.engine import Engine, Plan, plan
from sd3demo.engine.events import ArmFinished, Event, Finished, Lifted, StageStarted, StepDone, Stopped
from sd3demo.engine.plan.stages import LiftStage
from sd3demo.engine.run.noise import initial_noise, noise_hash, posterior_noise
from sd3demo.errors import Failure, Refusal
from sd3demo.flow.extrapolation.lowpass import LOW_PASSES, haar, low_pass_named
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.flow.extrapolation.projection import STRENGTHS, Correction, project
from sd3demo.flow.extrapolation.resampling import enlarged
from sd3demo.flow.solvers import SOLVERS, At, Step
from sd3demo.models.branches import branches_of
from sd3demo.models.exact import Exact
from sd3demo.models.protocol import Conditioning, Dials, Rows
from sd3demo.settings.extrapolation import COMPARED, Extrapolation, method_arms, native_of
from tests.engine.runs import EXACT, HERE, exactly, run

ALL = tuple(name for name in METHODS if name != "super-resolution")


def larger(**settings: object) -> Extrapolation:
    """16 to 32 pixels, a few steps long."""
    values = {"prompt": "red", "model": "exact", "cfg": 2, "shift": 1, "steps": 5, "scale": 2, **settings}
    return Extrapolation.model_validate(values)


def planned(request: Extrapolation, *methods: str, spec: ModelSpec = EXACT) -> Plan:
    return plan(request, spec, HERE, arms=method_arms(request, methods))


def events_of(made: Plan, engine: Engine | None = None, **settings: object) -> list[Event]:
    return list((engine or Engine()).run(made, **settings))  # type: ignore[arg-type]


def finished(made: Plan, engine: Engine | None = None, **settings: object) -> Finished:
    last = events_of(made, engine, **settings)[-1]
    assert isinstance(last, Finished)
    return last


def noise_at(side: int, seed: int = 0) -> Tensor:
    return torch.randn((1, 3, side, side), generator=torch.Generator().manual_seed(seed))


def test_the_events_of_an_extrapolation_come_in_the_order_of_its_work() -> None:
    events = events_of(planned(larger(), *COMPARED))
    told = [event for event in events if not isinstance(event, StepDone)][2:]
    kinds = [type(event) for event in told]
    assert kinds == [
        StageStarted,
        ArmFinished,
        Lifted,
        ArmFinished,
        StageStarted,
        ArmFinished,
        Lifted,
        StageStarted,
        ArmFinished,
        Finished,
    ]
    assert [event.arm for event in told if isinstance(event, ArmFinished)] == ["native", *COMPARED]
    for event in events:
        pickle.loads(pickle.dumps(event))


def test_the_native_picture_is_the_one_that_a_plain_request_makes() -> None:
    made = planned(larger(seed=3))
    alone = run(exactly(cfg=2, steps=5, seed=3), EXACT).finished
    native = finished(made).arms["native"]
    assert np.array_equal(native.pictures[0], alone.pictures[0])
    assert native.noise_sha256 == alone.noise_sha256
    assert native_of(made.request) == made.arms[0].request  # type: ignore[arg-type]


def test_all_arms_start_from_the_noise_of_a_plain_run_of_their_size() -> None:
    found = finished(planned(larger(seed=7), *ALL)).arms
    expected = noise_hash(noise_at(32, 7)[0])
    assert {found[name].noise_sha256[0] for name in ALL if METHODS[name].flows} == {expected}
    plain = run(exactly(cfg=2, steps=5, seed=7, width=32, height=32, shift=2), EXACT).finished
    assert plain.noise_sha256[0] == expected
    assert np.array_equal(found["direct"].pictures[0], plain.pictures[0])


def test_what_is_counted_is_what_was_planned() -> None:
    for solver in SOLVERS:
        methods = [name for name in ALL if solver in (METHODS[name].solvers or SOLVERS)]
        made = planned(larger(solver=solver, cfg_to=0.8), *methods)
        found = finished(made)
        assert found.calls == made.calls == sum(arm.calls for arm in found.arms.values())


@pytest.mark.parametrize("low_pass", LOW_PASSES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_switched_off_the_picture_is_the_direct_one_to_the_last_bit(low_pass: str, solver: str) -> None:
    states: list[Step] = []
    made = planned(larger(strength="off", low_pass=low_pass, solver=solver), "direct")
    found = finished(made, recorders=[states.append]).arms
    count = len(made.sigmas) - 1
    direct, projected = states[-2 * count : -count], states[-count:]
    for one, other in zip(direct, projected, strict=True):
        assert torch.equal(one.x_next, other.x_next)
    assert np.array_equal(found["direct"].pictures[0], found["projected"].pictures[0])


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("kernel", ["bicubic", "lanczos"])
def test_a_projected_stage_is_the_formula_about_the_lifted_picture(strength: str, kernel: str) -> None:
    """The whole chain by hand: the native result, enlarged, is the guide of a loop of plain Euler steps."""
    states: list[Step] = []
    made = planned(larger(strength=strength, lift=kernel))
    finished(made, recorders=[states.append])
    native, large = states[:5], states[5:]
    guide = enlarged(native[-1].x_next, (32, 32), kernel)  # type: ignore[arg-type]
    x, sigmas = noise_at(32), made.stages[-1].sigmas
    names = ("conditional", "unconditional")
    branches = branches_of(Exact().network(_conditionings(), Dials()), {n: k for k, n in enumerate(names)})
    for index, step in enumerate(large):
        at = At(sigmas[index], index, 5)
        conditional, unconditional = branches(x, at, names)
        v = unconditional + 2 * (conditional - unconditional)
        pair = STRENGTHS[strength](at.t, index, 5)
        x0 = project(x - at.t * v, guide, lambda z: haar(z, 1), pair)
        x = x + (sigmas[index + 1] - at.t) * (x - x0) / at.t
        torch.testing.assert_close(step.x_next, x, rtol=1e-4, atol=1e-4)


def _conditionings() -> list[Conditioning]:
    return [Exact().encode((EncoderInput("words", text, "on", 1),)) for text in ("red", "")]


def test_at_strength_one_the_result_has_the_guides_block_means() -> None:
    states: list[Step] = []
    finished(planned(larger(strength="constant")), recorders=[states.append])
    guide = enlarged(states[4].x_next, (32, 32), "bicubic")
    torch.testing.assert_close(haar(states[-1].x_next, 1), haar(guide, 1), rtol=1e-4, atol=1e-4)


def test_from_below_noise_a_stage_starts_at_the_noised_guide() -> None:
    states: list[Step] = []
    made = planned(larger(method="sdedit", start=0.6))
    finished(made, recorders=[states.append])
    guide = enlarged(states[4].x_next, (32, 32), "bicubic")
    torch.testing.assert_close(states[5].x, 0.4 * guide + 0.6 * noise_at(32))


def test_a_refinement_is_its_formula() -> None:
    """z = (1 - t0) E(Lanczos(picture)) + t0 eps, then one step onto the prediction of the data."""
    states: list[Step] = []
    made = planned(larger(method="sr-refine", seed=2))
    result = finished(made, recorders=[states.append])
    native, (only,) = states[4].x_next, states[5:]
    z = 0.88 * enlarged(native, (32, 32), "lanczos") + 0.12 * noise_at(32, 2)
    torch.testing.assert_close(only.x, z)
    names = ("conditional", "unconditional")
    branches = branches_of(Exact().network(_conditionings(), Dials()), {n: k for k, n in enumerate(names)})
    conditional, unconditional = branches(only.x, At(0.12, 0, 1), names)
    expected = only.x - 0.12 * (unconditional + 2 * (conditional - unconditional))
    torch.testing.assert_close(only.x_next, expected, rtol=1e-4, atol=1e-4)
    assert (result.arms["sr-refine"].calls, result.arms["sr-refine"].sigmas) == (2, (0.12, 0.0))


def test_alignment_is_the_direct_run_where_the_model_has_no_positions_to_bundle() -> None:
    found = finished(planned(larger(method="spa"), "direct")).arms
    assert np.array_equal(found["direct"].pictures[0], found["spa"].pictures[0])


def test_a_cascade_lifts_each_stage_to_the_next() -> None:
    states: list[Step] = []
    made = planned(larger(scale=4, cascade="doubling", strength="constant"))
    found = finished(made, recorders=[states.append])
    assert found.pictures[0].shape == (64, 64, 3)
    assert [step.x.shape[-1] for step in states] == [16] * 5 + [32] * 5 + [64] * 5
    guide = enlarged(states[9].x_next, (64, 64), "bicubic")
    torch.testing.assert_close(haar(states[-1].x_next, 1), haar(guide, 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("posterior", ["mean", "sample"])
def test_a_picture_of_a_batch_is_the_single_picture_of_its_seed(method: str, posterior: str) -> None:
    batch = finished(planned(larger(method=method, count=2, seed=4, posterior=posterior)))
    for index in range(2):
        alone = finished(planned(larger(method=method, seed=4 + index, posterior=posterior)))
        apart = np.abs(batch.pictures[index].astype(int) - alone.pictures[0]).max()
        assert apart <= 1
        assert batch.noise_sha256[index] == alone.noise_sha256[0]


def test_a_resolved_request_repeats_its_picture() -> None:
    request = larger(
        scale=4, cascade="2,4", posterior="sample", strength="1:1,0:0.2", tail=2, half_patch=True
    )
    made = planned(request)
    assert np.array_equal(finished(made).pictures[0], finished(plan(made.request, EXACT, HERE)).pictures[0])


def test_the_sampled_posterior_takes_what_the_seed_draws_next() -> None:
    stage = LiftStage("lift", 8, 8, ("native",), "bicubic", "sample", 0.0)
    generator = torch.Generator().manual_seed(5)
    first, second = (torch.randn((1, 3, 8, 8), generator=generator) for _ in range(2))
    assert torch.equal(initial_noise([5], EXACT, stage), first)
    assert torch.equal(posterior_noise([5], EXACT, stage), second)


def _stops() -> Iterator[tuple[str, int]]:
    yield "native", 0
    yield "native", 3
    yield "direct", 2
    yield "projected", 4


@pytest.mark.parametrize(("stage", "after"), _stops())
def test_a_stop_is_honoured_in_every_stage(stage: str, after: int) -> None:
    seen: list[Event] = []

    def stop() -> bool:
        steps = sum(isinstance(event, StepDone) and event.stage == stage for event in seen)
        begun = any(isinstance(event, StageStarted) and event.stage == stage for event in seen)
        return (begun and steps >= after) if after else True

    for event in Engine().run(planned(larger(), *COMPARED), stop=stop):
        seen.append(event)
    assert seen[-1] == Stopped(stage, after)
    arms = [event.arm for event in seen if isinstance(event, ArmFinished)]
    assert (
        arms
        == {"native": [], "direct": ["native", "upsample"], "projected": ["native", "upsample", "direct"]}[
            stage
        ]
    )


def test_a_stop_between_stages_is_honoured_before_the_next_begins() -> None:
    seen: list[Event] = []
    for event in Engine().run(
        planned(larger(), *COMPARED), stop=lambda: any(isinstance(event, Lifted) for event in seen)
    ):
        seen.append(event)
    assert seen[-1] == Stopped("direct", 0)


class Failing(Exact):
    """A model that loses its velocity at the larger size."""

    def network(self, texts: Sequence[Conditioning], dials: Dials) -> Rows:
        whole = super().network(texts, dials)

        def rows(x: Tensor, at: Sequence[At], numbers: Sequence[int], /, *, skip: bool = False) -> Tensor:
            broken = x.shape[-1] > 16 and at[0].index == 2
            return whole(x, at, numbers, skip=skip) * (torch.nan if broken else 1)

        return rows


def _into(seen: list[Event], events: Iterable[Event]) -> None:
    for event in events:
        seen.append(event)


def test_a_stage_that_fails_keeps_the_native_picture() -> None:
    seen: list[Event] = []
    events = Engine(loader=lambda spec, dtype, components: Failing()).run(planned(larger(), "upsample"))
    with pytest.raises(Failure, match="not finite after step 3 of 5"):
        _into(seen, events)
    kept = [event for event in seen if isinstance(event, ArmFinished)]
    assert [event.arm for event in kept] == ["native", "upsample"]
    assert kept[0].pictures[0].shape == (16, 16, 3)
    assert kept[1].pictures[0].shape == (32, 32, 3)


def test_too_large_a_picture_is_refused_before_anything_is_loaded() -> None:
    from sd3demo.catalogue import CATALOGUE
    from sd3demo.engine import Budget

    medium = CATALOGUE["sd3-medium"]
    made = plan(larger(model="sd3-medium", scale=8), medium, Budget("cpu", 3 * 2**34, 1e11))

    def loader(spec: ModelSpec, dtype: torch.dtype) -> Exact:
        raise AssertionError("was loaded")

    with pytest.raises(Refusal, match="GiB are free: try one picture at a scale of"):
        list(Engine(loader=loader).run(made))


class Told:
    """A recorder of corrections."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.corrections: list[Correction] = []

    def __call__(self, step: Step) -> None:
        self.steps.append(step)

    def correction(self, correction: Correction) -> None:
        self.corrections.append(correction)


def test_recorders_are_told_what_the_method_made_of_each_velocity() -> None:
    told = Told()
    finished(planned(larger(strength="paper", low_pass="radial", cutoff=0.4), "direct"), recorders=[told])
    assert len(told.corrections) == 5
    guide = enlarged(told.steps[4].x_next, (32, 32), "bicubic")
    for correction, step in zip(told.corrections, told.steps[-5:], strict=True):
        assert torch.equal(correction.x, step.x)
        assert torch.equal(correction.corrected, step.v)
        assert torch.equal(correction.target, guide)
        low = low_pass_named(guide, name="radial", level=1, cutoff=0.4)
        assert torch.equal(correction.low_pass(guide), low)


def test_every_named_recorder_runs_in_every_stage() -> None:
    request = larger()
    made = plan(request, EXACT, HERE, arms=method_arms(request, ("direct",)), recorders=("lengths", "norms"))
    found = finished(made)
    for name in ("native", "direct", "projected"):
        assert found.arms[name].records["norms"].shape == (5, 2, 1)


@pytest.fixture(scope="module")
def spec(checkpoint: Callable[..., Path]) -> ModelSpec:
    return find(str(checkpoint("sd3.5-medium")))


def on_sd3(spec: ModelSpec, **settings: object) -> Extrapolation:
    values = {"prompt": "a red circle", "model": spec.name, "steps": 3, "scale": 2, "schedule": "uniform"}
    return Extrapolation.model_validate(values | settings)


@pytest.mark.parametrize("method", ALL)
def test_every_method_makes_a_picture_on_sd3_and_makes_it_again(spec: ModelSpec, method: str) -> None:
    made = planned(
        on_sd3(spec, method=method, attention="log", text_copies="auto", half_patch=True), spec=spec
    )
    engine = Engine()
    first, again = finished(made, engine), finished(plan(made.request, spec, HERE), engine)
    side = 2 * spec.native
    assert first.pictures[0].shape == (side, side, 3)
    assert np.array_equal(first.pictures[0], again.pictures[0])
    assert first.calls == made.calls


def test_on_sd3_too_off_is_direct_to_the_last_bit(spec: ModelSpec) -> None:
    states: list[Step] = []
    made = planned(on_sd3(spec, strength="off", half_patch=True, text_copies=2.5), "direct", spec=spec)
    finished(made, recorders=[states.append])
    for one, other in zip(states[-6:-3], states[-3:], strict=True):
        assert torch.equal(one.x_next, other.x_next)


@pytest.mark.parametrize(("width", "height"), [(48, 24), (24, 64), (40, 40)])
def test_any_proportions_whose_sides_divide_can_be_made(spec: ModelSpec, width: int, height: int) -> None:
    found = finished(planned(on_sd3(spec, scale=None, width=width, height=height, steps=1), spec=spec))
    assert found.pictures[0].shape == (height, width, 3)


def test_a_solver_with_a_memory_starts_anew_where_patches_move(spec: ModelSpec) -> None:
    """With patches moving at every step, the two-step method never has a past and is Euler's."""
    pictures = [
        finished(planned(on_sd3(spec, solver=solver, half_patch=True, steps=4), spec=spec)).arms["projected"]
        for solver in ("ab2", "euler")
    ]
    # The native stage differs, whose patches stand still; compare from one guide: none at strength off.
    off = [
        finished(planned(on_sd3(spec, solver=solver, half_patch=True, steps=4, strength="off"), spec=spec))
        for solver in ("ab2", "euler")
    ]
    assert np.array_equal(off[0].pictures[0], off[1].pictures[0])
    assert not np.array_equal(pictures[0].pictures[0], pictures[1].pictures[0])
