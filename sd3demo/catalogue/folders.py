"""A folder in diffusers format as a ModelSpec, from its own configs: nothing assumed, nothing loaded."""

from pathlib import Path

from sd3demo.catalogue.networks import MMDiTShape
from sd3demo.catalogue.sd3 import LONGEST_T5, PIPELINE_T5_TOKENS, sd3_capabilities, sd3_encoders
from sd3demo.catalogue.shifts import ConstantShift
from sd3demo.catalogue.spec import COMPONENTS, Defaults, Latent, ModelSpec
from sd3demo.catalogue.weight_files import measure, read_json
from sd3demo.errors import Refusal

PIPELINES = ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline")


def read_folder(folder: Path, transformer: str = "transformer") -> ModelSpec:
    """The spec of a checkpoint on this disk, with the transformer that lies in that folder within it.

    Raises Refusal with what is missing or damaged.
    """
    folder = folder.expanduser()
    if not (folder / "model_index.json").is_file():
        raise Refusal(f"{folder} has no model_index.json; a model is a folder in diffusers format")
    index = read_json(folder / "model_index.json")
    pipeline = index.get("_class_name")
    if pipeline not in PIPELINES:
        raise Refusal(
            f"{folder} is a {pipeline}; the models that can be run here are StableDiffusion3Pipeline's"
        )
    present = [name for name in COMPONENTS if (index.get(name) or [None])[0] is not None]
    for needed in ("transformer", "vae", "text_encoder", "text_encoder_2"):
        if needed not in present:
            raise Refusal(
                f"{folder}/model_index.json names no {needed}; only text_encoder_3 (T5) may be left out"
            )

    config = read_json(folder / transformer / "config.json")
    network = _network(config, folder / transformer)
    vae = read_json(folder / "vae" / "config.json")
    factor = 2 ** (len(vae.get("block_out_channels", ())) - 1) if vae.get("block_out_channels") else 8
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
        components={
            name: measure(folder / (transformer if name == "transformer" else name)) for name in present
        },
        can=sd3_capabilities(network, latent),
        shift=ConstantShift(float(shift)),
        defaults=Defaults(),
        folder=str(folder),
        transformer=transformer,
    )


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
