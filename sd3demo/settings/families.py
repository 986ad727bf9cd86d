"""The options that each model family has beside the common settings, and what its text encoders are given.

A request holds the options of all families flat, so that flags, form, links and HTTP have one list of names.
`options_of` gives those of one family; what another family's option says to a model is refused by the plan.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sd3demo.catalogue import EncoderInput, Family, ModelSpec
from sd3demo.errors import Refusal
from sd3demo.settings.reflection import Settings, quoted
from sd3demo.settings.texts import Text

T5Mode = Literal["on", "zeros", "omit", "empty"]
ClipMode = Literal["on", "zeros"]
Unconditional = Literal["encoded", "zeros"]
Tokens = Annotated[int, Field(ge=1, le=512)]
SkipScale = Annotated[float, Field(ge=0, le=10)]
Time = Annotated[float, Field(ge=0, le=1)]

MOST_LAYERS = 64


def _layer_list(text: str) -> str:
    if text and not re.fullmatch(r"\s*\d{1,3}\s*(,\s*\d{1,3}\s*)*", text):
        raise ValueError(f"is {quoted(text)}; give block numbers with commas between, such as 7,8,9")
    return text


LayerList = Annotated[Text, AfterValidator(_layer_list)]


class FamilyOptions(Settings):
    """What every family has an option for; those of one family add to it.

    The last of a family's text encoders is the one whose length can be set.
    """

    max_sequence_length: Tokens | None = Field(
        None,
        description="T5 tokens; padding is attended to, so their number changes the picture. "
        "The model's own by default.",
    )

    def inputs(self, prompt: str, spec: ModelSpec, *, negative: bool) -> tuple[EncoderInput, ...]:
        """What each text encoder is given: the prompt as it is, at the family's own length."""
        return tuple(EncoderInput(each.name, prompt, "on", each.tokens) for each in spec.encoders)

    def resolved(self, spec: ModelSpec) -> Mapping[str, object]:
        """Values for the options that were left open. Raises Refusal for what the model does not hold."""
        longest = spec.encoders[-1]
        tokens = self.max_sequence_length or longest.tokens
        if tokens > longest.limit:
            raise Refusal(
                f"max_sequence_length is {tokens}; it must lie in [1, {longest.limit}] for {spec.name}"
            )
        return {"max_sequence_length": tokens}

    def lighter(self, spec: ModelSpec) -> Iterator[tuple[str, Mapping[str, object]]]:
        """Changes of the options that need less memory, each with its words after "try"."""
        yield from ()

    @classmethod
    def without_effect(cls, values: Mapping[str, object], spec: ModelSpec) -> Mapping[str, str]:
        """The options that change nothing beside these values and with this model, each with the reason."""
        return {}


class SD3Options(FamilyOptions):
    """Stable Diffusion 3 and 3.5: two CLIPs and T5, each of which can be left out (SD3, section 5.3.3)."""

    t5: T5Mode = Field(
        "on", description="T5's tokens as they are, zeros in their place, none, or those of an empty text."
    )
    clip_l: ClipMode = Field("on", description="CLIP-L's tokens and pooled vector, or zeros.")
    clip_g: ClipMode = Field("on", description="CLIP-G's tokens and pooled vector, or zeros.")
    prompt_2: Text = Field(
        "", description="A separate prompt for CLIP-G; the prompt when empty. CLIP-L always reads the prompt."
    )
    prompt_3: Text = Field("", description="A separate prompt for T5; the prompt when empty.")
    uncond: Unconditional = Field(
        "encoded",
        description="What guidance leads away from: the encoded negative text, as diffusers has it, or zeros "
        "of all encoders, as SD3 was trained (appendix B.3).",
    )
    skip_layers: LayerList = Field(
        "",
        description="The blocks that skip-layer guidance leaves out, such as 7,8,9; empty: the model's.",
    )
    skip_scale: SkipScale = Field(
        0.0, description="Skip-layer guidance (SD3.5-medium): v += scale (v_cond - v_skipped); 0 is off."
    )
    skip_from: Time = Field(0.9, description="Skip-layer guidance acts while t is at least this.")
    skip_to: Time = Field(0.99, description="Skip-layer guidance acts while t is at most this.")

    def inputs(self, prompt: str, spec: ModelSpec, *, negative: bool) -> tuple[EncoderInput, ...]:
        """CLIP-L reads the prompt, CLIP-G and T5 their own if they have one; all three the negative text.

        Where the unconditional is zeros nothing is read for it; an encoder that is left out stays left out.
        """
        own = {} if negative else {"clip_g": self.prompt_2, "t5": self.prompt_3}
        modes = {"clip_l": self.clip_l, "clip_g": self.clip_g, "t5": self.t5}
        tokens = self.max_sequence_length
        if negative and self.uncond == "zeros":
            prompt = ""
            modes = {name: "omit" if mode == "omit" else "zeros" for name, mode in modes.items()}
        return tuple(
            EncoderInput(
                each.name,
                own.get(each.name) or prompt,
                modes[each.name],
                tokens if each.name == "t5" and tokens is not None else each.tokens,
            )
            for each in spec.encoders
        )

    def resolved(self, spec: ModelSpec) -> Mapping[str, object]:
        chosen = super().resolved(spec)
        if not self.skip_scale:
            return chosen
        if self.skip_from > self.skip_to:
            raise Refusal(
                f"skip_from is {self.skip_from:g} and skip_to {self.skip_to:g}; "
                "skip_from must not be the larger"
            )
        layers = skipped_layers(self.skip_layers) or spec.can.skip_layers
        if not layers:
            raise Refusal(
                f"skip_scale is {self.skip_scale:g} and {spec.name} names no layers of its own to leave out; "
                f"give skip_layers, such as {spec.network.depth // 2}, or skip_scale 0"
            )
        if max(layers) >= spec.network.depth:
            raise Refusal(
                f"skip_layers names {max(layers)}; {spec.name} has the blocks 0 to {spec.network.depth - 1}"
            )
        return {**chosen, "skip_layers": ",".join(str(layer) for layer in layers)}

    def lighter(self, spec: ModelSpec) -> Iterator[tuple[str, Mapping[str, object]]]:
        if spec.has("t5") and self.t5 in ("on", "empty"):
            yield "t5 zeros", {"t5": "zeros"}

    @classmethod
    def without_effect(cls, values: Mapping[str, object], spec: ModelSpec) -> Mapping[str, str]:
        reasons: dict[str, str] = {}
        if values.get("clip_g") != "on":
            reasons["prompt_2"] = "CLIP-G is off, so it reads no text."
        if values.get("t5") != "on":
            reasons["prompt_3"] = "T5 does not read the prompt now."
        if values.get("cfg") == 1:
            reasons["uncond"] = "CFG is off at scale 1."
        elif values.get("uncond") == "zeros":
            reasons["negative"] = "Zeros stand in place of the negative text."
        if values.get("t5") == "omit":
            reasons["max_sequence_length"] = "T5's tokens are left out, so their number changes nothing."
        if spec.components and not spec.has("t5"):
            reasons |= dict.fromkeys(
                ("t5", "prompt_3"), "This model comes without T5; zeros stand in its place."
            )
        if not values.get("skip_scale"):
            reasons |= dict.fromkeys(
                ("skip_layers", "skip_from", "skip_to"), "Skip-layer guidance is off at scale 0."
            )
        return reasons


class ExactOptions(FamilyOptions):
    """The closed-form model has none."""


OPTIONS: Mapping[Family, type[FamilyOptions]] = {"sd3": SD3Options, "exact": ExactOptions}
"""The options of each family."""


def skipped_layers(text: str) -> tuple[int, ...]:
    """`7, 8,9` as numbers, each once and in order."""
    return tuple(sorted({int(part) for part in text.split(",") if part.strip()}))
