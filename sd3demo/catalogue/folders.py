"""A folder in diffusers format as a ModelSpec, from its own configs: nothing assumed, nothing loaded."""

from collections.abc import Callable, Mapping
from pathlib import Path

from sd3demo.catalogue.flux import (
    FLUX_DEV_DEFAULTS,
    FLUX_NATIVE_LATENT,
    FLUX_SCHNELL_DEFAULTS,
    flux_capabilities,
    flux_encoders,
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
from sd3demo.catalogue.sd3 import LONGEST_T5, PIPELINE_T5_TOKENS, sd3_capabilities, sd3_encoders
from sd3demo.catalogue.shifts import ConstantShift, LinearMuShift, ShiftRule
from sd3demo.catalogue.spec import COMPONENTS, Defaults, Latent, ModelSpec, Size
from sd3demo.catalogue.weight_files import measure, read_json
from sd3demo.errors import Refusal


def read_folder(folder: Path, transformer: str = "transformer") -> ModelSpec:
    """The spec of a checkpoint on this disk, with the transformer that lies in that folder within it.

    Raises Refusal with what is missing or damaged.
    """
    folder = folder.expanduser()
    if not (folder / "model_index.json").is_file():
        raise Refusal(f"{folder} has no model_index.json; a model is a folder in diffusers format")
    index = read_json(folder / "model_index.json")
    pipeline = str(index.get("_class_name"))
    if pipeline not in READERS:
        raise Refusal(f"{folder} is a {pipeline}; the models that can be run here are {', '.join(READERS)}")
    present = [name for name in COMPONENTS if (index.get(name) or [None])[0] is not None]
    return READERS[pipeline](folder, present, transformer)


def _sd3(folder: Path, present: list[str], transformer: str) -> ModelSpec:
    _check_present(folder, present, "; only text_encoder_3 (T5) may be left out")
    config = read_json(folder / transformer / "config.json")
    network = _network(config, folder / transformer)
    factor = _factor(folder)
    sample = config.get("sample_size", 128)
    shift = read_json(folder / "scheduler" / "scheduler_config.json").get("shift", 1.0)
    longest = LONGEST_T5
    if "text_encoder_3" in present:
        longest = min(_token_limit(folder / "tokenizer_3", LONGEST_T5), LONGEST_T5)
    latent = Latent(network.channels, factor, network.patch)
    return ModelSpec(
        name=str(folder),
        family="sd3",
        licence="as the folder says",
        native=int(sample) * factor,
        latent=latent,
        network=network,
        encoders=sd3_encoders(
            clip=_token_limit(folder / "tokenizer", 77),
            t5=min(PIPELINE_T5_TOKENS, longest),
            longest=longest,
        ),
        components=_components(folder, present, transformer),
        can=sd3_capabilities(network, latent),
        shift=ConstantShift(float(shift)),
        defaults=Defaults(),
        folder=str(folder),
        transformer=transformer,
    )


def _flux(folder: Path, present: list[str], transformer: str) -> ModelSpec:
    _check_present(folder, present, "")
    network = _flux_network(read_json(folder / transformer / "config.json"), folder / transformer)
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    latent = Latent(network.channels, _factor(folder), network.patch)
    longest = min(_token_limit(folder / "tokenizer_2", LONGEST_T5), LONGEST_T5)
    usual = 512 if network.guidance else 256  # those of dev and of schnell
    return ModelSpec(
        name=str(folder),
        family="flux",
        licence="as the folder says",
        native=FLUX_NATIVE_LATENT * latent.factor,
        latent=latent,
        network=network,
        encoders=flux_encoders(
            clip=_token_limit(folder / "tokenizer", 77), t5=min(usual, longest), longest=min(usual, longest)
        ),
        components=_components(folder, present, transformer),
        can=flux_capabilities(network),
        shift=_shift_rule(scheduler, latent),
        defaults=FLUX_DEV_DEFAULTS if network.guidance else FLUX_SCHNELL_DEFAULTS,
        folder=str(folder),
        transformer=transformer,
    )


def _lumina_next(folder: Path, present: list[str], transformer: str) -> ModelSpec:
    _check_present(folder, present, "", ONE_ENCODER)
    config = read_json(folder / transformer / "config.json")
    network = _lumina_next_network(config, folder / transformer)
    latent = Latent(network.channels, _factor(folder), network.patch)
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    return ModelSpec(
        name=str(folder),
        family="lumina-next",
        licence="as the folder says",
        native=int(config.get("sample_size", 128)) * latent.factor,
        latent=latent,
        network=network,
        encoders=gemma_encoders(tokens=min(_token_limit(folder / "tokenizer", GEMMA_TOKENS), GEMMA_TOKENS)),
        components=_components(folder, present, transformer),
        can=lumina_next_capabilities(),
        shift=ConstantShift(float(scheduler.get("shift", 1.0))),
        defaults=LUMINA_NEXT_DEFAULTS,
        folder=str(folder),
        transformer=transformer,
    )


def _lumina2(folder: Path, present: list[str], transformer: str) -> ModelSpec:
    _check_present(folder, present, "", ONE_ENCODER)
    config = read_json(folder / transformer / "config.json")
    network = _lumina2_network(config, folder / transformer)
    latent = Latent(network.channels, _factor(folder), network.patch)
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    return ModelSpec(
        name=str(folder),
        family="lumina2",
        licence="as the folder says",
        native=int(config.get("sample_size", 128)) * latent.factor,
        latent=latent,
        network=network,
        encoders=gemma_encoders(tokens=min(_token_limit(folder / "tokenizer", GEMMA_TOKENS), GEMMA_TOKENS)),
        components=_components(folder, present, transformer),
        can=lumina2_capabilities(),
        shift=_shift_rule(scheduler, latent),
        defaults=LUMINA2_DEFAULTS,
        folder=str(folder),
        transformer=transformer,
    )


READERS: Mapping[str, Callable[[Path, list[str], str], ModelSpec]] = {
    "StableDiffusion3Pipeline": _sd3,
    "StableDiffusion3Img2ImgPipeline": _sd3,
    "StableDiffusion3InpaintPipeline": _sd3,
    "FluxPipeline": _flux,
    "LuminaPipeline": _lumina_next,
    "LuminaText2ImgPipeline": _lumina_next,
    "Lumina2Pipeline": _lumina2,
    "Lumina2Text2ImgPipeline": _lumina2,
}
"""The pipelines whose folders can be run here: each gives a spec, from the components that are present."""


ONE_ENCODER = ("transformer", "vae", "text_encoder")
TWO_ENCODERS = (*ONE_ENCODER, "text_encoder_2")


def _check_present(
    folder: Path, present: list[str], optional: str, wanted: tuple[str, ...] = TWO_ENCODERS
) -> None:
    for needed in wanted:
        if needed not in present:
            raise Refusal(f"{folder}/model_index.json names no {needed}{optional}")


def _components(folder: Path, present: list[str], transformer: str) -> dict[str, Size]:
    return {name: measure(folder / (transformer if name == "transformer" else name)) for name in present}


def _factor(folder: Path) -> int:
    """Pixels along the side of a latent's entry, from the autoencoder's config."""
    blocks = read_json(folder / "vae" / "config.json").get("block_out_channels")
    return 2 ** (len(blocks) - 1) if blocks else 8


def _shift_rule(scheduler: dict, latent: Latent) -> ShiftRule:
    """A scheduler's constant shift, or the one that follows the number of patches."""
    if not scheduler.get("use_dynamic_shifting"):
        return ConstantShift(float(scheduler.get("shift", 1.0)))
    return LinearMuShift(
        base=float(scheduler.get("base_shift", 0.5)),
        top=float(scheduler.get("max_shift", 1.15)),
        tokens=(
            int(scheduler.get("base_image_seq_len", 256)),
            int(scheduler.get("max_image_seq_len", 4096)),
        ),
        patch_side=latent.multiple,
    )


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


def _token_limit(folder: Path, otherwise: int) -> int:
    """A tokenizer's `model_max_length`; transformers writes 1e30 for 'not known'."""
    file = folder / "tokenizer_config.json"
    limit = read_json(file).get("model_max_length", otherwise) if file.is_file() else otherwise
    return int(limit) if limit < 1_000_000 else otherwise
