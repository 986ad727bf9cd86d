"""Models as the page names them."""

from html import escape
from pathlib import Path

from sd3demo.catalogue import CATALOGUE, ModelSpec, how_to_get, locate
from sd3demo.errors import Refusal


def model_title(spec: ModelSpec) -> str:
    """A model's name for people: a folder's last part."""
    name = spec.name if spec.name in CATALOGUE else Path(spec.name).name
    return name if is_here(spec) else f"{name} (not on this disk)"


def about_model(spec: ModelSpec) -> str:
    """Return a model in one line."""
    facts = f"{spec.native} × {spec.native} px, depth {spec.network.depth}, {spec.licence}."
    return f"{facts} {spec.note}".strip()


def download_html(spec: ModelSpec) -> str:
    """Return how to get a model's files, its commands as code that can be copied; "" where they are here."""
    if is_here(spec):
        return ""
    parts = escape(how_to_get(spec)).split("`")
    copy = '<button type="button" class="copy">Copy</button>'
    commands = (f"<code>{part}</code>{copy}" if k % 2 else part for k, part in enumerate(parts))
    return f"<p>{''.join(commands)}.</p>"


def is_here(spec: ModelSpec) -> bool:
    """Whether the files of a model are on this disk."""
    try:
        locate(spec)
    except Refusal:
        return False
    return True
