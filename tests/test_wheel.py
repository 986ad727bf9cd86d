"""The wheel alone is enough: installed outside the clone, with no network, it generates a picture."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


def run(*words: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that finds this wheel first; its dependencies are those of the tests."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, "--target", str(site), str(wheel), cwd=site)
    return {**os.environ, "PYTHONPATH": str(site), "HF_HOME": str(site / "empty")}


def test_the_wheel_holds_what_runs_the_licence_and_neither_tests_nor_screenshots(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assets = [path.relative_to(ROOT) for path in ROOT.glob("assets/**/*") if path.is_file()]
    for_the_readme = {path for path in assets if path.match("assets/screens/*") or path.name == "samples.png"}
    assert {f"sd3demo/_{path.as_posix()}" for path in set(assets) - for_the_readme} <= names
    assert not {f"sd3demo/_{path.as_posix()}" for path in for_the_readme} & names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"sd3demo"}


def test_a_picture_is_generated_outside_the_clone_from_the_model_in_the_wheel(
    installed: dict[str, str], tmp_path: Path
) -> None:
    where = "import sd3demo; print(sd3demo.__file__)"
    assert run(sys.executable, "-c", where, cwd=tmp_path, env=installed).startswith(installed["PYTHONPATH"])

    words = ["-m", "sd3demo", "generate", "a red circle", "--model", "tiny", "--steps", "3", "--seed", "7"]
    out = run(sys.executable, *words, "--out", "circle.png", "--json", cwd=tmp_path, env=installed)
    result = json.loads(out.splitlines()[-1])
    assert len(result["sigmas"]) == 4
    assert result["sigmas"][-1] == 0
    (path,) = result["images"]
    assert (tmp_path / path).samefile(tmp_path / "circle.png")
    with Image.open(tmp_path / path) as image:
        assert json.loads(image.info["sd3demo"])["noise_sha256"]
        assert len(image.convert("RGB").getcolors(image.width * image.height) or []) > 1, "one flat colour"
