"""`sd3demo extrapolate`: pictures by method from one noise, each of which repeats itself; and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd3demo.cli import main
from sd3demo.engine.run import sample as flowing
from sd3demo.errors import Failure
from sd3demo.flow.solvers import Step
from tests.cli.test_cli import PROMPT, answer, files, home, model, refused

pytestmark = pytest.mark.usefixtures("shared_weights")

__all__ = ["home", "model"]  # fixtures

QUICK = ("--steps", "2", "--scale", "2")


def shown(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def test_a_comparison_writes_its_pictures_from_one_noise(
    model: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = answer(capsys, "extrapolate", PROMPT, "--model", model, *QUICK, "--compare")
    assert list(values["images"]) == ["native", "upsample", "direct", "projected"]
    sizes = {name: shown(path).shape for name, path in values["images"].items()}
    assert sizes == {
        "native": (64, 64, 3),
        "upsample": (128, 128, 3),
        "direct": (128, 128, 3),
        "projected": (128, 128, 3),
    }
    noise = {name: arm["noise_sha256"] for name, arm in values["arms"].items()}
    assert noise["direct"] == noise["projected"] == values["noise_sha256"]
    assert noise["upsample"] == noise["native"] != noise["direct"]
    calls = {name: arm["calls"] for name, arm in values["arms"].items()}
    assert values["calls"] == sum(calls.values())
    assert (calls["native"], calls["upsample"]) == (4, 0)
    assert values["request"]["scale"] == 2
    assert None not in values["request"].values()
    assert Path(values["images"]["direct"]).parent == home / "data" / "sd3demo" / "runs" / values["run"]


@pytest.mark.parametrize("method", ["projected", "hiflow"])
def test_one_method_gives_two_pictures(model: str, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model", model, *QUICK, "--method", method, "--out", "a.png")
    values = answer(capsys, "extrapolate", PROMPT, *words)
    assert values["images"] == {"native": "a-native.png", method: f"a-{method}.png"}


def test_every_picture_is_made_again_from_its_receipt(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model", model, *QUICK, "--compare", "--count", "2", "--preset", "release", "--seed", "5")
    values = answer(capsys, "extrapolate", PROMPT, *words)
    for paths in values["images"].values():
        assert len(paths) == 2
        found = answer(capsys, "verify", paths[1])
        assert found["max_abs_diff"] <= 1 / 255
        assert found["noise_equal"]
        assert found["weights_equal"]
        assert found["sigmas_equal"]


def test_a_preset_applies_where_nothing_else_is_said(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model", model, *QUICK, "--preset", "release", "--attention", "off")
    request = answer(capsys, "extrapolate", PROMPT, *words)["request"]
    assert request["strength"] == "cosine-shift"
    assert request["half_patch"]
    assert request["attention"] == "off"


def test_a_switch_that_is_off_gives_the_direct_picture(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--model", model, *QUICK, "--compare", "--strength", "off", "--half-patch")
    images = answer(capsys, "extrapolate", PROMPT, *words)["images"]
    assert np.array_equal(shown(images["direct"]), shown(images["projected"]))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--scale", "0.5"], "scale is 0.5; it must lie in [1, 16]"),
        (["--scale", "1.3"], "scale is 1.3, which makes 64 px into 83.2; sides must divide by 8: try 1.25"),
        (["--scale", "two"], "scale is two; it must lie in [1, 16]"),
        (["--start", "0"], "start is 0; it must lie in [0.01, 1]"),
        (["--width", "130"], "width is 130; sides must divide by 8"),
        (["--scale", "4", "--cascade", "2,3"], "cascade is 2,3, which ends at 3 times the native size"),
        (["--cascade", "up"], "cascade is 'up'; it must be straight or doubling"),
        (["--scale", "4", "--positions", "extend"], "positions is extend, which serves sides up to 128 px"),
        (["--method", "magic"], "unknown method 'magic'; choose one of projected, direct"),
        (["--methods", "direct,magic"], "unknown method 'magic'; choose one of projected, direct"),
        (["--strength", "hard"], "unknown strength 'hard'; choose one of paper"),
        (
            ["--preset", "theirs"],
            "unknown preset 'theirs'; choose one of paper-lumina, paper-flux, release, tuned",
        ),
        (["--method", "super-resolution"], "upscaler is missing"),
        (["--text-copies", "0"], "text_copies is 0; it must lie in [0.01, 256] or be auto"),
        (["--out", "a.jpg"], "out is a.jpg; pictures are PNG files"),
        (["--steps", "1000"], "steps is 1000; it must lie in [1, 100]"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    words: list[str], sentence: str, model: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in refused(capsys, "extrapolate", PROMPT, "--model", model, *words)
    assert files(home) == []


def test_a_stage_that_fails_keeps_what_was_finished(
    model: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(step: Step) -> None:
        if step.x.shape[-1] > 16:
            raise Failure("the latent is not finite after step 1 of 2")

    monkeypatch.setattr(flowing, "check_finite", fail)
    assert main(["extrapolate", PROMPT, "--model", model, *QUICK]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    last = said.err.splitlines()[-1]
    assert last.startswith(
        "the latent is not finite after step 1 of 2; what was finished, native, is kept in "
    )
    (run,) = (home / "data" / "sd3demo" / "runs").iterdir()
    assert last.endswith(str(run))
    assert shown(str(run / "native.png")).shape == (64, 64, 3)
    assert answer(capsys, "verify", str(run / "native.png"))["max_abs_diff"] == 0


def test_a_plan_of_an_extrapolation_names_its_stages(capsys: pytest.CaptureFixture[str]) -> None:
    values = answer(
        capsys, "plan", "--model", "sd3-medium", "--scale", "4", "--cascade", "doubling", "--vram", "24"
    )
    assert [stage["kind"] for stage in values["stages"]] == ["flow", "lift", "flow", "lift", "flow"]
    assert [stage["width"] for stage in values["stages"] if stage["kind"] == "flow"] == [1024, 2048, 4096]
    assert values["calls"] == sum(stage["calls"] for stage in values["stages"])
    assert not values["fits"]
    plain = answer(capsys, "plan", "--model", "sd3-medium", "--vram", "24")
    assert [stage["key"] for stage in plain["stages"]] == ["native"]
    assert "scale" not in plain["request"]


def test_every_setting_of_an_extrapolation_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    from sd3demo.settings.extrapolation import Extrapolation

    main(["extrapolate", "--help"])
    text = capsys.readouterr().out
    for name in set(Extrapolation.model_fields) - {"prompt"}:
        assert f"--{name.replace('_', '-')}" in text


def test_the_receipt_says_what_was_asked_for(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    values = answer(capsys, "extrapolate", PROMPT, "--model", model, *QUICK, "--cutoff", "0.4")
    with Image.open(values["images"]["projected"]) as image:
        receipt = json.loads(image.info["sd3demo"])
    assert receipt["request"] == values["request"] | {"model": Path(model).name}  # no path
    assert receipt["kind"] == "extrapolate"
    assert receipt["parent"]["kind"] == "generate"
    with Image.open(values["images"]["native"]) as image:
        native = json.loads(image.info["sd3demo"])
    assert {name: native[name] for name in receipt["parent"]} == receipt["parent"]
    assert receipt["request"]["cutoff"] == 0.4
    with Image.open(values["images"]["native"]) as image:
        assert "method" not in json.loads(image.info["sd3demo"])["request"]
