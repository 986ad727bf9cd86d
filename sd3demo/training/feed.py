"""Training data, made as it is used: latents and patch labels of rendered scenes in a ring that slowly
renews.

Rendering and encoding cost more than a training step's share, so each picture serves a few times, each
time under a newly worded caption.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from sd3demo.training.tokenizers import LENGTH
from sd3demo.world.captions import caption
from sd3demo.world.render import covers, render
from sd3demo.world.scenes import Scene, draw
from sd3demo.world.vocabulary import COLOURS, LETTERS, SHAPES

LABELS = len(SHAPES) + len(LETTERS) + len(COLOURS)
PATCH_PIXELS = 8


@dataclass(frozen=True)
class Encoders:
    """The frozen text side: two CLIPs and T5 with their tokenizers."""

    clip_tokenizer: CLIPTokenizer
    t5_tokenizer: T5Tokenizer
    clip_l: CLIPTextModelWithProjection
    clip_g: CLIPTextModelWithProjection
    t5: T5EncoderModel


@dataclass(frozen=True)
class Zeroed:
    """Which rows of a batch have which encoder zeroed: three masks (B,), True where it is."""

    clip_l: Tensor
    clip_g: Tensor
    t5: Tensor

    @classmethod
    def draw(cls, rows: int, share: tuple[float, float, float], device: torch.device) -> Zeroed:
        """Independently for each encoder with its own probability (SD3 section 5.2: 46.4% each)."""
        return cls(*(torch.rand(rows, device=device) < p for p in share))


@torch.no_grad()
def embed(encoders: Encoders, texts: list[str], zeroed: Zeroed | None = None) -> tuple[Tensor, Tensor]:
    """Context (B, 2 LENGTH, joint width) and pooled text (B, CLIP widths), as StableDiffusion3Pipeline
    lays them out."""
    device = encoders.t5.device
    form = {"padding": "max_length", "max_length": LENGTH, "truncation": True, "return_tensors": "pt"}
    words = encoders.clip_tokenizer(texts, **form).input_ids.to(device)
    letters = encoders.t5_tokenizer(texts, **form).input_ids.to(device)
    with torch.autocast(device.type, torch.bfloat16):
        said = [clip(words, output_hidden_states=True) for clip in (encoders.clip_l, encoders.clip_g)]
        spelt = encoders.t5(letters).last_hidden_state.float()
    off = zeroed or Zeroed(*(torch.zeros(len(texts), dtype=torch.bool, device=device),) * 3)
    hidden, pooled = [], []
    for out, rows in zip(said, (off.clip_l, off.clip_g), strict=True):
        pooled.append(out.text_embeds.float().masked_fill(rows[:, None], 0))
        hidden.append(out.hidden_states[-2].float().masked_fill(rows[:, None, None], 0))
    spelt = spelt.masked_fill(off.t5[:, None, None], 0)
    clip = functional.pad(torch.cat(hidden, 2), (0, spelt.shape[2] - sum(h.shape[2] for h in hidden)))
    return torch.cat([clip, spelt], 1), torch.cat(pooled, 1)


class Feed:
    """A ring of encoded pictures; `next` draws a batch and renews part of the ring."""

    def __init__(
        self,
        vae: AutoencoderKL,
        encoders: Encoders,
        *,
        device: torch.device,
        seed: int,
        ring: int,
        uses: int,
        mix: dict[str, float] | None,
    ) -> None:
        self.vae, self.encoders, self.device, self.mix = vae, encoders, device, mix
        self.rng = random.Random(seed)
        self.uses, self.owed, self.oldest = uses, 0.0, 0
        self.scenes: list[Scene] = []
        self.latents = torch.empty(ring, 16, 16, 16, dtype=torch.float16, device=device)
        self.labels = torch.empty(ring, 64, LABELS, dtype=torch.float16, device=device)
        while len(self.scenes) < ring:
            self._renew(min(256, ring - len(self.scenes)))

    @torch.no_grad()
    def _renew(self, count: int) -> None:
        ring = len(self.latents)
        scenes = [draw(self.rng, self.mix) for _ in range(count)]
        pictures = render(scenes, 64, device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            latents = self.vae.encode(
                pictures.contiguous(memory_format=torch.channels_last) * 2 - 1
            ).latent_dist.mean
        places = [(self.oldest + k) % ring for k in range(count)]
        self.latents[places] = latents.half()
        self.labels[places] = patch_labels(scenes, self.device).half()
        for where, scene in zip(places, scenes, strict=True):
            if where < len(self.scenes):
                self.scenes[where] = scene
            else:
                self.scenes.append(scene)
        self.oldest = (self.oldest + count) % ring

    def next(
        self, batch: int, *, unconditional: float, zeroed: tuple[float, float, float]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents (B, 16, 16, 16), labels (B, 64, LABELS), context and pooled text of one batch.

        A share of the captions is the empty text, which is what serving gives as the unconditional prompt.
        """
        self.owed += batch / self.uses
        if self.owed >= 128:
            self._renew(128)
            self.owed -= 128
        rows = [self.rng.randrange(len(self.scenes)) for _ in range(batch)]
        texts = [
            "" if self.rng.random() < unconditional else caption(self.rng, self.scenes[row]) for row in rows
        ]
        context, pooled = embed(self.encoders, texts, Zeroed.draw(batch, zeroed, self.device))
        return self.latents[rows].float(), self.labels[rows].float(), context, pooled


def patch_labels(scenes: list[Scene], device: torch.device) -> Tensor:
    """(B, 64, LABELS): the share of each patch that each shape, letter and colour covers."""
    names = {name: index for index, name in enumerate((*SHAPES, *LETTERS))}
    colours = {name: len(names) + index for index, name in enumerate(COLOURS)}
    labels = torch.zeros(len(scenes), LABELS, 8, 8, device=device)
    for index, glyph, colour, cover in covers(scenes, 64, device=device):
        share = functional.avg_pool2d(cover[:, None], PATCH_PIXELS)[:, 0]
        labels.index_put_((index, torch.full_like(index, names[glyph])), share, accumulate=True)
        where = torch.tensor([colours[name] for name in colour], device=device)
        labels.index_put_((index, where), share, accumulate=True)
    return labels.flatten(2).transpose(1, 2).clamp(0, 1)
