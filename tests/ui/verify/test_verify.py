"""What the Verify tab answers: a rerun beside the file and a plain sentence, or why there is none."""

import json
import struct
import zlib
from collections.abc import Generator
from functools import partial
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sd3demo.catalogue import find
from sd3demo.cli import main
from sd3demo.engine import Budget, plan
from sd3demo.history import RunStore, read_receipt, receipts_of, to_png, user_store
from sd3demo.history.receipts import KEYWORD, receipt_json
from sd3demo.settings import Request, parse
from sd3demo.ui import Core, core
from sd3demo.ui.context import prepare
from sd3demo.ui.controls import build
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.generate.handlers import GenerateHandlers
from sd3demo.ui.run.wiring import streamed
from sd3demo.ui.verify.tab import answer, cleared
from tests.checkpoints import KINDS, write_checkpoint
from tests.ui.fake_page import Rehearsal, finished
from tests.ui.generate.presses import pressed


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def rehearsed(tmp_path: Path) -> Core:
    return Core(("tiny",), Rehearsal().run, RunStore(tmp_path / "runs"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The second picture of two."""
    path = tmp_path / "picture.png"
    path.write_bytes(specimen())
    return path


def specimen(**settings: object) -> bytes:
    asked = parse(
        Request, {"prompt": "a red circle", "model": "tiny", "steps": 3, "count": 2, "seed": 8} | settings
    )
    made = plan(asked, find("tiny"), Budget())
    done = finished(made)
    return to_png(done.pictures[1], receipts_of(made.request, done)[1])


def checking(core: Core, file: Path | None, run: str = "") -> Generator[list[object], None, None]:
    """The updates of the tab: status, both pictures, verdict, and the place for the next one."""
    given = str(file) if file else None
    for _, *updates in streamed(partial(answer, core), titles(Request), 4, cleared, given, run):
        yield updates


def told(core: Core, file: Path | None, run: str = "") -> list[object]:
    """What stands on the tab at the end: status, both pictures, and the verdict."""
    shown: list[object] = ["", "", "", ""]
    for updates in checking(core, file, run):
        assert updates[-1] in (None, gr.skip())  # there is room for the next file
        shown = [old if new == gr.skip() else new for old, new in zip(shown, updates[:4], strict=True)]
    return shown


def repainted(file: Path, change: object) -> Path:
    """The same receipt over other pixels."""
    with Image.open(file) as image:
        pixels, info = np.array(image.convert("RGB")), PngInfo()
        info.add_text(KEYWORD, image.info[KEYWORD])
    change(pixels)  # type: ignore[operator]
    Image.fromarray(pixels).save(file, pnginfo=info)
    return file


def test_a_picture_that_is_what_it_says(rehearsed: Core, file: Path) -> None:
    status, left, right, verdict = told(rehearsed, file)
    assert "Done in" in str(status)
    assert "The file" in str(left)
    assert "Rerun" in str(right)
    assert "Difference map" not in str(right)
    assert "“picture.png” is what its receipt says: not one byte differs." in str(verdict)
    assert str(verdict).count("class='same'") == 3
    assert 'alt="The rerun, for: a red circle"' in str(right)


def test_a_repainted_picture_is_told_by_its_largest_difference(rehearsed: Core, file: Path) -> None:
    _, _, right, verdict = told(rehearsed, repainted(file, lambda pixels: pixels.__setitem__((5, 5, 1), 209)))
    assert "is not what its receipt makes: the largest difference is 200 of 255 levels" in str(verdict)
    assert "Difference map: under 1% of the pixels differ; white is 200 of 255 levels" in str(right)


def test_a_level_of_rounding_is_the_same_picture(rehearsed: Core, file: Path) -> None:
    _, _, right, verdict = told(rehearsed, repainted(file, lambda pixels: pixels.__setitem__((5, 5, 1), 10)))
    assert "the largest difference is 1 of 255 levels, as by rounding" in str(verdict)
    assert "white is 1 of 255 levels" in str(right)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"noise_sha256": "e" * 64}, "is not of the noise of its receipt"),
        ({"weights_sha256": "e" * 64}, "it is of another version of the model"),
    ],
)
def test_a_sound_receipt_of_other_noise_or_weights_is_told(
    change: dict[str, str], sentence: str, rehearsed: Core, file: Path
) -> None:
    """A forger who recomputes the digest is found by the rerun."""
    receipt = read_receipt(file).model_copy(update=change)
    with Image.open(file) as image:
        file.write_bytes(to_png(np.array(image.convert("RGB")), receipt))
    assert sentence in str(told(rehearsed, file)[3])


def huge(path: Path) -> None:
    """20 KB that would unfold to 100 megapixels, with a receipt that was meant for another picture."""
    with Image.open(path) as image:
        text = image.info[KEYWORD]
    info = PngInfo()
    info.add_text(KEYWORD, text)
    Image.new("1", (10_000, 10_000)).save(path, pnginfo=info)


def signed_and_huge(path: Path) -> None:
    """The same with a receipt that agrees."""
    receipt = read_receipt(path)
    request = receipt.request.model_copy(update={"width": 8192, "height": 8192})
    info = PngInfo()
    info.add_text(KEYWORD, receipt_json(receipt.model_copy(update={"request": request})))
    Image.new("1", (8192, 8192)).save(path, pnginfo=info)


def edited(path: Path) -> None:
    with Image.open(path) as image:
        values, pixels = json.loads(image.info[KEYWORD]), image.copy()
    values["request"]["prompt"] = "a blue square"
    info = PngInfo()
    info.add_text(KEYWORD, json.dumps(values))
    pixels.save(path, pnginfo=info)


def of_another_model(path: Path) -> None:
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    receipt = read_receipt(path)
    request = receipt.request.model_copy(update={"model": "/etc"})
    path.write_bytes(to_png(pixels, receipt.model_copy(update={"request": request})))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def lying(path: Path) -> None:
    """A header that says more than the data hold."""
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 100_000, 100_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.write_bytes(b""), "“picture.png” is not a PNG file"),
        (lambda path: path.write_bytes(b"GIF89a" + bytes(100)), "“picture.png” is not a PNG file"),
        (lambda path: Image.new("RGB", (64, 64)).save(path), "“picture.png” has no receipt"),
        (edited, "The receipt in “picture.png” was edited"),
        (huge, "“picture.png” has 10000 x 10000 pixels and its receipt says"),
        (signed_and_huge, "“picture.png” has 8192 x 8192 pixels, too many for this page"),
        (of_another_model, "The model is /etc, which is not offered on this page"),
        (cut, "“picture.png” is a damaged PNG file"),
        (lying, "“picture.png” has 100000 x 100000 pixels"),
    ],
)
def test_a_file_that_cannot_be_checked_gets_a_sentence_and_starts_nothing(
    spoil: object, sentence: str, rehearsed: Core, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(file)  # type: ignore[operator]
    monkeypatch.setattr(Image.Image, "convert", lambda *given: pytest.fail("it was decoded"))
    run = Rehearsal()
    status, left, _, verdict = told(Core(("tiny",), run.run), file)
    assert sentence in str(status)
    assert str(file) not in str(status)
    assert (left, verdict) == ("", "")
    assert run.ended == []


def test_a_refused_file_takes_away_what_stood_there_of_another_one(rehearsed: Core, file: Path) -> None:
    assert "not one byte differs" in str(told(rehearsed, file)[3])
    Image.new("RGB", (64, 64)).save(file)
    *_, last = checking(rehearsed, file)
    assert last[-1] is None  # there is room for the next file
    assert "has no receipt" in str(last[0])
    assert last[1:4] == ["", "", ""]


def test_a_picture_of_the_history_is_checked_by_its_link(rehearsed: Core) -> None:
    made = prepare({"prompt": "a red circle", "model": "tiny", "steps": 2, "count": 2}, rehearsed)
    assert rehearsed.history is not None
    kept = rehearsed.history.save(made.request, finished(made))
    assert "“1.png” is what its receipt says" in str(told(rehearsed, None, f"{kept.id}/1")[3])
    for bad in (f"{kept.id}/2", kept.id, f"{kept.id}/-1", f"{kept.id}/x", f"{kept.id}/../0"):
        assert "it must end in the place of one of its pictures" in str(told(rehearsed, None, bad)[0])
    for bad in (None, "../0", "/etc/passwd", "20200101-000000-00000000/0"):
        assert "There is no run" in str(told(rehearsed, None, bad)[0])
    alone = Core(("tiny",), Rehearsal().run)
    assert "This page keeps no history" in str(told(alone, None, f"{kept.id}/1")[0])


def test_closing_the_answer_ends_the_rerun(file: Path) -> None:
    run = Rehearsal()
    updates = checking(Core(("tiny",), run.run), file)
    while "Step 2" not in str(next(updates)[0]):
        assert run.ended == []
    updates.close()
    assert run.ended == ["closed"]


def test_the_page_and_the_command_line_verify_each_others_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(write_checkpoint(tmp_path / "model", KINDS["sd3-medium"]))
    page = core((model,), user_store())
    given = {"prompt": "a red circle", "model": model, "steps": 2, "count": 2, "seed": 5}
    values = build.values_of(parse(Request, given), find(model))
    answers = GenerateHandlers(page)
    list(pressed(answers, [values[name] for name in answers.names]))
    (kept,) = user_store().runs()
    for image in kept.images:
        assert main(["verify", str(image)]) == 0
    words = [part for name, value in given.items() if name != "prompt" for part in (f"--{name}", str(value))]
    assert main(["generate", "a red circle", *words, "--out", str(tmp_path / "mine.png")]) == 0
    capsys.readouterr()
    mine = tmp_path / "mine-2.png"
    assert mine.read_bytes() == kept.images[1].read_bytes()
    assert "not one byte differs" in str(told(page, mine)[3])
    assert len(user_store().runs()) == 2  # what the command line has made is in the page's history
