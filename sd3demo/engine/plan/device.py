"""What this machine offers a run, asked of the system and not of torch, so that a plan stays quick."""

import os
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from sd3demo.engine.plan.memory import GIB, Budget
from sd3demo.errors import Refusal

CPU_FLOPS = 4e10  # a second and a core, float32 products of an MM-DiT's sizes, as measured
GPU_FLOPS = 2e14  # a second, bfloat16, of a data-centre GPU at a usual share of its peak

Device = Literal["auto", "cpu", "cuda"]


def budget(device: Device = "auto") -> Budget:
    """The memory that is free and the speed to expect. Raises Refusal for a GPU that is not there."""
    free = _gpu_memory() if device != "cpu" else None
    if free is not None:
        return Budget("cuda", free, GPU_FLOPS)
    if device == "cuda":
        raise Refusal("no CUDA device was found, or torch is a build without CUDA; try --device cpu")
    return Budget("cpu", _memory(), CPU_FLOPS * _threads())


def _threads() -> int:
    """Threads that torch has on a CPU: one a core, or as the environment says."""
    cores, said = os.cpu_count() or 1, os.environ.get("OMP_NUM_THREADS", "")
    return min(int(said), cores) if said.isdigit() and int(said) > 0 else cores


def _gpu_memory() -> int | None:
    """Free bytes of the first GPU that this process may use, None where there is none."""
    try:
        without_cuda = version("torch").endswith("+cpu")
    except PackageNotFoundError:
        without_cuda = True
    smi = shutil.which("nvidia-smi")
    if without_cuda or smi is None:
        return None
    words = [smi, "--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return first_visible(done.stdout, os.environ.get("CUDA_VISIBLE_DEVICES"))


def first_visible(listing: str, visible: str | None) -> int | None:
    """Free bytes of the GPU that CUDA would call device 0, by nvidia-smi's "index, uuid, MiB free" lines.

    `visible` is CUDA_VISIBLE_DEVICES: None shows all, an empty text or -1 none; entries are numbers, or
    beginnings of uuids. A part of a GPU (MIG) is listed under its GPU alone, whose memory would be too much.
    """
    free: dict[tuple[str, str], int] = {}
    for line in listing.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[2].isdigit():
            free[parts[0], parts[1]] = int(parts[2]) * 2**20
    if visible is None:
        return next(iter(free.values()), None)
    first = visible.split(",")[0].strip()
    for (index, uuid), memory in free.items():
        if first == index or (first.startswith("GPU-") and uuid.startswith(first)):
            return memory
    return None


def _memory() -> int:
    """Bytes of memory that a process can still have."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 8 * GIB
