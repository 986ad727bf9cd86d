"""What every test runs under: no network, few threads, a skip with its reason where hardware is missing."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

# Set before torch, gradio or huggingface_hub is imported, and inherited by the processes that tests start.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
# The tensors here are small: more threads than this only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip `cuda` and `browser` tests where they cannot run, before their fixtures are made."""
    if item.get_closest_marker("cuda"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA GPU; torch sees none")
    if item.get_closest_marker("browser") and shutil.which("chromium") is None:
        if os.environ.get("SD3DEMO_REQUIRE_BROWSER") == "1":
            pytest.fail("SD3DEMO_REQUIRE_BROWSER=1, but there is no `chromium` on the PATH")
        pytest.skip("needs `chromium` on the PATH (Debian: apt-get install chromium)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what passed only when it was run again: each is a wait that a busy machine breaks."""
    if terminalreporter.config.option.collectonly:
        return
    again = [report.nodeid for report in terminalreporter.stats.get("rerun", [])]
    terminalreporter.write_line("\n".join([f"reruns: {len(again)}", *sorted(set(again))]))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a small random checkpoint of one of tests.checkpoints' kinds, once; answers with its folder."""
    from tests.checkpoints import KINDS, write_checkpoint, write_family

    written: dict[tuple[str, bool], Path] = {}

    def folder(kind: str = "sd3.5-medium", *, with_t5: bool = True) -> Path:
        if (kind, with_t5) not in written:
            place = tmp_path_factory.mktemp("checkpoint") / kind
            if kind in KINDS:
                write_checkpoint(place, KINDS[kind], with_t5=with_t5)
            else:
                write_family(place, kind)
            written[kind, with_t5] = place
        return written[kind, with_t5]

    return folder


@pytest.fixture
def shared_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine of the test has the embedded model from memory, where a test before has read it."""
    from sd3demo.engine import Engine
    from tests.shared_weights import fit_once, load_once

    monkeypatch.setattr(Engine.__init__, "__defaults__", (load_once,))
    monkeypatch.setattr("sd3demo.engine.run.engine.fit", fit_once)
