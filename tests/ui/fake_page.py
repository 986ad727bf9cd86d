"""A model that is all configs and no weights, a run of made-up events, and the page over both: no torch."""

import hashlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from sd3demo.catalogue.entries import assets
from sd3demo.engine import Plan
from sd3demo.engine.events import Encoded, Event, Finished, Loading, Pixels, Record, StageStarted, StepDone
from sd3demo.engine.record.traces import BLOCKS, MOMENTS, spread
from sd3demo.ui import Core, ServeOptions, build, launch
from tests.history.fake_trace import WORDS
from tests.ui.fake_extrapolation import enlarging

CONFIGS = {
    "transformer": {
        "num_layers": 2,
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 16,
        "pos_embed_max_size": 32,
        "sample_size": 16,
    },
    "vae": {"block_out_channels": [8, 8, 8], "latent_channels": 16},
    "text_encoder": {"vocab_size": 600, "hidden_size": 8, "projection_dim": 8, "max_position_embeddings": 77},
    "text_encoder_2": {
        "vocab_size": 600,
        "hidden_size": 8,
        "projection_dim": 8,
        "max_position_embeddings": 77,
    },
    "text_encoder_3": {"vocab_size": 600, "d_model": 32},
}

PLAIN: Mapping[str, tuple[int, ...]] = {"weight": (4,)}
SHAPES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "vae": {"decoder.conv_in.weight": (8, 16, 3, 3), "decoder.conv_out.weight": (3, 8, 3, 3)}
}
"""What a checkpoint's weights are known by."""


def write_model(folder: Path, *, with_t5: bool = True) -> Path:
    """A folder in diffusers format that can be planned for and not be run."""
    parts = [name for name in CONFIGS if with_t5 or name != "text_encoder_3"]
    index = {"_class_name": "StableDiffusion3Pipeline"} | {name: ["diffusers", "Model"] for name in parts}
    _write_json(folder / "model_index.json", index)
    _write_json(folder / "scheduler" / "scheduler_config.json", {"shift": 3.0})
    for name in parts:
        if name.startswith("text_encoder"):
            tokenizer = name.replace("text_encoder", "tokenizer")
            (folder / tokenizer).mkdir(parents=True)
            shutil.copy(assets() / "tiny" / tokenizer / "tokenizer.json", folder / tokenizer)
        _write_json(folder / name / "config.json", CONFIGS[name])
        stem = "model" if name.startswith("text_encoder") else "diffusion_pytorch_model"
        file = folder / name / f"{stem}.safetensors"
        save_file({key: np.zeros(shape, np.float32) for key, shape in SHAPES.get(name, PLAIN).items()}, file)
    return folder


def nowhere(step: StepDone) -> bool:
    """For `Rehearsal.hold`: let all runs go on."""
    return False


@dataclass
class Rehearsal:
    """Runs of made-up events; `ended` tells how each of them came to its end."""

    seconds: float = 0.0
    hold: Callable[[StepDone], bool] = nowhere
    """Whether a run stays at a step and sends it again, until this says otherwise or the run is closed: so a
    test presses Stop at a known step, however long the press takes."""
    ended: list[str] = field(default_factory=list)
    running: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, plan: Plan) -> Iterator[Event]:
        with self.lock:
            self.running += 1
            self.most_at_once = max(self.most_at_once, self.running)
        how = "closed"
        try:
            for event in events(plan):
                if isinstance(event, StepDone):
                    time.sleep(self.seconds)
                    while self.hold(event):
                        yield event
                        time.sleep(0.25)  # a slow browser keeps up, and can press Stop
                yield event
            how = "finished"
        finally:
            with self.lock:
                self.running -= 1
                self.ended.append(how)


def at_step(number: int) -> Callable[[StepDone], bool]:
    """For `Rehearsal.hold`: stay at the step of that number."""
    return lambda step: step.index + 1 == number


def events(plan: Plan) -> Iterator[Event]:
    """What a run of this plan could say: each preview differs from the one before."""
    if plan.arms:
        yield from enlarging(plan)
        return
    stage, count = plan.stages[-1], plan.request.steps
    yield Loading(plan.spec.name, 5_000_000)
    yield Encoded(3, 0.01)
    yield StageStarted(stage.key, stage.width, stage.height, stage.sigmas)
    latent = plan.spec.latent.shape(stage.width, stage.height)[1:]
    for index in range(count):
        previews = tuple(flat(*latent, shade=8 * index + k) for k in range(plan.request.count))
        times = stage.sigmas[index], stage.sigmas[index + 1]
        yield StepDone(stage.key, index, count, *times, previews, 0.1 * (index + 1))
    yield finished(plan)


def finished(plan: Plan) -> Finished:
    """The end of a run whose pictures have a colour by their seed."""
    request, number = plan.request, plan.request.count
    return Finished(
        pictures=tuple(flat(request.height, request.width, shade=seed % 251) for seed in plan.seeds),
        sigmas=plan.sigmas,
        calls=plan.calls,
        encoder_calls=3,
        path_length=(75.0,) * number,
        chord=(70.0,) * number,
        noise_sha256=tuple(hashlib.sha256(str(seed).encode()).hexdigest() for seed in plan.seeds),
        weights_sha256="0" * 64,
        seconds={"load": 2.0, "encode": 0.1, "flow": 1.2, "decode": 0.1},
        records=records(plan) if "moves" in plan.recorders else {},
        words=WORDS if "attention" in plan.recorders else (),
    )


def records(plan: Plan) -> dict[str, Record]:
    """What recorders could have found: winding paths, other ones for other settings."""
    steps, number = plan.request.steps, plan.request.count
    random = np.random.default_rng([plan.request.seed, steps, round(10 * plan.request.cfg)])
    moves = random.normal(size=(number, steps, 50)) + 3 * random.normal(size=(number, 1, 50))
    guidance = 1 + random.random((steps, 4, number))
    if plan.request.cfg == 1:
        guidance[:, [1, 3]] = np.nan
    kept = len(spread(steps, MOMENTS)), len(spread(plan.spec.network.depth, BLOCKS))
    return {
        "moves": moves @ moves.swapaxes(1, 2) / steps**2,
        "turns": random.random((steps, number)).astype(np.float32),
        "guidance": guidance.astype(np.float32),
        "norms": (1 + random.random((steps, 2, number))).astype(np.float32),
        "film": random.integers(0, 256, (steps + 1, 2, number, 16, 16, 3)).astype(np.uint8),
        "attention": (random.random((*kept, number, len(WORDS), 8, 8)) / len(WORDS)).astype(np.float16),
    }


def flat(height: int, width: int, *, shade: int) -> Pixels:
    """A picture of one grey, with a corner that is not."""
    pixels = np.full((height, width, 3), shade % 256, dtype=np.uint8)
    pixels[0, 0] = (255, 0, 0)
    return pixels


@contextmanager
def serving(core: Core, options: ServeOptions | None = None) -> Iterator[str]:
    """The page of a core on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page = build(core)
    try:
        yield launch(page, port=port, wait=False, options=options or ServeOptions())
    finally:
        page.close()


def _write_json(file: Path, values: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))
