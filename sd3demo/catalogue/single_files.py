"""One file of weights as a ModelSpec: what the file holds, and a folder of the same family for all else.

No file holds tokenizers, and a transformer alone holds neither text encoders nor an autoencoder. They come
import os
from a folder in diffusers format: the one that is named after a plus sign, FILE+FOLDER, else the one that the
file lies in, else a model of the catalogue that is on this disk. The folder needs no weights of its own for
what the file holds.
"""

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from sd3demo.catalogue.file_kinds import FileKind, file_kind
from sd3demo.catalogue.flux import FLUX_DEV_DEFAULTS, FLUX_SCHNELL_DEFAULTS, flux_capabilities, flux_encoders
from sd3demo.catalogue.folders import read_folder
from sd3demo.catalogue.layouts import Network
from sd3demo.catalogue.networks import FluxShape, MMDiTShape
from sd3demo.catalogue.sd3 import sd3_capabilities
from sd3demo.catalogue.shifts import ConstantShift, LinearMuShift
from sd3demo.catalogue.spec import FAMILY_TITLES, ModelSpec
from sd3demo.errors import Refusal

Companions = Callable[[str], Iterator[Path]]
"""The folders of models of a family that are on this disk, the likeliest first."""


def split_model(name: str) -> tuple[Path, Path | None] | None:
    """Return the file and the folder of FILE or FILE+FOLDER; None for a name that is no file."""
    whole = os.path.expanduser(name)
    if os.path.isfile(whole):  # False too for a name that no file system takes
        return Path(whole), None
    parts = name.split("+")
    for cut in range(1, len(parts)):
        file, folder = (os.path.expanduser("+".join(some)) for some in (parts[:cut], parts[cut:]))
        if os.path.isfile(file):
            return Path(file), Path(folder)
    return None


def absolute_model(name: str) -> str:
    """Return a folder, a FILE or FILE+FOLDER as it is found from any place; empty where it is neither."""
    if os.path.isdir(os.path.expanduser(name)):
        return str(Path(name).expanduser().absolute())
    single = split_model(name)
    return "+".join(str(part.absolute()) for part in single or () if part is not None)


def read_file(file: Path, folder: Path | None, companions: Companions, name: str = "") -> ModelSpec:
    """Return the spec of a model whose transformer is in a file.

    Raises Refusal for a file that holds none, with what it is, and where no folder has the rest.
    """
    kind = file_kind(file)
    if not kind.runnable or kind.network is None:
        raise Refusal(f"{file} is {kind.what}")
    if kind.kind == "gguf" and importlib.util.find_spec("gguf") is None:
        raise Refusal(f"{file} is {kind.what}, which the gguf library reads; run `pip install gguf`")
    inside = frozenset(kind.parts)
    folders = [folder] if folder is not None else [*_beside(file), *companions(kind.family)]
    for each in folders:
        try:
            return _joined(file, kind, kind.network, read_folder(each, elsewhere=inside), name or str(file))
        except Refusal:
            if folder is not None:
                raise
    title = FAMILY_TITLES[kind.network.family]
    raise Refusal(
        f"{file} is {kind.what}; {_lacking(inside, kind.family)} come from a folder of {title} in diffusers "
        f"format: name one after a plus sign, {file.name}+FOLDER"
    )


def transformer_config(spec: ModelSpec) -> dict[str, object]:
    """Return the config of diffusers' class for the transformer in a spec's file."""
    network = spec.network
    if isinstance(network, FluxShape):
        return {
            "_class_name": "FluxTransformer2DModel",
            "in_channels": network.channels * network.patch**2,
            "num_layers": network.double,
            "num_single_layers": network.single,
            "attention_head_dim": network.hidden // network.heads,
            "num_attention_heads": network.heads,
            "joint_attention_dim": network.joint_dim,
            "pooled_projection_dim": network.pooled_dim,
            "guidance_embeds": network.guidance,
            "axes_dims_rope": list(network.axes),
        }
    assert isinstance(network, MMDiTShape)
    return {
        "_class_name": "SD3Transformer2DModel",
        "sample_size": spec.native // spec.latent.factor,
        "patch_size": network.patch,
        "in_channels": network.channels,
        "out_channels": network.channels,
        "num_layers": network.depth,
        "attention_head_dim": network.hidden // network.heads,
        "num_attention_heads": network.heads,
        "joint_attention_dim": network.joint_dim,
        "caption_projection_dim": network.hidden,
        "pooled_projection_dim": network.pooled_dim,
        "pos_embed_max_size": network.table,
        "dual_attention_layers": list(range(network.dual)),
        "qk_norm": "rms_norm" if network.qk_norm else None,
    }


def _joined(file: Path, kind: FileKind, found: Network, rest: ModelSpec, name: str) -> ModelSpec:
    """The spec of a folder with what a file holds in the place of its own."""
    if rest.family != found.family:
        raise Refusal(
            f"{file} is {kind.what} and {rest.folder} is of {rest.family_title}; give a folder of the "
            "same family"
        )
    shape = _completed(found, rest)
    for what, own, others in (
        ("text", shape.text_width, rest.network.text_width),
        ("a pooled vector", shape.pooled_dim, getattr(rest.network, "pooled_dim", 0)),
        ("latents", shape.channels, rest.latent.channels),
    ):
        if own != others:
            raise Refusal(
                f"{file} reads {what} {own} wide and {rest.folder} gives {others}; give another folder"
            )
    joined = replace(
        rest,
        name=name,
        network=shape,
        components={part: kind.parts.get(part, size) for part, size in rest.components.items()},
        file=str(file),
        in_file=tuple(part for part in rest.components if part in kind.parts),
    )
    if isinstance(shape, MMDiTShape):
        return replace(joined, can=sd3_capabilities(shape, rest.latent))
    joined = replace(joined, can=flux_capabilities(shape))
    if shape.guidance == getattr(rest.network, "guidance", shape.guidance):
        return joined
    longest = rest.encoders[-1].limit  # dev beside a folder of schnell, or the other way round
    tokens = min(512 if shape.guidance else 256, longest if longest < 256 else 512)
    return replace(
        joined,
        shift=LinearMuShift(patch_side=rest.latent.multiple) if shape.guidance else ConstantShift(1.0),
        defaults=FLUX_DEV_DEFAULTS if shape.guidance else FLUX_SCHNELL_DEFAULTS,
        encoders=flux_encoders(clip=rest.encoders[0].limit, t5=tokens, longest=tokens),
    )


def _completed(found: Network, rest: ModelSpec) -> MMDiTShape | FluxShape:
    """The shape of a file's transformer with what weights do not tell: heads, and the axes of RoPE."""
    shape, other = found.shape, rest.network
    if isinstance(shape, FluxShape):
        if found.naming == "original" and shape.hidden != FluxShape.hidden:
            raise Refusal(
                f"the transformer is {shape.hidden} wide in the original names, of which FLUX.1's "
                f"{FluxShape.hidden} alone are read; save it in diffusers format"
            )
        head = shape.hidden // shape.heads
        if isinstance(other, FluxShape) and sum(other.axes) == head:
            return replace(shape, axes=other.axes)
        if sum(shape.axes) != head:
            raise Refusal(
                f"the transformer has heads {head} wide and {rest.folder} another width; give another folder"
            )
        return shape
    if found.head is None and isinstance(other, MMDiTShape) and other.hidden == shape.hidden:
        return replace(shape, heads=other.heads)
    return shape


def _beside(file: Path) -> Iterator[Path]:
    """The folder in diffusers format that a file lies in, or whose folder it lies in."""
    for folder in (file.absolute().parent, file.absolute().parent.parent):
        if (folder / "model_index.json").is_file():
            yield folder


def _lacking(inside: frozenset[str], family: str) -> str:
    """What a file does not hold, as words."""
    encoders = {"text_encoder", "text_encoder_2"} <= inside
    missing = ["its tokenizers"] if encoders else ["its text encoders, tokenizers"]
    if "vae" not in inside:
        missing.append("autoencoder")
    return " and ".join(missing)


def written_config(spec: ModelSpec, folder: Path) -> Path:
    """Write the transformer's config into a folder and return that folder."""
    (folder / "config.json").write_text(json.dumps(transformer_config(spec)))
    return folder
