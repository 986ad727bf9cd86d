"""The names that LoRA files have for the layers of text encoders, and which encoder of a model is meant.

diffusers and PEFT name the folder of the encoder, kohya's scripts number the encoders by their kind, and
ComfyUI names the kind. Layers are named as transformers names them, without the `text_model.` that some of
its classes and some of its versions put before them.
"""

import re
from collections.abc import Container, Mapping

from sd3demo.catalogue.spec import ModelSpec, TextEncoder

PLACES: Mapping[str, tuple[str, ...]] = {
    "text_encoder_3.": ("text_encoder_3",),
    "text_encoder_2.": ("text_encoder_2",),
    "text_encoder.": ("text_encoder",),
    "lora_te1_": ("clip_l",),
    "lora_te2_": ("clip_g", "t5"),
    "lora_te3_": ("t5",),
    "lora_te_": ("clip_l", "gemma"),
    "text_encoders.clip_l.": ("clip_l",),
    "text_encoders.clip_g.": ("clip_g",),
    "text_encoders.t5xxl.": ("t5",),
}
"""How the names of an encoder's layers begin: its folder, or the names that it can have, the first first."""
OF_UNETS = ("conditioner.", "cond_stage_model.")
"""What the text encoders of Stable Diffusion 1, 2 and XL begin with in their original files."""

_BEFORE = ("base_model.model.", "transformer.")
_LAYERS = {
    "clip": r"(?:text_model_)?encoder_layers_(\d+)_(self_attn|mlp)_((?:q|k|v|out)_proj|fc[12])",
    "t5": r"encoder_block_(\d+)_layer_(\d+)_(SelfAttention|DenseReluDense)_(q|k|v|o|wi|wi_0|wi_1|wo)",
    "gemma": r"(?:model_)?layers_(\d+)_(self_attn|mlp)_((?:q|k|v|o|gate|up|down)_proj)",
}
_DOTTED = {
    "clip": "encoder.layers.{}.{}.{}",
    "t5": "encoder.block.{}.layer.{}.{}.{}",
    "gemma": "layers.{}.{}.{}",
}
_KINDS = {"clip_l": "clip", "clip_g": "clip", "t5": "t5", "gemma": "gemma"}


def text_layer(name: str) -> tuple[str, str] | None:
    """Return what a name begins with among PLACES and its layer; None for a layer of no text encoder.

    The layer is empty where it is not known.
    """
    prefix = next((prefix for prefix in PLACES if name.startswith(prefix)), None)
    if prefix is None:
        return None
    rest = name.removeprefix(prefix)
    for before in _BEFORE:
        rest = rest.removeprefix(before)
    flat = rest.replace(".", "_")
    if flat == "text_projection":
        return prefix, flat
    for kind, pattern in _LAYERS.items():
        if found := re.fullmatch(pattern, flat):
            return prefix, _DOTTED[kind].format(*found.groups())
    return prefix, ""


def text_family(place: str, module: str) -> str:
    """Return the family that alone has such a layer at a place; empty where several have."""
    kind = _kind_of(module)
    if kind == "gemma":
        return "lumina2"
    if place == "text_encoder_3." or (kind == "clip" and place.endswith(("2.", "2_", "clip_g."))):
        return "sd3"
    return "flux" if kind == "t5" and place == "text_encoder_2." else ""


def encoder_of(place: str, module: str, spec: ModelSpec) -> TextEncoder | None:
    """Return the text encoder of a family that a layer at a place belongs to; None where it has none."""
    kind = _kind_of(module)
    fitting = [each for each in spec.encoders if _KINDS.get(each.name) == kind]
    return next(
        (each for asked in PLACES[place] for each in fitting if asked in (each.name, each.folder)), None
    )


def plain_text_layer(weight: str) -> str:
    """Return the layer of a weight's name in a checkpoint's file, as LoRA files name it."""
    found = re.search(r"(?:^|\.)((?:encoder\.)?(?:layers|block)\.\d+\..*|text_projection)\.weight$", weight)
    return found[1] if found else ""


def name_among(known: Container[str], module: str) -> str:
    """Return the name of a layer among those of a module, which may have `text_model.` before it."""
    return next((each for each in (module, f"text_model.{module}") if each in known), module)


def _kind_of(module: str) -> str:
    if module.startswith("encoder.block."):
        return "t5"
    return "gemma" if module.startswith("layers.") else "clip"
