"""A trace's film: state and prediction side by side under one slider over t, moved by the browser alone.

All frames are one picture, a row of states over a row of predictions; traces.js cuts out the two that the
slider stands at.
"""

import base64
import io
import json
from html import escape

import numpy as np
from PIL import Image

from sd3demo.engine.events import Pixels
from sd3demo.engine.record.traces import Trace, averaged, spread
from sd3demo.ui.run import pictures as canvas

OPENS_AT = 0.55
"""How far along the run the slider stands at first: there is something to see on both sides."""


def film(trace: Trace, key: str = "") -> str:
    """The two pictures, the slider, and a strip of predictions.

    `key` tells a trace from the one before: result.js uncovers a sentence once the form asks for another run.
    """
    frames = trace.film  # (N + 1, 2, h, w, 3)
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in frames.swapaxes(0, 1)])
    height, width = frames.shape[2:4]
    times = json.dumps([round(float(t), 4) for t in trace.sigmas])
    screens = "".join(
        f'<figure><canvas width="{width}" height="{height}" style="aspect-ratio:{width}/{height}" '
        f'role="img" aria-label="{about}"></canvas><figcaption>{caption}</figcaption></figure>'
        for about, caption in (
            ("The state at time t", "state <i>z</i>"),
            ("The prediction of the picture at time t", "prediction <i>z</i> − <i>t v</i>"),
        )
    )
    return (
        f'<div class="film" data-result="{key}" data-times="{times}"><img hidden src="{uri(sheet)}" alt="" '
        f'onload="sd3demo.film(this)"><div class="screens">{screens}</div>'
        f'<p class="reel"><button type="button" onclick="sd3demo.play(this)" aria-label="Play">▶</button>'
        f'<input type="range" min="0" max="{trace.steps}" value="{round(OPENS_AT * trace.steps)}" '
        f'oninput="sd3demo.film(this)" onchange="sd3demo.filmed(this)" '
        f'aria-label="Step of the run, from noise to data"><output></output></p>'
        f"{_strip(trace)}</div>{canvas.CHANGED_SINCE}"
    )


def uri(pixels: Pixels) -> str:
    """A picture as a PNG inside the page."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def finished(trace: Trace) -> str:
    """The picture that the path led to, small."""
    height, width = trace.picture.shape[:2]
    return (
        f'<img class="end" src="{uri(averaged(trace.picture, 128))}" alt="Picture for: '
        f'{escape(trace.request.prompt)}" style="aspect-ratio:{width}/{height}">'
    )


def _strip(trace: Trace) -> str:
    """Predictions spread over the run; the time of each is that at which it was made."""
    chosen = spread(trace.steps, canvas.FRAMES)
    return canvas.strip([canvas.strip_frame(float(trace.sigmas[k]), trace.film[k, 1]) for k in chosen])
