"""A process that is killed while it saves, or while the oldest run makes room, leaves no torn run."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd3demo.history import Run, RunStore, read_pixels, read_receipt
from sd3demo.settings import Resolved

ROOT = Path(__file__).resolve().parents[2]
KILLS = 20
SIDE, COUNT = 96, 3

# For each line that it reads it starts a child that saves one run after another until it is killed.
WRITER = """
import os, sys
from pathlib import Path
import numpy as np
from sd3demo.catalogue import find
from sd3demo.engine import Budget, plan
from sd3demo.engine.events import Finished
from sd3demo.history import RunStore
from sd3demo.settings import Request, parse

side, count = int(sys.argv[2]), int(sys.argv[3])
asked = {"prompt": "a red circle", "model": "sd3-medium", "steps": 2, "count": count}
request = plan(parse(Request, asked | {"width": side, "height": side}), find("sd3-medium"), Budget()).request
noise = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
found = dict(calls=4, encoder_calls=3, seconds={"flow": 1.0})
found |= dict(path_length=(1.0,) * count, chord=(1.0,) * count)
hashes = dict(noise_sha256=("0" * 64,) * count, weights_sha256="1" * 64)
finished = Finished(pictures=tuple(noise), sigmas=(1.0, 0.5, 0.0), **found, **hashes)
store = RunStore(Path(sys.argv[1]), limit=6 * noise.nbytes)
for line in sys.stdin:
    child = os.fork()
    if not child:
        while True:
            store.save(request, finished)
    print(child, flush=True)
    sys.stdin.readline()
    os.kill(child, 9)
    os.waitpid(child, 0)
    print("killed", flush=True)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def writer(root: Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", WRITER, str(root), str(SIDE), str(COUNT)]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


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


def test_a_history_killed_at_twenty_random_moments_holds_whole_runs_alone(
    root: Path, writer: subprocess.Popen[str]
) -> None:
    moments, torn = random.Random(7), 0
    root.mkdir()
    for _ in range(KILLS):
        writer.stdin.write("go\n")
        writer.stdin.flush()
        assert writer.stdout.readline().strip().isdigit()
        time.sleep(moments.uniform(0.02, 0.4))
        writer.stdin.write("stop\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "killed\n"
        for run in RunStore(root).runs():
            assert_whole(run)
        torn += any(path.name.startswith((".new-", ".old-")) for path in root.iterdir())
    assert torn > 0  # some of the kills did come in the middle of a run
    store = RunStore(root)
    assert store.runs()
    store.tidy()
    assert [path.name for path in root.iterdir() if path.name.startswith(".")] == []
