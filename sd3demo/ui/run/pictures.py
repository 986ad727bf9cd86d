"""Pictures as HTML: what forms, what is finished, and the strip of how it came about.

Previews have the size of the latent, so they are drawn as the blocks that they are; a small finished picture
is enlarged the same way and a large one is left to the browser.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from sd3demo.engine.events import Pixels
from sd3demo.engine.record.traces import Trace

SMALL = 256  # pixels a side, up to which a finished picture is enlarged with its pixels kept sharp
FRAMES = 8  # of the strip
FRAME_SIDE = 64  # pixels, at most, of a picture in the strip
COMPARE = (
    '<label class="compare">The previous picture <input type="range" min="0" max="100" value="0" oninput="'
    "const all = this.closest('.html-container').querySelector('.pictures');"
    "all.style.setProperty('--cut', this.value + '%'); all.classList.toggle('cutting', this.value > 0)"
    '"></label>'
)
"""Uncovers the picture before, from the left."""
CHANGED_SINCE = '<p class="since">Settings changed since this picture.</p>'
"""What result.js uncovers once the form asks for something else."""
SIDES = ("Before", "Now")
"""What stands on either side of the divider, unless more is known of the two."""


@dataclass(frozen=True)
class StripFrame:
    """One picture of the strip: the prediction of the data at time t."""

    t: float
    source: str


def forming(previews: Sequence[Pixels], step: int, count: int, *, key: str = "") -> str:
    """The predictions after a step, in the place where the pictures will be."""
    alt = f"Prediction of the picture after step {step} of {count}"
    images = "".join(_figure(uri(pixels), alt, pixels.shape, "forming") for pixels in previews)
    return _grid(images, len(previews), f"Prediction after step {step} of {count}", key=key)


def finished(
    sources: Sequence[str],
    names: Sequence[str],
    size: tuple[int, int],
    prompt: str,
    *,
    before: str = "",
    sides: tuple[str, str] = SIDES,
    verdicts: Sequence[str] = (),
    key: str = "",
    is_twin: bool = False,
) -> str:
    """The pictures from their files, each with a link to the file itself; a slider shows the one before.

    `sides` are the words on either side of its divider; `verdicts` are lines below the pictures, as HTML.
    `key` tells this result from others; compare.js opens one that `is_twin` beside its original.
    """
    kind = "sharp" if max(size) <= SMALL else "smooth"
    width, height = size
    images = "".join(
        _figure(
            source,
            f"Picture for: {prompt}",
            (height, width, 3),
            kind,
            _earlier(before, sides) + _link(source, name),
            verdict,
        )
        for source, name, verdict in zip(sources, names, verdicts or [""] * len(sources), strict=True)
    )
    caption = f"{width} × {height} px, shown enlarged" if kind == "sharp" else f"{width} × {height} px"
    control = COMPARE if before else ""
    return _grid(images, len(sources), caption, control, key=key, also=" data-twin" if is_twin else "")


def waiting(
    size: tuple[int, int], caption: str = "Noise at t = 1, where every picture begins", *, key: str = ""
) -> str:
    """What stands there before a picture is generated: noise, where every picture begins."""
    noise = np.random.default_rng(0).normal(0.5, 0.18, (16, 16, 3)).clip(0, 1)
    pixels: Pixels = (noise * 255).astype(np.uint8)
    width, height = size
    image = _figure(uri(pixels), "Noise, where every picture begins", (height, width, 3), "noise")
    return _grid(image, 1, caption, key=key)


def recorded(trace: Trace) -> str:
    """A recorded run that plays by itself when the page opens: its predictions, and then its picture."""
    predictions = trace.film[:, 1]  # (N + 1, h, w, 3)
    sheet = uri(np.concatenate(list(predictions), axis=1))
    height, width = trace.picture.shape[:2]
    prompt, steps = trace.request.prompt, len(predictions)
    film = (
        f'<i class="playing" aria-hidden="true" style="background-image:url({sheet});--frames:{steps}"></i>'
    )
    image = _figure(uri(trace.picture), f"Picture for: {prompt}", (height, width, 3), "sharp recorded", film)
    return _grid(image, 1, f"Recorded: “{prompt}”, {trace.steps} steps by {trace.request.model}")


def strip(frames: Sequence[StripFrame]) -> str:
    """Predictions from noise to picture, each with its time."""
    items = "".join(
        f'<li><img src="{frame.source}" alt="Prediction at t = {frame.t:.2f}">'
        f"<span><i>t</i> {frame.t:.2f}</span></li>"
        for frame in frames
    )
    return f'<ol class="strip" aria-label="The prediction of the picture, from noise to data">{items}</ol>'


def in_strip(index: int, count: int) -> bool:
    """Whether a step has a place in the strip: up to eight are spread over the run."""
    frames = min(FRAMES, count)
    return any(index == round(frame * (count - 1) / max(frames - 1, 1)) for frame in range(frames))


def strip_frame(t: float, pixels: Pixels) -> StripFrame:
    """A prediction for the strip, thinned out where it is large."""
    stride = max(-(-max(pixels.shape[:2]) // FRAME_SIDE), 1)
    return StripFrame(t, uri(np.ascontiguousarray(pixels[::stride, ::stride])))


def _grid(images: str, number: int, caption: str, control: str = "", *, key: str = "", also: str = "") -> str:
    columns = 1 if number == 1 else 2 if number <= 4 else 3 if number <= 9 else 4
    note = f'<p class="caption"><span>{escape(caption)}</span>{control}</p>'
    result = f' data-result="{key}"' if key else ""
    return f'<div class="pictures" style="--columns:{columns}"{result}{also}>{images}</div>{note}'


def _earlier(source: str, sides: tuple[str, str]) -> str:
    """The previous picture, over this one, cut away but for what the slider uncovers, and what is which."""
    if not source:
        return ""
    left, right = map(escape, sides)
    return (
        f'<img class="earlier" src="{escape(source)}" alt="The previous picture">'
        f'<span class="divider" aria-hidden="true"><b>{left}</b><b>{right}</b></span>'
    )


def _figure(
    source: str, alt: str, shape: tuple[int, ...], kind: str, over: str = "", verdict: str = ""
) -> str:
    caption = f"<figcaption>{verdict}</figcaption>" if verdict else ""
    return (
        f'<figure class="picture {kind}"><span class="pane"><img src="{escape(source)}" alt="{escape(alt)}" '
        f'style="aspect-ratio:{shape[1]}/{shape[0]}">{over}</span>{caption}</figure>'
    )


def _link(source: str, name: str) -> str:
    return (
        f'<a class="download" href="{escape(source)}" download="{escape(name)}" '
        f'title="The picture at its own size, with the receipt of its settings">Download PNG</a>'
    )


def uri(pixels: Pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
