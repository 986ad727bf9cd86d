"""Pictures and runs against what they say of themselves: whole, as asked, and equal when made again."""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sd3demo.catalogue import find
from sd3demo.engine import Engine, plan
from sd3demo.engine.events import Finished
from sd3demo.engine.plan.device import budget
from sd3demo.errors import Refusal
from sd3demo.history import RunStore, read_pixels, read_receipt, single_request
from sd3demo.history.verifying import compare

SIZE = 64  # px: one size for all, so that every picture costs the same
COLOURS = ("red", "green", "blue", "yellow", "white")
SHAPES = ("circle", "square", "triangle")


@dataclass(frozen=True)
class Wish:
    """A picture that a visitor asks `/infer` for."""

    prompt: str
    seed: int
    steps: int = 8

    @property
    def data(self) -> list[object]:
        return [self.prompt, "", self.seed, False, SIZE, SIZE, 4, self.steps]


def draw_wish(random: random.Random, steps: int = 8) -> Wish:
    """A wish of the embedded model's world."""
    first, second = random.sample(COLOURS, 2)
    prompt = f"a {first} {random.choice(SHAPES)} above a {second} {random.choice(SHAPES)}"
    return Wish(prompt, random.randrange(2**31), steps)


def why_wrong(file: Path, wish: Wish) -> str:
    """Return what is wrong with the file of a picture that was wished for; empty where nothing is."""
    try:
        receipt = read_receipt(file)
        pixels = read_pixels(file, receipt)
    except Refusal as error:
        return str(error)
    request = receipt.request
    if (request.prompt, request.seed, request.steps) != (wish.prompt, wish.seed, wish.steps):
        return f"{file.name} is {request.prompt!r} with seed {request.seed}, and {wish} was asked for"
    return "" if pixels.std() > 0 else f"{file.name} is empty"


def remade(files: Sequence[Path]) -> Iterator[tuple[Path, int]]:
    """Make pictures again from their receipts; yield each with the largest difference, of 255 levels."""
    engine = Engine()
    for file in files:
        receipt = read_receipt(file)
        request = single_request(receipt)
        with closing(engine.run(plan(request, find(request.model), budget("auto")))) as events:
            (finished,) = [event for event in events if isinstance(event, Finished)]
        found = compare(receipt, read_pixels(file, receipt), finished)
        same = found.noise_equal and found.weights_equal and found.sigmas_equal
        yield file, round(255 * found.max_abs_diff) if same else 255


def torn_runs(root: Path) -> list[str]:
    """Return what is not whole in a history, a sentence for each run; it reads every file."""
    found = []
    for run in RunStore(root).runs() if root.is_dir() else []:
        try:
            result = json.loads((run.folder / "result.json").read_text())
            json.loads((run.folder / "request.json").read_text())
            if not run.images or [image.name for image in run.images] != result["images"]:
                raise ValueError(f"its pictures are not {result['images']}")
            for image in run.images:
                read_pixels(image, read_receipt(image))
            with Image.open(run.folder / "thumbnail.webp") as small:
                np.asarray(small)
        except (OSError, ValueError, KeyError) as error:
            found.append(f"{run.id}: {error}")
    return found
