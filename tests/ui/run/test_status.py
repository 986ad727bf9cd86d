"""What was done, in words that are true of it."""

from dataclasses import replace

import pytest

from sd3demo.catalogue import CATALOGUE
from sd3demo.engine import Budget, Plan, plan
from sd3demo.settings import Request, parse
from sd3demo.ui.run import status as words
from tests.ui.fake_page import finished

SPEC = CATALOGUE["sd3-medium"]


def made(**values: object) -> Plan:
    asked = {"prompt": "a red circle", "model": "sd3-medium", "steps": 10, "cfg": 5} | values
    return plan(parse(Request, asked), SPEC, Budget())


def told(before: Plan | None = None, **values: object) -> str:
    asked = made(**values)
    return words.story(asked, finished(asked), before.request if before else None)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "asked 10 times with the prompt and 10 times without it; guidance went 5 times the way"),
        ({"cfg": 1}, "asked 10 times, with the prompt alone: guidance is off"),
        ({"cfg": 5, "cfg_to": 0.6}, "10 times with the prompt and 3 times without it"),
        ({"solver": "heun"}, "10 steps of Heun"),
        ({"seed": 7, "count": 3}, "seeds 7 to 9"),
        ({"steps": 1}, "in 1 step of Euler"),
        ({"t5": "zeros"}, "read by CLIP-L and CLIP-G, with zeros in place of T5"),
        ({"t5": "omit", "clip_l": "zeros"}, "read by CLIP-G, with zeros in place of CLIP-L and T5 left out"),
        ({"t5": "zeros", "clip_l": "zeros", "clip_g": "zeros"}, "No encoder read the prompt"),
        ({}, "75.0 long and its chord 70.0: 7% longer than straight"),
        ({}, "√(2<i>D</i>) ≈ 724.1"),  # D = 16 x 128 x 128
    ],
)
def test_the_story_tells_what_was_done(values: dict[str, object], sentence: str) -> None:
    assert sentence in told(**values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "Nothing was changed"),
        ({"shift": 5}, "<b>Shift</b> 3 → 5. From the same noise, so this alone"),
        ({"t5": "zeros", "steps": 20}, "<b>Steps</b> 10 → 20, <b>T5</b> on → zeros; from the same noise"),
        ({"seed": 1}, "<b>Seed</b> 0 → 1; from other noise"),
        ({"negative": "<i>dog</i>"}, "<b>Negative prompt</b> empty → &lt;i&gt;dog&lt;/i&gt;"),
    ],
)
def test_what_was_changed_since_the_last_picture_is_named(values: dict[str, object], sentence: str) -> None:
    assert sentence in told(made(), **values)


def test_the_first_picture_is_compared_with_nothing() -> None:
    assert "changed" not in told()


def test_a_bar_tells_t_where_a_sampler_stands_and_nowhere_else() -> None:
    assert "<i>t</i> = 0.50" in words.progress(1, 4, 1.0, 0.5)
    assert "<i>t</i> = 0.00" in words.progress(3, 4, 1.0, 0.0)
    for bar in (words.bar(3, 10, "Step 3 of 10"), words.waking(), words.loading("tiny", 5), words.encoded(3)):
        assert "<i>t</i>" not in bar


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.123, "0.12 s"), (4.26, "4.3 s"), (89, "89.0 s"), (200, "3.3 min")]
)
def test_seconds_are_told_as_people_tell_them(seconds: float, text: str) -> None:
    asked = made()
    done = replace(finished(asked), seconds={"load": 99.0, "flow": seconds})
    assert text in words.done(done)
