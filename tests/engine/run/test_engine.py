"""The one loop, on a model whose answer is known, in milliseconds."""

import gc
import hashlib
import pickle
import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.engine import Budget, Engine, plan
from sd3demo.engine.events import Encoded, Event, Finished, Loading, StageStarted, StepDone, Stopped
from sd3demo.engine.record.recorders import RECORDERS
from sd3demo.errors import Failure, Refusal
from sd3demo.flow.path.lengths import path_length
from sd3demo.flow.solvers import SOLVERS, At
from sd3demo.models.exact import COLOURS, SPREAD, Exact
from sd3demo.models.protocol import Conditioning, Dials, Rows
from sd3demo.settings import Request
from tests.engine.runs import EXACT, HERE, Ran, exactly, run


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_run_ends_where_the_exact_flow_ends(colour: str, solver: str) -> None:
    """A Gaussian's flow keeps the number of deviations from the mean: z_0 = mu + sigma z_1."""
    ran = run(exactly(colour, solver=solver, steps=100), EXACT)
    mean = torch.tensor(COLOURS[colour])[:, None, None]
    noise = ran.steps[0].x
    assert (ran.latents - (mean + SPREAD * noise)).abs().max() < 0.1


def test_the_events_come_in_the_order_of_the_work() -> None:
    ran = run(exactly(steps=3), EXACT)
    kinds = [type(event) for event in ran.events]
    assert kinds == [Loading, Encoded, StageStarted, StepDone, StepDone, StepDone, Finished]
    assert [event.index for event in ran.events if isinstance(event, StepDone)] == [0, 1, 2]


def test_a_model_that_is_loaded_is_not_loaded_again() -> None:
    engine = Engine()
    run(exactly(), EXACT, engine=engine)
    assert not any(isinstance(event, Loading) for event in run(exactly(), EXACT, engine=engine).events)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_every_event_can_be_sent_to_another_process(recorder: str) -> None:
    ran = run(exactly(count=2, steps=3), EXACT, recorders=(recorder,))
    for event in ran.events:
        again = pickle.loads(pickle.dumps(event))
        assert type(again) is type(event)
    assert pickle.loads(pickle.dumps(ran.plan)) == ran.plan


def test_the_noise_is_drawn_as_diffusers_draws_it() -> None:
    ran = run(exactly(seed=7, count=2), EXACT)
    for index, seed in enumerate([7, 8]):
        noise = torch.randn((1, 3, 16, 16), generator=torch.Generator().manual_seed(seed))
        assert torch.equal(ran.steps[0].x[index : index + 1], noise)
        assert ran.finished.noise_sha256[index] == hashlib.sha256(noise.numpy().tobytes()).hexdigest()


def test_a_picture_of_a_batch_is_the_single_picture_of_its_seed() -> None:
    batch = run(exactly(seed=3, count=3, cfg=4), EXACT).finished
    for index in range(3):
        alone = run(exactly(seed=3 + index, cfg=4), EXACT).finished
        assert np.array_equal(batch.pictures[index], alone.pictures[0])
        assert batch.noise_sha256[index] == alone.noise_sha256[0]


def test_the_length_and_the_chord_are_those_of_the_steps() -> None:
    ran = run(exactly(count=2, solver="heun"), EXACT)
    measured = path_length(ran.steps)
    assert ran.finished.path_length == pytest.approx(measured.length.tolist())
    assert ran.finished.chord == pytest.approx(measured.chord.tolist())


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_stop_is_honoured_at_every_step(after: int) -> None:
    seen: list[Event] = []
    made = plan(exactly(steps=5), EXACT, HERE)
    for event in Engine().run(made, stop=lambda: sum(isinstance(e, StepDone) for e in seen) >= after):
        seen.append(event)
    assert seen[-1] == Stopped("native", after)
    assert sum(isinstance(event, StepDone) for event in seen) == after


def test_a_run_that_is_let_go_of_leaves_the_engine_free() -> None:
    engine = Engine()
    events = engine.run(plan(exactly(steps=50), EXACT, HERE))
    while not isinstance(next(events), StepDone):
        pass
    events.close()
    assert isinstance(run(exactly(steps=1), EXACT, engine=engine).events[-1], Finished)

    events = engine.run(plan(exactly(steps=50), EXACT, HERE))
    next(events)
    del events
    gc.collect()
    assert isinstance(run(exactly(steps=1), EXACT, engine=engine).events[-1], Finished)


def test_two_runs_take_turns_and_one_that_waits_can_be_stopped() -> None:
    engine = Engine()
    first = engine.run(plan(exactly(steps=3), EXACT, HERE))
    next(first)
    waiting = list(engine.run(plan(exactly(steps=3), EXACT, HERE), stop=lambda: True))
    assert waiting == [Stopped("native", 0)]

    ends: list[Event] = []
    second = threading.Thread(
        target=lambda: ends.append(run(exactly(steps=2), EXACT, engine=engine).events[-1])
    )
    second.start()
    second.join(0.2)
    assert second.is_alive()
    *_, last = first
    assert isinstance(last, Finished)
    second.join(10)
    assert isinstance(ends[0], Finished)


def test_a_model_that_is_held_is_the_one_that_runs_use_and_they_wait_for_it() -> None:
    engine = Engine()
    made = plan(exactly(steps=2), EXACT, HERE)
    with engine.hold(made) as ready:
        assert isinstance(ready.model, Exact)
        assert list(engine.run(made, stop=lambda: True)) == [Stopped("native", 0)]
    assert not any(isinstance(event, Loading) for event in engine.run(made))
    with engine.hold(made) as again:
        assert again is ready


def test_inference_mode_does_not_leak_into_whoever_reads_the_events() -> None:
    for _ in Engine().run(plan(exactly(steps=2), EXACT, HERE)):
        assert not torch.is_inference_mode_enabled()


class Overflowing(Exact):
    """A model whose velocity is lost at some time."""

    def network(self, texts: Sequence[Conditioning], dials: Dials) -> Rows:
        def rows(x: Tensor, at: Sequence[At], texts: Sequence[int], /, *, skip: bool = False) -> Tensor:
            return x / (0.0 if at[0].index == 2 else 1.0)

        return rows


def test_a_latent_that_overflows_is_said_and_not_shown() -> None:
    with pytest.raises(Failure, match="not finite after step 3 of 5"):
        run(exactly(steps=5), EXACT, engine=Engine(loader=lambda spec, dtype, components: Overflowing()))


def test_memory_that_runs_out_is_said_and_the_engine_goes_on() -> None:
    attempts: list[int] = []

    class Large(Exact):
        def to_image(self, latent: Tensor) -> Tensor:
            attempts.append(1)
            if len(attempts) == 1:
                raise torch.OutOfMemoryError("no")
            return latent

    engine = Engine(loader=lambda spec, dtype, components: Large())
    with pytest.raises(Failure, match="ran out of memory with the placement resident"):
        run(exactly(), EXACT, engine=engine)
    assert isinstance(run(exactly(), EXACT, engine=engine).events[-1], Finished)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(Refusal, match="torch sees none"):
        run(exactly(), EXACT, budget=Budget("cuda"))


def test_a_film_has_a_state_and_a_prediction_at_every_step() -> None:
    ran = run(exactly(steps=20, count=2), EXACT, recorders=("film", "norms"))
    assert ran.finished.records["film"].shape == (21, 2, 2, 16, 16, 3)
    assert ran.finished.records["norms"].shape == (20, 2, 2)
    assert np.array_equal(ran.finished.records["film"][-2, 1, 0], last_preview(ran))


def test_the_last_preview_is_the_picture_where_the_latent_is_the_picture() -> None:
    ran = run(exactly(steps=4), EXACT)
    assert np.abs(last_preview(ran).astype(int) - ran.finished.pictures[0]).max() <= 1


def last_preview(ran: Ran) -> np.ndarray:
    last = [event for event in ran.events if isinstance(event, StepDone)][-1]
    return last.previews[0]


def test_a_plan_can_be_run_twice_with_the_same_result() -> None:
    engine, made = Engine(), plan(Request(prompt="red", model="exact", steps=4), EXACT, HERE)
    first, second = (list(engine.run(made))[-1] for _ in range(2))
    assert isinstance(first, Finished)
    assert isinstance(second, Finished)
    assert np.array_equal(first.pictures[0], second.pictures[0])
