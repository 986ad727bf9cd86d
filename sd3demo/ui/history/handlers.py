"""What the History tab answers: a page of runs, one of them large, and what becomes of them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from sd3demo.errors import Refusal
from sd3demo.history.export import export
from sd3demo.history.index import HistoryIndex, RunRecord
from sd3demo.settings import Resolved
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from sd3demo.ui.context import Core
from sd3demo.ui.controls.deep_links import written
from sd3demo.ui.extrapolate import reopen as extrapolate_again
from sd3demo.ui.generate import handlers as answers
from sd3demo.ui.generate.stream import TITLES, sentence
from sd3demo.ui.history import gallery
from sd3demo.ui.run import pictures as canvas
from sd3demo.ui.run import status as words

PAGE = 24  # runs on a page of the gallery


@dataclass(frozen=True)
class Place:
    """Where somebody stands in the history: what was searched for, from which run on, and the chosen run."""

    wanted: str = ""
    start: int = 0
    chosen: str = ""


class Books:
    """What the tab answers. The shelf remembers what it has read, for all visitors."""

    def __init__(self, core: Core, shelf: HistoryIndex) -> None:
        self._core = core
        self._shelf = shelf

    def searched(self, wanted: str, place: Place) -> list[object]:
        start = place.start if wanted == place.wanted else 0
        return self._page(Place(wanted, start, place.chosen))

    def newer(self, place: Place) -> list[object]:
        return self._page(Place(place.wanted, max(place.start - PAGE, 0), place.chosen))

    def older(self, place: Place) -> list[object]:
        return self._page(Place(place.wanted, place.start + PAGE, place.chosen))

    def choose(self, place: Place, event: gr.EventData) -> list[object]:
        """A run large: the place, its column, pictures, words, files, status, and the marked gallery."""
        id = str(getattr(event, "run", ""))
        try:
            record = self._shelf.record(id)
            sources, names, paths = self._served(record)
        except (Refusal, OSError) as error:
            skips = [gr.skip() for _ in range(5)]
            return [*skips, words.failed(sentence(Refusal(str(error)), TITLES)), gr.skip()]
        request = record.request
        size = (request.width, request.height)
        try:
            link, why = self._link(request), ""
        except Refusal as error:
            link, why = "", str(error)
        now = Place(place.wanted, place.start, id)
        return [
            now,
            gr.update(visible=True),
            canvas.finished(sources, names, size, request.prompt),
            gallery.told(record) + gallery.actions(record, link, why),
            paths,
            "",
            self._tiles(self._shelf.find(now.wanted), now),
        ]

    def doom(self, place: Place) -> list[object]:
        return self._asked((place.chosen,) if place.chosen else ())

    def doom_marked(self, marked: str) -> list[object]:
        return self._asked(tuple(marked.split()))

    def spare(self) -> list[object]:
        return ["", gr.update(visible=False), ()]

    def delete(self, doomed: Sequence[str], place: Place) -> list[object]:
        """Takes runs away for good; those that went meanwhile are no fault."""
        store = self._shelf.store
        done = 0
        for id in doomed:
            try:
                store.discard(store.find(id))
                done += 1
            except (Refusal, OSError):
                continue
        chosen = "" if place.chosen in doomed else place.chosen
        page = self._page(Place(place.wanted, place.start, chosen))
        runs = "One run is" if done == 1 else f"{done} runs are"
        said = f'<p class="done" role="status">{runs} deleted.</p>'
        return [*page, said, gr.update(visible=False), (), gr.update(visible=bool(chosen))]

    def export_one(self, place: Place) -> list[object]:
        return self._exported([place.chosen] if place.chosen else [])

    def export_marked(self, marked: str) -> list[object]:
        return self._exported(marked.split())

    def export_found(self, place: Place) -> list[object]:
        return self._exported(self._shelf.find(place.wanted))

    def _link(self, request: Resolved) -> str:
        """The address with these settings, on the tab that makes such pictures."""
        if isinstance(request, ResolvedExtrapolation):
            return extrapolate_again.link(request, self._core)
        return written("generate", request.model_dump(), lambda asked: answers.start(self._core, asked))

    def _page(self, place: Place) -> list[object]:
        found = self._shelf.find(place.wanted)
        last = max((len(found) - 1) // PAGE * PAGE, 0)
        now = Place(place.wanted, min(place.start, last), place.chosen)
        until = min(now.start + PAGE, len(found))
        count = f"<p>{now.start + 1:,}–{until:,} of {len(found):,}</p>" if found else ""
        ends = (gr.update(interactive=now.start > 0), gr.update(interactive=until < len(found)))
        return [now, self._tiles(found, now), count, *ends]

    def _tiles(self, found: Sequence[str], place: Place) -> str:
        if not found:
            return gallery.nothing(place.wanted) if place.wanted.strip() else gallery.EMPTY
        return gallery.tiles(self._shelf, found[place.start : place.start + PAGE], place.chosen)

    def _asked(self, doomed: tuple[str, ...]) -> list[object]:
        if not doomed:
            return [words.failed("no run is marked; tick some first"), gr.update(visible=False), ()]
        runs = "this run" if len(doomed) == 1 else f"these {len(doomed)} runs"
        asked = f'<p class="changed" role="status">Delete {runs} and the pictures for good?</p>'
        return [asked, gr.update(visible=True), doomed]

    def _exported(self, ids: Sequence[str]) -> list[object]:
        folder = Path(get_upload_folder()) / "exports" / secrets.token_hex(16)
        name = f"{ids[0]}.zip" if len(ids) == 1 else "sd3demo-runs.zip"
        try:
            done = export(self._shelf.store, ids, folder / name)
        except Refusal as error:
            return [words.failed(str(error)), None]
        runs = "One run is" if done == 1 else f"{done:,} runs"
        return [f'<p class="done" role="status">{runs} exported as {name}.</p>', str(folder / name)]

    def _served(self, record: RunRecord) -> tuple[list[str], list[str], list[str]]:
        """The pictures where the browser gets them: their sources, their names, and their paths."""
        request, paths, names = record.request, [], []
        for place, image in enumerate(record.run.images):
            alike = image.stem.isdecimal()  # else the pictures are of several methods and one seed
            name = answers.named(request.prompt, request.seed + place if alike else request.seed)
            names.append(name if alike else f"{image.stem}-{name}")
            paths.append(save_bytes_to_cache(image.read_bytes(), names[-1], get_upload_folder()))
        return [answers.source_of(path) for path in paths], names, paths
