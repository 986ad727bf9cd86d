"""What was done, in words that are true of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from sd3demo.catalogue import CATALOGUE
from sd3demo.engine import Budget, Plan, plan
from sd3demo.settings import Request, parse
from sd3demo.ui.generate.story import done_text, story_html
from tests.pictures import draw_init
from tests.ui.fake_page import finished

SPEC = CATALOGUE["sd3-medium"]


def made(**values: object) -> Plan:
    asked = {"prompt": "a red circle", "model": "sd3-medium", "steps": 10, "cfg": 5} | values
    return plan(parse(Request, asked), SPEC, Budget())


def told(before: Plan | None = None, **values: object) -> str:
    asked = made(**values)
    return story_html(asked, finished(asked), before.request if before else None)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "called 10 times with the prompt and 10 times without it: CFG scale 5."),
        ({"cfg": 1}, "called 10 times, with the prompt alone: CFG is off"),
        ({"cfg": 5, "cfg_to": 0.6}, "10 times with the prompt and 3 times without it"),
        ({"solver": "heun"}, "10 steps of Heun"),
        ({"seed": 7, "count": 3}, "seeds 7 to 9"),
        ({"steps": 1}, "in 1 step of Euler"),
        ({"t5": "zeros"}, "Text encoding by CLIP-L and CLIP-G, with zeros in place of T5."),
        (
            {"t5": "omit", "clip_l": "zeros"},
            "Text encoding by CLIP-G, with zeros in place of CLIP-L and T5 left out.",
        ),
        ({"t5": "zeros", "clip_l": "zeros", "clip_g": "zeros"}, "Text encoding by no encoder"),
        ({}, "75.0 long and its chord 70.0: 7% longer than straight"),
        (
            {},
            "Without CFG a perfect flow of unit variance measures at most √(2<i>D</i>) ≈ 724.1",
        ),  # D = 16 x 128 x 128
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


def test_texts_that_were_encoded_before_are_said_to_be_cached() -> None:
    asked = made()
    cached = replace(finished(asked), encoder_calls=0)
    assert "Text encoding by CLIP-L, CLIP-G and T5: cached." in story_html(asked, cached, None)
    assert "cached" not in told()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.123, "0.12 s"), (4.26, "4.3 s"), (89, "89.0 s"), (200, "3.3 min")]
)
def test_seconds_are_told_as_people_tell_them(seconds: float, text: str) -> None:
    asked = made()
    done = replace(finished(asked), seconds={"load": 99.0, "flow": seconds})
    assert text in done_text(done)


def test_a_run_from_a_picture_tells_the_steps_that_it_takes(tmp_path: Path) -> None:
    said = told(init=str(draw_init(tmp_path, 1024, 1024)), image_strength=0.5)
    assert "noised to <i>t</i> = 0.5, to the picture at <i>t</i> = 0 in" in said
    taken = len(made(init=str(draw_init(tmp_path, 1024, 1024)), image_strength=0.5).sigmas) - 1
    assert 0 < taken < 10
    assert f"in {taken} of 10 steps of Euler" in said
