"""The Verify tab: a picture is made again from the receipt inside it, and both are laid side by side."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from pydantic import Field

from sd3demo.engine.events import Encoded, Finished, Loading, StepDone, Stopped
from sd3demo.errors import Failure, Refusal
from sd3demo.history import compare, model_for, read_pixels, read_receipt, single_request
from sd3demo.settings import Settings, Text, parse
from sd3demo.ui.context import Core, prepared
from sd3demo.ui.controls.deep_links import linked
from sd3demo.ui.generate import handlers as answers
from sd3demo.ui.generate.stream import TITLES, sentence
from sd3demo.ui.run import status as words
from sd3demo.ui.run.markdown import prose, text_file
from sd3demo.ui.run.stopping import stops, waits
from sd3demo.ui.verify import compare_view as checked

TEXT = text_file("verify")
LARGEST = 2**25  # pixels of a picture that is decoded


class Asked(Settings):
    """Which picture of the history is checked."""

    run: Text = Field("", description="The id of a run and the place of a picture in it: ID/0.")


def verify(core: Core) -> None:
    """The whole tab. A rerun stands in the line of all work on the model."""
    with gr.Row(elem_id="verify"):
        with gr.Column(elem_id="verify-ask", min_width=260):
            file = gr.File(
                label="A PNG that was made here", file_types=[".png"], height=140, elem_id="verify-file"
            )
            run, came = gr.Textbox(visible="hidden"), gr.Textbox(visible="hidden")
            stop = gr.Button("Stop", elem_id="verify-stop")
            status = gr.HTML(elem_id="verify-status")
        with gr.Column(elem_id="verify-show", min_width=260):
            verdict = gr.HTML(checked.EMPTY, elem_id="verify-verdict")
            with gr.Row(elem_id="verify-pictures"):
                left, right = gr.HTML(elem_id="verify-file-picture"), gr.HTML(elem_id="verify-again")
            kept = gr.File(visible=False, file_count="multiple")
        prose(TEXT, "verify-words")

    begun = [file.upload, came.change]
    waits(begun, status)
    outputs = [status, left, right, verdict, kept, file]
    made = gr.on(
        begun,
        partial(answer, core),
        [file, run],
        outputs,
        show_progress="minimal",
        show_progress_on=status,
        concurrency_limit=1,
        concurrency_id="model",
        trigger_mode="always_last",  # what is asked for meanwhile comes next
        api_visibility="private",
    )
    stops(stop, [made], status, answers.stopped, [status], [status])
    linked(Asked, {"run": run}, parse(Asked, {}).model_dump(), titles={"run": "Run"}, came=came)


@dataclass(frozen=True)
class Seen:
    """What the tab shows; None leaves what stands there."""

    status: str | None = None
    left: str | None = None
    right: str | None = None
    verdict: str | None = None
    files: list[str] | None = None

    @property
    def updates(self) -> list[object]:
        """An update for each output; the place for the next file is empty again."""
        parts = (self.status, self.left, self.right, self.verdict, self.files)
        return [*(gr.skip() if part is None else part for part in parts), None]


def answer(core: Core, file: str | None, run: str) -> Iterator[list[object]]:
    """What the tab shows, from the header of the file to the comparison."""
    path = Path(file) if file else None
    try:
        path = path or _of_history(core, run)
        for seen in _rerun(core, path):
            yield seen.updates
    except Exception as error:
        said = sentence(error, TITLES)
        if path is not None:
            said = said.replace(str(path), f"“{path.name}”")
        yield Seen(words.failed(said), "", "", "").updates  # what stood there was of another file


def _rerun(core: Core, path: Path) -> Iterator[Seen]:
    receipt = read_receipt(path)
    request = single_request(receipt, model_for(receipt, core.models, everywhere=False).model)
    size = (request.width, request.height)
    if request.width * request.height > LARGEST:
        raise Refusal(
            f"{path} has {size[0]} x {size[1]} pixels, too many for this page; "
            "run sd3demo verify on the command line"
        )
    made = prepared(request, core)
    if made.own_picture:
        raise Refusal(
            f"{path} was made larger from a picture of somebody's own, which is not at hand here; "
            "run sd3demo verify --own on the command line"
        )
    shown = read_pixels(path, receipt)
    mine = save_bytes_to_cache(path.read_bytes(), path.name, get_upload_folder())
    yield Seen(words.waking(), checked.shown(answers.source_of(mine), request.prompt, size), "", "")
    with closing(core.run(made)) as events:
        for event in events:
            match event:
                case Loading(model=model, bytes=weight):
                    yield Seen(words.loading(model, weight))
                case Encoded(calls=calls):
                    yield Seen(words.encoded(calls))
                case StepDone(index=index, count=count):
                    bar = words.progress(index, count, event.seconds, event.t_next)
                    yield Seen(bar, right=checked.forming(event.previews[0], index + 1, count))
                case Stopped(steps=steps):
                    yield Seen(words.stopped(steps))
                    return
                case Finished():
                    (kept,) = answers.keep(made.request, event)
                    again = checked.again(kept.source, request.prompt, size, shown, event.pictures[0])
                    told = checked.verdict(compare(receipt, shown, event), path.name, receipt)
                    yield Seen(words.done(event), right=again, verdict=told, files=[mine, kept.path])
                    return
                case _:
                    continue
    raise Failure("the run stopped before it was finished")


def _of_history(core: Core, run: str) -> Path:
    """The picture that a link names, `ID/0`."""
    if core.history is None:
        raise Refusal("this page keeps no history; drop the picture's file here instead")
    id, _, place = run.partition("/")
    images = core.history.find(id).images
    if not re.fullmatch(r"\d{1,3}", place) or int(place) >= len(images):
        raise Refusal(f"run is {run!r}; it must end in the place of one of its pictures, as in {id}/0")
    return images[int(place)]
