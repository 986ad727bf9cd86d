"""Every checkpoint as data: what it is, where it lives, what it holds and what it costs. No torch.

`find` takes what a person types after `--model`: a name of the catalogue, a hub id that the catalogue lists,
or a folder in diffusers format anywhere on the disk.
"""

from sd3demo.catalogue.checkpoints import CATALOGUE
from sd3demo.catalogue.entries import (
    assets,
    depths,
    find,
    fingerprint,
    how_to_get,
    locate,
    offer,
    offered_folder,
)
from sd3demo.catalogue.folders import read_folder
from sd3demo.catalogue.networks import (
    FluxShape,
    Lumina2Shape,
    LuminaNextShape,
    MMDiTShape,
    NetworkShape,
)
from sd3demo.catalogue.shifts import ConstantShift, LinearMuShift, ShiftRule
from sd3demo.catalogue.spec import (
    Adapter,
    Capabilities,
    Defaults,
    EncoderInput,
    Family,
    LargeEncoder,
    Latent,
    ModelSpec,
    Part,
    Size,
    TextEncoder,
)

__all__ = [
    "CATALOGUE",
    "Adapter",
    "Capabilities",
    "ConstantShift",
    "Defaults",
    "EncoderInput",
    "Family",
    "FluxShape",
    "LargeEncoder",
    "Latent",
    "LinearMuShift",
    "Lumina2Shape",
    "LuminaNextShape",
    "MMDiTShape",
    "ModelSpec",
    "NetworkShape",
    "Part",
    "ShiftRule",
    "Size",
    "TextEncoder",
    "assets",
    "depths",
    "find",
    "fingerprint",
    "how_to_get",
    "locate",
    "offer",
    "offered_folder",
    "read_folder",
]
