"""Image to image on the Generate tab and over HTTP: uploads, their size, and what is never opened."""

import base64
from pathlib import Path

import gradio as gr
import pytest

from sd3demo.catalogue import find
from sd3demo.errors import Refusal
from sd3demo.settings import FILES
from sd3demo.ui import Core
from sd3demo.ui.api.picture_inputs import sent_pictures
from sd3demo.ui.context import prepare
from sd3demo.ui.controls.deep_links import split
from sd3demo.ui.generate.handlers import GenerateHandlers
from sd3demo.ui.run.own_picture import OwnPicture
from sd3demo.ui.run.visit import Visit
from tests.pictures import draw_init, draw_mask
from tests.ui.fake_page import Rehearsal
from tests.ui.generate.presses import pressed


@pytest.fixture
def answers() -> GenerateHandlers:
    return GenerateHandlers(Core(("tiny",), Rehearsal().run))


def test_an_uploaded_picture_sets_the_size_and_starts_the_run(
    answers: GenerateHandlers, tmp_path: Path
) -> None:
    said, init, width, height = answers.open_init(str(draw_init(tmp_path, 128, 64)), "tiny")
    assert "128 × 64 px" in str(said)
    assert (width, height) == (88, 48)
    _, mask = answers.open_mask(str(draw_mask(tmp_path, 128, 64)))
    values = dict(answers.start({})) | {"prompt": "a", "steps": 2, "width": width, "height": height}
    visit = Visit()
    *_, (status, _) = pressed(answers, [*(values[name] for name in answers.names), init, mask], visit=visit)
    assert status.phase == "finished"
    assert visit.result is not None
    request = visit.result.request
    assert (request.width, request.height, len(request.mask_sha256)) == (88, 48, 64)


def test_what_is_no_picture_is_a_sentence_without_its_path(answers: GenerateHandlers, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    said, init, *sides = answers.open_init(str(tmp_path / "a.png"), "tiny")
    assert "“a.png” cannot be read as a picture" in str(said)
    assert (init, sides) == (None, [gr.skip(), gr.skip()])
    values = dict(answers.start({})) | {"prompt": "a", "width": 64, "height": 64}
    files = [OwnPicture(str(draw_init(tmp_path)), 64, 64), OwnPicture(str(draw_mask(tmp_path, 32)), 32, 64)]
    with pytest.raises(Refusal) as refusal:
        list(pressed(answers, [*(values[name] for name in answers.names), *files]))
    assert str(tmp_path) not in str(refusal.value)


def test_no_link_and_no_control_names_a_file(answers: GenerateHandlers) -> None:
    assert not set(FILES) & (set(answers.names) | set(answers.start({})))
    assert split("#/generate?init=a")[1] == {"init": "a"}  # which opens no control


def test_a_client_sends_the_content_of_its_pictures(tmp_path: Path) -> None:
    core, content = Core(("tiny",), Rehearsal().run), draw_init(tmp_path).read_bytes()
    text = base64.b64encode(content).decode()
    hashes = set()
    for sent in (text, f"data:image/png;base64,{text}"):
        with sent_pictures({"init": sent, "mask": None}) as files:
            made = prepare({"prompt": "a", "model": "tiny", **files}, core)
            hashes.add(made.request.init_sha256)
        assert not Path(files["init"]).exists()
    assert len(hashes) == 1
    assert find("tiny").native == made.request.width


@pytest.mark.parametrize("sent", ["/etc/passwd", "§", base64.b64encode(b"no picture").decode()])
def test_what_a_client_sends_is_no_name_of_a_file(sent: str) -> None:
    core = Core(("tiny",), Rehearsal().run)
    with pytest.raises(Refusal) as refusal, sent_pictures({"init": sent}) as files:
        prepare({"prompt": "a", "model": "tiny", **files}, core)
    assert "init" in str(refusal.value)
    assert "/tmp" not in str(refusal.value)
