"""Image to image and inpainting: the picture that a run starts from, and what of it is repainted.

A run from a picture begins on the way there, at z_t = (1 - t) x0 + t eps, where t is the strength.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sd3demo.settings.reflection import Settings
from sd3demo.settings.texts import Text

ImageStrength = Annotated[float, Field(ge=0.01, le=1)]
FILES = ("init", "mask")
"""The settings that name pictures of this machine; a resolved request has their hashes in their place."""


class ImageToImage(Settings):
    """A picture to start from, how much of it is changed, and where."""

    init: Text = Field("", description="A picture to start from (image to image): a PNG, JPEG or WebP file.")
    mask: Text = Field(
        "",
        description="A picture of the size of init: what is white in it is repainted and what is black is "
        "kept, to the last bit (inpainting).",
    )
    image_strength: ImageStrength = Field(
        0.6, description="How much of init is changed: the run begins at z_t = (1 - t) init + t noise."
    )
    strength_as: Literal["time", "steps"] = Field(
        "time",
        description="What the strength is: t where the run begins, or the share of the steps that is run, as "
        "in diffusers.",
    )

    @model_validator(mode="after")
    def _mask_has_its_picture(self) -> "ImageToImage":
        if self.mask and not self.init:
            raise ValueError("mask is given without init; it says what of a picture is repainted: give init")
        return self


def idle_without_init(values: Mapping[str, object]) -> dict[str, str]:
    """The settings that change nothing where no picture is given, each with the reason."""
    if values.get("init") != "" or values.get("init_sha256"):
        return {}
    return dict.fromkeys(("image_strength", "strength_as"), "There is no picture to start from.")


def times_from(times: tuple[float, ...], strength: float, meaning: str) -> tuple[float, ...]:
    """The times of a run from a picture, out of those of the whole schedule.

    `time`: the strength, then all times below it. `steps`: the last steps, as many as their share says,
    counted as diffusers' image-to-image pipelines do.
    """
    if meaning == "time":
        return (strength, *(t for t in times if t < strength - 1e-9))
    count = len(times) - 1
    return times[int(max(count - min(count * strength, count), 0)) :]
