"""Small random checkpoints in diffusers' layout, complete with tokenizers made in memory.

Three kinds of SD3, as they differ in the published models: SD3-medium (neither QK-norm nor dual attention),
SD3.5-medium (both) and SD3.5-large (QK-norm alone). `benchmark` has the size of the embedded model. Other
families have a pipeline each in FAMILY_PIPELINES; `randomised` fills what they would leave at zero.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    LuminaNextDiT2DModel,
    LuminaPipeline,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Gemma2Config,
    Gemma2Model,
    GemmaConfig,
    GemmaModel,
    GemmaTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Kind:
    """What sets a checkpoint apart from the others."""

    depth: int = 3
    heads: int = 4
    head_dim: int = 8
    qk_norm: str | None = None
    dual_attention_layers: tuple[int, ...] = ()
    shift: float = 3.0
    text_tokens: int = 9
    vae_blocks: int = 3
    projection: int = 12
    """Channels of CLIP-L's pooled vector; CLIP-G's has 12."""
    words: list[str] = field(default_factory=lambda: ["a", "red", "circle", "above", "blue", "square", "on"])

    @property
    def vae_factor(self) -> int:
        return 2 ** (self.vae_blocks - 1)


KINDS = {
    "sd3-medium": Kind(),
    "sd3.5-medium": Kind(qk_norm="rms_norm", dual_attention_layers=(0, 1)),
    "sd3.5-large": Kind(depth=4, heads=3, qk_norm="rms_norm"),
}

BENCHMARK = Kind(depth=4, heads=4, head_dim=64, qk_norm="rms_norm", shift=1.0, text_tokens=20)


Pipeline = Callable[[], DiffusionPipeline]


def write_family(folder: Path, kind: str) -> Path:
    """A whole model of another family than SD3 in `folder`, in float32 safetensors."""
    FAMILY_PIPELINES[kind]().save_pretrained(folder, safe_serialization=True)
    return folder


def randomised(module: Module, seed: int = 1) -> Module:
    """All parameters at random: gates, modulations and pad tokens that start at zero would hide errors."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            spread = 0.35 / math.sqrt(weight.shape[-1]) if weight.ndim > 1 else 0.1
            middle = 1.0 if weight.ndim == 1 and "norm" in name and name.endswith("weight") else 0.0
            weight.copy_(middle + spread * torch.randn(weight.shape, generator=generator))
    return module.eval()


def write_checkpoint(folder: Path, kind: Kind, *, seed: int = 0, with_t5: bool = True) -> Path:
    """A whole model in `folder`, in float32 safetensors; the same seed gives the same weights."""
    pipeline(kind, seed=seed, with_t5=with_t5).save_pretrained(folder, safe_serialization=True)
    return folder


def pipeline(kind: Kind, *, seed: int = 0, with_t5: bool = True) -> StableDiffusion3Pipeline:
    """diffusers' own pipeline over random weights."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        return StableDiffusion3Pipeline(
            transformer=_transformer(kind),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=kind.shift),
            vae=_vae(kind),
            text_encoder=_clip(kind, width=16, projection=kind.projection),
            tokenizer=_clip_tokenizer(kind),
            text_encoder_2=_clip(kind, width=24),
            tokenizer_2=_clip_tokenizer(kind),
            text_encoder_3=_t5(kind) if with_t5 else None,
            tokenizer_3=_t5_tokenizer(kind) if with_t5 else None,
        )
    finally:
        torch.set_rng_state(state)


def _transformer(kind: Kind) -> SD3Transformer2DModel:
    model = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=16,
        num_layers=kind.depth,
        attention_head_dim=kind.head_dim,
        num_attention_heads=kind.heads,
        joint_attention_dim=48,
        caption_projection_dim=kind.heads * kind.head_dim,
        pooled_projection_dim=kind.projection + 12,
        out_channels=16,
        pos_embed_max_size=16,
        qk_norm=kind.qk_norm,
        dual_attention_layers=kind.dual_attention_layers,
    )
    with torch.no_grad():
        model.proj_out.weight.mul_(0.5)  # velocities of about unit size, so that a tolerance means something
    return model.eval()


def _vae(
    kind: Kind, *, channels: int = 16, scale: float = 1.5305, shift: float | None = 0.0609
) -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * kind.vae_blocks,
        up_block_types=("UpDecoderBlock2D",) * kind.vae_blocks,
        block_out_channels=(16, 24, 32, 32)[: kind.vae_blocks],
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=8,
        scaling_factor=scale,
        shift_factor=shift,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).eval()


def _clip(kind: Kind, *, width: int, projection: int = 12) -> CLIPTextModelWithProjection:
    return CLIPTextModelWithProjection(_clip_config(kind, width=width, projection=projection)).eval()


def _clip_config(kind: Kind, *, width: int, projection: int = 12) -> CLIPTextConfig:
    """`hidden_states[-2]` is read, so two layers at least; the end token's id is the tokenizer's, not 2."""
    tokenizer = _clip_tokenizer(kind)
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=kind.text_tokens,
        projection_dim=projection,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_factor=5.0,
    )


def _t5(kind: Kind) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(_t5_tokenizer(kind)),
            d_model=48,
            d_kv=12,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
        )
    ).eval()


def _clip_tokenizer(kind: Kind) -> CLIPTokenizer:
    """Byte-pair encoding whose merges end in the words themselves."""
    vocabulary = ["<|pad|>", "<|startoftext|>", "<|pad2|>", "<|endoftext|>"]
    merges: list[tuple[str, str]] = []
    for letter in "abcdefghijklmnopqrstuvwxyz":
        vocabulary += [letter, f"{letter}</w>"]
    for word in kind.words:
        done = word[0]
        for position, letter in enumerate(word[1:], start=1):
            piece = f"{letter}</w>" if position == len(word) - 1 else letter
            if (done, piece) not in merges:
                merges.append((done, piece))
            done += piece
            if done not in vocabulary:
                vocabulary.append(done)
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(vocabulary)},
        merges=merges,
        model_max_length=kind.text_tokens,
    )


def _t5_tokenizer(kind: Kind) -> T5Tokenizer:
    pieces = [
        "<pad>",
        "</s>",
        "<unk>",
        "▁",
        *(f"▁{word}" for word in kind.words),
        *"abcdefghijklmnopqrstuvwxyz",
    ]
    unique = list(dict.fromkeys(pieces))
    return T5Tokenizer(
        vocab=[(piece, 0.0 if index < 3 else -float(index)) for index, piece in enumerate(unique)],
        extra_ids=0,
        model_max_length=kind.text_tokens,
    )


def _flux(*, guidance: bool) -> FluxPipeline:
    """FLUX.1 dev, or schnell: no guidance embedding and a shift that does not depend on the size."""
    kind = Kind(text_tokens=9, vae_blocks=3)
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        pooled_projection_dim=16,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 6, 6),
    )
    dynamic = {"use_dynamic_shifting": True, "shift": 3.0, "base_shift": 0.5, "max_shift": 1.15}
    state = torch.get_rng_state()
    torch.manual_seed(0)
    try:
        return FluxPipeline(
            transformer=randomised(transformer),
            scheduler=FlowMatchEulerDiscreteScheduler(**dynamic if guidance else {"shift": 1.0}),
            vae=_vae(kind),
            text_encoder=CLIPTextModel(_clip_config(kind, width=16)).eval(),
            tokenizer=_clip_tokenizer(kind),
            text_encoder_2=_t5(kind),
            tokenizer_2=_t5_tokenizer(kind),
        )
    finally:
        torch.set_rng_state(state)


SYSTEM_WORDS = (
    *("you", "are", "an", "assistant", "designed", "to", "generate", "superior", "images", "with", "the"),
    *("degree", "of", "image", "text", "alignment", "based", "on", "textual", "prompts", "or", "user"),
)


def _gemma_tokenizer(kind: Kind) -> GemmaTokenizer:
    """Byte-pair encoding of letters whose merges end in the words themselves, with the space before them."""
    vocabulary = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *"abcdefghijklmnopqrstuvwxyzAYPS<>.-"]
    merges: list[tuple[str, str]] = []
    for word in (*kind.words, *SYSTEM_WORDS):
        done = "▁"
        for letter in word:
            if (done, letter) not in merges:
                merges.append((done, letter))
            done += letter
            if done not in vocabulary:
                vocabulary.append(done)
    return GemmaTokenizer(
        vocab={token: index for index, token in enumerate(vocabulary)},
        merges=merges,
        model_max_length=kind.text_tokens,
        add_bos_token=True,
    )


GEMMA = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 12,
}


def _lumina_next() -> LuminaPipeline:
    """Lumina-Next; its pipeline takes the autoencoder's factor for 8."""
    kind = Kind(text_tokens=64, vae_blocks=4)
    tokenizer = _gemma_tokenizer(kind)
    transformer = LuminaNextDiT2DModel(
        sample_size=8,
        in_channels=4,
        hidden_size=32,
        num_layers=3,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=16,
        cross_attention_dim=24,
    )
    return LuminaPipeline(
        transformer=randomised(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=randomised(_vae(kind, channels=4, scale=0.13025, shift=None)),
        text_encoder=randomised(GemmaModel(GemmaConfig(vocab_size=len(tokenizer), **GEMMA))),
        tokenizer=tokenizer,
    )


def _lumina2() -> Lumina2Pipeline:
    kind = Kind(text_tokens=64, vae_blocks=4)
    tokenizer = _gemma_tokenizer(kind)
    transformer = Lumina2Transformer2DModel(
        sample_size=8,
        hidden_size=48,
        num_layers=3,
        num_refiner_layers=1,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=16,
        axes_dim_rope=(4, 4, 4),
        cap_feat_dim=24,
    )
    return Lumina2Pipeline(
        transformer=randomised(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
        vae=randomised(_vae(kind, scale=0.3611, shift=0.1159)),
        text_encoder=randomised(Gemma2Model(Gemma2Config(vocab_size=len(tokenizer), **GEMMA))),
        tokenizer=tokenizer,
    )


FAMILY_PIPELINES: Mapping[str, Pipeline] = {
    "flux-dev": partial(_flux, guidance=True),
    "flux-schnell": partial(_flux, guidance=False),
    "lumina-next": _lumina_next,
    "lumina2": _lumina2,
}
"""A small random checkpoint of each kind of the other families."""
