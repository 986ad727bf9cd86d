"""Every method of extrapolation with every input: a picture of one's own, or the model's native one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd3demo.cli import main
from sd3demo.engine.run import sample
from sd3demo.errors import Failure
from sd3demo.flow.extrapolation.methods import METHODS
from tests.cli.test_cli import PROMPT, answer, files, home, model, refused

pytestmark = pytest.mark.usefixtures("shared_weights")

__all__ = ["home", "model"]  # fixtures

RUN = [name for name in METHODS if name != "super-resolution"]  # that one needs a network of the user's
RESAMPLED = [name for name in RUN if not METHODS[name].flows]
FOLLOWING = [name for name in RUN if "trajectory" in METHODS[name].needs]
QUICK = ("--steps", "2", "--scale", "2")


@pytest.fixture
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("own") / "photo.png"
    ramp = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    Image.fromarray(ramp).save(path)
    return str(path)


@pytest.mark.parametrize("method", RUN)
def test_every_method_enlarges_the_native_picture(
    method: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = answer(
        capsys, "extrapolate", PROMPT, "--model", model, *QUICK, "--method", method, "--out", "a.png"
    )
    assert values["images"] == {"native": "a-native.png", method: f"a-{method}.png"}
    with Image.open(values["images"][method]) as image:
        assert (image.size, "sd3demo" in image.info) == ((128, 128), True)
    assert values["run"]
    for arm in values["arms"].values():
        assert arm["flat_noise"][0] >= 0


@pytest.mark.parametrize("method", RUN)
def test_every_method_enlarges_a_picture_of_ones_own_or_says_why_not(
    method: str, model: str, picture: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the model did not make has no receipt and no run: it is a file and nothing else."""
    words = ("extrapolate", PROMPT, "--model", model, *QUICK, "--method", method, "--own", picture)
    if method in FOLLOWING:
        assert "a picture of one's own has none: try projected" in refused(capsys, *words)
        assert files(home) == []
        return
    if method in RESAMPLED:
        assert "out is missing" in refused(capsys, *words)
        assert files(home) == []
    values = answer(capsys, *words, "--out", "a.png")
    assert values["images"] == {method: f"a-{method}.png"}
    with Image.open(values["images"][method]) as image:
        assert (image.size, "sd3demo" in image.info) == ((128, 128), method not in RESAMPLED)
    assert (values["run"] is None) == (method in RESAMPLED)
    runs = home / "data" / "sd3demo" / "runs"
    assert len(list(runs.iterdir()) if runs.exists() else []) == (method not in RESAMPLED)


def test_a_comparison_from_a_picture_of_ones_own_writes_it_resampled_too(
    model: str, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("extrapolate", PROMPT, "--model", model, *QUICK, "--own", picture, "--compare")
    assert list(answer(capsys, *words)["images"]) == ["direct", "projected"]
    values = answer(capsys, *words, "--count", "2", "--out", "a.png")
    assert values["images"]["direct"] == ["a-direct-1.png", "a-direct-2.png"]
    assert set(values["images"]) == {"upsample", "direct", "projected"}
    assert all(Path(path).is_file() for path in paths(values["images"]))


def test_a_failure_with_nothing_generated_is_that_failure_alone(
    model: str, picture: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(step: object) -> None:
        raise Failure("the latent is not finite after step 1 of 2")

    monkeypatch.setattr(sample, "check_finite", fail)
    assert main(["extrapolate", PROMPT, "--model", model, *QUICK, "--own", picture, "--compare"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "the latent is not finite after step 1 of 2"
    assert files(home) == []


def paths(images: dict[str, str | list[str]]) -> Iterator[str]:
    for path in images.values():
        yield from [path] if isinstance(path, str) else path
