"""A picture of one's own in place of the native stage."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sd3demo.cli import main
from sd3demo.engine import Engine, Plan, plan
from sd3demo.engine.events import ArmFinished, Event, Finished, StageStarted, Stopped
from sd3demo.engine.input_image import own_of, read_own
from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.lowpass import haar
from sd3demo.flow.extrapolation.resampling import enlarged
from sd3demo.flow.solvers import Step
from sd3demo.settings.extrapolation import Extrapolation, method_arms
from tests.engine.runs import EXACT, HERE

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
WIDE = np.random.default_rng(1).integers(0, 256, (40, 80, 3), dtype=np.uint8)


def asked(**settings: object) -> Extrapolation:
    values = {"prompt": "red", "model": "exact", "cfg": 1, "shift": 1, "steps": 4, "scale": 2, **settings}
    return Extrapolation.model_validate(values)


def planned(*methods: str, own: np.ndarray = PICTURE, **settings: object) -> Plan:
    request = asked(**settings)
    return plan(request, EXACT, HERE, arms=method_arms(request, methods), own=own_of(own))


def carried(made: Plan, own: np.ndarray | None = PICTURE, **settings: object) -> list[Event]:
    return list(Engine().run(made, own=own, **settings))  # type: ignore[arg-type]


def test_the_guide_is_the_picture_that_was_given() -> None:
    steps: list[Step] = []
    events = carried(planned("upsample", strength="constant"), recorders=[steps.append])
    image = torch.from_numpy(PICTURE).permute(2, 0, 1)[None].float() / 127.5 - 1
    guide = enlarged(image, (32, 32), "bicubic")
    torch.testing.assert_close(haar(steps[-1].x_next, 1), haar(guide, 1), rtol=1e-4, atol=1e-4)
    assert [event.stage for event in events if isinstance(event, StageStarted)] == ["projected"]
    made = {event.arm: event for event in events if isinstance(event, ArmFinished)}
    assert np.array_equal(made["native"].pictures[0], PICTURE)
    assert made["upsample"].pictures[0].shape == (32, 32, 3)
    assert made["native"].noise_sha256 == made["upsample"].noise_sha256 == ()
    assert made["projected"].noise_sha256


def test_no_network_call_is_made_or_planned_for_it() -> None:
    made = planned()
    *_, last = carried(made)
    assert isinstance(last, Finished)
    assert last.calls == made.calls == 4


def test_the_larger_picture_keeps_its_proportions() -> None:
    made = planned(own=WIDE)
    assert made.request.width / made.request.height == pytest.approx(2, rel=0.1)
    *_, last = carried(made, WIDE)
    assert isinstance(last, Finished)
    assert last.pictures[0].shape[:2] == (made.request.height, made.request.width)


def test_a_batch_takes_it_for_each_picture() -> None:
    *_, last = carried(planned("direct", count=2))
    assert isinstance(last, Finished)
    assert len(last.arms["native"].pictures) == len(last.pictures) == 2


def test_a_request_that_was_resolved_asks_for_the_same_picture_again() -> None:
    made = planned()
    again = plan(made.request, EXACT, HERE)
    assert again.stages == made.stages
    assert again.own_picture == own_of(PICTURE).sha256
    for own, sentence in ((None, "own is missing"), (WIDE, "own is not the picture")):
        with pytest.raises(Refusal, match=sentence):
            carried(again, own)
    first, second = carried(made)[-1], carried(again)[-1]
    assert isinstance(first, Finished)
    assert isinstance(second, Finished)
    assert np.array_equal(first.pictures[0], second.pictures[0])


def test_a_picture_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(Refusal, match="the plan has a native stage instead"):
        carried(plan(asked(), EXACT, HERE))


def test_a_method_that_follows_the_native_run_is_refused() -> None:
    with pytest.raises(Refusal, match="method is hiflow, which follows the native run"):
        planned(method="hiflow")


def test_stop_works_here_too() -> None:
    events = carried(planned("direct"), stop=lambda: True)
    assert events[-1] == Stopped("native", 0)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 40, 3), np.uint8), np.zeros((16, 16), np.uint8), np.zeros((16, 160, 3), np.uint8)],
)
def test_what_cannot_stand_for_a_native_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(Refusal, match="the picture "):
        own_of(picture)


def test_a_file_is_read_as_it_is_seen(tmp_path: Path) -> None:
    """Without transparency, and turned as its camera says."""
    clear = np.zeros((16, 16, 4), np.uint8)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert (read_own(tmp_path / "clear.png") == 255).all()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(WIDE).save(tmp_path / "turned.jpg", exif=exif)
    assert read_own(tmp_path / "turned.jpg").shape == (80, 40, 3)


GREYS = np.arange(256, dtype=np.uint8).reshape(16, 16)
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK")
"""The modes in which Pillow opens PNG, JPEG and WebP files."""


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_a_picture_keeps_its_tones(mode: str, tmp_path: Path) -> None:
    file = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(GREYS.astype(np.uint16) * 257).save(file)
    else:
        words = {"quality": 100} if mode == "CMYK" else {}
        Image.fromarray(GREYS).convert(mode).save(file, **words)
    with Image.open(file) as image:
        assert image.mode == mode
        grey = np.array(image.convert("L")) if mode in ("1", "P", "CMYK") else GREYS
    apart = np.abs(read_own(file).astype(int) - grey[..., None])
    assert apart.max() <= (3 if mode == "CMYK" else 0)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(content)
    with pytest.raises(Refusal, match="cannot be read as a picture"):
        read_own(file)
    with pytest.raises(Refusal, match=r"there is no file .*nowhere\.png; give a PNG"):
        read_own(tmp_path / "nowhere.png")


def test_the_command_line_takes_a_file_and_verifies_with_it(
    checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    Image.fromarray(WIDE).save("own.png")
    words = ["--model", str(checkpoint("sd3.5-medium")), "--steps", "2", "--scale", "2", "--out", "a.png"]
    assert main(["extrapolate", "a circle", *words, "--own", "own.png", "--compare"]) == 0
    names = sorted(path.name for path in tmp_path.glob("a-*.png"))
    assert names == ["a-direct.png", "a-projected.png", "a-upsample.png"]  # the last without a receipt
    assert main(["verify", "a-projected.png"]) == 2
    assert "own is missing" in capsys.readouterr().err
    assert main(["verify", "a-projected.png", "--own", "own.png"]) == 0
