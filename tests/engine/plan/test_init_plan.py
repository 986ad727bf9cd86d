"""What a plan says of a run from a picture, and what it refuses in one sentence."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Plan, plan
from sd3demo.errors import Refusal
from sd3demo.flow.grids import time_grid
from sd3demo.settings import Request, identity, parse, times_from
from sd3demo.settings.extrapolation import Extrapolation
from tests.pictures import draw_init, draw_mask


def planned(**settings: object) -> Plan:
    kind = Extrapolation if "scale" in settings else Request
    return plan(parse(kind, {"prompt": "a", "model": "tiny", **settings}), find("tiny"), Budget())


def test_a_plan_says_how_many_steps_are_run_and_from_where(tmp_path: Path) -> None:
    init = str(draw_init(tmp_path))
    made = planned(init=init, image_strength=0.6, steps=28, shift=3)
    times = [t for t in time_grid(28, 3.0, made.request.schedule) if t < 0.6]
    assert made.sigmas == (0.6, *times)
    assert f"of 28 steps {len(times)} will be run, from t = 0.6" in made.notes
    assert [stage.kind for stage in made.stages] == ["given", "lift", "flow"]
    assert (made.request.init, len(made.request.init_sha256)) == ("", 64)


@pytest.mark.parametrize(
    ("strength", "steps", "run"), [(0.6, 28, 17), (1, 28, 28), (0.01, 28, 1), (0.5, 7, 4)]
)
def test_a_share_of_steps_is_counted_as_diffusers_counts_it(strength: float, steps: int, run: int) -> None:
    times = tuple(float(t) for t in time_grid(steps, 3.0))
    assert times_from(times, strength, "steps") == times[steps - run :]


def test_a_request_without_a_picture_has_the_identity_that_it_had() -> None:
    assert identity(Request(prompt="a red circle", seed=3)) == identity(
        Request(prompt="a red circle", seed=3, init="", mask="", image_strength=0.6, strength_as="time")
    )
    assert not planned().request.init_sha256


def test_pictures_of_another_size_are_scaled_and_said_to_be_stretched(tmp_path: Path) -> None:
    init = str(draw_init(tmp_path, 100, 50))
    made = planned(init=init, width=64, height=64)
    assert made.init is not None
    assert made.init.pixels.shape == (64, 64, 3)
    assert any("stretched" in note for note in made.notes)
    assert not any("stretched" in note for note in planned(init=init, width=64, height=32).notes)


def test_a_strength_without_a_picture_changes_nothing_and_is_said() -> None:
    assert any("image_strength changes nothing" in note for note in planned(image_strength=0.5).notes)


BAD = {
    "mask of another size": ({"init": (64, 64), "mask": (32, 64)}, "mask is 32 x 64 and init 64 x 64"),
    "mask alone": ({"mask": (64, 64)}, "mask is given without init"),
    "size": ({"init": (60, 44)}, "init is 60 x 44; tiny makes sides that divide by 8"),
    "too large": ({"init": (2000, 1600)}, "give width 72 and height 56"),
    "strength 0": ({"init": (64, 64), "image_strength": 0}, "image_strength is 0; it must lie in [0.01, 1]"),
    "strength 2": ({"init": (64, 64), "image_strength": 2}, "image_strength is 2; it must lie in [0.01, 1]"),
    "strip": ({"init": (8, 800)}, "its sides must lie in"),
    "enlarged strength": ({"init": (64, 64), "image_strength": 2, "scale": 2}, "it must lie in [0.01, 1]"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused_by_the_plan(tmp_path: Path, name: str) -> None:
    given, words = BAD[name]
    draw = {"init": draw_init, "mask": draw_mask}
    settings = {
        key: str(draw[key](tmp_path, *value)) if isinstance(value, tuple) else value
        for key, value in given.items()
    }
    with pytest.raises(Refusal) as refusal:
        planned(**settings)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_picture_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    for name, words in (("bad.png", "cannot be read as a picture"), ("none.png", "there is no file")):
        with pytest.raises(Refusal, match=words):
            planned(init=str(tmp_path / name))


def test_a_black_mask_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(Refusal, match="no white pixel"):
        planned(init=str(draw_init(tmp_path)), mask=str(tmp_path / "black.png"))


def test_a_resolved_request_asks_for_its_picture_again(tmp_path: Path) -> None:
    init, other = draw_init(tmp_path), draw_mask(tmp_path)
    request = planned(init=str(init)).request
    with pytest.raises(Refusal, match="init is missing"):
        plan(request, find("tiny"), Budget())
    with pytest.raises(Refusal, match="not the picture"):
        plan(request.model_copy(update={"init": str(other)}), find("tiny"), Budget())
    again = plan(request.model_copy(update={"init": str(init)}), find("tiny"), Budget())
    assert again.request == request
