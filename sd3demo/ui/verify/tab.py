"""The Verify tab: a picture is generated anew from the receipt inside it, and the two are compared."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gradio as gr
from pydantic import Field

from sd3demo.engine.events import Finished, StepDone
from sd3demo.errors import Failure, Refusal
from sd3demo.history import compare, model_on_offer, read_pixels, read_receipt, single_request
from sd3demo.history.input_pictures import with_inputs
from sd3demo.settings import Request, Settings, Text, parse
from sd3demo.ui.context import Core, prepared
from sd3demo.ui.controls.deep_links import linked
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.generate.handlers import ended
from sd3demo.ui.generate.story import done_text
from sd3demo.ui.run.events import run_events
from sd3demo.ui.run.files import write_pictures
from sd3demo.ui.run.markdown import prose, text_file
from sd3demo.ui.run.run_status import STARTING, RunStatus, finished, run_status
from sd3demo.ui.run.turns import in_turn
from sd3demo.ui.run.wiring import run_in_queue, stop_runs
from sd3demo.ui.server.gradio_internals import write_served_file
from sd3demo.ui.verify import compare_view

TEXT = text_file("verify")
LARGEST = 2**25  # pixels of a picture that is decoded


class VerifyLink(Settings):
    """Which picture of the history is checked."""

    run: Text = Field("", description="The id of a run and the place of a picture in it: ID/0.")


def verify(core: Core) -> None:
    """The whole tab. A rerun stands in the queue of all work on the model."""
    with gr.Row(elem_id="verify"):
        with gr.Column(elem_id="verify-ask", min_width=260):
            file = gr.File(label="A PNG of this app", file_types=[".png"], height=140, elem_id="verify-file")
            run, came = gr.Textbox(visible="hidden"), gr.Textbox(visible="hidden")
            stop = gr.Button("Stop", elem_id="verify-stop")
            status = gr.HTML(elem_id="verify-status")
        with gr.Column(elem_id="verify-show", min_width=260):
            verdict = gr.HTML(compare_view.EMPTY, elem_id="verify-verdict")
            with gr.Row(elem_id="verify-pictures"):
                original, rerun = gr.HTML(elem_id="verify-file-picture"), gr.HTML(elem_id="verify-again")
        prose(TEXT, "verify-words")

    checked = run_in_queue(
        [file.upload, came.change],
        partial(answer, core),
        [file, run],
        [original, rerun, verdict, file],
        status=status,
        titles=titles(Request),
        raw=False,
        again="always_last",  # what is asked for meanwhile comes next
        on_error=cleared,
    )
    stop_runs(stop, [checked], ended=ended)
    linked(VerifyLink, {"run": run}, parse(VerifyLink, {}).model_dump(), titles={"run": "Run"}, came=came)


@dataclass(frozen=True)
class VerifyView:
    """What the tab shows; None leaves what stands there."""

    original: str | None = None
    rerun: str | None = None
    verdict: str | None = None

    @property
    def updates(self) -> list[object]:
        """An update for each output; the place for the next file is empty again."""
        parts = (self.original, self.rerun, self.verdict)
        return [*(gr.skip() if part is None else part for part in parts), None]


def cleared() -> list[object]:
    """Nothing, where what stood there was of another file."""
    return VerifyView("", "", "").updates


def answer(core: Core, file: str | None, run: str | None) -> Iterator[tuple[RunStatus, list[object]]]:
    """What the tab shows, from the header of the file to the comparison."""
    path = Path(file) if file else _of_history(core, run or "")
    try:
        for status, view in _rerun(core, path):
            yield status, view.updates
    except (Refusal, Failure) as error:  # a person knows the file by its name
        raise type(error)(str(error).replace(str(path), f"“{path.name}”")) from error


def _rerun(core: Core, path: Path) -> Iterator[tuple[RunStatus, VerifyView]]:
    receipt = read_receipt(path)
    request = single_request(receipt, model_on_offer(receipt, core.models))
    size = (request.width, request.height)
    if request.width * request.height > LARGEST:
        raise Refusal(
            f"{path} has {size[0]} x {size[1]} pixels, too many for this page; "
            "run sd3demo verify on the command line"
        )
    plan = prepared(with_inputs(request, core.history), core)
    if plan.own_picture:
        raise Refusal(
            f"{path} was made larger from a picture of somebody's own, which is not at hand here; "
            "run sd3demo verify --own on the command line"
        )
    pixels = read_pixels(path, receipt)
    original = write_served_file(path.read_bytes(), path.name)
    yield STARTING, VerifyView(compare_view.original_html(original.source, request.prompt, size), "", "")
    for event in run_events(in_turn(core, plan, alone=True)):
        view = VerifyView()
        if isinstance(event, StepDone):
            view = VerifyView(
                rerun=compare_view.preview_html(event.previews[0], event.index + 1, event.count)
            )
        if isinstance(event, Finished):
            (file,) = write_pictures(plan.request, event)
            view = VerifyView(
                rerun=compare_view.rerun_html(file.source, request.prompt, size, pixels, event.pictures[0]),
                verdict=compare_view.verdict_html(compare(receipt, pixels, event), path.name, receipt),
            )
            yield finished(done_text(event)), view
        elif status := run_status(event):
            yield status, view


def _of_history(core: Core, run: str) -> Path:
    """The picture that a link names, `ID/0`."""
    if core.history is None:
        raise Refusal("this page keeps no history; drop the picture's file here instead")
    id, _, place = run.partition("/")
    images = core.history.find(id).images
    if not re.fullmatch(r"\d{1,3}", place) or int(place) >= len(images):
        raise Refusal(f"run is {run!r}; it must end in the place of one of its pictures, as in {id}/0")
    return images[int(place)]
