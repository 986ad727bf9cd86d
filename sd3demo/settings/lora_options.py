"""LoRAs as a request asks for them: files with their weights, in one text."""

from typing import Annotated

from pydantic import AfterValidator, Field

from sd3demo.catalogue.lora_files import asked_loras
from sd3demo.settings.reflection import Settings
from sd3demo.settings.texts import Text


def _known_weights(text: str) -> str:
    asked_loras(text)
    return text


LoraText = Annotated[Text, AfterValidator(_known_weights)]


class LoraOptions(Settings):
    """What is put on the weights of the network."""

    lora: LoraText = Field(
        "",
        description="LoRAs on the network, FILE or FILE:WEIGHT, where the weight is 1 unless it is given; "
        "several with commas between, and their sums count.",
    )
