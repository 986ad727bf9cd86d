"""The tray of pinned pictures, one for all tabs: a bar at the foot of the page, and the room that it opens.

A tab has nothing to do for it: compare.js finds the finished pictures of every tab by their addresses. The
Generate tab lends its run to the twins.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.components import Component

from sd3demo.ui.compare.handlers import CompareHandlers
from sd3demo.ui.context import Core
from sd3demo.ui.run.wiring import Answer, Ending, PressHandling, QueuedRun, run_in_queue, stop_runs
from sd3demo.ui.server.gradio_internals import current_page

ON_LOAD = """
  window.sd3demo = Object.assign(window.sd3demo ?? {}, {
    tray: (what) => trigger("select", what),
    twin: (what) => trigger("submit", what),
  });
  watch("value", () => window.sd3demo.tell?.());
"""


@dataclass(frozen=True)
class TwinRuns:
    """What the Generate tab lends: the visit, how its presses are run, where they are seen and stopped."""

    visit: gr.State
    generate: QueuedRun
    answer: Answer
    wanted: Callable[..., bool]
    dropped: Callable[..., object]
    outputs: Sequence[Component]
    titles: Mapping[str, str]
    stop: gr.Button
    ended: Ending
    ending: Sequence[Component]


_RUNS: WeakKeyDictionary[gr.Blocks, TwinRuns] = WeakKeyDictionary()


def lend_runs(runs: TwinRuns) -> None:
    """Let the twins of the page that is being built be run by these, and stopped by their button."""
    page = current_page()
    if page is not None:
        _RUNS[page] = runs


def connect_tray(page: gr.Blocks, core: Core) -> None:
    """Give the page its tray; its tabs are built already."""
    runs = _RUNS.get(page)
    if runs is None:
        return
    answers = CompareHandlers(core)
    tray = gr.HTML("", elem_id="tray", js_on_load=ON_LOAD)
    tray.select(
        answers.act,
        [runs.visit],
        [tray],
        queue=False,
        show_progress="hidden",
        trigger_mode="multiple",  # of several presses each counts
        api_visibility="private",
    )
    twins = run_in_queue(
        [tray.submit],
        runs.answer,
        [runs.visit],
        runs.outputs,
        status=runs.generate.status,
        titles=runs.titles,
        state=runs.generate.state,
        presses=PressHandling(answers.twin, [runs.visit], runs.wanted, runs.dropped),
        saved=core.keeps_running,
    )
    stop_runs(runs.stop, [twins], ended=runs.ended, inputs=[runs.visit], outputs=runs.ending)
