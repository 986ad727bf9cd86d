"""A broken compiler's cache is cleared and filled again, once; other errors are nobody's but their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sd3demo.training.compiled import FOLDER, Compiled, Eager, Forward, of_compiling


class Cut:
    """Stands for torch.compile: a cache with a library cut short in it fails at every call."""

    def __init__(self, cache: Path, error: Exception) -> None:
        self.shared_object, self.error, self.compiled = cache / "ab" / "library.so", error, 0

    def __call__(self, module: nn.Module, *, dynamic: bool) -> Forward:
        self.compiled += 1

        def forward(x: torch.Tensor) -> torch.Tensor:
            if self.shared_object.exists():
                raise self.error
            return module(x)

        return forward


def _cut(monkeypatch: pytest.MonkeyPatch, cache: Path, error: Exception) -> Cut:
    monkeypatch.setenv(FOLDER, "elsewhere")
    compiler = Cut(cache, error)
    compiler.shared_object.parent.mkdir(parents=True)
    compiler.shared_object.write_bytes(b"\x7fELF")
    monkeypatch.setattr(torch, "compile", compiler)
    return compiler


def test_a_library_cut_short_is_cleared_and_compiled_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = _cut(monkeypatch, tmp_path / "compiled", ImportError("library.so: invalid ELF header"))
    network = Compiled(nn.Identity(), tmp_path / "compiled")
    assert network.run(lambda forward: forward(torch.ones(2))).tolist() == [1, 1]
    assert (compiler.compiled, compiler.shared_object.exists()) == (2, False)
    assert os.environ[FOLDER] == str(tmp_path / "compiled")


def test_what_fails_again_after_that_is_raised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = _cut(monkeypatch, tmp_path / "compiled", ImportError("library.so: invalid ELF header"))
    network = Compiled(nn.Identity(), tmp_path / "compiled")

    def step(forward: Forward) -> None:
        compiler.shared_object.parent.mkdir(parents=True, exist_ok=True)
        compiler.shared_object.write_bytes(b"\x7fELF")
        forward(torch.ones(2))

    with pytest.raises(ImportError, match="invalid ELF header"):
        network.run(step)
    assert compiler.compiled == 2


def test_an_error_of_the_step_itself_clears_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = _cut(monkeypatch, tmp_path / "compiled", ValueError("shapes do not fit"))
    with pytest.raises(ValueError, match="shapes do not fit"):
        Compiled(nn.Identity(), tmp_path / "compiled").run(lambda forward: forward(torch.ones(2)))
    assert (compiler.compiled, compiler.shared_object.exists()) == (1, True)


def test_the_cause_of_an_error_counts() -> None:
    wrapped = RuntimeError("while compiling")
    assert not of_compiling(wrapped)
    wrapped.__cause__ = OSError("file too short")
    assert of_compiling(wrapped)


def test_without_compiling_the_module_itself_is_called() -> None:
    module = nn.Linear(2, 2)
    assert Eager(module).run(lambda forward: forward) is module


STEP = """
import sys
from pathlib import Path
import torch
from torch import nn
from sd3demo.training.compiled import Compiled
network = Compiled(nn.Sequential(nn.Linear(8, 8), nn.SiLU()), Path(sys.argv[1]))
network.run(lambda forward: forward(torch.ones(4, 8)).sum().backward())
print("cleared" if network._cleared else "found")
"""


@pytest.mark.slow
def test_libraries_that_are_really_cut_short_are_compiled_again(tmp_path: Path) -> None:
    def run() -> str:
        command = [sys.executable, "-c", STEP, str(tmp_path)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        return ran.stdout.strip()

    assert run() == "found"
    for library in tmp_path.rglob("*.so"):
        whole = library.read_bytes()
        library.unlink()  # not written over: that would change the compiler's copies of it, too
        library.write_bytes(whole[: len(whole) // 2])
    assert run() == "cleared"
    assert run() == "found"
