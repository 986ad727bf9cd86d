"""A tab that is built when it is first looked at.

Until then the page holds no more of it than a hidden text: its settings as JSON, which is what a link says. A
text that the tab's own controls wrote is marked, so that only a link moves the controls.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from time import time_ns

import gradio as gr

from sd3demo.settings import Settings
from sd3demo.ui.controls.build import Control
from sd3demo.ui.controls.deep_links import Values, linked
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.run.wiring import at_once
from sd3demo.ui.server.gradio_internals import current_tab

OWN = "own"
"""The mark."""


def lazy_tab(kind: type[Settings], start: Values, build: Callable[[Values], Mapping[str, Control]]) -> None:
    """Let the tab that is being built wait until somebody looks at it, and give it an address.

    `build` makes the tab for values of its settings and returns their controls by name; `start` are the
    values with which it opens.
    """
    tab = current_tab()
    gr.HTML('<p class="hint">Loading…</p>', elem_classes="lazy-hint")
    text, built = gr.Textbox("{}", visible="hidden"), gr.Textbox("", visible="hidden")
    # What a link says has a text of its own: where a render listens to one, gradio drops the page's own.
    given = gr.Textbox("{}", visible="hidden")

    def settings(text: str) -> dict[str, object]:
        held = json.loads(text)
        return {name: held.get(name, value) for name, value in start.items()}

    def rendered(text_now: str) -> None:
        controls = build(settings(text_now))
        parts = [*controls.values()]
        at_once([one.change for one in parts], partial(_written, [*controls]), parts, [text], raw=True)
        at_once([given.change], partial(_followed, settings, [*controls]), [given], parts)

    gr.render([text], [built.change], queue=False, show_progress="hidden")(rendered)
    at_once([text.change], _from_link, [text], [given])
    if tab is not None:
        at_once([tab.select], lambda built: built or str(time_ns()), [built], [built])
    linked(
        kind,
        {"settings": text},
        start,
        titles=titles(kind),
        when=[text.change],
        fill=lambda values: [json.dumps({name: values[name] for name in start})],
        unfold=settings,
    )


def _written(names: list[str], *values: object) -> str:
    return json.dumps({**dict(zip(names, values, strict=True)), OWN: True})


def _from_link(text: str) -> object:
    """The text where a link wrote it, and not the tab's own controls."""
    return gr.skip() if OWN in json.loads(text) else text


def _followed(settings: Callable[[str], Values], names: list[str], text: str) -> list[object]:
    """The controls' updates for a link."""
    values = settings(text)
    return [gr.update(value=values[name]) for name in names]
