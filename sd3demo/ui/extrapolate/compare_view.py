"""Larger pictures as HTML: cards while they come, then any two under a slider with zoom.

What moves is moved by extrapolate.js, which finds these elements by their classes.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from sd3demo.engine.events import Pixels
from sd3demo.ui.run.pictures import CHANGED_SINCE

SMALL = 256  # pixels a side, up to which pictures are enlarged with their pixels kept sharp
CLOSEST = 16  # the largest zoom


@dataclass(frozen=True)
class PictureCard:
    """One picture or its place. `file` is the name of a finished one's; `forming` is one under way.

    `about` says in a sentence what the picture shows of its method.
    """

    key: str
    title: str
    source: str = ""
    size: tuple[int, int] = (0, 0)
    note: str = ""
    file: str = ""
    forming: bool = False
    about: str = ""
    verdict: str = ""
    """Whether it is what was asked for, as HTML."""


def cards(shown: Sequence[PictureCard], sharp: bool) -> str:
    """All pictures side by side, in the order in which they are made."""
    kind = "sharp" if sharp else "smooth"
    return f'<div class="cards">{"".join(_card(card, kind) for card in shown)}</div>'


def comparison(shown: Sequence[PictureCard], left: str, right: str, key: str) -> str:
    """Any two of the finished pictures over one another, cut by a slider; one alone without it.

    `key` tells the run from others: result.js uncovers a sentence once the form asks for something else.
    """
    done = [card for card in shown if card.file]
    if not done:
        return ""
    by_key = {card.key: card for card in done}
    one, two = by_key.get(left, done[0]), by_key.get(right, done[-1])
    width, height = max(done, key=lambda card: card.size).size
    kind = "sharp" if max(width, height) <= SMALL else "smooth"
    return (
        f'<div class="lens {kind}" style="--cut:50%;--zoom:1;--x:0px;--y:0px" data-closest="{CLOSEST}" '
        f'data-result="{escape(key)}">'
        f'<div class="sights">{_choice("left", done, one)}{_choice("right", done, two)}</div>'
        f'<div class="stage" style="aspect-ratio:{width}/{height}" tabindex="0" role="group" '
        'aria-label="Two pictures, one over the other: arrow keys move, plus and minus zoom, 0 fits it">'
        f"{_layer('under', two)}{_layer('over', one)}"
        '<span class="cut" aria-hidden="true"></span></div>'
        '<div class="dials"><label>Slide <input class="slide" type="range" min="0" max="100" value="50" '
        'step="0.5" aria-label="How much of the left picture is shown"></label>'
        '<span class="zoom"><button type="button" data-zoom="out" aria-label="Zoom out">−</button>'
        '<output>1×</output><button type="button" data-zoom="in" aria-label="Zoom in">+</button>'
        '<button type="button" data-zoom="all">Fit</button></span></div></div>'
        f"{CHANGED_SINCE}"
    )


def uri(pixels: Pixels) -> str:
    """A picture within the page."""
    return f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"


def png(pixels: Pixels) -> bytes:
    """A picture as a file without a receipt."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def _choice(side: str, done: Sequence[PictureCard], chosen: PictureCard) -> str:
    options = "".join(
        f'<option value="{escape(card.source)}"{" selected" if card is chosen else ""}>'
        f"{escape(card.title)}</option>"
        for card in done
    )
    return (
        f'<label>{side.capitalize()} <select data-side="{side}" aria-label="Picture on the {side}">'
        f"{options}</select></label>"
    )


def _layer(which: str, card: PictureCard) -> str:
    return (
        f'<div class="layer {which}"><img src="{escape(card.source)}" alt="{escape(card.title)}" '
        'draggable="false"></div>'
    )


def _card(card: PictureCard, kind: str) -> str:
    width, height = card.size
    shape = f"aspect-ratio:{width}/{height}" if height else "aspect-ratio:1"
    image = (
        f'<img src="{escape(card.source)}" alt="{escape(card.title)}" style="{shape}">'
        if card.source
        else f'<span class="empty" style="{shape}"></span>'
    )
    link = (
        f'<a href="{escape(card.source)}" download="{escape(card.file)}" '
        f'title="The picture at its own size, with the receipt of how it was made">PNG</a>'
        if card.file and not card.source.startswith("data:")
        else ""
    )
    state = "forming" if card.forming else kind
    about = f"<span>{escape(card.about)}</span>" if card.about else ""
    return (
        f'<figure class="card {state}" data-key="{escape(card.key)}">{image}<figcaption>'
        f"<b>{escape(card.title)}</b>{link}<small>{escape(card.note)}</small>{about}{card.verdict}"
        "</figcaption></figure>"
    )
