"""A picture says how it was made, and a file that only pretends to is refused before it is decoded."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sd3demo.errors import Refusal
from sd3demo.history import read_pixels, read_receipt, receipts_of, to_png
from sd3demo.history.receipts import KEYWORD, SIGNATURE, receipt_from, receipt_json
from tests.engine.runs import EXACT, exactly, run

RAN = run(exactly("red", count=2, steps=3), EXACT)
RECEIPT = receipts_of(RAN.plan.request, RAN.finished)[1]
PIXELS = RAN.finished.pictures[1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(to_png(PIXELS, RECEIPT))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(Refusal) as caught:
        read_receipt(path)
    return str(caught.value)


def with_text(path: Path, *texts: str) -> Path:
    """The same pixels with other receipts."""
    info = PngInfo()
    for text in texts:
        info.add_text(KEYWORD, text)
    Image.fromarray(PIXELS).save(path, pnginfo=info)
    return path


def edited(change: Callable[[dict], object]) -> str:
    values = json.loads(receipt_json(RECEIPT))
    change(values)
    return json.dumps(values)


def test_what_was_written_is_read(file: Path) -> None:
    receipt = read_receipt(file)
    assert receipt == RECEIPT
    assert np.array_equal(read_pixels(file, receipt), PIXELS)


def test_a_receipt_holds_what_it_takes_to_make_the_picture_again() -> None:
    assert RECEIPT.request == RAN.plan.request
    assert RECEIPT.sigmas == RAN.plan.sigmas
    assert RECEIPT.noise_sha256 == RAN.finished.noise_sha256[1]
    assert RECEIPT.weights_sha256 == RAN.finished.weights_sha256
    assert {"sd3demo", "torch", "diffusers"} <= set(RECEIPT.versions)


def test_any_program_reads_the_receipt_as_json(file: Path) -> None:
    with Image.open(file) as image:
        assert json.loads(image.info["sd3demo"])["request"]["prompt"] == "red"


def test_a_prompt_in_any_script_survives(tmp_path: Path) -> None:
    request = RAN.plan.request.model_copy(update={"prompt": 'красный 圆 🐴 "quoted"\nline'})
    path = tmp_path / "a.png"
    path.write_bytes(to_png(PIXELS, receipts_of(request, RAN.finished)[0]))
    assert read_receipt(path).request.prompt == request.prompt


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a PNG"),
        (b"GIF89a", "is not a PNG"),
        (SIGNATURE, "is a damaged PNG"),
        (SIGNATURE + b"\0\0", "is a damaged PNG"),
        (SIGNATURE + struct.pack(">I4s", 2**31, b"tEXt") + b"short", "is a damaged PNG"),
        (SIGNATURE + struct.pack(">I4s", 0, b"IEND") + b"\0\0\0\0", "is a damaged PNG"),
        (SIGNATURE + struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND")), "has no receipt"),
    ],
)
def test_a_file_that_is_no_picture_of_ours_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    assert sentence in refusal(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "no.png")
    assert "cannot read" in refusal(tmp_path)


@pytest.mark.parametrize("cut", [10, 40, 200, -1, -13])
def test_a_truncated_picture_is_refused(file: Path, cut: int) -> None:
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(Refusal):
        read_pixels(file, read_receipt(file))


def test_a_picture_saved_by_another_program_has_no_receipt(file: Path, tmp_path: Path) -> None:
    with Image.open(file) as image:
        image.save(tmp_path / "saved.png")
    assert "has no receipt; give a PNG that sd3demo wrote" in refusal(tmp_path / "saved.png")


def test_two_receipts_are_none(tmp_path: Path) -> None:
    text = receipt_json(RECEIPT)
    assert "has 2 receipts" in refusal(with_text(tmp_path / "a.png", text, text))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is not a JSON object"),
        ("{}", "has no format number; it was damaged or forged"),
        (edited(lambda v: v["request"].update(seed=5)), "was edited"),
        (edited(lambda v: v["request"].update(prompt="blue")), "was edited"),
        (edited(lambda v: v.update(noise_sha256="0" * 64)), "was edited"),
        (edited(lambda v: v["request"].update(steps=10**9)), "was edited"),
        (edited(lambda v: v["request"].update(cfg=float("nan"))), "was edited"),
        (edited(lambda v: v["request"].update(command="rm")), "was edited"),
        (edited(lambda v: v.update(sigmas=[1.0] * 10_000)), "was edited"),
        (edited(lambda v: v.update(format=1)), "was edited"),
        (edited(lambda v: v.pop("request")), "was edited"),
        (edited(lambda v: v.pop("digest")), "was edited"),
        (edited(lambda v: v.update(format=True)), "has no format number"),
    ],
)
def test_a_receipt_that_was_edited_or_forged_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    assert sentence in refusal(with_text(tmp_path / "a.png", text))


def test_a_flipped_bit_in_the_receipt_is_found_by_the_chunks_own_check(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(b"noise_sha256") + 20] ^= 1
    file.write_bytes(content)
    assert "is a damaged PNG" in refusal(file)


def test_a_picture_of_another_size_than_its_receipt_says_is_never_decoded(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[16:24] = struct.pack(">II", 100_000, 100_000)  # IHDR's width and height
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    file.write_bytes(content)
    assert "has 100000 x 100000 pixels and its receipt says 16 x 16" in refusal(file)


def test_a_receipt_is_of_one_picture_in_a_batch() -> None:
    assert [receipt.picture for receipt in receipts_of(RAN.plan.request, RAN.finished)] == [0, 1]
    assert receipt_from(json.loads(receipt_json(RECEIPT)), "it").picture == 1
