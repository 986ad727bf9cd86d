"""Stage 2: two CLIP text encoders and a T5 encoder, pretrained on captions and frozen from then on (SD3
section 4).

The CLIPs learn by contrast: a caption's pooled vector against the attributes of its scene (arXiv
2103.00020). T5 learns to denoise captions with a decoder that is thrown away (arXiv 1910.10683).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from sd3demo.training.clock import TimeLimit
from sd3demo.training.letter_slots import Places, slot_directions, slot_loss
from sd3demo.training.precision import mixed
from sd3demo.training.progress import Progress
from sd3demo.training.tokenizers import LENGTH, piece_ids, tokens
from sd3demo.training.train_loop import descend
from sd3demo.world.captions import caption, place
from sd3demo.world.scenes import Scene, Thing, draw
from sd3demo.world.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    OPPOSITE,
    PLACES,
    RELATIONS,
    SHAPES,
    TEXTURES,
    TRAINED_WORDS,
)

CLIP_L_WIDTH, CLIP_G_WIDTH, T5_WIDTH = 96, 128, 256


def clip_encoder(tokenizer: CLIPTokenizer, width: int) -> CLIPTextModelWithProjection:
    """An untrained CLIP text encoder; SD3 reads the layer before the last, so it has three."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer.get_vocab()),
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=3,
        num_attention_heads=width // 32,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = CLIPTextModelWithProjection(config)
    embeddings = model.get_input_embeddings()
    nn.init.normal_(embeddings.weight, std=0.5)
    nn.init.normal_(model.text_model.embeddings.position_embedding.weight, std=0.25)
    with torch.no_grad():  # pieces of unknown words all look alike: a whole-word tokenizer cannot spell
        embeddings.weight[piece_ids(tokenizer)] = 0.0
    return model


def t5_model(tokenizer: T5Tokenizer) -> T5ForConditionalGeneration:
    """An untrained T5 whose encoder is kept."""
    return T5ForConditionalGeneration(T5Config(
        vocab_size=len(tokenizer.get_vocab()),
        d_model=T5_WIDTH,
        d_kv=32,
        d_ff=2 * T5_WIDTH,
        num_layers=3,
        num_decoder_layers=1,
        num_heads=T5_WIDTH // 32,
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    ))  # fmt: skip


def _one_hot(names: tuple[str, ...], name: str | None) -> list[float]:
    return [float(name == other) for other in names]


def _group(group: tuple[Thing, ...]) -> list[float]:
    if not group:
        return [0.0] * (5 + len(SHAPES) + len(COLOURS) + len(TEXTURES) + len(PLACES))
    first = group[0]
    where = place(first.x, first.y) if len(group) == 1 else None
    count = [float(len(group) == n) for n in range(1, 6)]
    looks = _one_hot(SHAPES, first.shape) + _one_hot(tuple(COLOURS), first.colour)
    return count + looks + _one_hot(TEXTURES, first.texture) + _one_hot(PLACES, where)


def attributes(scene: Scene) -> tuple[list[float], list[float]]:
    """The scene as numbers, told from its first group and from its second: two views of one fact."""
    word = scene.lettering
    common = _one_hot(tuple(BACKGROUNDS), scene.background)
    common += _one_hot(TRAINED_WORDS, word.text if word else None)
    common += _one_hot(tuple(COLOURS), word.colour if word else None)
    common += _one_hot(PLACES, place(word.x, word.y) if word else None)
    common += [float(len(word.text) == n) if word else 0.0 for n in (2, 3, 4)]
    one, two = (*map(_group, scene.groups), _group(()), _group(()))[:2]
    relation = scene.relation
    there = _one_hot(RELATIONS, relation)
    back = _one_hot(RELATIONS, OPPOSITE[relation] if relation else None)
    return one + two + there + common, two + one + back + common


class SceneEncoder(nn.Module):
    """Scene attributes to a vector that does not depend on which group is told first."""

    def __init__(self, entries: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(entries, 512), nn.GELU(), nn.Linear(512, 512), nn.GELU(), nn.Linear(512, width)
        )

    def forward(self, views: Tensor) -> Tensor:
        """(B, 2, entries) -> (B, width)."""
        return self.layers(views).mean(1)


def _batch(rng: random.Random, count: int) -> tuple[list[Scene], list[str]]:
    scenes = [draw(rng) for _ in range(count)]
    return scenes, [caption(rng, scene) for scene in scenes]


def train_clip(
    model: CLIPTextModelWithProjection,
    tokenizer: CLIPTokenizer,
    clock: TimeLimit,
    *,
    device: torch.device,
    seed: int = 0,
    batch: int = 256,
    learning_rate: float = 1.5e-3,
) -> Iterator[Progress]:
    """Contrast captions with scenes, both ways, until the clock stops; yields loss and top-1 agreement."""
    rng = random.Random(seed)
    scenes, _ = _batch(rng, 1)
    other = SceneEncoder(len(attributes(scenes[0])[0]), model.config.projection_dim).to(device)
    model.to(device).train()
    pieces = torch.tensor(piece_ids(tokenizer), device=device)
    model.get_input_embeddings().weight.register_hook(lambda grad: grad.index_fill(0, pieces, 0.0))
    temperature = nn.Parameter(torch.tensor(2.5, device=device))
    target = torch.arange(batch, device=device)

    def contrast() -> tuple[Tensor, dict[str, Tensor]]:
        scenes, texts = _batch(rng, batch)
        views = torch.tensor([attributes(scene) for scene in scenes], device=device)
        with mixed(device):
            said = functional.normalize(model(tokens(tokenizer, texts, device)).text_embeds.float(), dim=1)
            shown = functional.normalize(other(views).float(), dim=1)
        logits = temperature.exp() * said @ shown.T
        loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        return loss, {"top1": (logits.argmax(1) == target).float().mean()}

    parameters = [*model.parameters(), *other.parameters(), temperature]
    yield from descend(parameters, contrast, clock, "clip", batch=batch, learning_rate=learning_rate)


def train_t5(
    model: T5ForConditionalGeneration,
    tokenizer: T5Tokenizer,
    clock: TimeLimit,
    *,
    device: torch.device,
    seed: int = 0,
    batch: int = 128,
    learning_rate: float = 1e-3,
    hidden_share: float = 0.2,
) -> Iterator[Progress]:
    """Restore captions of which `hidden_share` of the tokens were replaced by the unknown token, and tell
    where in its word each letter stands (`spelling`)."""
    rng = random.Random(seed)
    model.to(device).train()
    places, directions = Places(tokenizer), slot_directions(model.config.d_model).to(device)

    def restore() -> tuple[Tensor, dict[str, Tensor]]:
        _, texts = _batch(rng, batch)
        clean = tokens(tokenizer, texts, device)
        told = clean != tokenizer.pad_token_id
        hidden = (torch.rand(clean.shape, device=device) < hidden_share) & told
        noisy = clean.masked_fill(hidden, tokenizer.unk_token_id)
        with mixed(device):
            # Padding is not masked in serving, so neither is it here.
            out = model(input_ids=noisy, labels=clean.masked_fill(~told, -100))
        return out.loss + slot_loss(out.encoder_last_hidden_state, places(clean), directions), {}

    yield from descend(model.parameters(), restore, clock, "t5", batch=batch, learning_rate=learning_rate)


def encoder_of(model: T5ForConditionalGeneration) -> T5EncoderModel:
    """The encoder alone, in the class that pipelines load."""
    encoder = T5EncoderModel(model.config)
    encoder.load_state_dict(
        {k: v for k, v in model.state_dict().items() if not k.startswith(("decoder", "lm_head"))}
    )
    return encoder
