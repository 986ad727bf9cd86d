"""A tab's exact state in the address: `#/generate?prompt=a+red+circle&steps=4`.

Only what differs from the way the tab opens is written. It stands behind the `#`, so what people ask for
never reaches the log of a server. A tab joins in with one line: `linked(...)` over its controls.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import time_ns
from typing import TypeAlias, get_origin
from urllib.parse import parse_qsl, quote_plus
from weakref import WeakKeyDictionary

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from sd3demo.errors import Refusal
from sd3demo.settings import LONGEST_PROMPT, Settings, parse
from sd3demo.ui.run.errors import sentence
from sd3demo.ui.run.run_status import failed, status_html
from sd3demo.ui.run.wiring import after as follow
from sd3demo.ui.run.wiring import at_once
from sd3demo.ui.server.gradio_internals import current_page, current_tab

Values: TypeAlias = Mapping[str, object]
Event: TypeAlias = Callable[..., Dependency]

SHOW = "(link) => window.sd3demo?.show(link)"
CHOSEN = "() => [window.sd3demo.chosen()]"
RENEW = "() => window.sd3demo?.renew()"
ARRIVED = "() => window.sd3demo?.renew(true)"
SETTLED = "() => [50, 500].forEach((wait) => setTimeout(() => window.sd3demo?.renew(), wait))"
"""A tab out of the menu of a narrow screen takes a moment to its place in the bar."""
MOST = 64  # settings in one link
PAGE_SETTINGS = ("lesson", "step", "figure")
"""What a link says of the page and not of a tab: the lesson beside it, and the figure that is looked for."""
PLAIN = "/,:;!'()*~"
"""What is left as it is beside letters and figures, so that a link can be read."""


@dataclass(frozen=True)
class Link:
    """A tab whose state has an address.

    `start` says what the controls hold when the tab opens; it may depend on what else is asked for, and then
    raises Refusal for what it does not know. `fill` are the controls' updates for values.
    """

    tab: str
    kind: type[Settings]
    controls: Mapping[str, Component]
    start: Callable[[Values], Values]
    fill: Callable[[Values], Sequence[object]]
    titles: Mapping[str, str]
    required: Values = field(default_factory=dict)
    """Good values of the settings without a default, which a link may leave out."""
    when: Sequence[Event] = ()
    after: Sequence[Dependency] = ()
    """The address is renewed at these events, and after these answers."""
    check: Callable[[Values], object] = dict
    """Raises Refusal for what the controls must not hold together, though each setting alone is good."""
    came: Component | None = None
    """A hidden text that changes each time a link of this tab with settings is opened, the same link too."""
    unfold: Callable[..., Values] | None = None
    """The settings that all controls together hold, where one control holds several of them."""

    def values_of(self, values: Sequence[object]) -> Values:
        """The settings that the values of the controls are."""
        return self.unfold(*values) if self.unfold else dict(zip(self.controls, values, strict=True))


_LINKS: WeakKeyDictionary[gr.Blocks, list[Link]] = WeakKeyDictionary()


def linked(
    kind: type[Settings],
    controls: Mapping[str, Component],
    start: Values | Callable[[Values], Values],
    *,
    titles: Mapping[str, str],
    when: Sequence[Event] = (),
    after: Sequence[Dependency] = (),
    fill: Callable[[Values], Sequence[object]] | None = None,
    required: Values | None = None,
    check: Callable[[Values], object] = dict,
    came: Component | None = None,
    unfold: Callable[..., Values] | None = None,
) -> None:
    """Gives the tab that is being built an address; `controls` are named as the fields of their settings.

    They open as the settings do where `start` says nothing; `fill` may leave out the last of them. Where a
    control holds several settings, `unfold` returns all settings for the controls' values, and `fill` all
    updates.
    """
    names = kind.model_fields if unfold else controls
    plain = {name: kind.model_fields[name].get_default() for name in names}

    def opens(asked: Values) -> Values:
        return plain | dict(start(asked) if callable(start) else start)

    def updates(values: Values) -> Sequence[object]:
        first = list(fill(values)) if fill else []
        rest = (values[name] for name in [*controls][len(first) :])
        return [*first, *(gr.update(value=list(one) if isinstance(one, tuple) else one) for one in rest)]

    page, tab = current_page(), current_tab()
    if page is not None and tab is not None:
        own = (
            str(tab.id),
            kind,
            controls,
            opens,
            updates,
            titles,
            required or {},
            when,
            after,
            check,
            came,
            unfold,
        )
        _LINKS.setdefault(page, []).append(Link(*own))


def connect(page: gr.Blocks, tabs: gr.Tabs, page_of: Callable[[str], str] = str) -> None:
    """Answers to the address when the page opens or the address changes, and keeps it up to date.

    `page_of` returns the address of a tab's state for one that is no tab's. The buttons are pressed by
    links.js: each writes the address of its tab.
    """
    every = _LINKS.get(page, [])
    known = tuple(str(child.id) for child in tabs.children if isinstance(child, gr.Tab))
    notice = gr.HTML(elem_id="notice")
    address = gr.Textbox(visible="hidden", elem_id="link-address")
    again = gr.Button("Open the link", visible="hidden", elem_id="link-open")
    controls = [control for link in every for control in link.controls.values()]
    stamps = [link.came for link in every if link.came is not None]
    came = at_once(
        [page.load, again.click],
        partial(opened, every, known, page_of=page_of),
        [address],
        [notice, tabs, *controls, *stamps],
        js="() => [location.hash]",
        raw=True,
    )
    came.then(None, None, None, js=ARRIVED, api_visibility="private")
    tabs.select(None, None, None, js=SETTLED, api_visibility="private")
    select = lambda tab: gr.Tabs(selected=tab) if tab in known else gr.skip()  # noqa: E731
    chosen = gr.Button("Open the tab", visible="hidden", elem_id="tab-open")
    went = at_once([chosen.click], select, [address], [tabs], js=CHOSEN, raw=True)
    went.then(None, None, None, js=RENEW, api_visibility="private")
    for link in every:
        button = gr.Button("Link", visible="hidden", elem_id=f"link-{link.tab}")
        write, inputs = partial(address_of, link), [*link.controls.values()]
        events = [at_once([button.click, *link.when], write, inputs, [address], raw=True)]
        for answer in link.after:
            events.append(follow(answer, write, inputs, [address]))
        for event in events:
            event.success(None, [address], None, js=SHOW, api_visibility="private")


def opened(
    every: Sequence[Link], known: Sequence[str], fragment: str, *, page_of: Callable[[str], str] = str
) -> list[object]:
    """The notice, the tab, every control of every linked tab, and what changes with each link that is opened,
    for what stands behind the `#`."""
    stamped = [link for link in every if link.came is not None]
    skips: list[object] = [gr.skip() for link in every for _ in link.controls] + [gr.skip() for _ in stamped]
    try:
        fragment = page_of(fragment)
        if not fragment.startswith("#/"):
            return ["", gr.skip(), *skips]
        tab, given = split(fragment)
        if tab not in known:
            raise Refusal(f"this link names the tab {tab!r}; this page has {', '.join(known)}")
    except Refusal as error:
        return [status_html(failed(str(error))), gr.skip(), *skips]
    said = ""
    updates: list[object] = []
    for link in every:
        if link.tab == tab:
            values, faults = read(link, given)
            updates += link.fill(values)
            said = status_html(failed(unavailable_note(faults))) if faults else ""
        else:
            updates += [gr.skip() for _ in link.controls]
    updates += [str(time_ns()) if given and link.tab == tab else gr.skip() for link in stamped]
    return [said, gr.Tabs(selected=tab), *updates]


def read(link: Link, given: Values) -> tuple[dict[str, object], list[str]]:
    """What the controls hold for a link, and a sentence for each of its settings that cannot be had."""
    faults: list[str] = []
    taken = {name: _unfolded(link.kind, name, value) for name, value in given.items()}
    for name in tuple(taken):
        try:
            link.start({name: taken[name]})
        except Refusal as error:
            faults.append(sentence(error, link.titles))
            del taken[name]
    start = dict(link.start(taken))
    good: dict[str, object] = {}
    for name in sorted(taken, key=lambda name: name != "model"):  # by which the others are judged
        try:
            checked = parse(link.kind, {**link.required, **good, name: taken[name]})
            tried = {each: getattr(checked, each) for each in (*good, name)}
            link.check(start | tried)
        except Refusal as error:
            faults.append(sentence(error, link.titles))
            continue
        good = tried
    texts = {name: _folded(value) for name, value in good.items() if isinstance(start.get(name), str)}
    return start | good | texts, faults  # a control that opens with a text holds texts


def address_of(link: Link, *values: object) -> str:
    """What stands behind the `#` for what the controls hold."""
    return written(link.tab, link.values_of(values), link.start)


def written(tab: str, values: Values, start: Callable[[Values], Values], *, plain: str = PLAIN) -> str:
    """The address of a tab's state: what differs from the way in which it opens."""
    try:
        opening = start(values)
    except Refusal:
        opening = {}
    pairs = []
    for name, value in values.items():
        text = _folded(value)
        if value is not None and text != _folded(opening.get(name)) and len(text) <= LONGEST_PROMPT:
            pairs.append(f"{quote_plus(name)}={quote_plus(text, safe=plain)}")
    return f"#/{quote_plus(tab)}" + (f"?{'&'.join(pairs)}" if pairs else "")


def split(fragment: str) -> tuple[str, dict[str, str]]:
    """The tab and its settings, as texts. Raises Refusal for what is no link of ours."""
    tab, given = raw_split(fragment)
    return tab, {name: value for name, value in given.items() if name not in PAGE_SETTINGS}


def raw_split(fragment: str) -> tuple[str, dict[str, str]]:
    """The same with the settings of the page, which `split` leaves out."""
    tab, _, query = fragment.removeprefix("#/").partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST)
    except ValueError as error:
        raise Refusal(f"this link names more than {MOST} settings; it is not of this page") from error
    return tab, dict(pairs)


def _folded(value: object) -> str:
    """A value as the text of a link, exact."""
    if isinstance(value, list | tuple):
        return ",".join(map(_folded, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def _unfolded(kind: type[Settings], name: str, text: object) -> object:
    """A text of a link, in parts where the setting has several."""
    found = kind.model_fields.get(name)
    if found is not None and get_origin(found.annotation) is tuple:
        return [part for part in str(text).split(",") if part]
    return text


def unavailable_note(faults: Sequence[str]) -> str:
    """One sentence on the settings of a link that cannot be had."""
    more = f" ({len(faults) - 1} more of its settings cannot be had either)" if len(faults) > 1 else ""
    return f"{faults[0]}{more}; everything else of this link is set"
