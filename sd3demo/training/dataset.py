"""Training data, made as it is used: rendered scenes in a ring that slowly renews, each with its latents,
its patch labels and the embeddings of a few captions.

Rendering and encoding cost more than a training step's share, so each picture and each caption serves a
few times, each time with other noise.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from sd3demo.training.autoencoder import CHANNELS
from sd3demo.training.encoders import CLIP_L_WIDTH
from sd3demo.training.precision import mixed
from sd3demo.training.sizes import OWN, UNIT, PictureSize, fitted, rows_of
from sd3demo.training.tokenizers import LENGTH, tokens
from sd3demo.world.captions import caption
from sd3demo.world.render import covers, render
from sd3demo.world.scenes import Scene, draw
from sd3demo.world.vocabulary import COLOURS, LETTERS, SHAPES

LABELS = len(SHAPES) + len(LETTERS) + len(COLOURS)
CAPTIONS = 2
"""Captions that are embedded with each picture; each use draws one."""
RENEWED = 128
"""Native pictures that are replaced at once; of larger ones as many as have as many patches."""


@dataclass(frozen=True)
class TextEncoders:
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
        """Independently for each encoder with its own probability (SD3 appendix B.3: 46.4% each)."""
        return cls(*(torch.rand(rows, device=device) < p for p in share))

    def __call__(self, context: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Context and pooled text as `embed` gives them, each zeroed encoder's share of them 0."""
        clip, spelt = context.split([LENGTH, context.shape[1] - LENGTH], 1)
        l_width, rest = CLIP_L_WIDTH, pooled.shape[1] - CLIP_L_WIDTH
        gone = torch.cat([self.clip_l[:, None].expand(-1, l_width), self.clip_g[:, None].expand(-1, rest)], 1)
        beyond = functional.pad(gone, (0, clip.shape[2] - gone.shape[1]))  # zeros already
        clip = clip.masked_fill(beyond[:, None], 0)
        spelt = spelt.masked_fill(self.t5[:, None, None], 0)
        return torch.cat([clip, spelt], 1), pooled.masked_fill(gone, 0)


@torch.no_grad()
def embed(encoders: TextEncoders, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Context (B, 2 LENGTH, joint width) and pooled text (B, CLIP widths), as StableDiffusion3Pipeline
    lays them out."""
    device = encoders.t5.device
    words = tokens(encoders.clip_tokenizer, texts, device)
    letters = tokens(encoders.t5_tokenizer, texts, device)
    with mixed(device):
        said = [clip(words, output_hidden_states=True) for clip in (encoders.clip_l, encoders.clip_g)]
        spelt = encoders.t5(letters).last_hidden_state.float()
    pooled = torch.cat([out.text_embeds.float() for out in said], 1)
    clip = torch.cat([out.hidden_states[-2].float() for out in said], 2)
    clip = functional.pad(clip, (0, spelt.shape[2] - clip.shape[2]))
    return torch.cat([clip, spelt], 1), pooled


class Feed:
    """A ring of encoded pictures of one size; `next` draws a batch and renews part of the ring."""

    def __init__(
        self,
        vae: AutoencoderKL,
        encoders: TextEncoders,
        *,
        device: torch.device,
        seed: int,
        ring: int,
        uses: int,
        mix: dict[str, float] | None,
        size: PictureSize = OWN,
    ) -> None:
        self.vae, self.encoders, self.device, self.mix, self.size = vae, encoders, device, mix, size
        self.rng = random.Random(seed)
        self.uses, self.owed, self.oldest = uses, 0.0, 0
        self.empty, self.empty_pooled = embed(encoders, [""])
        half = partial(torch.empty, dtype=torch.float16, device=device)
        rows, columns = size.grid
        self.latents = half(ring, CHANNELS, *size.latent)
        self.labels = half(ring, rows * columns, LABELS)
        self.contexts = half(ring, CAPTIONS, *self.empty.shape[1:])
        self.pooled = half(ring, CAPTIONS, self.empty_pooled.shape[1])
        self.captions = [[""] * CAPTIONS for _ in range(ring)]
        self.renewed = min(rows_of(size, RENEWED), ring)
        for start in range(0, ring, self.renewed):
            self._renew(min(self.renewed, ring - start))

    @torch.no_grad()
    def _renew(self, count: int) -> None:
        ring = len(self.latents)
        scenes = [draw(self.rng, self.mix) for _ in range(count)]
        pictures = draw_at(scenes, self.size, self.device)
        with mixed(self.device):
            latents = self.vae.encode(
                pictures.contiguous(memory_format=torch.channels_last) * 2 - 1
            ).latent_dist.mean
        places = [(self.oldest + k) % ring for k in range(count)]
        self.latents[places] = latents.half()
        self.labels[places] = patch_labels(scenes, self.device, self.size).half()
        for k in range(CAPTIONS):
            texts = [caption(self.rng, scene) for scene in scenes]
            context, pooled = embed(self.encoders, texts)
            self.contexts[places, k], self.pooled[places, k] = context.half(), pooled.half()
            for where, text in zip(places, texts, strict=True):
                self.captions[where][k] = text
        self.oldest = (self.oldest + count) % ring

    def next(
        self, batch: int, *, unconditional: float, zeroed: tuple[float, float, float]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents (B, 16, h, w), labels (B, patches, LABELS), context and pooled text of one batch.

        A share of the captions is the empty text, which is what serving gives as the unconditional prompt.
        """
        self.owed += batch / self.uses
        if self.owed >= self.renewed:
            self._renew(self.renewed)
            self.owed -= self.renewed
        rows = [self.rng.randrange(len(self.latents)) for _ in range(batch)]
        which = [self.rng.randrange(CAPTIONS) for _ in range(batch)]
        context, pooled = self.contexts[rows, which].float(), self.pooled[rows, which].float()
        said = torch.tensor([self.rng.random() >= unconditional for _ in range(batch)], device=self.device)
        context = context.where(said[:, None, None], self.empty)
        pooled = pooled.where(said[:, None], self.empty_pooled)
        context, pooled = Zeroed.draw(batch, zeroed, self.device)(context, pooled)
        return self.latents[rows].float(), self.labels[rows].float(), context, pooled


class Feeds:
    """A feed for each size; every batch is of one of them, drawn by the sizes' shares.

    A batch is about as many patches at every size, and so costs about as much.
    """

    def __init__(self, feeds: Sequence[Feed], shares: Sequence[float], *, seed: int) -> None:
        self._feeds, self._shares, self._rng = feeds, shares, random.Random(seed)

    def next(
        self, batch: int, *, unconditional: float, zeroed: tuple[float, float, float]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As Feed's own, as many pictures as weigh `batch` native ones."""
        (feed,) = self._rng.choices(self._feeds, self._shares)
        return feed.next(rows_of(feed.size, batch), unconditional=unconditional, zeroed=zeroed)


def draw_at(scenes: list[Scene], size: PictureSize, device: torch.device) -> Tensor:
    """Pictures (B, 3, height, width) of the scenes at a size of any shape."""
    short, long = sorted((size.width, size.height))
    if short == long:
        return render(scenes, short, device=device)
    corner = torch.zeros(len(scenes), 2)
    placed = [fitted(scene, size, short) for scene in scenes]
    whole = render(placed, short, window=long, origins=corner, device=device)
    return whole[:, :, : size.height, : size.width]


def patch_labels(scenes: list[Scene], device: torch.device, size: PictureSize = OWN) -> Tensor:
    """(B, patches, LABELS): the share of each patch that each shape, letter and colour covers."""
    names = {name: index for index, name in enumerate((*SHAPES, *LETTERS))}
    colours = {name: len(names) + index for index, name in enumerate(COLOURS)}
    rows, columns = size.grid
    labels = torch.zeros(len(scenes), LABELS, rows, columns, device=device)
    long = max(size.width, size.height)
    placed = [fitted(scene, size, long) for scene in scenes]
    for index, glyph, colour, cover in covers(placed, long, device=device):
        seen = cover[:, None, : size.height, : size.width]
        share = functional.avg_pool2d(seen, UNIT)[:, 0]
        labels.index_put_((index, torch.full_like(index, names[glyph])), share, accumulate=True)
        where = torch.tensor([colours[name] for name in colour], device=device)
        labels.index_put_((index, where), share, accumulate=True)
    return labels.flatten(2).transpose(1, 2).clamp(0, 1)
