"""A process that is killed between two writes of a run, or in a deletion, leaves no torn run."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd3demo.history import Run, RunStore, read_pixels, read_receipt
from sd3demo.settings import Resolved

ROOT = Path(__file__).resolve().parents[2]
SIDE, COUNT = 96, 3
FILES = ("request.json", "result.json", "thumbnail.webp", "0.png", "1.png", "2.png")
POINTS = (*(f"before {name}" for name in FILES), "before the rename", "after the rename", "in a deletion")
"""Where a process is killed, in the order in which a save comes by."""

# For each point that it reads it starts a child that saves a run, which goes as far as the point and waits
# there; the next line kills it.
WRITER = """
import os, shutil, signal, sys
from pathlib import Path
import numpy as np
from sd3demo.catalogue import find
from sd3demo.engine import Budget, plan
from sd3demo.engine.events import Finished
from sd3demo.history import RunStore, store as module
from sd3demo.settings import Request, parse

side, count = int(sys.argv[2]), int(sys.argv[3])
asked = {"prompt": "a red circle", "model": "sd3-medium", "steps": 2, "count": count}
request = plan(parse(Request, asked | {"width": side, "height": side}), find("sd3-medium"), Budget()).request
noise = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
found = dict(calls=4, encoder_calls=3, seconds={"flow": 1.0})
found |= dict(path_length=(1.0,) * count, chord=(1.0,) * count)
hashes = dict(noise_sha256=("0" * 64,) * count, weights_sha256="1" * 64)
finished = Finished(pictures=tuple(noise), sigmas=(1.0, 0.5, 0.0), **found, **hashes)
root = Path(sys.argv[1])

def wait_here():
    print("here", flush=True)
    signal.pause()

def save(point):
    write, rename, delete = module.write_through, os.rename, shutil.rmtree
    def write_or_wait(path, content):
        if point == f"before {path.name}":
            half = path.open("wb")
            half.write(content[: len(content) // 2])
            half.flush()
            wait_here()
        write(path, content)
    def rename_or_wait(source, target):
        if point == "before the rename":
            wait_here()
        rename(source, target)
        if point == "after the rename":
            wait_here()
    def delete_or_wait(folder, **how):
        if point == "in a deletion":
            next(folder.iterdir()).unlink()
            wait_here()
        delete(folder, **how)
    module.write_through, os.rename, shutil.rmtree = write_or_wait, rename_or_wait, delete_or_wait
    RunStore(root, limit=1 if point == "in a deletion" else 2**30).save(request, finished)

RunStore(root).save(request, finished)
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        save(line.strip())
        print("passed", flush=True)
        os._exit(0)
    sys.stdin.readline()
    os.kill(child, 9)
    os.waitpid(child, 0)
    print("killed", flush=True)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history") / "runs"


@pytest.fixture(scope="module")
def writer(root: Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", WRITER, str(root), str(SIDE), str(COUNT)]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def said(writer: subprocess.Popen[str], line: str) -> str:
    writer.stdin.write(f"{line}\n")
    writer.stdin.flush()
    return writer.stdout.readline().strip()


def assert_whole(run: Run) -> None:
    request = Resolved.model_validate(json.loads((run.folder / "request.json").read_text()))
    result = json.loads((run.folder / "result.json").read_text())
    assert result["images"] == [image.name for image in run.images]
    assert len(run.images) == request.count
    for place, image in enumerate(run.images):
        receipt = read_receipt(image)
        assert (receipt.picture, receipt.request) == (place, request)
        assert read_pixels(image, receipt).shape == (SIDE, SIDE, 3)
    with Image.open(run.folder / "thumbnail.webp") as small:
        assert np.asarray(small).std() > 0


def leftovers(root: Path) -> list[str]:
    return [path.name[:5] for path in root.iterdir() if path.name.startswith((".new-", ".old-"))]


@pytest.mark.parametrize("point", POINTS)
def test_a_history_killed_at_any_point_of_a_save_holds_whole_runs_alone(
    point: str, root: Path, writer: subprocess.Popen[str]
) -> None:
    store = RunStore(root)
    before = store.ids()
    assert said(writer, point) == "here"
    assert leftovers(root) == (
        [] if point == "after the rename" else [".old-" if "deletion" in point else ".new-"]
    )
    assert said(writer, "kill") == "killed"
    new = {id for id in store.ids() if id not in before}
    assert len(new) == (1 if point in ("after the rename", "in a deletion") else 0)
    for run in store.runs():
        assert_whole(run)
    store.tidy()
    assert leftovers(root) == []
    assert store.ids()
