"""Two processes with a share of the tokens each give what one process gives."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sd3demo.catalogue import CATALOGUE
from sd3demo.engine import plan
from sd3demo.engine.plan.ranks import leads, world_size
from sd3demo.errors import Refusal
from sd3demo.settings import Request
from tests.engine.runs import HERE
from tests.models.context_parallel_worker import velocities

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

Checkpoint = Callable[..., Path]


def two_processes(*words: str) -> subprocess.CompletedProcess[str]:
    found = subprocess.run(
        [sys.executable, *TORCHRUN, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sd3-medium", "sd3.5-medium", "flux-dev"])
def test_two_processes_give_the_velocity_of_one(checkpoint: Checkpoint, tmp_path: Path, kind: str) -> None:
    folder, out = str(checkpoint(kind)), tmp_path / "found.pt"
    two_processes("tests.models.context_parallel_worker", folder, str(out))
    found = torch.load(out)
    with torch.inference_mode():
        expected = dict(velocities(folder))
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sd3.5-medium", "flux-dev"])
def test_torchrun_writes_the_picture_once(checkpoint: Checkpoint, tmp_path: Path, kind: str) -> None:
    words = ["a red circle", "--model", str(checkpoint(kind)), "--steps", "2", "--runs", "off"]
    words += ["--scale", "2", "--device", "cpu", "--width", "128", "--height", "128"]
    pictures = []
    for name, launcher in (("two.png", [sys.executable, *TORCHRUN]), ("one.png", [sys.executable])):
        found = subprocess.run(
            [*launcher, "-m", "sd3demo", "extrapolate", *words, "--out", str(tmp_path / name)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert found.returncode == 0, found.stderr
        assert found.stdout.count("projected") == 2  # the method, and its file
        with Image.open(tmp_path / name.replace(".png", "-projected.png")) as image:
            pictures.append(np.array(image).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "8")  # as batch systems set it for reasons of their own
    monkeypatch.setenv("RANK", "3")
    assert (world_size(), leads()) == (1, True)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert (world_size(), leads()) == (8, False)


@pytest.mark.parametrize(
    ("name", "changed", "sentence"),
    [
        ("lumina-next", {}, "torchrun started 2 processes, and lumina-next runs on one device"),
        ("sd3-medium", {"placement": "streamed"}, "placement is streamed; on several devices"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, changed: dict[str, object], sentence: str
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Refusal, match=sentence):
        plan(Request.model_validate({"prompt": "a", "model": name, **changed}), CATALOGUE[name], HERE)
    assert plan(Request(prompt="a", model="flux-dev"), CATALOGUE["flux-dev"], HERE)
