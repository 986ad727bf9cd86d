"""The functions of a served page, named or not, with the values that its own script would send."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

FILES = ("image", "file", "uploadbutton", "imageeditor", "sketchpad")


@dataclass(frozen=True)
class PageFunction:
    """A function by its number: what its inputs are and hold at first, and which of them are files."""

    index: int
    name: str
    queued: bool
    components: tuple[tuple[str, Mapping[str, Any]], ...]
    """The kind of each input, and what is known of it: choices, bounds."""
    after: int | None = None
    """The function whose end calls it."""

    @property
    def defaults(self) -> tuple[object, ...]:
        return tuple(known.get("value") for _, known in self.components)

    @property
    def files(self) -> tuple[int, ...]:
        return tuple(place for place, (kind, _) in enumerate(self.components) if kind in FILES)

    def with_file(self, file: object) -> list[object]:
        """The values at first, with this file wherever one is taken."""
        return [file if place in self.files else value for place, value in enumerate(self.defaults)]


def page_functions(address: str) -> tuple[PageFunction, ...]:
    """All functions of a page that run on the server."""
    config = httpx.get(f"{address}/config", timeout=300).json()
    components = {each["id"]: (str(each["type"]), each["props"]) for each in config["components"]}
    return tuple(
        PageFunction(
            each["id"],
            each["api_name"] or "",
            bool(each["queue"]),
            tuple(components[id] for id in each["inputs"]),
            each["trigger_after"],
        )
        for each in config["dependencies"]
        if each["backend_fn"]
    )


def parameters_of(address: str) -> Mapping[str, Any]:
    """What the endpoints with names take, by name."""
    found: Mapping[str, Any] = httpx.get(f"{address}/gradio_api/info", timeout=300).json()["named_endpoints"]
    return found
