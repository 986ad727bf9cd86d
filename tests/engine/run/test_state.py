"""What a run keeps on its way: a trajectory's predictions; and pictures through a network of the user's."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sd3demo.engine import Engine, plan
from sd3demo.engine.events import Finished
from sd3demo.engine.run.state import Trajectory
from sd3demo.errors import Failure, Refusal
from sd3demo.flow.extrapolation.resampling import enlarged
from sd3demo.flow.solvers import At, Step
from sd3demo.settings.extrapolation import Extrapolation
from tests.engine.runs import EXACT, HERE

TIMES = (1.0, 0.6, 0.3)
SEEN = [torch.full((1, 1, 4, 4), float(k)) for k in (1, 2, 4)]


def trajectory() -> Trajectory:
    """Predictions 1, 2 and 4 at t = 1, 0.6 and 0.3."""
    made = Trajectory()
    for index, (t, x0) in enumerate(zip(TIMES, SEEN, strict=True)):
        x = torch.randn(1, 1, 4, 4)
        made(Step(At(t, index, 3), 0.0, x, (x - x0) / t, x, 1))
    return made


@pytest.mark.parametrize(
    ("t", "expected"), [(1.0, 1), (0.6, 2), (0.3, 4), (0.8, 1.5), (0.45, 3), (0.1, 4), (0.0, 4)]
)
def test_a_prediction_at_any_time_lies_between_its_neighbours(t: float, expected: float) -> None:
    found = trajectory().at(t, (4, 4))
    torch.testing.assert_close(found, torch.full((1, 1, 4, 4), float(expected)))


def test_a_prediction_comes_at_the_size_that_is_asked_for() -> None:
    made = Trajectory()
    x0 = torch.randn(2, 3, 4, 6)
    made(Step(At(1.0, 0, 1), 0.0, x0, torch.zeros_like(x0), x0, 1))
    torch.testing.assert_close(made.at(0.7, (8, 12)), enlarged(x0, (8, 12), "bicubic"))


class Tripled(nn.Module):
    """A stand-in for a super-resolution network: three times as large, and lighter by a little."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.input_channels = channels
        self.model = nn.Identity()

    def __call__(self, x: Tensor) -> Tensor:
        assert x.min() >= 0
        assert x.max() <= 1
        return x.repeat_interleave(3, -1).repeat_interleave(3, -2) * 0.5 + 0.5


@pytest.fixture
def spandrel(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The library's two names that are used, its files standing for nothing."""
    module = ModuleType("spandrel")
    module.__spec__ = ModuleSpec("spandrel", None)

    class Loader:
        def __init__(self, device: object) -> None: ...

        def load_from_file(self, file: str) -> object:
            text = Path(file).read_text()
            if text == "broken":
                raise ValueError("unknown architecture")
            return Tripled(1 if text == "grey" else 3)

    module.ModelLoader, module.ImageModelDescriptor = Loader, Tripled  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spandrel", module)
    return module


def by_network(file: Path) -> Finished:
    values = {
        "prompt": "red",
        "model": "exact",
        "steps": 2,
        "method": "super-resolution",
        "upscaler": str(file),
    }
    *_, last = Engine().run(plan(Extrapolation.model_validate(values), EXACT, HERE))
    assert isinstance(last, Finished)
    return last


def test_a_network_of_the_users_makes_the_picture_at_whatever_scale_it_has(
    spandrel: ModuleType, tmp_path: Path
) -> None:
    file = tmp_path / "model.pth"
    file.write_text("colour")
    found = by_network(file)
    native = found.arms["native"].pictures[0].astype(float)
    picture = found.arms["super-resolution"].pictures[0]
    assert picture.shape == (32, 32, 3)
    assert abs(picture.mean() - (native.mean() / 2 + 127.5)) < 2
    assert found.calls == found.arms["native"].calls


def test_a_network_of_the_users_enlarges_what_is_refined(spandrel: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    file.write_text("colour")
    values = {"prompt": "red", "model": "exact", "steps": 2, "method": "sr-refine"}
    pictures = []
    for upscaler in ("", str(file)):
        request = Extrapolation.model_validate(values | {"upscaler": upscaler})
        *_, last = Engine().run(plan(request, EXACT, HERE))
        assert isinstance(last, Finished)
        pictures.append(last.pictures[0])
    assert pictures[0].shape == pictures[1].shape == (32, 32, 3)
    assert not (pictures[0] == pictures[1]).all()


@pytest.mark.parametrize("content", ["broken", "grey"])
def test_a_file_that_is_no_such_network_fails_with_a_sentence(
    content: str, spandrel: ModuleType, tmp_path: Path
) -> None:
    file = tmp_path / "model.pth"
    file.write_text(content)
    with pytest.raises(Failure, match=r"model\.pth (cannot be read as|is no model)"):
        by_network(file)


def test_without_the_library_the_method_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.pth"
    file.write_text("colour")
    module = sys.modules["sd3demo.engine.plan.extrapolation"]  # the package gives the name to its function
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(Refusal, match=r"pip install 'sd3demo\[sr\]'"):
        by_network(file)


def test_pictures_are_rounded_to_bytes_and_cut_at_black_and_white() -> None:
    from sd3demo.engine.run.state import pixels

    image = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).expand(3, 1, 5)
    assert np.array_equal(pixels(image)[0, :, 0], [0, 0, 128, 255, 255])
