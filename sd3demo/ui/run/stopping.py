"""From the click to the first news of a run, and from Stop to its end: what the status says meanwhile.

The browser takes a stopped run for over, and its button for free, only when the server has ended it, after
the step under way. What is said last is said then: a click before would be lost.
"""

from collections.abc import Callable, Sequence

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from sd3demo.ui.run import status as words
from sd3demo.ui.run.wiring import at_once

WAITING = f"(status) => status?.includes({words.STOPPING!r}) ? status : {words.waiting()!r}"
STOPPING = (
    f"(status) => status?.includes('<progress') && !status.includes({words.STOPPING!r}) "
    f"? status.replace(/<\\/div>\\s*$/, {words.stopping()!r} + '</div>') : status"
)


def waits(clicks: Sequence[Callable[..., Dependency]], status: gr.HTML) -> None:
    """The status says at once that a run waits; not while one is being stopped, whose end will say more."""
    at_once(clicks, None, [status], [status], js=WAITING)


def stops(
    stop: gr.Button,
    runs: Sequence[Dependency],
    status: gr.HTML,
    answer: Callable[..., object],
    inputs: Sequence[Component],
    outputs: Sequence[Component],
) -> None:
    """`answer` says how far a run came that was stopped, or that it never began: the line was full.

    The last that the status said is among its `inputs`.
    """
    stop.click(
        None,
        status,
        status,
        js=STOPPING,
        cancels=[*runs],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    for run in runs:
        run.failure(
            answer,
            [*inputs],
            [*outputs],
            preprocess=False,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
