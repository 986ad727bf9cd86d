"""What a page says would pass has been planned to pass."""

import re

import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.input_image import UNREAD, InputImage
from sd3demo.errors import Refusal
from sd3demo.settings import Request, parse
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.ui.context import Core, prepare
from sd3demo.ui.server.lighter import lighter, refuse_too_long
from sd3demo.ui.server.limits import Limits
from sd3demo.ui.server.line import Line
from tests.ui.fake_page import Rehearsal

SLOW = Budget("cpu", 2**40, 1e9)
TINY = find("tiny")


def planned(kind: type[Request] = Request, own: InputImage | None = None, **given: object) -> Plan:
    return plan(parse(kind, {"prompt": "-", "model": "tiny", **given}), TINY, SLOW, own=own)


@pytest.mark.parametrize(
    "asked",
    [
        planned(steps=100),
        planned(steps=50, count=16),
        planned(Extrapolation, steps=50, scale=2),
        planned(Extrapolation, own=InputImage(UNREAD, 200, 100), steps=50, scale=3),
    ],
)
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_what_is_named_passes_and_one_step_more_does_not(asked: Plan, share: float) -> None:
    most = asked.seconds * share
    words = lighter(asked, most)
    found = re.search(r"(\d+) steps?, planned to take ([\d.e+]+) s", words)
    assert found, words
    assert float(found[2]) <= most * 1.05  # it is written with two digits
    steps = int(found[1])
    if not asked.arms:
        count = 1 if "one picture" in words else asked.request.count
        assert planned(steps=steps, count=count).seconds <= most
        assert planned(steps=steps + 1, count=count).seconds > most


def test_where_nothing_passes_nothing_is_named() -> None:
    assert lighter(planned(steps=10), 1e-9) == ""


def test_a_run_that_is_too_long_is_refused_with_what_passes() -> None:
    asked = planned(steps=100)
    with pytest.raises(
        Refusal, match=r"planned to take \d+ s and a run has .* s here: try \d+ steps, planned"
    ):
        refuse_too_long(asked, parse(Limits, {"run_seconds": asked.seconds / 2}))
    refuse_too_long(asked, parse(Limits, {"run_seconds": asked.seconds}))


def test_it_is_refused_when_it_is_planned_and_so_before_it_waits() -> None:
    core = Core(("tiny",), Rehearsal().run, line=Line(parse(Limits, {"run_seconds": 0.1})))
    with pytest.raises(Refusal, match=r"a run has 0\.1 s here"):
        prepare({"prompt": "a red circle", "model": "tiny", "steps": 100, "count": 16, "solver": "rk4"}, core)
    assert core.line.count == 0
