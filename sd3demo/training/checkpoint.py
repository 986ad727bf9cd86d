"""A training run's folder: the model so far in diffusers' layout, and the state that a run goes on from.

DIR/model/        vae, text_encoder{,_2,_3}, tokenizer{,_2,_3}, transformer, scheduler, model_index.json
DIR/state.pt      weights, average, optimiser, counts and random states of the flow stage
DIR/log.jsonl     a line a report
DIR/compiled/     what torch compiled for this run; it can be deleted
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ModelMixin, SD3Transformer2DModel
from torch import Tensor
from transformers import (
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedModel,
    T5EncoderModel,
    T5Tokenizer,
)

from sd3demo.errors import Refusal
from sd3demo.training.dataset import TextEncoders
from sd3demo.training.progress import Progress

SHARD = "15MB"


def write_log(folder: Path, progress: Progress) -> None:
    """One JSON line: stage, examples, seconds since the epoch, figures."""
    line = {
        "stage": progress.stage,
        "examples": progress.examples,
        "time": round(time.time()),
        **progress.figures,
    }
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")


def save_state(folder: Path, state: dict[str, object]) -> None:
    """Write the state aside and rename it, so that a killed run leaves the last whole one."""
    aside = folder / "state.pt.new"
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(folder / "state.pt")


def holds_run(folder: Path) -> bool:
    """Whether a run left its state here."""
    return (folder / "state.pt").exists()


def load_state(folder: Path) -> dict[str, object] | None:
    """The state that a run left, None where there is none."""
    if not holds_run(folder):
        return None
    return torch.load(folder / "state.pt", map_location="cpu", weights_only=True)


def model_of(folder: Path) -> Path:
    """Where a folder keeps its model: a run's, or a model's own."""
    return folder / "model" if (folder / "model").is_dir() else folder


def write_half(module: ModelMixin | PreTrainedModel, folder: Path) -> None:
    """Save a part in half precision, in safetensors shards of at most 15 MB.

    transformers loads a text encoder in the type that its config names, diffusers its parts in float32: the
    config says float32, so that a pipeline loaded with no more said is of one type.
    """
    shutil.rmtree(folder, ignore_errors=True)
    module.half().save_pretrained(folder, max_shard_size=SHARD)
    module.float()
    config = folder / "config.json"
    values = json.loads(config.read_text())
    values.pop("_name_or_path", None)  # where this machine had it is nobody's business
    if "dtype" in values:
        values["dtype"] = "float32"
    config.write_text(json.dumps(values, indent=2) + "\n")


def write_encoders(encoders: TextEncoders, model: Path) -> None:
    """Save the text encoders and their tokenizers."""
    for index, encoder in enumerate((encoders.clip_l, encoders.clip_g, encoders.t5)):
        suffix = f"_{index + 1}" if index else ""
        tokenizer = encoders.t5_tokenizer if index == 2 else encoders.clip_tokenizer
        write_half(encoder, model / f"text_encoder{suffix}")
        tokenizer.save_pretrained(model / f"tokenizer{suffix}")


def read_encoders(model: Path, device: torch.device) -> TextEncoders:
    """The frozen text side of a model's folder, in float32."""
    clips = [
        CLIPTextModelWithProjection.from_pretrained(model / name, dtype=torch.float32)
        for name in ("text_encoder", "text_encoder_2")
    ]
    t5 = T5EncoderModel.from_pretrained(model / "text_encoder_3", dtype=torch.float32)
    for encoder in (*clips, t5):
        encoder.to(device).eval().requires_grad_(False)
    return TextEncoders(
        clip_tokenizer=CLIPTokenizer.from_pretrained(model / "tokenizer"),
        t5_tokenizer=T5Tokenizer.from_pretrained(model / "tokenizer_3"),
        clip_l=clips[0],
        clip_g=clips[1],
        t5=t5,
    )


def read_autoencoder(model: Path, device: torch.device) -> AutoencoderKL:
    """The autoencoder of a model's folder, frozen, in float32."""
    vae = AutoencoderKL.from_pretrained(model / "vae", torch_dtype=torch.float32)
    return vae.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def read_transformer(model: Path, depth: int, option: str = "depth") -> SD3Transformer2DModel:
    """A model folder's transformer of this depth, in float32; Refusal that names the option when it has
    none."""
    folders = (model / "transformer", *sorted(model.glob("transformer_depth_*")))
    found = {json.loads((folder / "config.json").read_text())["num_layers"]: folder for folder in folders}
    if depth not in found:
        held, first = " and ".join(map(str, found)), next(iter(found))
        raise Refusal(
            f"{option} is {depth} and {model} holds a transformer of depth {held}; "
            f"give --{option.replace('_', '-')} {first}"
        )
    return SD3Transformer2DModel.from_pretrained(found[depth], torch_dtype=torch.float32)


def write_flow(transformer: SD3Transformer2DModel, average: dict[str, Tensor], model: Path) -> None:
    """Save the averaged weights as the model's transformer, and what makes the folder a whole pipeline."""
    shipped = SD3Transformer2DModel.from_config(transformer.config)
    shipped.load_state_dict(average)
    write_half(shipped, model / "transformer")
    FlowMatchEulerDiscreteScheduler(shift=1.0).save_pretrained(model / "scheduler")
    index = {
        "_class_name": "StableDiffusion3Pipeline",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "text_encoder_3": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "tokenizer_3": ["transformers", "T5Tokenizer"],
        "transformer": ["diffusers", "SD3Transformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (model / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
