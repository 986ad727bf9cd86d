"""Answers that wait for no run: quick work stands beside the queue, not in it."""

from collections.abc import Callable, Sequence

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency


def at_once(
    triggers: Sequence[Callable[..., Dependency]],
    answer: Callable[..., object] | None,
    inputs: Sequence[Component],
    outputs: Sequence[Block],
    *,
    js: str | None = None,
    raw: bool = False,
) -> Dependency:
    """When the same thing is done quickly again, the last one counts.

    `raw` hands the values over unchecked, for an answer whose own sentence says more. No progress is shown,
    so gradio is to note it at one output alone: where it once did, it does again at every event of the page.
    """
    return gr.on(
        triggers,
        answer,
        inputs,
        outputs,
        js=js,
        preprocess=not raw,
        queue=False,
        show_progress="hidden",
        show_progress_on=[one for one in outputs[:1] if isinstance(one, Component)],
        trigger_mode="always_last",
        api_visibility="private",
    )
