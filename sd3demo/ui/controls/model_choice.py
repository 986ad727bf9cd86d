"""Models as the page names them."""

from pathlib import Path

from sd3demo.catalogue import CATALOGUE, ModelSpec, how_to_get, locate
from sd3demo.errors import Refusal


def model_title(spec: ModelSpec) -> str:
    """A model's name for people: a folder's last part."""
    name = spec.name if spec.name in CATALOGUE else Path(spec.name).name
    return name if is_here(spec) else f"{name} (not on this disk)"


def about_model(spec: ModelSpec) -> str:
    """A model in one line, or what to do to get it."""
    facts = f"{spec.native} × {spec.native} px, depth {spec.network.depth}, {spec.licence}."
    line = f"{facts} {spec.note}".strip()
    return line if is_here(spec) else f"{line} {how_to_get(spec)}."


def is_here(spec: ModelSpec) -> bool:
    """Whether the files of a model are on this disk."""
    try:
        locate(spec)
    except Refusal:
        return False
    return True
