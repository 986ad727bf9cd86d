"""What the History tab answers: a page of runs, one of them large, and what becomes of them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import gradio as gr

from sd3demo.errors import Refusal
from sd3demo.history import model_on_offer
from sd3demo.history.export import export
from sd3demo.history.index import HistoryIndex, RunRecord
from sd3demo.history.lineage import LineageIndex
from sd3demo.settings import Resolved
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from sd3demo.ui.context import Core
from sd3demo.ui.controls.deep_links import written
from sd3demo.ui.extrapolate import reopen as extrapolate_again
from sd3demo.ui.generate.handlers import GenerateHandlers
from sd3demo.ui.history import gallery
from sd3demo.ui.run import pictures
from sd3demo.ui.run.as_code_view import as_code_html
from sd3demo.ui.run.errors import sentence
from sd3demo.ui.run.files import file_name
from sd3demo.ui.run.picture_verdicts import verdict_html, verdicts_of_files
from sd3demo.ui.run.run_status import failed, finished, status_html
from sd3demo.ui.server.gradio_internals import ServedFile, upload_folder, write_served_file
from sd3demo.world.verdict import PictureVerdict

PAGE = 24  # runs on a page of the gallery
KEPT = "runs are not deleted here: whoever runs this page decides that, with `sd3demo serve --deletion on`"
NO_FAVOURITES = "favourites are kept longest: who may not delete runs here may not make favourites"
NONE_MARKED = "no run is marked; tick some first"


@dataclass(frozen=True)
class HistoryPlace:
    """Where somebody stands in the history: what was searched for, from which run on, and the chosen run."""

    wanted: str = ""
    start: int = 0
    chosen: str = ""


class HistoryHandlers:
    """What the tab answers. The index caches what it has read, for all visitors."""

    def __init__(self, core: Core, index: HistoryIndex) -> None:
        self._core = core
        self._index = index
        self._lineage = LineageIndex(index)

    def searched(self, wanted: str, place: HistoryPlace) -> list[object]:
        start = place.start if wanted == place.wanted else 0
        return self._page(HistoryPlace(wanted, start, place.chosen))

    def newer(self, place: HistoryPlace) -> list[object]:
        return self._page(HistoryPlace(place.wanted, max(place.start - PAGE, 0), place.chosen))

    def older(self, place: HistoryPlace) -> list[object]:
        return self._page(HistoryPlace(place.wanted, place.start + PAGE, place.chosen))

    def choose(self, place: HistoryPlace, event: gr.EventData) -> list[object]:
        """A run large: the place, its column, pictures, words, files, status, and the marked gallery."""
        id = str(getattr(event, "run", ""))
        try:
            record = self._index.record(id)
            files = self._served(record)
        except (Refusal, OSError) as error:
            skips = [gr.skip() for _ in range(5)]
            return [*skips, _failed(sentence(Refusal(str(error)), {})), gr.skip()]
        request = record.request
        size = (request.width, request.height)
        try:
            model = model_on_offer(record, self._core.models)
            link, why = self._link(request.model_copy(update={"model": model})), ""
        except Refusal as error:
            link, why = "", str(error)
        now = HistoryPlace(place.wanted, place.start, id)
        return [
            now,
            gr.update(visible=True),
            pictures.finished(
                [file.source for file in files],
                [file.name for file in files],
                size,
                request.prompt,
                verdicts=[verdict_html(each) for each in self._verdicts(record)],
            ),
            gallery.run_html(record)
            + gallery.actions(record, link, why)
            + gallery.family_html(self._index, self._lineage.of(id))
            + as_code_html(request, **record.hashes),
            [file.path for file in files],
            "",
            self._page(now)[1],
        ]

    def star(self, place: HistoryPlace, event: gr.EventData) -> list[object]:
        """One run marked as a favourite or as none: the page of runs, and a sentence where it cannot be."""
        return self._starred([str(getattr(event, "run", ""))], bool(getattr(event, "on", False)), place)

    def star_marked(self, place: HistoryPlace, event: gr.EventData) -> list[object]:
        """All marked runs become favourites; where all are, none of them stays one."""
        ids = _marked(event).split()
        if not ids:
            return [*self._page(place), _failed(NONE_MARKED)]
        return self._starred(ids, not all(map(self._index.store.is_favourite, ids)), place)

    def ask_to_delete_event(self, event: gr.EventData) -> list[object]:
        return self.ask_to_delete_marked(_marked(event))

    def export_event(self, event: gr.EventData) -> list[object]:
        return self.export_marked(_marked(event))

    def ask_to_delete(self, place: HistoryPlace) -> list[object]:
        return self._asked((place.chosen,) if place.chosen else ())

    def ask_to_delete_marked(self, marked: str) -> list[object]:
        return self._asked(tuple(marked.split()))

    def keep(self) -> list[object]:
        return ["", gr.update(visible=False), ()]

    def delete(self, ids: Sequence[str], place: HistoryPlace) -> list[object]:
        """Takes runs away for good; those that went meanwhile are no fault.

        Raises Refusal where nobody may.
        """
        if not self._core.may_delete:
            raise Refusal(KEPT)
        store = self._index.store
        done = 0
        for id in ids:
            try:
                store.discard(store.find(id))
                done += 1
            except (Refusal, OSError):
                continue
        chosen = "" if place.chosen in ids else place.chosen
        page = self._page(HistoryPlace(place.wanted, place.start, chosen))
        runs = "One run is" if done == 1 else f"{done} runs are"
        said = _done(f"{runs} deleted.")
        return [*page, said, gr.update(visible=False), (), gr.update(visible=bool(chosen))]

    def export_one(self, place: HistoryPlace) -> list[object]:
        return self._exported([place.chosen] if place.chosen else [])

    def export_marked(self, marked: str) -> list[object]:
        return self._exported(marked.split())

    def export_found(self, place: HistoryPlace) -> list[object]:
        try:
            return self._exported(self._index.find(place.wanted))
        except Refusal as error:
            return [_failed(str(error)), None]

    def _link(self, request: Resolved) -> str:
        """The address with these settings, on the tab that makes such pictures."""
        if isinstance(request, ResolvedExtrapolation):
            return extrapolate_again.link(request, self._core)
        if request.init_sha256:
            raise Refusal(
                "it started from a picture, which no link can hold; its PNG sets the rest on Generate"
            )
        answers = GenerateHandlers(self._core)
        return written("generate", {name: getattr(request, name) for name in answers.names}, answers.start)

    def _page(self, place: HistoryPlace) -> list[object]:
        try:
            found = self._index.find(place.wanted)
        except Refusal as error:
            off = gr.update(interactive=False)
            return [place, gallery.no_search(str(error)), "", off, off]
        last = max((len(found) - 1) // PAGE * PAGE, 0)
        now = HistoryPlace(place.wanted, min(place.start, last), place.chosen)
        until = min(now.start + PAGE, len(found))
        count = f"<p>{now.start + 1:,}–{until:,} of {len(found):,}</p>" if found else ""
        ends = (gr.update(interactive=now.start > 0), gr.update(interactive=until < len(found)))
        return [now, self._tiles(found, now), count, *ends]

    def _tiles(self, found: Sequence[str], place: HistoryPlace) -> str:
        if not found:
            return gallery.nothing(place.wanted) if place.wanted.strip() else gallery.EMPTY
        until = place.start + PAGE
        before = dict(pairwise(found[place.start : until + 1]))  # the next on the page was made before
        may_mark = self._core.may_delete
        return gallery.tiles(self._index, found[place.start : until], place.chosen, before, may_mark=may_mark)

    def _starred(self, ids: Sequence[str], favourite: bool, place: HistoryPlace) -> list[object]:
        if not self._core.may_delete:
            return [*self._page(place), _failed(NO_FAVOURITES)]
        said = ""
        for id in ids:
            try:
                self._index.store.mark_favourite(id, favourite)
            except Refusal as error:
                said = _failed(str(error))
        return [*self._page(place), said]

    def _asked(self, ids: tuple[str, ...]) -> list[object]:
        if not self._core.may_delete:
            return [_failed(KEPT), gr.update(visible=False), ()]
        if not ids:
            return [_failed(NONE_MARKED), gr.update(visible=False), ()]
        runs = "this run" if len(ids) == 1 else f"these {len(ids)} runs"
        asked = f'<p class="changed" role="status">Delete {runs} and the pictures for good?</p>'
        return [asked, gr.update(visible=True), ids]

    def _exported(self, ids: Sequence[str]) -> list[object]:
        folder = upload_folder() / "exports" / secrets.token_hex(16)
        name = f"{ids[0]}.zip" if len(ids) == 1 else "sd3demo-runs.zip"
        try:
            done = export(self._index.store, ids, folder / name)
        except Refusal as error:
            return [_failed(str(error)), None]
        runs = "One run is" if done == 1 else f"{done:,} runs"
        return [_done(f"{runs} exported as {name}."), str(folder / name)]

    def _verdicts(self, record: RunRecord) -> tuple[PictureVerdict | None, ...]:
        most = self._core.limits.picture_pixels
        return verdicts_of_files(record.request, record.run.images, most)

    def _served(self, record: RunRecord) -> list[ServedFile]:
        """The pictures where the browser gets them."""
        request, files = record.request, []
        for place, image in enumerate(record.run.images):
            alike = image.stem.isdecimal()  # else the pictures are of several methods and one seed
            name = file_name(request.prompt, request.seed + place if alike else request.seed)
            files.append(write_served_file(image.read_bytes(), name if alike else f"{image.stem}-{name}"))
        return files


def _marked(event: gr.EventData) -> str:
    """The ids of the marked runs that the browser sends."""
    return str(getattr(event, "marked", ""))


def _failed(text: str) -> str:
    return status_html(failed(text))


def _done(text: str) -> str:
    return status_html(finished(text))
