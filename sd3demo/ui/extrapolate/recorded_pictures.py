"""The recorded enlargement with which the tab opens: its pictures with their receipts, and the true render.

`make recordings` writes them, with the weights that ship.
"""

from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from sd3demo.catalogue import assets
from sd3demo.engine.events import Pixels
from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.history.receipts import read_receipt
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from sd3demo.ui.context import Core
from sd3demo.ui.extrapolate import reopen
from sd3demo.ui.extrapolate.compare_view import SMALL, PictureCard, cards, comparison
from sd3demo.ui.extrapolate.stream import ExtrapolationView, PreviousPicture, distance_text
from sd3demo.ui.extrapolate.true_render import ABOUT, TITLE, TRUE, distances, nearest_html
from sd3demo.ui.server.gradio_internals import ServedFile

NAMES = ("native", "upsample", "direct", "projected", TRUE)
TITLES = {"native": "Native", TRUE: TITLE} | {name: METHODS[name].title for name in NAMES[1:-1]}
Write = Callable[[bytes, str], ServedFile]


def place() -> Path:
    """The folder of the pictures, NAME.png each."""
    return assets() / "larger"


def recorded_view(core: Core, write: Write) -> ExtrapolationView | None:
    """The recorded enlargement as a run that has ended; None where none came with the package."""
    files = {name: place() / f"{name}.png" for name in NAMES}
    if not all(file.is_file() for file in files.values()):
        return None
    pixels = {name: read_pixels(file) for name, file in files.items()}
    large = {name: pixels[name] for name in NAMES[1:-1]}
    far = distances(large, pixels[TRUE])
    shown = {
        name: PictureCard(
            name,
            TITLES[name],
            source=(file := write(files[name].read_bytes(), f"{name}.png")).source,
            size=(pixels[name].shape[1], pixels[name].shape[0]),
            note=_note(pixels[name], far.get(name)),
            file=file.name,
            about=ABOUT[name],
        )
        for name in NAMES
    }
    request = recorded_request()
    assert request is not None
    compared = [shown[name] for name in NAMES[1:]]
    return ExtrapolationView(
        comparison=comparison(compared, "upsample", "projected", "recorded"),
        cards=cards(tuple(shown.values()), max(request.width, request.height) <= SMALL),
        story=_story(core, request) + nearest_html(far, TITLES),
        previous=PreviousPicture(shown["projected"], request.prompt, request.seed, "recorded"),
    )


def recorded_request() -> ResolvedExtrapolation | None:
    """What the recorded enlargement was asked for; None where none came with the package."""
    file = place() / "projected.png"
    request = read_receipt(file).request if file.is_file() else None
    return request if isinstance(request, ResolvedExtrapolation) else None


def read_pixels(file: Path) -> Pixels:
    """The pixels of a picture that ships."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def _note(pixels: Pixels, far: float | None) -> str:
    height, width = pixels.shape[:2]
    return f"{width} × {height}{distance_text(far)}"


def _story(core: Core, request: ResolvedExtrapolation) -> str:
    """What was recorded, and a link that asks for the same."""
    link = ""
    if request.model in core.models:
        with suppress(Refusal):  # the tab has no control for one of its settings
            link = f' <a href="{escape(reopen.link(request, core))}">Use these settings</a>'
    return (
        f"<p>Recorded: “{escape(request.prompt)}”, {request.scale:g} times the side, by "
        f"{escape(request.model)}, seed {request.seed}.{link}</p>"
    )
