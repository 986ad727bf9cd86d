"""Finished runs as HTML: a page of small pictures to choose from, and the words about one of them."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import SupportsFloat, TypeAlias

from sd3demo.catalogue import find
from sd3demo.errors import Refusal
from sd3demo.history.index import HistoryIndex, RunRecord
from sd3demo.history.lineage import Lineage
from sd3demo.history.store import RunStore, finished_at
from sd3demo.settings import Resolved, counted
from sd3demo.ui.controls import build
from sd3demo.ui.controls.labels import label
from sd3demo.ui.controls.model_choice import model_title
from sd3demo.ui.run.run_status import failed, status_html

EMPTY = (
    '<p class="nothing">Nothing here yet. Every finished picture of this page is saved here with its '
    'settings. <a href="#/generate">Generate one</a></p>'
)
SHARED = (
    '<p class="nothing">This page keeps no history: it is open to several people, and a history would show '
    "the pictures of each to all. Download what you want to keep. Each PNG holds its settings; drop it on "
    "the page to have them back. Whoever runs this page can name a folder with <code>SD3DEMO_RUNS</code> or "
    "<code>sd3demo serve --runs</code>.</p>"
)
ON_LOAD = """
  const marked = new Set();
  const tell = () => { element.dataset.marked = [...marked].join(" ");
    const note = document.querySelector("#marked"); if (note) note.textContent = marked.size + " marked"; };
  element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-run]");
    if (button) trigger("select", { run: button.dataset.run });
  });
  element.addEventListener("change", (event) => {
    const { value, checked } = event.target;
    if (event.target.matches(".star input")) trigger("like", { run: value, on: checked });
    if (!event.target.matches(".mark input")) return;
    marked[checked ? "add" : "delete"](value);
    tell();
  });
  element.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const buttons = [...element.querySelectorAll("button[data-run]")];
    const place = buttons.indexOf(document.activeElement);
    if (!step || place < 0) return;
    event.preventDefault();
    buttons[Math.min(Math.max(place + step, 0), buttons.length - 1)].focus();
  });
  watch("value", () => {
    for (const box of element.querySelectorAll(".mark input")) box.checked = marked.has(box.value);
    tell();
  });
"""
"""Marks stay from page to page; arrow keys go from picture to picture."""
FAMILY_ON_LOAD = """
  element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-run]");
    if (button) trigger("select", { run: button.dataset.run });
  });
"""
TOOLS_ON_LOAD = """
  element.addEventListener("click", (event) => {
    const act = event.target.closest("button[data-act]")?.dataset.act;
    const marked = document.querySelector("#runs [data-marked]")?.dataset.marked ?? "";
    if (act === "favourites") {
      const box = document.querySelector("#search :is(input, textarea)");
      box.value = box.value.includes("is:favourite") ? box.value.replace(/ *is:favourite */, "") :
        `${box.value} is:favourite`.trim();
      box.dispatchEvent(new Event("input", { bubbles: true }));
    } else if (act) trigger(act, { marked });
  });
"""
"""What is done with the marked runs: `like`, `delete`, `download`, and `copy` for all that were found."""
MOST_CHANGES = 3  # that a card names
MOST_RELATIVES = 8  # of one kind that a run names

Changes: TypeAlias = Mapping[str, tuple[object, object]]


def tools(*, may_delete: bool) -> str:
    """The buttons for many runs at once; who may not delete runs may make no favourites, which are kept."""
    buttons = {
        "favourites": ("favourites", "★ Favourites"),
        **({"like": ("favourite-marked", "Favourite marked")} if may_delete else {}),
        "download": ("export-marked", "Export marked"),
        **({"delete": ("delete-marked", "Delete marked")} if may_delete else {}),
        "copy": ("export-found", "Export all found"),
    }
    items = "".join(
        f'<button type="button" class="act" id="{id}" data-act="{act}">{title}</button>'
        for act, (id, title) in buttons.items()
    )
    return f'<p id="marked" aria-live="polite">0 marked</p>{items}'


def tiles(
    index: HistoryIndex,
    ids: Sequence[str],
    chosen: str,
    before: Mapping[str, str],
    *,
    may_mark: bool = True,
) -> str:
    """A page of small pictures; `before` is for each the run that was made before it, where there is one.

    `may_mark` is whether this visitor may make favourites.
    """
    items = "".join(_tile(index, id, id == chosen, before.get(id, ""), may_mark) for id in ids)
    return f'<ol class="runs" aria-label="Finished runs, the newest first">{items}</ol>'


def nothing(wanted: str) -> str:
    """What stands there when no run is what was searched for."""
    return f'<p class="no-match">No run matches “{escape(_cut(wanted, 60))}”. Search for less.</p>'


def no_search(sentence: str) -> str:
    """What stands there when a search cannot be read."""
    return f'<p class="no-match failed" role="alert">{escape(sentence[:1].upper() + sentence[1:])}.</p>'


def changes_text(changes: Changes) -> str:
    """What differs between a run and the one before it: `CFG scale 5 → 1, Steps 28 → 4`.

    The prompt, which stands on the card, is not said again.
    """
    parts = [
        f"{label(name).title} {_value(name, was)} → {_value(name, now)}"
        for name, (was, now) in changes.items()
        if name != "prompt"
    ]
    more = f", {len(parts) - MOST_CHANGES} more" if len(parts) > MOST_CHANGES else ""
    return ", ".join(parts[:MOST_CHANGES]) + more if parts else "" if changes else "The same settings"


def family_html(index: HistoryIndex, lineage: Lineage) -> str:
    """The run that an enlarged picture comes from, and those that enlarged this one; each can be opened."""
    rows = {"Enlarged from": lineage.parents, "Enlarged in": lineage.children}
    items = "".join(
        f"<dt>{title}</dt><dd>{''.join(_relative(index, id) for id in ids[:MOST_RELATIVES])}</dd>"
        for title, ids in rows.items()
        if ids
    )
    return f'<dl class="own family">{items}</dl>' if items else ""


def run_html(record: RunRecord) -> str:
    """A run's figures, then its settings in words: first how it was made, then what is not the model's."""
    request, result = record.request, record.result
    rows = {
        "Steps": (str(request.steps), label("solver").names.get(request.solver, request.solver)),
        "Calls": (str(result.get("calls", "?")), "of the network"),
        "Time": (f"{_work(result):.1f} s", counted(request.count, "picture")),
        "Path": (f"{_first(result.get('path_length')):.1f}", "long"),
        "Chord": (f"{_first(result.get('chord')):.1f}", "noise to picture"),
        "Seed": (str(request.seed), "draws the noise"),
    }
    figures = "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, (value, note) in rows.items()
    )
    guidance = f"CFG scale {request.cfg:g}" if request.cfg != 1 else "CFG off"
    shift = "" if request.schedule == "linear" else f" at shift {request.shift:.4g}"
    text = (
        f"{moment(record.run.finished_at)}, {escape(_model(request))}: {request.width} × {request.height} "
        f"px, {request.schedule} scheduler{shift}, {guidance}."
    )
    title = escape(_cut(request.prompt, 300))
    return f'<h2>{title}</h2><dl class="figures">{figures}</dl><p>{text}</p>{_own(request)}'


def actions(record: RunRecord, link: str, why: str = "") -> str:
    """What leads elsewhere: the settings into the form, and each picture to its check.

    Without a link it says why the form cannot hold them.
    """
    checks = "".join(
        f'<a class="act" href="#/verify?run={record.run.id}/{place}">'
        f"Verify{f' picture {place + 1}' if len(record.run.images) > 1 else ''}</a>"
        for place in range(len(record.run.images))
    )
    use = f'<a class="act first" href="{escape(link)}">Use these settings</a>' if link else ""
    return f'<p class="acts">{use}{checks}</p>' + (status_html(failed(why)) if why else "")


def moment(when: datetime, now: datetime | None = None) -> str:
    """In the time of the machine that keeps the runs: `21 November, 17:16`; another year is named."""
    here = when.astimezone()
    year = "" if here.year == (now or datetime.now(UTC)).astimezone().year else f" {here.year}"
    return f"{here.day} {here:%B}{year}, {here:%H:%M}"


def kept_in(store: RunStore, *, by_path: bool = True) -> str:
    """Where the runs lie, by path or by name alone, and how much there may be of them."""
    place = str(store.root) if by_path else store.root.name
    return (
        f'<p id="kept-in">Kept in <code>{escape(place)}</code>, up to {store.limit / 2**30:g} GiB; '
        "then the oldest make room.</p>"
    )


def _tile(index: HistoryIndex, id: str, chosen: bool, before: str, may_mark: bool) -> str:
    prompt = index.prompt(id) or ""
    when = moment(finished_at(id))
    short = escape(_cut(prompt, 80))
    changes = escape(changes_text(index.changes(id, before))) if before else ""
    changed = f'<small class="changes" title="Since the run before">{changes}</small>' if changes else ""
    starred = " checked" if index.store.is_favourite(id) else ""
    starred += "" if may_mark else " disabled"
    return (
        f'<li><button type="button" data-run="{id}" aria-pressed="{str(chosen).lower()}">'
        f'{_thumbnail(index, id)}<span aria-hidden="true">{short}</span>{changed}'
        f"<small>{when}</small></button>"
        f'<label class="mark"><input type="checkbox" value="{id}" aria-label="Mark: {short}, {when}"></label>'
        f'<label class="star"><input type="checkbox" value="{id}" aria-label="Favourite: {short}, {when}"'
        f"{starred}></label></li>"
    )


def _thumbnail(index: HistoryIndex, id: str) -> str:
    small = base64.b64encode(index.thumbnail(id)).decode()
    if not small:
        return '<span class="gone">The picture cannot be read</span>'
    words = escape(_cut(index.prompt(id) or "", 200))
    return f'<img src="data:image/webp;base64,{small}" alt="Picture for: {words}">'


def _relative(index: HistoryIndex, id: str) -> str:
    settings = index.settings(id) or {}
    how = "native"
    if "scale" in settings:
        how = f"{_word('scale', settings['scale'])}×, {settings.get('method', 'projected')}"
    return (
        f'<button type="button" class="act" data-run="{id}">{_thumbnail(index, id)}'
        f"{escape(how)}, {moment(finished_at(id))}</button>"
    )


def _value(name: str, value: object) -> str:
    """A value on a card; what was left to the model, or is another kind of run's, is a dash."""
    return _cut(_word(name, value), 24) or "–" if value is not None else "–"


def _own(request: Resolved) -> str:
    """The settings that are not the model's own, under their titles."""
    try:
        opening: Mapping[str, object] = build.opening(find(request.model))
    except Refusal:
        opening = {}
    shown = {"prompt", "model", "seed", "steps", "solver", "cfg", "shift", "schedule", "width", "height"}
    rows = "".join(
        f"<dt>{escape(label(name).title)}</dt><dd>{escape(_cut(_word(name, value), 200))}</dd>"
        for name, value in request.model_dump().items()
        if name not in shown
        and value not in ("", opening.get(name))
        and not (name == "precision" and value == "float32")
    )
    return f'<dl class="own">{rows}</dl>' if rows else ""


def _word(name: str, value: object) -> str:
    return label(name).names.get(str(value), f"{value:g}" if isinstance(value, float) else str(value))


def _model(request: Resolved) -> str:
    try:
        return model_title(find(request.model))
    except Refusal:
        return f"{request.model} (no longer here)"


def _cut(text: str, most: int) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def _work(result: Mapping[str, object]) -> float:
    """Seconds of the picture itself, without those of reading the model's files."""
    phases = result.get("phases")
    load = _number(phases.get("load", 0)) if isinstance(phases, Mapping) else 0
    return _number(result.get("seconds")) - load


def _number(value: object) -> float:
    return float(value) if isinstance(value, SupportsFloat) else float("nan")


def _first(values: object) -> float:
    return _number(values[0]) if isinstance(values, list) and values else float("nan")
