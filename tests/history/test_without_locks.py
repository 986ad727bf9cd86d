"""A system without fcntl, such as Windows: everything imports, and leftovers are known by their age."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sd3demo.history import RunStore, atomic_write
from tests.engine.runs import EXACT, exactly, run

ROOT = Path(__file__).resolve().parents[2]
RAN = run(exactly("red", steps=3), EXACT)
UNIX_ONLY = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog")

# The libraries come first: what they do without is theirs.
IMPORT_ALL = f"""
import importlib, pkgutil, sys
import diffusers, gradio, huggingface_hub, plotly, scipy, torch, transformers
for name in {UNIX_ONLY!r}:
    sys.modules[name] = None
import sd3demo
names = [found.name for found in pkgutil.walk_packages(sd3demo.__path__, "sd3demo.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names), sd3demo.history.atomic_write.fcntl)
"""


@pytest.mark.slow
def test_every_module_imports_where_the_modules_of_unix_are_missing() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    count, fcntl = done.stdout.split()
    assert int(count) > 150
    assert fcntl == "None"


def test_runs_are_saved_and_old_leftovers_deleted_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic_write, "fcntl", None)
    store = RunStore(tmp_path)
    abandoned, recent = tmp_path / ".new-abandoned", tmp_path / ".new-recent"
    for folder in (abandoned, recent):
        folder.mkdir()
    long_ago = time.time() - 2 * atomic_write.ABANDONED
    os.utime(abandoned, (long_ago, long_ago))
    kept = store.save(RAN.plan.request, RAN.finished)
    assert [run.images for run in store.runs()] == [kept.images]
    assert (abandoned.exists(), recent.exists()) == (False, True)
