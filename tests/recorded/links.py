"""What a link opens: the one place of these tests that knows how the package is laid out.

When the reader of links moves (it is `sd3demo.ui.controls.deep_links`, and a study's text is read by
`sd3demo.ui.studies.tabs`), only this file follows it; what was recorded stays.
"""

from collections.abc import Mapping
from functools import cache

import gradio as gr

from sd3demo.errors import Refusal
from sd3demo.ui import build, core
from sd3demo.ui.controls.deep_links import _LINKS, Link, read, split
from sd3demo.ui.studies.tabs import unpacked

RENAMED = {"tuned": "ours", "paper-lumina": "paper"}
"""Presets whose names have changed since."""


@cache
def _page() -> tuple[dict[str, Link], tuple[str, ...]]:
    """The tabs with settings, and the names of all tabs."""
    page = build(core())
    bars = [block for block in page.blocks.values() if isinstance(block, gr.Tabs)]
    names = [tuple(str(getattr(tab, "id", "")) for tab in bar.children) for bar in bars]
    return {link.tab: link for link in _LINKS[page]}, next(bar for bar in names if "generate" in bar)


def opened(fragment: str) -> dict[str, object]:
    """The tab, all its settings as texts, and how many of the link's settings could not be had.

    The tab is empty where the page stays as it is.
    """
    linked, tabs = _page()
    try:
        tab, given = split(fragment) if fragment.startswith("#/") else ("", {})
    except Refusal:
        tab, given = "", {}
    if tab not in tabs:
        return {"tab": "", "settings": {}, "faults": 0}
    if tab not in linked:
        return {"tab": tab, "settings": {}, "faults": 0}
    values, faults = read(linked[tab], given)
    if tab == "score" and values.get("study") == "score":
        values = {**values, "study": "score-steps"}  # the score itself has become one of the tab's studies
    return {"tab": tab, "settings": _texts(values), "faults": len(faults)}


def study_opened(name: str, text: str) -> dict[str, object]:
    """All settings of a study for what a link says of it, and how many could not be had."""
    values, faults = unpacked(core(), name, text)
    return {"settings": _texts(values), "faults": len(faults)}


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    """Settings as the texts that a link holds: 3 and "3" are the same there."""
    named = dict(values)
    if "preset" in named:
        named["preset"] = RENAMED.get(str(named["preset"]), named["preset"])
    return {name: _text(value) for name, value in sorted(named.items())}


def _text(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case list() | tuple():
            return ",".join(map(_text, value))
        case float():
            return f"{value:.12g}"
        case _:
            return str(value)
