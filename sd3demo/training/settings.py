"""What `sd3demo train` can be told. No torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from sd3demo.settings import Settings
from sd3demo.world.scenes import KINDS, MIX


class TrainSettings(Settings):
    """Trains the embedded model on its procedural world: the autoencoder, the text encoders, then the flow.

    Parts that are found under `resume` or `out` are kept; what is missing is trained. The run stops on
    the clock.
    """

    minutes: float = Field(60.0, ge=0.01, le=10_000, description="When to stop, in minutes of this run.")
    out: Path = Field(
        Path(".training/tiny"), description="The folder that the run writes: its state and the model."
    )
    resume: Path | None = Field(
        None,
        description="A folder of an earlier run to go on from exactly, or a model to start from.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train.")
    threads: int = Field(
        0, ge=0, le=256, description="CPU threads, 0 for all; one alone where others compute."
    )
    depth: int = Field(4, ge=1, le=24, description="Blocks of the MM-DiT; its width is 64 times as many.")
    prune_from: int | None = Field(
        None,
        ge=2,
        le=24,
        description="Start from the transformer of this depth in `resume`, pruned to `depth`.",
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Of the initial weights and the scenes.")
    stage: Literal["all", "autoencoder", "encoders", "flow", "decoder", "spelling"] = Field(
        "all",
        description="Train up to this stage; under a flow that is trained already, decoder finishes the "
        "autoencoder's decoder alone, and spelling teaches T5 where in its word each letter stands.",
    )
    autoencoder_share: float = Field(
        0.2, ge=0.001, le=0.9, description="Share of the minutes for a new autoencoder."
    )
    encoders_share: float = Field(
        0.15, ge=0.001, le=0.9, description="Share of the minutes for new text encoders."
    )
    batch: int = Field(32, ge=1, le=8192, description="Pictures a step of the flow.")
    learning_rate: float = Field(
        1e-3, ge=1e-6, le=1, description="Of AdamW: embeddings, norms and modulations."
    )
    matrix_rate: float = Field(
        2e-3, ge=1e-6, le=1, description="Of Muon: attention and feed-forward matrices."
    )
    warm_up: int = Field(200, ge=1, le=1_000_000, description="Steps over all runs until the rates are full.")
    cool_down: float = Field(
        0.0, ge=0, le=1, description="Last share of the run in which the rates fall to a tenth."
    )
    density_mean: float = Field(
        0.0, ge=-4, le=4, description="m of logit-normal(m, s), from which t is drawn; above 0 is more noise."
    )
    density_spread: float = Field(1.0, ge=0.1, le=4, description="s of logit-normal(m, s).")
    density_by_size: float = Field(
        0.0,
        ge=-4,
        le=4,
        description="How much of ln(S / native) is added to that m at a size S: 1 is SD3's shift (eq. 23); "
        "below 0 is less noise at larger sizes, for detail.",
    )
    zeroed: float = Field(
        0.464,
        ge=0,
        le=1,
        description="Probability of zeroing each text encoder by itself (SD3 appendix B.3).",
    )
    zeroed_from: int = Field(0, ge=0, description="Examples to train before encoders are zeroed.")
    label_weight: float = Field(
        0.5, ge=0, le=100, description="Weight of naming each patch beside the velocity loss."
    )
    keep: Path | None = Field(
        None,
        description="A model whose velocity is what the flow learns at the native size, so that other sizes "
        "are learnt and what it does there is kept.",
    )
    keep_weight: float = Field(
        1.0, ge=0, le=1000, description="Weight of the distance from that velocity in the loss."
    )
    average: float = Field(
        0.999, ge=0, le=0.99999, description="Decay of the weights' moving average, which is what ships."
    )
    mix: dict[str, float] = Field(
        MIX, description="Shares of the kinds of scene, as single=2,two=3; a kind that is not named has none."
    )
    sizes: dict[str, float] = Field(
        {"64": 1.0},
        description="Shares of the sizes that the flow is trained at, as 48=1,64=4,96x64=1: sides in pixels, "
        "or width x height; 64 is native, and others look at its window through positions in between.",
    )
    ring: int = Field(16384, ge=256, le=10_000_000, description="Encoded pictures at hand.")
    uses: int = Field(4, ge=1, le=1000, description="Times that a picture serves before it is replaced.")
    exam_minutes: float = Field(
        10.0, ge=0.01, le=10_000, description="Minutes from one exam and checkpoint to the next."
    )
    exam_prompts: int = Field(8, ge=1, le=1000, description="Prompts a category in the exams along the way.")
    eager: bool = Field(
        False, description="Do not compile the flow's step; compiling takes a minute or two first."
    )

    @model_validator(mode="after")
    def _pruned_is_smaller(self) -> Self:
        if self.prune_from is not None and self.prune_from <= self.depth:
            raise ValueError(f"prune_from is {self.prune_from} and depth {self.depth}; give a smaller depth")
        return self

    @field_validator("mix", "sizes", mode="before")
    @classmethod
    def _named(cls, shares: object) -> object:
        """'single=2,two=3' as a mapping."""
        if not isinstance(shares, str):
            return shares
        return dict(part.partition("=")[::2] for part in shares.split(","))

    @field_validator("mix")
    @classmethod
    def _shares_of_kinds(cls, mix: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(mix) - set(KINDS)):
            raise ValueError(f"names {', '.join(unknown)}; the kinds of scene are {', '.join(KINDS)}")
        if not (all(0 <= share < math.inf for share in mix.values()) and sum(mix.values()) > 0):
            raise ValueError(f"is {mix}; the shares must be 0 or more and not all 0, such as single=1,two=2")
        return mix

    @field_validator("sizes")
    @classmethod
    def _shares_of_sizes(cls, sizes: dict[str, float]) -> dict[str, float]:
        from sd3demo.training.sizes import PictureSize

        for name in sizes:
            PictureSize.read(name)
        if not (all(0 <= share < math.inf for share in sizes.values()) and sum(sizes.values()) > 0):
            raise ValueError(f"is {sizes}; the shares must be 0 or more and not all 0, such as 64=4,96=2")
        return sizes
