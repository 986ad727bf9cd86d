"""`python -m tests.recorded.record`: writes down what this version does, for later ones to be held to.

To be run on purpose only: where the embedded weights were trained anew, or where a change of the pictures is
wanted. What differs between machines is measured too, by other numbers of threads and other kernels, which
is `elsewhere` of a run: the largest difference in 255ths that is allowed on another machine.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from tests.recorded import cases
from tests.recorded.outcomes import (
    HERE,
    THREADS,
    Pixels,
    Values,
    answer,
    arrays_of,
    cells_of,
    difference,
    digest,
    machine,
    planned,
    run,
    sample,
    threads,
    words_of,
)

RUNS, PICTURES, PLANS, LINKS = (
    HERE / name for name in ("runs.json", "pictures.npz", "plans.json", "links.json")
)
PNG, TRACES = HERE / "png", HERE / "traces"
GRID = PNG / "grid.png"

VARIANTS: Mapping[str, Mapping[str, str]] = {
    "two threads": {"RECORDED_THREADS": "2", "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"},
    "older kernels": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
"""What stands for another machine on this one."""


def record() -> None:
    """Everything, anew."""
    PNG.mkdir(exist_ok=True)
    TRACES.mkdir(exist_ok=True)
    if not (HERE / "own.png").exists():
        Image.fromarray(_drawn()).save(HERE / "own.png")
    _record_runs()
    record_words()
    measure()


def measure() -> None:
    """How far each run is from itself on what stands for another machine."""
    apart = [_measured(settings) for settings in VARIANTS.values()]
    recorded = json.loads(RUNS.read_text())
    for name, each in recorded["runs"].items():
        each["elsewhere"] = 1 + 2 * max(differences[name] for differences in apart)
    _write(RUNS, recorded)


def record_words() -> None:
    """Plans and links, which take no weights."""
    from tests.recorded.links import opened, study_opened

    _write(PLANS, {name: {"argv": text} | planned(text) for name, text in cases.PLANS.items()})
    starts = {link: opened(link) for link in cases.LINKS if "?" not in link}
    links: Values = {}
    for link in cases.LINKS:
        found, start = opened(link), starts.get(link.partition("?")[0], {"settings": {}})
        if "?" in link:  # what differs from the way in which the tab opens
            found["settings"] = dict(found["settings"].items() - start["settings"].items())  # type: ignore[attr-defined,index]
        links[link] = found
    studies = {f"{name}?{text}": study_opened(name, text) for name, text in cases.STUDY_TEXTS}
    _, said = answer(["models", "--json"])
    names = [each["name"] for each in said["models"]]
    _write(LINKS, {**links, "studies": studies, "models": names})


def _record_runs() -> None:
    runs: Values = {}
    kept: dict[str, Pixels] = {}
    with tempfile.TemporaryDirectory() as folder, threads():
        for name, text in cases.RUNS.items():
            out = Path(folder) / name
            out.mkdir()
            outcome, pictures, files = run(text, out)
            runs[name] = {"argv": text, **outcome}
            kept |= {digest(pixels): sample(pixels) for pixels in pictures.values()}
            for file, (which, picture) in cases.KEPT.items():
                if which == name:
                    shutil.copyfile(files[picture], PNG / f"{file}.png")
            print(name, file=sys.stderr)
        code, said = answer(words_of(cases.GRID, Path(folder)))
        assert code == 0
        shutil.copyfile(Path(folder) / "grid.png", GRID)
        cells = cells_of(GRID)
        kept |= {digest(pixels): sample(pixels) for pixels in cells}
        grid = {"argv": cases.GRID, "calls": said["calls"], "cells": [digest(pixels) for pixels in cells]}
        traces: Values = {}
        for name, text in cases.TRACES.items():
            code, said = answer(words_of(text, Path(folder)))
            assert code == 0
            file = TRACES / f"{name}.safetensors"
            shutil.copyfile(said["traces"][0], file)
            numbers = {each: digest(array) for each, array in sorted(arrays_of(file).items())}
            told = {each: said[each] for each in ("sigmas", "calls", "request")}
            traces[name] = {"argv": text, **told, "arrays": numbers}
    head = {"machine": machine(), "threads": THREADS}
    _write(RUNS, {**head, "runs": runs, "grid": grid, "traces": traces})
    np.savez_compressed(PICTURES, **kept)  # type: ignore[arg-type]


def _measured(settings: Mapping[str, str]) -> dict[str, int]:
    """The largest difference of each run under other settings of the machine."""
    words = [sys.executable, "-m", "tests.recorded.record", "differences"]
    done = subprocess.run(
        words, env=os.environ | settings, cwd=HERE.parents[1], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def differences() -> dict[str, int]:
    """How far each run is from what was recorded, here and now."""
    recorded, kept = json.loads(RUNS.read_text()), np.load(PICTURES)
    found, noise = {}, 0
    with tempfile.TemporaryDirectory() as folder, threads(int(os.environ.get("RECORDED_THREADS", THREADS))):
        for name, each in recorded["runs"].items():
            outcome, pictures, _ = run(each["argv"], Path(folder))
            old = {picture: kept[said["sha256"]] for picture, said in each["pictures"].items()}
            found[name] = max(
                difference(sample(pixels), old[picture]) for picture, pixels in pictures.items()
            )
            noise += outcome["noise_sha256"] != each["noise_sha256"]
    print(f"{sum(map(bool, found.values()))} runs differ, {noise} in their noise", file=sys.stderr)
    return found


def _drawn() -> Pixels:
    """A picture of nobody's: a ramp of colours with a disc, 64 x 48."""
    y, x = np.mgrid[:48, :64]
    pixels = np.stack([4 * x, 5 * y, 255 - 2 * (x + y)], axis=-1).clip(0, 255).astype(np.uint8)
    pixels[(x - 40) ** 2 + (y - 20) ** 2 < 144] = (220, 30, 40)
    return pixels


def _write(file: Path, values: Mapping[str, object]) -> None:
    """One line for each entry, two levels deep, so that a difference can be read."""
    parts = []
    for name, value in values.items():
        if isinstance(value, dict) and name in ("runs", "studies", "traces"):
            inner = ",\n".join(f"  {json.dumps(key)}: {json.dumps(one)}" for key, one in value.items())
            parts.append(f" {json.dumps(name)}: {{\n{inner}\n }}")
        else:
            parts.append(f" {json.dumps(name)}: {json.dumps(value)}")
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["differences"]:
            print(json.dumps(differences()))
        case ["words"]:
            record_words()
        case ["measure"]:
            measure()
        case []:
            record()
        case _:
            sys.exit("give nothing, `words` for plans and links alone, `measure` or `differences`")
