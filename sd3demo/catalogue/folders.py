"""A folder in diffusers format as a ModelSpec, from its own configs: nothing assumed, nothing loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sd3demo.catalogue.flux import (
    FLUX_DEV_DEFAULTS,
    FLUX_NATIVE_LATENT,
    FLUX_SCHNELL_DEFAULTS,
    flux_capabilities,
    flux_encoders,
)
from sd3demo.catalogue.folder_checks import (
    CLIP,
    GEMMA,
    GEMMA_2,
    T5,
    TextPart,
    check_class,
    check_equal,
    check_network,
    check_order,
    check_text_encoder,
    check_weights,
    quantisers,
    token_limit,
    whole,
)
from sd3demo.catalogue.lumina import (
    GEMMA_TOKENS,
    LUMINA2_DEFAULTS,
    LUMINA_NEXT_DEFAULTS,
    gemma_encoders,
    lumina2_capabilities,
    lumina_next_capabilities,
)
from sd3demo.catalogue.networks import FluxShape, Lumina2Shape, LuminaNextShape, MMDiTShape
from sd3demo.catalogue.schedulers import read_scheduler
from sd3demo.catalogue.sd3 import (
    LONGEST_T5,
    PIPELINE_T5_TOKENS,
    T5_WORDS,
    sd3_capabilities,
    sd3_encoders,
)
from sd3demo.catalogue.shifts import ConstantShift
from sd3demo.catalogue.spec import COMPONENTS, Capabilities, Defaults, Family, Latent, ModelSpec, Size
from sd3demo.catalogue.weight_files import measure, read_json, single_files_in
from sd3demo.errors import Refusal


def read_folder(
    folder: Path, transformer: str = "transformer", elsewhere: frozenset[str] = frozenset()
) -> ModelSpec:
    """The spec of a checkpoint on this disk, with the transformer that lies in that folder within it.

    The weights of the components `elsewhere` are in another place; of those the configs alone are read.
    Raises Refusal with what is missing or damaged.
    """
    folder = folder.expanduser()
    if not (folder / "model_index.json").is_file():
        raise Refusal(f"{folder} {_not_a_model(folder)}")
    index = read_json(folder / "model_index.json")
    pipeline = str(index.get("_class_name"))
    if pipeline not in READERS:
        raise Refusal(f"{folder} is a {pipeline}; the models that can be run here are {', '.join(READERS)}")
    return READERS[pipeline](folder, index, transformer, elsewhere)


def _sd3(folder: Path, index: Mapping[str, object], transformer: str, elsewhere: frozenset[str]) -> ModelSpec:
    present = _present(index)
    _check_present(folder, present, "; only text_encoder_3 (T5) may be left out")
    config = check_class(folder, transformer, "SD3Transformer2DModel")
    network = _network(config, folder / transformer)
    if "transformer" not in elsewhere:
        check_network(folder / transformer, network)
    factor = _factor(folder, network.channels)
    clips = [folder / name / "config.json" for name in ("text_encoder", "text_encoder_2")]
    configs = [check_text_encoder(folder, file.parent.name, CLIP) for file in clips]
    check_order(
        folder, *(whole(file, each, "hidden_size") for file, each in zip(clips, configs, strict=True))
    )
    pooled = sum(whole(file, each, "projection_dim") for file, each in zip(clips, configs, strict=True))
    check_equal(clips[1], "both CLIPs' projection_dim", pooled, "pooled_projection_dim", network.pooled_dim)
    words = T5_WORDS
    if "text_encoder_3" in present:
        words = _check_width(folder, "text_encoder_3", T5, "joint_attention_dim", network.joint_dim)
    sample = config.get("sample_size", 128)
    longest = LONGEST_T5
    if "text_encoder_3" in present:
        longest = min(token_limit(folder / "tokenizer_3", LONGEST_T5), LONGEST_T5)
    latent = Latent(network.channels, factor, network.patch)
    shift = read_scheduler(folder, index, latent.multiple)
    return ModelSpec(
        name=str(folder),
        family="sd3",
        licence="as the folder says",
        native=int(sample) * factor,
        latent=latent,
        network=network,
        encoders=sd3_encoders(
            clip=token_limit(folder / "tokenizer", 77),
            t5=min(PIPELINE_T5_TOKENS, longest),
            longest=longest,
            words=words,
        ),
        components=_components(folder, present, transformer, elsewhere),
        can=sd3_capabilities(network, latent),
        shift=shift,
        defaults=Defaults(schedule="diffusers" if isinstance(shift, ConstantShift) else "single"),
        folder=str(folder),
        transformer=transformer,
        quantised=quantisers(_folders(folder, present, transformer, elsewhere)),
    )


def _flux(
    folder: Path, index: Mapping[str, object], transformer: str, elsewhere: frozenset[str]
) -> ModelSpec:
    present = _present(index)
    _check_present(folder, present, "")
    config = check_class(folder, transformer, "FluxTransformer2DModel")
    network = _flux_network(config, folder / transformer)
    if "transformer" not in elsewhere:
        check_network(folder / transformer, network)
    latent = Latent(network.channels, _factor(folder, network.channels), network.patch)
    _check_width(folder, "text_encoder", CLIP, "pooled_projection_dim", network.pooled_dim)
    words = _check_width(folder, "text_encoder_2", T5, "joint_attention_dim", network.joint_dim)
    shift = read_scheduler(folder, index, latent.multiple)
    longest = min(token_limit(folder / "tokenizer_2", LONGEST_T5), LONGEST_T5)
    usual = 512 if network.guidance else 256  # those of dev and of schnell
    return ModelSpec(
        name=str(folder),
        family="flux",
        licence="as the folder says",
        native=FLUX_NATIVE_LATENT * latent.factor,
        latent=latent,
        network=network,
        encoders=flux_encoders(
            clip=token_limit(folder / "tokenizer", 77),
            t5=min(usual, longest),
            longest=min(usual, longest),
            words=words,
        ),
        components=_components(folder, present, transformer, elsewhere),
        can=flux_capabilities(network),
        shift=shift,
        defaults=FLUX_DEV_DEFAULTS if network.guidance else FLUX_SCHNELL_DEFAULTS,
        folder=str(folder),
        transformer=transformer,
        quantised=quantisers(_folders(folder, present, transformer, elsewhere)),
    )


@dataclass(frozen=True)
class LuminaKind:
    """How the folders of one of the two Lumina families differ from the other's."""

    family: Family
    transformer: str
    """The class of its network."""
    network: Callable[[dict, Path], LuminaNextShape | Lumina2Shape]
    gemma: TextPart
    text_width: str
    """What its config calls the width of Gemma's tokens."""
    can: Callable[[], Capabilities]
    defaults: Defaults


def _lumina(
    kind: LuminaKind,
    folder: Path,
    index: Mapping[str, object],
    transformer: str,
    elsewhere: frozenset[str],
) -> ModelSpec:
    present = _present(index)
    _check_present(folder, present, "", ONE_ENCODER)
    config = check_class(folder, transformer, kind.transformer)
    network = kind.network(config, folder / transformer)
    latent = Latent(network.channels, _factor(folder, network.channels), network.patch)
    words = _check_width(folder, "text_encoder", kind.gemma, kind.text_width, network.text_dim)
    return ModelSpec(
        name=str(folder),
        family=kind.family,
        licence="as the folder says",
        native=int(config.get("sample_size", 128)) * latent.factor,
        latent=latent,
        network=network,
        encoders=gemma_encoders(
            tokens=min(token_limit(folder / "tokenizer", GEMMA_TOKENS), GEMMA_TOKENS), words=words
        ),
        components=_components(folder, present, transformer, elsewhere),
        can=kind.can(),
        shift=read_scheduler(folder, index, latent.multiple),
        defaults=kind.defaults,
        folder=str(folder),
        transformer=transformer,
        quantised=quantisers(_folders(folder, present, transformer, elsewhere)),
    )


LORA_FILE = "pytorch_lora_weights.safetensors"
"""What diffusers calls a LoRA's file."""


def _not_a_model(folder: Path) -> str:
    """What a folder without model_index.json seems to be, and what to give instead."""
    if not folder.is_dir():
        return "is no folder; give one in diffusers format"
    if (folder / LORA_FILE).is_file():
        return f"holds a LoRA, which is part of no model; give one, and --lora {folder / LORA_FILE}"
    if (folder / "config.json").is_file():
        name = read_json(folder / "config.json").get("_class_name", "part of a model")
        return f"holds a {name} alone and has no model_index.json; give the folder that it lies in"
    alone = "has no model_index.json; a model is a folder in diffusers format"
    snapshots = sorted(folder.glob("snapshots/*/model_index.json"))
    if snapshots:
        return f"{alone}, such as {snapshots[0].parent} in it"
    files = single_files_in(folder)
    return f"{alone}, or one file in it, such as {files[0]}" if files else alone


def _present(index: Mapping[str, object]) -> list[str]:
    """The components that model_index.json names."""
    entries = {name: index.get(name) for name in COMPONENTS}
    return [name for name, entry in entries.items() if isinstance(entry, list) and entry and entry[0]]


ONE_ENCODER = ("transformer", "vae", "text_encoder")
TWO_ENCODERS = (*ONE_ENCODER, "text_encoder_2")


def _check_present(
    folder: Path, present: list[str], optional: str, wanted: tuple[str, ...] = TWO_ENCODERS
) -> None:
    for needed in wanted:
        if needed not in present:
            raise Refusal(f"{folder}/model_index.json names no {needed}{optional}")


def _components(
    folder: Path, present: list[str], transformer: str, elsewhere: frozenset[str]
) -> dict[str, Size]:
    here = _folders(folder, present, transformer, elsewhere)
    for name, place in here.items():
        if name != "transformer":
            check_weights(place)
    return {name: measure(here[name]) if name in here else Size(0, 0) for name in present}


def _folders(
    folder: Path, present: list[str], transformer: str, elsewhere: frozenset[str]
) -> dict[str, Path]:
    """Where each component lies, of those that are not elsewhere."""
    return {
        name: folder / (transformer if name == "transformer" else name)
        for name in present
        if name not in elsewhere
    }


def _factor(folder: Path, channels: int) -> int:
    """Pixels along the side of a latent's entry, from the autoencoder's config."""
    file = folder / "vae" / "config.json"
    config = check_class(folder, "vae", "AutoencoderKL")
    check_equal(file, "latent_channels", whole(file, config, "latent_channels"), "channels", channels)
    blocks = config.get("block_out_channels")
    if not isinstance(blocks, list) or not blocks:
        raise Refusal(f"{file} sets block_out_channels to {blocks}; it must be a list of widths")
    return 2 ** (len(blocks) - 1)


def _check_width(folder: Path, component: str, part: TextPart, name: str, expected: int) -> int:
    """The tokens that a text encoder knows. Raises Refusal where it is not as wide as it is read."""
    file, config = folder / component / "config.json", check_text_encoder(folder, component, part)
    check_equal(file, part.width, whole(file, config, part.width), name, expected)
    return whole(file, config, "vocab_size")


def _lumina_next_network(config: dict, folder: Path) -> LuminaNextShape:
    try:
        heads = int(config["num_attention_heads"])
        return LuminaNextShape(
            depth=int(config["num_layers"]),
            hidden=int(config["hidden_size"]),
            heads=heads,
            kv_heads=int(config.get("num_kv_heads") or heads),
            text_dim=int(config["cross_attention_dim"]),
            channels=int(config.get("in_channels", 4)),
            patch=int(config.get("patch_size", 2)),
            multiple_of=int(config.get("multiple_of", 256)),
            learn_sigma=bool(config.get("learn_sigma", True)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(f"{folder}/config.json is not a LuminaNextDiT2DModel's: {error} is missing") from error


def _lumina2_network(config: dict, folder: Path) -> Lumina2Shape:
    try:
        heads = int(config["num_attention_heads"])
        index, row, column = config.get("axes_dim_rope", (32, 32, 32))
        return Lumina2Shape(
            joint=int(config["num_layers"]),
            refiners=int(config.get("num_refiner_layers", 2)),
            hidden=int(config["hidden_size"]),
            heads=heads,
            kv_heads=int(config.get("num_kv_heads") or heads),
            text_dim=int(config["cap_feat_dim"]),
            channels=int(config.get("in_channels", 16)),
            patch=int(config.get("patch_size", 2)),
            axes=(int(index), int(row), int(column)),
            multiple_of=int(config.get("multiple_of", 256)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(
            f"{folder}/config.json is not a Lumina2Transformer2DModel's: {error} is missing"
        ) from error


def _flux_network(config: dict, folder: Path) -> FluxShape:
    patch = 2  # the pipeline's; the network itself is given patches
    try:
        index, row, column = config.get("axes_dims_rope", (16, 56, 56))
        return FluxShape(
            double=int(config["num_layers"]),
            single=int(config["num_single_layers"]),
            hidden=int(config["num_attention_heads"]) * int(config["attention_head_dim"]),
            heads=int(config["num_attention_heads"]),
            joint_dim=int(config["joint_attention_dim"]),
            pooled_dim=int(config["pooled_projection_dim"]),
            channels=int(config.get("in_channels", 64)) // patch**2,
            patch=patch,
            axes=(int(index), int(row), int(column)),
            guidance=bool(config.get("guidance_embeds", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(
            f"{folder}/config.json is not a FluxTransformer2DModel's: {error} is missing"
        ) from error


def _network(config: dict, folder: Path) -> MMDiTShape:
    try:
        return MMDiTShape(
            depth=int(config["num_layers"]),
            hidden=int(config["num_attention_heads"]) * int(config["attention_head_dim"]),
            heads=int(config["num_attention_heads"]),
            joint_dim=int(config["joint_attention_dim"]),
            pooled_dim=int(config["pooled_projection_dim"]),
            channels=int(config.get("in_channels", 16)),
            patch=int(config.get("patch_size", 2)),
            table=int(config.get("pos_embed_max_size", 96)),
            dual=len(config.get("dual_attention_layers", ())),
            qk_norm=config.get("qk_norm") is not None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal(
            f"{folder}/config.json is not an SD3Transformer2DModel's: {error} is missing"
        ) from error


LUMINA_NEXT = LuminaKind(
    "lumina-next",
    "LuminaNextDiT2DModel",
    _lumina_next_network,
    GEMMA,
    "cross_attention_dim",
    lumina_next_capabilities,
    LUMINA_NEXT_DEFAULTS,
)
LUMINA_2 = LuminaKind(
    "lumina2",
    "Lumina2Transformer2DModel",
    _lumina2_network,
    GEMMA_2,
    "cap_feat_dim",
    lumina2_capabilities,
    LUMINA2_DEFAULTS,
)
READERS: Mapping[str, Callable[[Path, Mapping[str, object], str, frozenset[str]], ModelSpec]] = {
    "StableDiffusion3Pipeline": _sd3,
    "StableDiffusion3Img2ImgPipeline": _sd3,
    "StableDiffusion3InpaintPipeline": _sd3,
    "FluxPipeline": _flux,
    "LuminaPipeline": partial(_lumina, LUMINA_NEXT),
    "LuminaText2ImgPipeline": partial(_lumina, LUMINA_NEXT),
    "Lumina2Pipeline": partial(_lumina, LUMINA_2),
    "Lumina2Text2ImgPipeline": partial(_lumina, LUMINA_2),
}
"""The pipelines whose folders can be run here: each gives a spec, from model_index.json."""
