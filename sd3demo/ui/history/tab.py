"""The History tab: finished runs to look through, to use again, to take home and to delete."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from sd3demo.history.index import HistoryIndex
from sd3demo.history.location import is_public
from sd3demo.ui.context import Core
from sd3demo.ui.history import gallery
from sd3demo.ui.history.handlers import HistoryHandlers, HistoryPlace
from sd3demo.ui.run.wiring import at_once
from sd3demo.ui.server.gradio_internals import current_tab

SEARCH_HELP = "Words of the prompt, and settings: cfg>3, solver:heun, steps<=10, is:favourite."
SEEN = """() => {
  const detail = document.querySelector('#detail');
  const { top, bottom } = detail?.getBoundingClientRect() ?? {};
  if (bottom < 100 || top > innerHeight - 100) detail.scrollIntoView({ block: 'start' });
}"""
"""On a narrow screen the run stands above the gallery, perhaps out of sight."""
SAVE = """(file) => {
  if (!file) return;
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""


@dataclass(frozen=True)
class HistoryOutputs:
    """What the answers fill."""

    place: gr.State
    runs: gr.HTML
    count: gr.HTML
    newer: gr.Button
    older: gr.Button
    pictures: gr.HTML
    story: gr.HTML
    detail: gr.Column
    status: gr.HTML
    files: gr.File
    sure: gr.Row
    to_delete: gr.State

    @property
    def page(self) -> list[Component]:
        return [self.place, self.runs, self.count, self.newer, self.older]


def history(core: Core) -> None:
    """The whole tab; where the page keeps no history it says why."""
    if core.history is None:
        gr.HTML(gallery.SHARED, elem_id="history")
        return
    tab = current_tab()
    answers = HistoryHandlers(core, HistoryIndex(core.history))
    with gr.Row(elem_id="history"):
        with gr.Column(elem_id="shelf", min_width=260):
            with gr.Row(elem_id="shelf-search"):
                search = gr.Textbox(
                    label="Search",
                    info=SEARCH_HELP,
                    placeholder="red circle cfg>3",
                    elem_id="search",
                    max_lines=1,
                )
            status = gr.HTML(elem_id="history-status")
            with gr.Row(visible=False, elem_id="sure") as sure:
                gone = gr.Button("Delete for good", variant="stop", size="sm", elem_id="sure-delete")
                keep = gr.Button("Keep", size="sm", elem_id="sure-keep")
            runs = gr.HTML(elem_id="runs", js_on_load=gallery.ON_LOAD)
            with gr.Row(elem_id="leaf"):
                newer = gr.Button("Newer", size="sm", elem_id="newer", min_width=70, interactive=False)
                count = gr.HTML(elem_id="count")
                older = gr.Button("Older", size="sm", elem_id="older", min_width=70, interactive=False)
            tools = gr.HTML(
                gallery.tools(may_delete=core.may_delete), elem_id="many", js_on_load=gallery.TOOLS_ON_LOAD
            )
            gr.HTML(gallery.kept_in(core.history, by_path=not is_public()))
        with gr.Column(elem_id="detail", visible=False) as detail:
            pictures = gr.HTML(elem_id="run-pictures")
            story = gr.HTML(elem_id="run-story", js_on_load=gallery.FAMILY_ON_LOAD)
            with gr.Row(elem_id="run-acts"):
                export_one = gr.Button("Export", size="sm", elem_id="export-run", min_width=80)
                delete_one = gr.Button(
                    "Delete", size="sm", elem_id="delete-run", min_width=80, visible=core.may_delete
                )
            files = gr.File(visible=False, file_count="multiple")
    place, to_delete = gr.State(HistoryPlace()), gr.State(())
    shown = HistoryOutputs(
        place, runs, count, newer, older, pictures, story, detail, status, files, sure, to_delete
    )

    looks = [search.change, *([tab.select] if tab else [])]
    at_once(looks, answers.searched, [search, place], shown.page)
    at_once([newer.click], answers.newer, [place], shown.page)
    at_once([older.click], answers.older, [place], shown.page)
    large: list[Component] = [pictures, story, files, status]
    chose = at_once([runs.select, story.select], answers.choose, [place], [place, detail, *large, runs])
    chose.then(None, None, None, js=SEEN, api_visibility="private")
    at_once([runs.like], answers.star, [place], [*shown.page, status])
    at_once([tools.like], answers.star_marked, [place], [*shown.page, status])

    ask = [status, sure, to_delete]
    at_once([delete_one.click], answers.ask_to_delete, [place], ask)
    at_once([tools.delete], answers.ask_to_delete_event, [], ask)
    at_once([keep.click], answers.keep, [], ask)
    at_once([gone.click], answers.delete, [to_delete, place], [*shown.page, *ask, detail])

    file = gr.File(visible="hidden")
    _saving(export_one.click, answers.export_one, [place], status, file)
    _saving(tools.download, answers.export_event, [], status, file)
    _saving(tools.copy, answers.export_found, [place], status, file)


def _saving(
    event: Callable[..., Dependency],
    answer: Callable[..., list[object]],
    inputs: Sequence[Component],
    status: gr.HTML,
    file: gr.File,
) -> Dependency:
    """A zip is written beside other work, and then saved by the browser."""
    exported = event(
        answer,
        inputs,
        [status, file],
        show_progress="hidden",
        concurrency_limit=2,
        concurrency_id="export",
        api_visibility="private",
    )
    return exported.success(None, [file], None, js=SAVE, api_visibility="private")
