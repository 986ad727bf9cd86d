"""Reading a Lumina-Image 2.0 checkpoint's folder into modules."""

from functools import partial

from diffusers import Lumina2Transformer2DModel
from transformers import Gemma2Model

from sd3demo.models.lumina import read_lumina
from sd3demo.models.lumina2.network_call import network_call

load = partial(read_lumina, transformer=Lumina2Transformer2DModel, gemma=Gemma2Model, call=network_call)
