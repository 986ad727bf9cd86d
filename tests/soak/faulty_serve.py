"""`python -m tests.soak.faulty_serve serve ...`: the program, with faults at a phase on demand.

SOAK_FAULT names a file that says which: `PHASE ACTION TIMES`, read anew at each phase. SOAK_WATCH names a
file for what the process does outside of SOAK_STORE: files that it writes, programs that it starts and
connections that it makes, by Python's audit events.
"""

import errno
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal, get_args

Phase = Literal["load", "encode", "denoise", "decode", "serve", "save"]
PHASES: tuple[Phase, ...] = get_args(Phase)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "os.mkdir",
    "os.remove",
    "os.rmdir",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.truncate",
}
PROGRAMS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn"}
LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0")
SYSTEM = ("/dev/", "/proc/")  # what any program writes to


def watch(report: Path, stores: tuple[str, ...]) -> None:
    """Write a line for whatever is done outside of the stores from now on."""
    told = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def outside(path: object) -> bool:
        if isinstance(path, int) or path is None:
            return False
        full = os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]
        return not full.startswith((*SYSTEM, *stores))

    def see(event: str, given: tuple[Any, ...]) -> None:
        text = ""
        if event == "open" and isinstance(given[2], int) and given[2] & WRITES and outside(given[0]):
            text = f"writes {given[0]!r}"
        elif event in PROGRAMS or (event in CHANGES and any(map(outside, _paths(given)))):
            text = f"{event} {given!r}"
        elif event == "socket.connect" and isinstance(given[1], tuple) and given[1][0] not in LOCAL:
            text = f"connects to {given[1]!r}"
        if text:
            os.write(told, f"{text[:300]}\n".encode(errors="replace"))

    sys.addaudithook(see)


def _paths(given: tuple[Any, ...]) -> list[Any]:
    return [each for each in given if isinstance(each, str | bytes)]


class Faults:
    """What goes wrong at which phase, by the file that says so."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.happened: Counter[str] = Counter()

    def __call__(self, phase: Phase) -> None:
        """Do what is asked for this phase, as often as is asked."""
        try:
            said = self.file.read_text()
            where, action, times, _ = said.split(maxsplit=3)
        except (OSError, ValueError):
            return
        if where == phase and self.happened[said] < int(times):
            self.happened[said] += 1
            _ACTIONS[action]()


def cuda_memory() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def cpu_memory() -> None:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")


def python_memory() -> None:
    raise MemoryError


def full_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "file")


def runs_gone() -> None:
    shutil.rmtree(os.environ["SOAK_RUNS"], ignore_errors=True)


def served_gone() -> None:
    shutil.rmtree(os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)


def model_gone() -> None:
    shutil.rmtree(os.environ["SOAK_MODEL"], ignore_errors=True)


_ACTIONS: dict[str, Callable[[], None]] = {
    "cuda-memory": cuda_memory,
    "cpu-memory": cpu_memory,
    "python-memory": python_memory,
    "full-disk": full_disk,
    "runs-gone": runs_gone,
    "served-gone": served_gone,
    "model-gone": model_gone,
}
ACTIONS = tuple(_ACTIONS)


def before(holder: object, name: str, phase: Phase, faults: Faults) -> None:
    """Let a function have its faults before it begins."""
    function = getattr(holder, name)

    @wraps(function)
    def faulty(*values: Any, **named: Any) -> Any:
        faults(phase)
        return function(*values, **named)

    setattr(holder, name, faulty)


def install(faults: Faults) -> None:
    """Put the faults where a run comes by: loading, the model's three calls, and the two writes."""
    from sd3demo.engine.run.engine import Engine, load
    from sd3demo.history import store
    from sd3demo.ui.server import gradio_internals

    known: set[type] = set()

    @wraps(load)
    def faulty_load(*values: Any, **named: Any) -> Any:
        faults("load")
        model = load(*values, **named)
        if type(model) not in known:
            known.add(type(model))
            before(type(model), "encode", "encode", faults)
            before(type(model), "network", "denoise", faults)
            before(type(model), "to_image", "decode", faults)
        return model

    Engine.__init__.__defaults__ = (faulty_load,)
    before(gradio_internals, "save_bytes_to_cache", "serve", faults)
    before(store, "write_through", "save", faults)


def main() -> int:
    from sd3demo.cli import main as program

    if file := os.environ.get("SOAK_FAULT"):
        install(Faults(Path(file)))
    if report := os.environ.get("SOAK_WATCH"):
        watch(Path(report), tuple(os.environ["SOAK_STORE"].split(os.pathsep)))
    return program(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
