"""Where a run stands: what each event makes of it, and how it reads on the page."""

import numpy as np
import pytest

from sd3demo.engine.events import Encoded, Lifted, Loading, StepDone
from sd3demo.ui.run.run_status import (
    NOT_STARTED,
    STARTING,
    STOPPING,
    WAITING,
    RunStatus,
    failed,
    finished,
    run_status,
    running,
    status_html,
    stopped,
    stopping_html,
)


def step(index: int, count: int) -> StepDone:
    preview = np.zeros((2, 2, 3), np.uint8)
    return StepDone("native", index, count, 1 - index / count, 1 - (index + 1) / count, (preview,), 2.0)


def test_a_step_says_where_the_solver_stands_and_how_long_it_will_take() -> None:
    status = run_status(step(3, 8))
    assert status == running("Step 4 of 8 · 2.0 s, about 2.0 s left", step=4, count=8, t=0.5)
    assert run_status(step(3, 8), stage="<b>Native")
    assert "&lt;b&gt;Native: step 4 of 8" in run_status(step(3, 8), stage="<b>Native").text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Loading("tiny <1>", 5_000_000), "Loading tiny &lt;1&gt;, 5 MB (first run only)"),
        (Encoded(0, 0.0), "Text encoding: cached"),
        (Encoded(3, 0.1), "Text encoding: 3 encoder calls"),
        (Encoded(1, 0.1), "Text encoding: 1 encoder call"),
    ],
)
def test_what_comes_before_the_first_step_is_named(event: object, text: str) -> None:
    status = run_status(event)
    assert status is not None
    assert (status.text, status.phase, status.step, status.t) == (text, "running", 0, None)


def test_an_event_that_changes_nothing_of_it_is_none() -> None:
    assert run_status(Lifted("native", 64, 64)) is None


@pytest.mark.parametrize("status", [WAITING, STARTING, running("Step 3 of 28", step=3, count=28, t=0.9)])
def test_a_run_that_is_to_stop_says_so_and_still_where_it_stands(status: RunStatus) -> None:
    bar, stopping = status_html(status), stopping_html(status)
    assert status.is_active
    assert "<progress" in bar
    assert status.text in bar
    assert STOPPING not in bar
    assert stopping.count(STOPPING) == 1
    assert stopping.startswith(bar.removesuffix("</div>"))
    assert stopping.endswith("</div>")


def test_t_stands_where_a_sampler_stands_and_nowhere_else() -> None:
    assert "<i>t</i> = 0.50" in status_html(running("Step 1 of 4", step=1, count=4, t=0.5))
    assert "<i>t</i> = 0.00" in status_html(running("Step 4 of 4", step=4, count=4, t=0.0))
    for status in (STARTING, WAITING, running("Loading")):
        assert "<i>t</i>" not in status_html(status)


def test_each_end_has_its_words() -> None:
    assert status_html(RunStatus()) == ""
    assert 'role="alert">Cfg is &lt;b&gt;.</p>' in status_html(failed("cfg is <b>."))
    assert 'role="status">Stopped after step 3.</p>' in status_html(
        stopped(running("", step=3), "Stopped after step 3.")
    )
    done = status_html(finished("Done <a href='x'>there</a>", note="the history is full"))
    assert "<a href='x'>" in done
    assert "The history is full." in done
    assert NOT_STARTED in status_html(failed(NOT_STARTED))
