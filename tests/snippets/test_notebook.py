"""Notebooks are valid, and execute from a clean copy of what the repository tracks."""

import os
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from sd3demo.catalogue import find
from sd3demo.cli import main
from sd3demo.engine import Budget, plan
from sd3demo.history import read_receipt
from sd3demo.settings import Request, parse
from sd3demo.snippets.notebook import run_notebook, study_notebook
from sd3demo.studies.study import STUDIES
from tests.test_tree import ROOT

HTML = "<img src=x onerror=alert(1)> ``` # \"'\\ \n圆"


def requested(**settings: object) -> str:
    asked = parse(Request, {"prompt": "a red circle", "model": "tiny", "steps": 2, **settings})
    return run_notebook(plan(asked, find("tiny"), Budget()).request, noise_sha256="0" * 64)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git tracks, as they are now, and nothing else."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def executed(text: str, clone: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """All that a notebook prints and shows, as text, executed in the clone; pictures by their type."""
    monkeypatch.setenv("PYTHONPATH", str(clone))
    monkeypatch.setenv("XDG_DATA_HOME", str(clone / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    document = nbformat.reads(text, as_version=4)
    folder = {"metadata": {"path": str(clone)}}
    NotebookClient(document, timeout=300, kernel_name="python3", resources=folder).execute()
    outputs = [output for cell in document.cells for output in cell.get("outputs", ())]
    parts = [output.get("text", "") for output in outputs]
    parts += [f"{kind}: {value}" for output in outputs for kind, value in output.get("data", {}).items()]
    return "\n".join(parts)


@pytest.mark.parametrize("prompt", ["a red circle", HTML])
def test_a_notebook_of_a_run_is_valid(prompt: str) -> None:
    document = nbformat.reads(requested(prompt=prompt), as_version=4)
    nbformat.validate(document)
    for cell in document.cells:
        if cell.cell_type == "code":
            compile(cell.source, "cell", "exec")
    if prompt == HTML:  # it stands between fences that are longer than its own
        before, command, _ = document.cells[0].source.split("\n````\n")
        assert "<img" not in before
        assert "onerror=alert(1)> ```" in command


@pytest.mark.parametrize("name", STUDIES)
def test_a_notebook_of_a_study_is_valid(name: str) -> None:
    document = nbformat.reads(study_notebook(name, {}), as_version=4)
    nbformat.validate(document)
    assert name in document.cells[0].source


@pytest.mark.slow
def test_the_notebook_of_a_picture_makes_it_again_from_a_clean_clone(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, file = tmp_path / "picture.png", tmp_path / "run.ipynb"
    assert main(["generate", "a red circle", "--steps", "2", "--seed", "4", "--out", str(picture)]) == 0
    assert main(["notebook", str(picture), "--out", str(file)]) == 0
    said = executed(file.read_text(encoding="utf-8"), clone, monkeypatch)
    assert "True True" in said  # the receipt's noise and weights
    assert "of the pixels differ" in said
    assert said.count("image/png") == 3
    assert read_receipt(picture).noise_sha256 in file.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_notebook_of_a_study_executes_from_a_clean_clone(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "study.ipynb"
    words = ["notebook", "--study", "path-length", "--settings", '{"n": 1, "values": "2, 3"}']
    assert main([*words, "--out", str(file)]) == 0
    said = executed(file.read_text(encoding="utf-8"), clone, monkeypatch)
    assert "text/markdown: | steps" in said or "| steps |" in said
    assert "plotly" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give a PNG that sd3demo wrote or the name of a study with --study, and not both"),
        (["--study", "none"], "unknown study 'none'; choose one of path-length"),
        (["--study", "depth", "--settings", "{"], "settings is no JSON"),
        (["--study", "depth", "--settings", "[1]"], "settings is a list; give an object"),
        (["--study", "depth", "--settings", '{"m": 1}'], "unknown setting 'm'; choose one of"),
        (["none.png"], "cannot read none.png"),
        (["none.png", "--settings", "{}"], "settings are those of a study"),
        (["none.png", "--out", "run.py"], "a notebook is an .ipynb file, so give a name that ends in .ipynb"),
    ],
)
def test_what_is_no_notebook_is_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["notebook", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
