"""A picture of one's own on the page: small in the session, decoded in its run's turn, bounded before."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sd3demo.catalogue import find
from sd3demo.engine import Plan
from sd3demo.engine.events import Event, Pixels
from sd3demo.engine.input_image import own_of
from sd3demo.errors import Failure, Refusal
from sd3demo.settings import parse
from sd3demo.ui.context import Core
from sd3demo.ui.extrapolate.form import NAMES, opening
from sd3demo.ui.extrapolate.handlers import (
    ExtrapolationVisit,
    OwnPicture,
    is_wanted,
    open_picture,
    pressed,
    run,
)
from sd3demo.ui.run import own_picture
from sd3demo.ui.run.run_status import RunStatus
from sd3demo.ui.server.limits import Limits
from sd3demo.ui.server.line import Line
from tests.ui.fake_page import write_model


@pytest.fixture
def core(tmp_path: Path) -> Core:
    def run(plan: Plan, own: Pixels) -> Iterator[Event]:
        assert (plan.own_picture, own.shape) == (own_of(own).sha256, (60, 90, 3))
        raise Failure("the runs here are made up")
        yield

    line = Line(parse(Limits, {"picture_pixels": 2**20}))
    return Core((str(write_model(tmp_path / "model")),), run, line=line)


def values(core: Core) -> list[object]:
    model = core.models[0]
    few = {"prompt": "a red circle", "steps": 2, "large_steps": 2, "model": model}
    return [(opening(find(model)) | few)[name] for name in NAMES]


@pytest.fixture
def decoded(core: Core, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For each picture that is decoded, how many runs wait or go on."""
    seen: list[int] = []
    real = own_picture.read_own

    def read(*given: object) -> Pixels:
        seen.append(core.line.count)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(own_picture, "read_own", read)
    return seen


def asked(core: Core, own: OwnPicture) -> Iterator[tuple[RunStatus, list[object]]]:
    """The updates of a press of Enlarge."""
    visit = ExtrapolationVisit()
    pressed(False, RunStatus(), visit, own, *values(core))
    assert is_wanted(visit)
    return run(core, visit)


def test_a_picture_is_decoded_when_its_run_has_its_turn(
    core: Core, decoded: list[int], tmp_path: Path
) -> None:
    Image.new("RGB", (90, 60), "teal").save(tmp_path / "mine.png")
    _, own = open_picture(core, str(tmp_path / "mine.png"))
    assert isinstance(own, OwnPicture)
    assert len(pickle.dumps(own)) < 1000
    assert "90 × 60" in str(open_picture(core, str(tmp_path / "mine.png"))[0])
    before = core.line.join("another", 5.0)
    news = asked(core, own)
    next(news)  # it starts
    assert next(news)[0].text == "In the queue: one run before it, about 5 s"
    assert decoded == []
    core.line.leave(before)
    with pytest.raises(Failure, match="made up"):
        list(news)
    assert decoded == [1]
    assert core.line.count == 0


def test_a_large_one_is_refused_when_it_comes_and_when_it_was_changed_since(
    core: Core, decoded: list[int], tmp_path: Path
) -> None:
    file = tmp_path / "mine.png"
    Image.new("1", (8192, 8192)).save(file)
    said, own = open_picture(core, str(file))
    assert "“mine.png” is 8192 x 8192, 67 megapixels, and at most 1 are read here" in str(said)
    assert own is None
    assert decoded == []
    with pytest.raises(Refusal, match=r"“mine\.png” is 8192 x 8192"):
        list(asked(core, OwnPicture(str(file), 90, 60)))
    assert core.line.count == 0
