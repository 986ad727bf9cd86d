"""Reading a Lumina-Next checkpoint's folder into modules."""

from functools import partial

from diffusers import LuminaNextDiT2DModel
from transformers import GemmaModel

from sd3demo.models.lumina import read_lumina
from sd3demo.models.lumina_next.network_call import network_call

load = partial(read_lumina, transformer=LuminaNextDiT2DModel, gemma=GemmaModel, call=network_call)
