"""The tray without a browser: what can be pinned, what two pictures say of each other, what is refused."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, plan
from sd3demo.errors import Refusal
from sd3demo.history import receipts_of, to_png
from sd3demo.settings import Request, parse
from sd3demo.ui import Core
from sd3demo.ui.compare.handlers import OTHER_SHAPE, CompareHandlers
from sd3demo.ui.compare.pinned import pinned_picture
from sd3demo.ui.run.run_status import RunStatus
from sd3demo.ui.run.visit import Visit
from sd3demo.ui.server.gradio_internals import source_of, write_served_file
from sd3demo.ui.server.limits import AT_HOME
from sd3demo.ui.server.line import Line
from tests.ui.fake_page import Rehearsal, finished

HTML = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))


@pytest.fixture
def answers() -> CompareHandlers:
    return CompareHandlers(Core(("tiny", "tiny-3"), Rehearsal().run))


def content(prompt: str = "a red circle", **settings: object) -> bytes:
    asked = plan(parse(Request, {"prompt": prompt, "model": "tiny", **settings}), find("tiny"), Budget())
    done = finished(asked)
    return to_png(done.pictures[0], receipts_of(asked.request, done)[0])


def picture(prompt: str = "a red circle", **settings: object) -> str:
    """The address of a picture on the page."""
    return write_served_file(content(prompt, **settings), "a.png").source


def press(answers: CompareHandlers, visit: Visit, **what: object) -> str:
    return answers.act(visit, SimpleNamespace(**what))  # type: ignore[arg-type]


def test_one_picture_waits_for_another_and_two_are_compared(answers: CompareHandlers) -> None:
    visit = Visit()
    one = picture(seed=1)
    html = press(answers, visit, act="pin", source=one)
    assert "Pin another picture" in html
    assert 'class="room"' not in html
    two = picture(seed=1, cfg=1)
    html = press(answers, visit, act="pin", source=two)
    assert visit.pair == (one, two)
    assert "A: CFG scale 4" in html
    assert "B: CFG scale 1" in html
    rows = re.findall('<th scope="row">([^<]+)</th><td>([^<]+)</td><td>([^<]+)</td>', html)
    assert rows == [("CFG scale", "4", "1")]
    assert "The two pictures are equal" in html  # the made-up run draws by the seed alone


def test_different_pictures_have_a_map_and_those_of_other_shapes_a_sentence(answers: CompareHandlers) -> None:
    visit = Visit()
    one, two, wide = picture(seed=1), picture(seed=90), picture(seed=1, width=96)
    press(answers, visit, act="pin", source=one)
    html = press(answers, visit, act="pin", source=two)
    assert "difference.png" in html
    assert "100% of the pixels differ" in html
    html = press(answers, visit, act="pin", source=wide)
    assert OTHER_SHAPE in html
    html = press(answers, visit, act="pair", left=two, right=one)
    assert "difference.png" in html
    assert visit.pair == (two, one)


def test_a_second_press_of_pin_takes_a_picture_out(answers: CompareHandlers) -> None:
    visit, one = Visit(), picture()
    press(answers, visit, act="pin", source=one)
    assert press(answers, visit, act="pin", source=one) == ""
    press(answers, visit, act="pin", source=one)
    press(answers, visit, act="pin", source=picture(seed=4))
    press(answers, visit, act="unpin", source=one)
    assert [each.request.seed for each in visit.pinned] == [4]
    assert press(answers, visit, act="clear") == ""


@pytest.mark.parametrize(
    "source", ["", "x", "gradio_api/file=/etc/passwd", "gradio_api/file=../../x.png", "gradio_api/file=%00"]
)
def test_no_other_file_of_the_machine_can_be_pinned(source: str, answers: CompareHandlers) -> None:
    visit = Visit()
    html = press(answers, visit, act="pin", source=source)
    assert "is no file of this page any more" in html
    assert "/etc" not in html
    assert visit.pinned == ()


def test_a_file_beside_the_served_ones_cannot_be_pinned(answers: CompareHandlers, tmp_path: Path) -> None:
    beside = tmp_path / "beside.png"
    beside.write_bytes(content())
    with pytest.raises(Refusal, match="no file of this page"):
        pinned_picture(source_of(str(beside)), ("tiny",), AT_HOME)


def test_a_picture_without_a_receipt_is_a_sentence_without_its_path(
    answers: CompareHandlers, tmp_path: Path
) -> None:
    source = write_served_file(b"\x89PNG\r\n\x1a\n", "own.png").source
    html = press(answers, Visit(), act="pin", source=source)
    assert "“own.png” is a damaged PNG file" in html
    assert str(tmp_path) not in html


def test_a_picture_beyond_the_limit_is_pinned_and_not_decoded() -> None:
    limits = AT_HOME.model_copy(update={"picture_pixels": 64 * 64 - 1})
    answers = CompareHandlers(Core(("tiny",), Rehearsal().run, line=Line(limits)))
    visit = Visit()
    for seed in (1, 2):
        html = press(answers, visit, act="pin", source=picture(seed=seed))
    assert [each.verdict for each in visit.pinned] == [None, None]
    assert "cannot be read any more" in html


def test_a_pinned_picture_has_its_verdict(answers: CompareHandlers) -> None:
    visit = Visit()
    press(answers, visit, act="pin", source=picture("a red circle"))
    press(answers, visit, act="pin", source=picture("a cat"))
    red, cat = visit.pinned
    assert red.verdict is not None
    assert not red.verdict.passed  # it is a grey plane
    assert cat.verdict is None


def test_html_in_a_prompt_is_text(answers: CompareHandlers) -> None:
    visit = Visit()
    press(answers, visit, act="pin", source=picture(HTML))
    html = press(answers, visit, act="pin", source=picture("plain"))
    assert HTML not in html
    assert html.count("alt=") == html.count("<img")


def test_a_twin_pins_its_original_and_waits_for_its_run(answers: CompareHandlers) -> None:
    visit, source = Visit(), picture(seed=7)
    event = SimpleNamespace(twin="cfg-1", source=source)
    status, html = answers.twin(RunStatus(), visit, event)  # type: ignore[arg-type]
    assert status.phase == "waiting"  # type: ignore[attr-defined]
    (press_,) = visit.waiting
    assert press_.request is not None
    assert (press_.request.cfg, press_.request.seed) == (1, 7)
    assert (press_.changed, press_.original_source) == ("CFG scale 4 → 1", source)
    assert [each.file.source for each in visit.pinned] == [source]
    status, html = answers.twin(RunStatus(), visit, SimpleNamespace(twin="no", source=source))  # type: ignore[arg-type]
    assert "no twin" in str(html)
    assert status.phase == "failed"  # type: ignore[attr-defined]
