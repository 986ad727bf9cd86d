"""Results that no run of this page makes: of a dropped file, and of a run of the history."""

from collections.abc import Mapping
from pathlib import Path
from typing import SupportsFloat

from sd3demo.errors import Refusal
from sd3demo.history import Receipt, RunStore, read_pixels
from sd3demo.history.index import HistoryIndex, RunRecord
from sd3demo.settings import Resolved, counted, identity
from sd3demo.ui.controls.labels import label
from sd3demo.ui.generate.story import figures_html, seconds_text
from sd3demo.ui.run.files import file_name
from sd3demo.ui.run.picture_verdicts import verdicts_of, verdicts_of_files
from sd3demo.ui.run.result import ResultPicture, RunResult
from sd3demo.ui.server.gradio_internals import write_served_file
from sd3demo.ui.server.limits import Limits


def result_of_file(path: Path, receipt: Receipt, request: Resolved, link: str = "") -> RunResult:
    """Return the result in a PNG whose receipt was read, and whose size is within the page's limit.

    Raises Refusal where it cannot be decoded.
    """
    picture = read_pixels(path, receipt)
    (verdict,) = verdicts_of(request, [picture])
    file = write_served_file(path.read_bytes(), path.name)
    rows = {
        "Steps": (str(len(receipt.sigmas) - 1), _solver(request)),
        "Seed": (str(request.seed), "draws the noise"),
        "Weights": (receipt.weights_sha256[:8], "their SHA-256 begins so"),
    }
    story = figures_html(rows) + (
        "<p>A receipt says how the picture was made. Generate makes it again, and measures its time and path."
        "</p>"
    )
    pictures = (ResultPicture(file, verdict),)
    return RunResult(request, "opened", pictures, story, origin=f"the file {path.name}", link=link)


def kept_run(store: RunStore, request: Resolved) -> RunRecord | None:
    """Return the newest run of the history with exactly these settings, None where there is none."""
    wanted, index = identity(request)[:8], HistoryIndex(store)
    for id in store.ids():
        if f"-{wanted}" in id[15:]:
            try:
                record = index.record(id)
            except Refusal:
                continue
            if record.request == request:
                return record
    return None


def result_of_run(record: RunRecord, limits: Limits, link: str = "") -> RunResult:
    """Return the result of a run of the history."""
    request, images = record.request, record.run.images
    verdicts = verdicts_of_files(request, images, limits.picture_pixels)
    files = (
        write_served_file(image.read_bytes(), file_name(request.prompt, request.seed + place))
        for place, image in enumerate(images)
    )
    seconds = _work(record.result)
    rows = {
        "Steps": (str(request.steps), _solver(request)),
        "Calls": (str(record.result.get("calls", "?")), "of the network"),
        "Time": (seconds_text(seconds), counted(request.count, "picture")),
        "Path": (f"{_first(record.result.get('path_length')):.1f}", "long"),
        "Chord": (f"{_first(record.result.get('chord')):.1f}", "noise to picture"),
        "Seed": (str(request.seed), "draws the noise"),
    }
    return RunResult(
        request,
        "opened",
        tuple(map(ResultPicture, files, verdicts)),
        figures_html(rows),
        seconds,
        origin="the history",
        link=link,
    )


def _solver(request: Resolved) -> str:
    return label("solver").names.get(request.solver, request.solver)


def _work(result: Mapping[str, object]) -> float:
    """Seconds of the pictures themselves, without those of reading the model's files."""
    phases = result.get("phases")
    load = phases.get("load", 0) if isinstance(phases, Mapping) else 0
    return _number(result.get("seconds")) - _number(load)


def _first(values: object) -> float:
    return _number(values[0]) if isinstance(values, list) and values else float("nan")


def _number(value: object) -> float:
    return float(value) if isinstance(value, SupportsFloat) else float("nan")
