"""Start and Stop on every tab: what the status says at once, and who says how far a stopped run came."""

import re
import subprocess
from pathlib import Path

import playwright
import pytest

from sd3demo.ui import Core, build
from sd3demo.ui.generate import handlers as answers
from sd3demo.ui.run import status as words
from sd3demo.ui.run import stopping
from tests.ui.fake_page import Rehearsal


@pytest.fixture(scope="module")
def events() -> list[dict]:
    return build(Core(("tiny",), Rehearsal().run)).get_config_file()["dependencies"]


def test_every_run_that_can_be_stopped_says_afterwards_how_far_it_came(events: list[dict]) -> None:
    cancelled = [run for event in events for run in event["cancels"]]
    assert len(cancelled) >= 9  # Generate, grid, Verify, Trajectories, two that enlarge, two flows, a study
    answered = [event["trigger_after"] for event in events if event["trigger_only_on_failure"]]
    assert sorted(cancelled) == sorted(answered)


def test_every_stop_is_seen_before_the_run_has_ended(events: list[dict]) -> None:
    stops = [target for event in events if event["cancels"] for target in event["targets"]]
    seen = [target for event in events if event["js"] == stopping.STOPPING for target in event["targets"]]
    assert sorted(stops) == sorted(seen)


def run_js(script: str, status: str | None) -> str:
    """What a script of the page makes of a status."""
    node = Path(playwright.__file__).parent / "driver" / "node"
    given = "null" if status is None else repr(status)
    done = subprocess.run(
        [node, "-e", f"process.stdout.write(String(({script})({given})))"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("status", [words.waking(), words.waiting(), words.progress(3, 28, 1.0, 0.9) + "\n"])
def test_a_run_that_is_stopped_says_so_once_and_still_where_it_stands(status: str) -> None:
    said = run_js(stopping.STOPPING, status)
    assert said.count(words.STOPPING) == 1
    assert said.endswith("</div>")
    assert run_js(stopping.STOPPING, said) == said
    assert run_js(stopping.WAITING, said) == said  # a click meanwhile would be lost, and says nothing else
    assert str(answers.stopped(said)) == str(answers.stopped(status))


@pytest.mark.parametrize("status", ["", words.failed("no"), words.stopped(3)])
def test_where_nothing_runs_stop_says_nothing_and_start_that_it_waits(status: str) -> None:
    assert run_js(stopping.STOPPING, status) == status
    assert words.WAITING in run_js(stopping.WAITING, status)


def test_a_status_that_was_never_set_is_no_fault() -> None:
    assert run_js(stopping.STOPPING, None) in ("null", "undefined")
    assert re.search(words.WAITING, run_js(stopping.WAITING, None))
