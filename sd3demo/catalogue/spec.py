"""What is known of a checkpoint before any of it is loaded: a model family as data. No torch.

A family differs from another in its text encoders, its latent, what its network costs, what it can do and
which shift it is sampled at. The engine reads these and nothing else of a family.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sd3demo.catalogue.networks import NetworkShape
from sd3demo.catalogue.shifts import NO_SHIFT, ShiftRule

Family = Literal["sd3", "flux", "lumina-next", "lumina2", "exact"]
FAMILY_TITLES: Mapping[Family, str] = {
    "sd3": "Stable Diffusion 3",
    "flux": "FLUX.1",
    "lumina-next": "Lumina-Next",
    "lumina2": "Lumina-Image 2.0",
}
"""What a family is called in a sentence; one without a title is called by its name."""

Part = Literal["text", "flow", "vae"]
Guides = Literal["cfg", "embedded", "none"]
PositionKind = Literal["table", "rope", "none"]
Renorming = Literal["off", "rows", "whole"]
"""The renormalisations of flow.guidance."""

EncoderPrecision = Literal["auto", "bfloat16", "int8", "int4"]
EncoderDevice = Literal["auto", "cpu"]

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

RUNNING = ("on", "empty")
"""The modes in which an encoder computes; in the others it gives zeros or nothing."""


@dataclass(frozen=True)
class Size:
    """How much a component weighs: its parameters, and the bytes that its files hold."""

    parameters: int
    bytes: int


@dataclass(frozen=True)
class TextEncoder:
    """One text encoder of a checkpoint.

    `tokens` are the rows that it gives unless a request says otherwise, `limit` the most that it can. An
    encoder `beside` another shares that one's rows: its channels stand next to the other's. Of an encoder
    that is `pooled_only` the network reads one vector and no rows. The padding of one that is `masked` is not
    attended to.
    """

    name: str
    title: str
    folder: str
    tokens: int
    limit: int
    modes: tuple[str, ...] = ("on", "zeros")
    beside: str = ""
    pooled_only: bool = False
    masked: bool = False
    vocabulary: int = 0
    """Tokens that it knows, of T5 and Gemma, which are large: their embedding is never read in fewer bits."""

    @property
    def large(self) -> bool:
        """Whether it can be read in fewer bits than the network, and run elsewhere."""
        return self.vocabulary > 0

    @property
    def has_rows(self) -> bool:
        """Whether its tokens are rows of their own in the network's text."""
        return not self.beside and not self.pooled_only


@dataclass(frozen=True)
class EncoderInput:
    """What one text encoder is to make of a text: the text, its mode and the number of tokens."""

    encoder: str
    text: str
    mode: str
    tokens: int

    @property
    def runs(self) -> bool:
        """Whether the encoder computes anything for it."""
        return self.mode in RUNNING


@dataclass(frozen=True)
class Latent:
    """What the flow works on: channels, pixels along a latent entry's side, entries along a patch's side."""

    channels: int = 16
    factor: int = 8
    patch: int = 2

    @property
    def multiple(self) -> int:
        """Both sides of a picture divide by this many pixels."""
        return self.factor * self.patch

    def shape(self, width: int, height: int) -> tuple[int, int, int]:
        """(C, h, w) of the latent of a picture."""
        return self.channels, height // self.factor, width // self.factor

    def tokens(self, width: int, height: int) -> int:
        """Tokens of a picture: its patches."""
        return (width // self.multiple) * (height // self.multiple)


@dataclass(frozen=True)
class Capabilities:
    """What a network can be asked for; what it cannot is greyed, refused or left empty, with the reason."""

    max_side: int
    """Pixels: the longest side that its positions serve as they are."""
    guidance: Guides = "cfg"
    """`embedded`: the network reads a scale beside the time; `none`: it was distilled to need no guidance."""
    negative: bool = True
    """Whether the unconditional branch, and with it a negative prompt and CFG, can be asked for."""
    positions: PositionKind = "table"
    grid_copies: bool = False
    """Whether text tokens have positions, at which copies of the text can be placed."""
    joint_text: bool = True
    """Whether the text's tokens are among the keys that patches attend to each other with."""
    text_copies: bool = True
    attention_scale: bool = True
    half_patch: bool = True
    attention_maps: bool = True
    lora: bool = True
    context_parallel: bool = False
    """Whether its tokens can be shared out among several devices."""
    skip_layers: tuple[int, ...] = ()
    """The blocks that skip-layer guidance leaves out unless a request names some."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a setting means nothing here, a clause by the setting's name."""


@dataclass(frozen=True)
class Defaults:
    """What a request that leaves these open gets: the values that the model's makers recommend."""

    steps: int = 28
    cfg: float = 5.0
    schedule: Schedule = "diffusers"
    guidance: float | None = None
    """Of a network that has it embedded; None for the others."""
    renorm: Renorming = "off"
    system_prompt: str = ""
    """What the prompt, and never the negative text, is preceded by."""


@dataclass(frozen=True)
class Adapter:
    """A LoRA on top of a checkpoint: its file's SHA-256 and the weight at which it is applied.

    `file` is where it lies here, `short` its name and weight without a path; `left_out` are the titles of
    the text encoders that it changes and the checkpoint does not carry.
    """

    sha256: str
    weight: float = 1.0
    file: str = ""
    short: str = ""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class LargeEncoder:
    """In what bits T5 or Gemma is read, and where it runs; `auto` is as the network, and where it is."""

    precision: EncoderPrecision = "auto"
    device: EncoderDevice = "auto"


@dataclass(frozen=True)
class ModelSpec:
    """One checkpoint. `hub` and `revision` name a pinned commit on the Hub; `folder` a place on this disk."""

    name: str
    family: Family
    licence: str
    native: int
    """The side of the square pictures that it was trained on, in pixels."""
    latent: Latent
    network: NetworkShape
    encoders: tuple[TextEncoder, ...]
    components: Mapping[str, Size]
    can: Capabilities
    shift: ShiftRule = NO_SHIFT
    defaults: Defaults = Defaults()
    adapters: tuple[Adapter, ...] = ()
    large_encoder: LargeEncoder = LargeEncoder()
    quantised: tuple[tuple[str, str], ...] = ()
    """The components whose files hold fewer bits, each with the library that reads them."""
    gated: bool = False
    hub: str = ""
    revision: str = ""
    folder: str = ""
    transformer: str = "transformer"
    """The folder of the transformer within it; a family of depths shares all else."""
    file: str = ""
    """A file that holds some of the components, in the place of the folder's own."""
    in_file: tuple[str, ...] = ()
    note: str = ""
    """What to know before choosing it, in a sentence."""
    draws: str = ""
    """What a model of a small world draws, to follow "it draws"; empty for one that knows any word."""
    judged: bool = False
    """Whether `world.judge` knows what it draws, so that its pictures can have a verdict."""
    not_fetched: tuple[str, ...] = ()
    """Patterns of the files in its Hub repository that are not read here."""

    @property
    def family_title(self) -> str:
        """What its family is called in a sentence."""
        return FAMILY_TITLES.get(self.family, self.family)

    def quantiser(self, component: str) -> str:
        """The library that reads a component's files; empty for plain ones."""
        return dict(self.quantised).get(component, "")

    def folder_of(self, component: str) -> str:
        """Where a component's weights lie within the checkpoint's folder."""
        return self.transformer if component == "transformer" else component

    def size(self, part: Part, only: frozenset[str] | None = None) -> Size:
        """The components of a part together; of those named alone where some are."""
        sizes = [
            size
            for name, size in self.components.items()
            if COMPONENTS[name] == part and (only is None or name in only)
        ]
        return Size(sum(size.parameters for size in sizes), sum(size.bytes for size in sizes))

    def encoder(self, name: str) -> TextEncoder:
        """The text encoder of a name. Raises KeyError for one that the family does not have."""
        for encoder in self.encoders:
            if encoder.name == name:
                return encoder
        raise KeyError(name)

    def has(self, encoder: str) -> bool:
        """Whether the checkpoint carries the weights of a text encoder; T5 is often left out."""
        return any(each.name == encoder and each.folder in self.components for each in self.encoders)

    def text_length(self, inputs: tuple[EncoderInput, ...]) -> int:
        """Tokens of a text: those of each encoder that is not left out and has rows of its own."""
        return sum(
            each.tokens for each in inputs if each.mode != "omit" and self.encoder(each.encoder).has_rows
        )

    def needed(self, inputs: tuple[EncoderInput, ...]) -> frozenset[str]:
        """The components that a text needs: the encoders that run on it, the transformer and the VAE."""
        idle = {
            encoder.folder
            for encoder in self.encoders
            if not any(each.encoder == encoder.name and each.runs for each in inputs)
        }
        return frozenset(name for name in self.components if name not in idle)
