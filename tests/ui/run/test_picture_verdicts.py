"""The line under a picture: for the embedded models alone, and never where the judge cannot know."""

from pathlib import Path

import numpy as np
import pytest

from sd3demo.catalogue import CATALOGUE, find
from sd3demo.settings import Request, parse
from sd3demo.ui.run.picture_verdicts import (
    SMALLEST_SIDE,
    decoded,
    verdict_html,
    verdict_text,
    verdicts_of,
    verdicts_of_files,
)
from sd3demo.world.verdict import PictureVerdict, VerdictCheck
from tests.ui.fake_page import flat

PROMPT = "a red circle above a blue square"


def asked(**values: object) -> Request:
    return parse(Request, {"prompt": PROMPT, "model": "tiny", **values})


def test_exactly_the_embedded_models_are_judged() -> None:
    judged = {name for name in CATALOGUE if find(name).judged}
    assert judged == {name for name in CATALOGUE if name.startswith("tiny")}


def test_a_picture_of_an_embedded_model_has_a_verdict() -> None:
    (verdict,) = verdicts_of(asked(), [flat(64, 64, shade=200)])
    assert verdict is not None
    assert not verdict.passed


@pytest.mark.parametrize(
    "values",
    [
        {"model": "sd3-medium"},
        {"model": "/no/such/folder"},
        {"prompt": "a cat wearing a hat"},
        {"prompt_3": "a star"},
        {"prompt_2": "a star"},
    ],
)
def test_there_is_none_rather_than_a_wrong_one(values: dict[str, object]) -> None:
    assert verdicts_of(asked(**values), [flat(64, 64, shade=9)] * 2) == (None, None)
    assert verdict_html(None) == verdict_text(None) == ""


def test_a_picture_too_small_to_be_read_has_none() -> None:
    side = SMALLEST_SIDE - 8
    assert verdicts_of(asked(), [flat(side, side, shade=9)]) == (None,)


def test_files_are_bounded_before_they_are_decoded(tmp_path: Path) -> None:
    from PIL import Image

    file = tmp_path / "a.png"
    Image.fromarray(flat(64, 64, shade=200)).save(file)
    (found,) = verdicts_of_files(asked(), [file], 64 * 64)
    assert found is not None
    assert verdicts_of_files(asked(), [file], 64 * 64 - 1) == (None,)
    assert decoded(tmp_path / "none.png", 10**6) is None
    assert np.array_equal(decoded(file, 10**6), flat(64, 64, shade=200))  # type: ignore[arg-type]


def test_the_line_says_what_was_asked_and_what_is_there() -> None:
    checks = (VerdictCheck("red circle", True), VerdictCheck("blue <square>", False, "blue star"))
    html = verdict_html(PictureVerdict(checks, ("large",)))
    assert "<b>Not as asked:</b> red circle <span" in html
    assert "blue &lt;square&gt; " in html
    assert "✗</span> (blue star); not judged: large" in html
    assert verdict_text(PictureVerdict(checks)) == "Not as asked: blue <square>"
    assert "<b>As asked:</b>" in verdict_html(PictureVerdict(checks[:1]))
