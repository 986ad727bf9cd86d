"""What is known of a checkpoint before any of it is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Family = Literal["sd3", "exact"]
Part = Literal["text", "flow", "vae"]
Encoder = Literal["clip_l", "clip_g", "t5"]

Schedule = Literal["uniform", "single", "diffusers", "linear", "comfy"]
"""The grid conventions of flow.grids; a catalogue is data and imports nothing of ours."""

COMPONENTS: Mapping[str, Part] = {
    "text_encoder": "text",
    "text_encoder_2": "text",
    "text_encoder_3": "text",
    "transformer": "flow",
    "vae": "vae",
}
"""The folders of a diffusers checkpoint that hold weights, and the part to which each belongs."""

ENCODERS: Mapping[Encoder, str] = {
    "clip_l": "text_encoder",
    "clip_g": "text_encoder_2",
    "t5": "text_encoder_3",
}


@dataclass(frozen=True)
class Size:
    """How much a component weighs: its parameters, and the bytes that its files hold."""

    parameters: int
    bytes: int


@dataclass(frozen=True)
class Network:
    """The shape of an MM-DiT: all that its cost and its largest picture follow from."""

    depth: int
    hidden: int
    heads: int
    joint_dim: int
    pooled_dim: int
    channels: int = 16
    patch: int = 2
    table: int = 192
    """Patches along a side of the position table, beyond which it raises."""
    dual: int = 0
    """How many blocks attend within the picture a second time (SD3.5-medium)."""
    qk_norm: bool = False


@dataclass(frozen=True)
class Defaults:
    """What a request that leaves these open gets: the values that the model's makers recommend."""

    steps: int = 28
    cfg: float = 5.0
    shift: float = 3.0
    schedule: Schedule = "diffusers"


@dataclass(frozen=True)
class ModelSpec:
    """One checkpoint. `hub` and `revision` name a pinned commit on the Hub; `folder` a place on this disk."""

    name: str
    family: Family
    licence: str
    native: int
    """The side of the square pictures that it was trained on, in pixels."""
    vae_factor: int
    network: Network
    components: Mapping[str, Size]
    clip_tokens: int = 77
    t5_tokens: int = 256
    """T5 tokens unless the request says otherwise. Nothing masks the padding, so the number matters."""
    t5_limit: int = 512
    defaults: Defaults = Defaults()
    gated: bool = False
    hub: str = ""
    revision: str = ""
    folder: str = ""
    transformer: str = "transformer"
    """The folder of the transformer within it; a family of depths shares all else."""
    note: str = ""
    """What to know before choosing it, in a sentence."""

    def folder_of(self, component: str) -> str:
        """Where a component's weights lie within the checkpoint's folder."""
        return self.transformer if component == "transformer" else component

    @property
    def multiple(self) -> int:
        """Both sides of a picture divide by this many pixels."""
        return self.vae_factor * self.network.patch

    @property
    def largest(self) -> int:
        """The longest side, in pixels, that the position table holds."""
        return self.network.table * self.multiple

    def size(self, part: Part) -> Size:
        """The components of a part together."""
        sizes = [size for name, size in self.components.items() if COMPONENTS[name] == part]
        return Size(sum(size.parameters for size in sizes), sum(size.bytes for size in sizes))

    def has(self, encoder: Encoder) -> bool:
        """Whether the checkpoint carries this text encoder; T5 is often left out."""
        return ENCODERS[encoder] in self.components
