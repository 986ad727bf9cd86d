"""What a file is, from its first bytes and its header alone: nothing is unpickled, no weight is read.

Files of weights are told apart by the names of their tensors, which each layout has its own of.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sd3demo.catalogue.gguf_files import MAGIC, read_gguf
from sd3demo.catalogue.layouts import Network, Shapes, transformer_of
from sd3demo.catalogue.lora_files import read_lora
from sd3demo.catalogue.spec import COMPONENTS, Size
from sd3demo.catalogue.weight_files import PICKLED, read_header
from sd3demo.errors import Refusal

LFS = b"version https://git-lfs.github.com/spec/"
PNG = b"\x89PNG\r\n\x1a\n"
LORA_PARTS = (
    *("lora_A.", "lora_B.", "lora_down.", "lora_up.", ".lora.down.", ".lora_linear_layer."),
    *(".hada_w1_", ".lokr_w1"),
)

BITS = {"F64": 64, "I64": 64, "F32": 32, "I32": 32, "F16": 16, "BF16": 16, "I16": 16, "BOOL": 8}


@dataclass(frozen=True)
class FileKind:
    """What a file is: a kind, a family where it has one, and a clause that follows "is".

    `parts` are the components of a model that it holds, with their sizes; `dtypes` counts its tensors.
    """

    kind: str
    family: str
    what: str
    parts: Mapping[str, Size] = field(default_factory=dict)
    dtypes: Mapping[str, int] = field(default_factory=dict)
    network: Network | None = None

    @property
    def runnable(self) -> bool:
        """Whether it holds a transformer that can be run here."""
        return self.network is not None and self.kind in ("transformer", "checkpoint", "gguf")


PART_PREFIXES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sd3": {
        "transformer": ("model.diffusion_model.",),
        "vae": ("first_stage_model.", "vae."),
        "text_encoder": ("text_encoders.clip_l.",),
        "text_encoder_2": ("text_encoders.clip_g.",),
        "text_encoder_3": ("text_encoders.t5xxl.",),
    },
    "flux": {
        "transformer": ("model.diffusion_model.",),
        "vae": ("first_stage_model.", "vae."),
        "text_encoder": ("text_encoders.clip_l.",),
        "text_encoder_2": ("text_encoders.t5xxl.",),
    },
}
"""How the names of each component's weights begin in a file that holds several."""


def file_kind(file: Path) -> FileKind:
    """Return what a file is. Raises Refusal where it cannot be opened."""
    try:
        with file.open("rb") as stream:
            start = stream.read(64)
    except OSError as error:
        raise Refusal(f"cannot read {file}: {error.strerror}") from error
    if start.startswith(LFS):
        return FileKind("lfs-pointer", "", "a Git LFS pointer and not the file; run `git lfs pull`")
    if start.startswith(MAGIC):
        return _gguf(file)
    if start.startswith(PNG):
        return FileKind("picture", "", "a picture; `sd3demo verify` reads what made it")
    if file.suffix in PICKLED or start[:2] == b"\x80\x02" or start[:4] == b"PK\x03\x04":
        return FileKind(
            "pickle", "", "a pickle, which can run code when it is read: it is never opened; use safetensors"
        )
    if file.suffix in (".safetensors", ".sft") or start[8:9] == b"{":
        try:
            header = read_header(file)
        except Refusal as error:
            return FileKind("damaged", "", f"damaged: {error}")
        return _described_lora(_weights(header), file)
    if file.suffix == ".json":
        return FileKind("config", "", "a JSON file without weights; give the folder that it lies in")
    return FileKind("unknown", "", "no file of weights that is known here")


def _described_lora(kind: FileKind, file: Path) -> FileKind:
    """The kind of a file; of a LoRA with its family, ranks and layers, or why it cannot be used."""
    if kind.kind != "lora":
        return kind
    try:
        lora = read_lora(file)
    except Refusal as error:
        return replace(kind, what=f"a LoRA that cannot be used: {error}")
    return replace(kind, family=lora.family or kind.family, what=f"{lora.what}; {kind.what}")


def _gguf(file: Path) -> FileKind:
    try:
        header = read_gguf(file)
    except Refusal as error:
        return FileKind("damaged", "", f"damaged: {error}")
    shapes = {name: shape for name, (shape, _) in header.tensors.items()}
    dtypes = Counter(kind for _, kind in header.tensors.values())
    network = transformer_of(shapes)
    if network is not None:
        parts = {"transformer": Size(sum(map(math.prod, shapes.values())), file.stat().st_size)}
        title = _title(network)
        return FileKind("gguf", network.family, f"the transformer of {title} as GGUF", parts, dtypes, network)
    if header.architecture.startswith("t5"):
        return FileKind(
            "text-encoder", "t5", "a T5 text encoder as GGUF, which is not read here", dtypes=dtypes
        )
    named = header.architecture or "no architecture that is named"
    return FileKind("gguf-other", "", f"a GGUF file of {named}, which cannot be run here", dtypes=dtypes)


def _weights(header: Mapping[str, dict]) -> FileKind:
    shapes: Shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
    dtypes = Counter(str(entry["dtype"]) for entry in header.values())
    for rule in _RULES:
        if rule.matches(shapes):
            return FileKind(rule.kind, rule.family(shapes), rule.what, dtypes=dtypes)
    network = transformer_of(shapes)
    if network is None:
        return FileKind("weights", "", "weights of no layout that is known here", dtypes=dtypes)
    found = {
        part: tuple(name for name in shapes if name.startswith(prefixes))
        for part, prefixes in PART_PREFIXES[network.family].items()
    }
    if not found["transformer"]:
        found = {"transformer": tuple(shapes)}
    parts = {
        part: Size(
            sum(math.prod(shapes[name]) for name in names),
            sum(math.prod(shapes[name]) * BITS.get(str(header[name]["dtype"]), 8) // 8 for name in names),
        )
        for part, names in found.items()
        if names
    }
    title, several = _title(network), len(parts) > 1
    what = f"the transformer of {title} in {network.naming} names"
    if several:
        what = f"{title} in one file: {', '.join(part for part in COMPONENTS if part in parts)}"
    return FileKind("checkpoint" if several else "transformer", network.family, what, parts, dtypes, network)


def _title(network: Network) -> str:
    return f"{'Stable Diffusion 3' if network.family == 'sd3' else 'FLUX.1'} ({network.shape.depth} blocks)"


@dataclass(frozen=True)
class _Rule:
    """A kind of file, known by names of its tensors."""

    kind: str
    what: str
    matches: Callable[[Shapes], bool]
    family: Callable[[Shapes], str] = lambda shapes: ""


def _any(*parts: str) -> Callable[[Shapes], bool]:
    return lambda shapes: any(part in name for name in shapes for part in parts)


def _starts(*parts: str) -> Callable[[Shapes], bool]:
    return lambda shapes: any(name.startswith(parts) for name in shapes)


def _lora_family(shapes: Shapes) -> str:
    names = " ".join(shapes)
    if "single_transformer_blocks" in names or "single_blocks" in names or "double_blocks" in names:
        return "flux"
    if "joint_blocks" in names or ("transformer_blocks" in names and "unet" not in names):
        return "sd3"
    return "sdxl" if "lora_te2_" in names or "add_embedding" in names else "sd1"


def _clip_family(shapes: Shapes) -> str:
    name = next(name for name in shapes if name.endswith("embeddings.position_embedding.weight"))
    return "clip-l" if shapes[name][-1] <= 768 else "clip-g"


_RULES = (
    _Rule(
        "quantised",
        "quantised in a way that is not read here (nf4, int4 or scaled fp8); use 16 or 8 bits, or GGUF",
        _any(".absmax", ".quant_map", ".scale_weight", "scaled_fp8", ".qweight", ".wscales"),
    ),
    _Rule(
        "lora",
        "`sd3demo generate --lora FILE` puts it on a model",
        _any(*LORA_PARTS),
        _lora_family,
    ),
    _Rule(
        "controlnet",
        "a ControlNet, which steers a model and is none; it cannot be used here",
        _any("controlnet_", "control_model.", "input_hint_block", "controlnet_cond_embedding"),
    ),
    _Rule(
        "checkpoint",
        "a checkpoint of SDXL, whose network is no rectified flow; it cannot be run here",
        _starts("conditioner.embedders."),
        lambda shapes: "sdxl",
    ),
    _Rule(
        "checkpoint",
        "a checkpoint of Stable Diffusion 1 or 2, whose network is no rectified flow; it cannot be run here",
        _starts("cond_stage_model."),
        lambda shapes: "sd1",
    ),
    _Rule(
        "unet",
        "a U-Net of Stable Diffusion 1, 2 or XL, which is no rectified flow; it cannot be run here",
        lambda shapes: (
            _starts("model.diffusion_model.input_blocks.", "input_blocks.", "down_blocks.")(shapes)
            and not _any("encoder.", "decoder.")(shapes)
        ),
        lambda shapes: "sd1",
    ),
    _Rule(
        "vae",
        "an autoencoder alone; a model has it in its folder vae",
        lambda shapes: (
            _starts("decoder.", "first_stage_model.decoder.", "vae.decoder.")(shapes)
            and _any("decoder.conv_in", "decoder.mid")(shapes)
            and transformer_of(shapes) is None
        ),
    ),
    _Rule(
        "text-encoder",
        "a T5 text encoder alone; a model has it in its folder text_encoder_3 or text_encoder_2",
        lambda shapes: (
            _any("encoder.block.0.layer.0.SelfAttention")(shapes) and transformer_of(shapes) is None
        ),
        lambda shapes: "t5",
    ),
    _Rule(
        "text-encoder",
        "a CLIP text encoder alone; a model has it in its folder text_encoder or text_encoder_2",
        lambda shapes: (
            _any("embeddings.position_embedding.weight")(shapes) and transformer_of(shapes) is None
        ),
        _clip_family,
    ),
    _Rule(
        "embedding",
        "a textual inversion, which adds a word to a model and is none; it cannot be used here",
        lambda shapes: (
            0 < len(shapes) <= 3 and bool({"clip_l", "clip_g", "emb_params", "t5xxl"} & set(shapes))
        ),
    ),
    _Rule(
        "upscaler",
        "a super-resolution network; `sd3demo extrapolate` takes it with --upscaler where that is offered",
        _any("conv_first.weight", "model.1.sub.0.", "upsampler."),
    ),
)
"""The kinds that are known by a name, in the order in which they are tried; transformers come after all."""
