"""Finished runs as HTML: a page of small pictures to choose from, and the words about one of them."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import SupportsFloat

from sd3demo.catalogue import find
from sd3demo.errors import Refusal
from sd3demo.history.index import HistoryIndex, RunRecord
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
    if (!event.target.matches(".mark input")) return;
    marked[event.target.checked ? "add" : "delete"](event.target.value);
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


def tiles(index: HistoryIndex, ids: Sequence[str], chosen: str) -> str:
    """A page of small pictures."""
    items = "".join(_tile(index, id, id == chosen) for id in ids)
    return f'<ol class="runs" aria-label="Finished runs, the newest first">{items}</ol>'


def nothing(wanted: str) -> str:
    """What stands there when no prompt holds the words."""
    return f'<p class="nothing">No prompt holds “{escape(_cut(wanted, 60))}”. Search for fewer words.</p>'


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


def _tile(index: HistoryIndex, id: str, chosen: bool) -> str:
    prompt = index.prompt(id) or ""
    small = base64.b64encode(index.thumbnail(id)).decode()
    when = moment(finished_at(id))
    short = escape(_cut(prompt, 80))
    image = (
        f'<img src="data:image/webp;base64,{small}" alt="Picture for: {escape(_cut(prompt, 200))}">'
        if small
        else '<span class="gone">The picture cannot be read</span>'
    )
    return (
        f'<li><button type="button" data-run="{id}" aria-pressed="{str(chosen).lower()}">{image}'
        f'<span aria-hidden="true">{short}</span><small>{when}</small></button>'
        f'<label class="mark"><input type="checkbox" value="{id}" aria-label="Mark: {short}, {when}">'
        "</label></li>"
    )


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
