"""The tray as HTML: the bar of pinned pictures, and the room where two of them are compared.

What moves is moved by compare.js, and the slider with its zoom by extrapolate.js, which knows a lens by its
classes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sd3demo.ui.compare.pinned import PinnedPicture
from sd3demo.ui.compare.twins import twins_html
from sd3demo.ui.run.picture_verdicts import verdict_html
from sd3demo.ui.run.pictures import SMALL
from sd3demo.ui.run.result_view import settings_line
from sd3demo.ui.run.setting_differences import SettingDifference, differing_settings

CLOSEST = 16  # the largest zoom
LETTERS = "ABCDEFGH"
MODES = {"slide": "Slider", "beside": "Side by side", "map": "Difference map"}
MOST_WORDS = 2  # differences that fit beside a divider


@dataclass(frozen=True)
class MapView:
    """The difference map of a pair: its source and its sentence; without a source the sentence says why."""

    source: str
    sentence: str


def tray_html(
    pinned: Sequence[PinnedPicture],
    pair: tuple[str, str],
    found: MapView,
    models: Sequence[str],
    fault: str = "",
) -> str:
    """The whole tray, "" while nothing is pinned; `fault` says why a picture was not pinned."""
    alert = f'<p class="failed" role="alert">{escape(fault)}</p>' if fault else ""
    if not pinned:
        return f'<div class="tray">{alert}</div>' if alert else ""
    letters = {each.file.source: letter for each, letter in zip(pinned, LETTERS, strict=False)}
    sources = escape(json.dumps([*letters]))
    by_source = {each.file.source: each for each in pinned}
    room = ""
    if all(source in by_source for source in pair):
        left, right = (by_source[source] for source in pair)
        room = _room(pinned, left, right, letters, found, models)
    return f'<div class="tray" data-pinned="{sources}">{room}{alert}{_bar(pinned, letters)}</div>'


def side_labels(left: PinnedPicture, right: PinnedPicture, letters: tuple[str, str]) -> tuple[str, str]:
    """What stands on either side of the divider: the letters, and what differs where that is little."""
    found = differing_settings(left.request, right.request)
    if not found or len(found) > MOST_WORDS or any(each.name == "prompt" for each in found):
        return letters
    before = ", ".join(f"{each.title} {each.before}" for each in found)
    after = ", ".join(f"{each.title} {each.after}" for each in found)
    return f"{letters[0]}: {before}", f"{letters[1]}: {after}"


def _bar(pinned: Sequence[PinnedPicture], letters: dict[str, str]) -> str:
    items = "".join(
        f'<li><button type="button" class="thumb" data-act="open" aria-label="Picture {letters[source]}: '
        f'{escape(_cut(each.request.prompt))}"><img src="{escape(source)}" alt=""><span aria-hidden="true">'
        f'{letters[source]}</span></button><button type="button" class="out" data-act="unpin" '
        f'data-source="{escape(source)}" aria-label="Unpin picture {letters[source]}">✕</button></li>'
        for each in pinned
        for source in [each.file.source]
    )
    two = len(pinned) > 1
    say = f"Compare {len(pinned)}" if two else "Compare"
    hint = "" if two else "<span class='hint'>Pin another picture to compare the two.</span>"
    return (
        f'<section class="tray-bar" aria-label="Pinned pictures"><ol>{items}</ol>{hint}'
        f'<button type="button" class="act first" data-act="open"{"" if two else " disabled"}>{say}</button>'
        '<button type="button" class="act" data-act="clear">Unpin all</button></section>'
    )


def _room(
    pinned: Sequence[PinnedPicture],
    left: PinnedPicture,
    right: PinnedPicture,
    letters: dict[str, str],
    found: MapView,
    models: Sequence[str],
) -> str:
    own = letters[left.file.source], letters[right.file.source]
    labels = side_labels(left, right, own)
    buttons = "".join(
        f'<button type="button" data-mode="{mode}" aria-pressed="false">{title}</button>'
        for mode, title in MODES.items()
    )
    choices = "".join(
        _choice(side, pinned, chosen, letters) for side, chosen in (("left", left), ("right", right))
    )
    return (
        '<section class="room" role="dialog" aria-modal="true" aria-labelledby="room-title">'
        '<header><h2 id="room-title">Compare</h2><p class="room-status"></p>'
        '<button type="button" class="act" data-act="close">Close</button></header>'
        f'<div class="room-choose">{choices}<div class="modes" role="group" aria-label="View">{buttons}</div>'
        f"</div><div class='room-pictures'>{_lens(left, right, labels)}{_beside(left, right, labels)}"
        f"{_map(found)}</div>"
        f'<div class="room-words">{_told(left, own[0])}{_told(right, own[1])}'
        f"{_differences(differing_settings(left.request, right.request), own)}"
        f"{_twins(left, own[0], models)}</div></section>"
    )


def _choice(
    side: str, pinned: Sequence[PinnedPicture], chosen: PinnedPicture, letters: dict[str, str]
) -> str:
    options = "".join(
        f'<option value="{escape(each.file.source)}"{" selected" if each is chosen else ""}>'
        f"{letters[each.file.source]}: {escape(_cut(each.request.prompt, 40))}</option>"
        for each in pinned
    )
    return f'<label>{side.capitalize()} <select data-pair="{side}">{options}</select></label>'


def _lens(left: PinnedPicture, right: PinnedPicture, labels: tuple[str, str]) -> str:
    width, height = max(left.size, right.size)
    kind = "sharp" if max(width, height) <= SMALL else "smooth"
    first, second = map(escape, labels)
    return (
        f'<div class="lens {kind}" data-view="slide" data-closest="{CLOSEST}" '
        'style="--cut:50%;--zoom:1;--x:0px;--y:0px">'
        f'<div class="stage" style="aspect-ratio:{width}/{height}" tabindex="0" role="group" '
        f'aria-label="{first} over {second}: arrow keys move the divider, plus and minus zoom, 0 fits">'
        f'<div class="layer under">{_image(right, second)}</div>'
        f'<div class="layer over">{_image(left, first)}</div>'
        f'<span class="cut" aria-hidden="true"></span><b class="which">{first}</b>'
        f'<b class="which right">{second}</b></div>'
        '<div class="dials"><label>Slide <input class="slide" type="range" min="0" max="100" value="50" '
        f'step="0.5" aria-label="How much of {first} is shown"></label><span class="zoom">'
        '<button type="button" data-zoom="out" aria-label="Zoom out">−</button><output>1×</output>'
        '<button type="button" data-zoom="in" aria-label="Zoom in">+</button>'
        '<button type="button" data-zoom="all">Fit</button></span></div></div>'
    )


def _beside(left: PinnedPicture, right: PinnedPicture, labels: tuple[str, str]) -> str:
    figures = "".join(
        f'<figure class="{"sharp" if max(each.size) <= SMALL else "smooth"}">{_image(each, escape(said))}'
        f"<figcaption>{escape(said)}</figcaption></figure>"
        for each, said in zip((left, right), labels, strict=True)
    )
    return f'<div class="beside" data-view="beside">{figures}</div>'


def _map(found: MapView) -> str:
    image = (
        f'<img src="{escape(found.source)}" alt="Where the two pictures differ: bright is much">'
        if found.source
        else ""
    )
    said = f"<figcaption>{escape(found.sentence)}</figcaption>"
    return f'<figure class="map" data-view="map">{image}{said}</figure>'


def _told(picture: PinnedPicture, letter: str) -> str:
    return (
        f'<div class="told"><p><b>{letter}</b> “{escape(_cut(picture.request.prompt, 200))}”</p>'
        f"<p>{escape(settings_line(picture.request))}</p>{verdict_html(picture.verdict)}</div>"
    )


def _differences(found: Sequence[SettingDifference], letters: tuple[str, str]) -> str:
    if not found:
        return "<p>Their settings are equal.</p>"
    rows = "".join(
        f'<tr><th scope="row">{escape(each.title)}</th><td>{escape(each.before)}</td>'
        f"<td>{escape(each.after)}</td></tr>"
        for each in found
    )
    return (
        '<div class="listing"><table><caption>What differs</caption><thead><tr><th scope="col">Setting</th>'
        f'<th scope="col">{letters[0]}</th><th scope="col">{letters[1]}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _twins(picture: PinnedPicture, letter: str, models: Sequence[str]) -> str:
    buttons = twins_html(picture.request, picture.file.source, models)
    return f"<h3>Twins of {letter}</h3>{buttons}" if buttons else ""


def _image(picture: PinnedPicture, said: str) -> str:
    return (
        f'<img src="{escape(picture.file.source)}" alt="{said}, picture for: '
        f'{escape(_cut(picture.request.prompt))}" draggable="false">'
    )


def _cut(text: str, most: int = 80) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
