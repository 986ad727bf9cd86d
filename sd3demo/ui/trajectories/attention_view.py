"""Joint attention to be explored: words over the picture, and a patch over the words, by the browser alone.

The numbers travel once, as 16-bit shares of 65535, and traces.js draws them.
"""

import base64
import json
import re
from html import escape

import numpy as np

from sd3demo.engine.record.traces import AttentionRecord, Trace
from sd3demo.settings import quoted
from sd3demo.ui.trajectories.film import uri

NONE = (
    '<p class="caption">This trace holds no attention: its model has none to show, or its weights were '
    "streamed.</p>"
)
FULL = 65535
NAMES = {"CLIP": "CLIP-L and CLIP-G", "T5": "T5"}


def explorer(trace: Trace) -> str:
    """The picture under a map, the words as buttons, and the choice of block and step."""
    seen = trace.attention
    if seen is None:
        return NONE
    height, width = seen.maps.shape[-2:]
    shares = np.round(seen.maps.astype(np.float64).clip(0, 1) * FULL).astype("<u2")
    times = [round(float(trace.sigmas[step]), 3) for step in seen.steps]
    data = {
        "shape": seen.maps.shape,
        "blocks": [block + 1 for block in seen.blocks],
        "steps": [step + 1 for step in seen.steps],
        "times": times,
        "words": [word for _, word in seen.words],
        "encoders": [encoder for encoder, _ in seen.words],
        "maps": base64.b64encode(shares.tobytes()).decode(),
    }
    step, block, word = contrast(seen)
    picture = (
        f'<div class="sight" style="aspect-ratio:{trace.picture.shape[1]}/{trace.picture.shape[0]}">'
        f'<img src="{uri(trace.picture)}" alt="Picture for: {escape(trace.request.prompt)}" '
        f'onload="sd3demo.attend(this)"><canvas tabindex="0" role="img" data-patch="-1" '
        f'aria-label="Map of attention, {height} by {width} patches; arrow keys choose one"></canvas></div>'
    )
    return (
        f'<div class="attention" data-word="{word}" data-numbers="{escape(json.dumps(data))}">{picture}'
        f'<div class="reading"><div class="dials">'
        f"{_range('step', len(seen.steps), step)}{_range('block', len(seen.blocks), block)}</div>"
        f'{_sentences(seen)}<p class="said" role="status"></p></div></div>'
    )


def known(at: str) -> str:
    """The text itself. Raises ValueError for what is no step, block, word and patch."""
    if at and not re.fullmatch(r"\d{1,3},\d{1,3},(-1|\d{1,3}),(-1|\d{1,5})", at):
        raise ValueError(
            f"is {quoted(at)}; give step, block, word and patch, -1 for no word or patch, such as 14,3,5,-1"
        )
    return at


def contrast(seen: AttentionRecord) -> tuple[int, int, int]:
    """Step, block and word to begin with: those of the map that stands out most, of a word of the text."""
    maps = seen.maps.astype(np.float64)  # (S, K, U, h, w)
    words = [u for u, (_, word) in enumerate(seen.words) if not word.startswith("⟨")] or [0]
    spread = maps.std(axis=(3, 4))[:, :, words]
    step, block, place = np.unravel_index(int(np.argmax(spread)), spread.shape)
    return int(step), int(block), words[int(place)]


def _sentences(seen: AttentionRecord) -> str:
    """A row of buttons for each encoder, in the order of its tokens."""
    rows = ""
    for encoder in dict.fromkeys(encoder for encoder, _ in seen.words):
        chips = "".join(
            f'<button type="button" data-word="{u}" onclick="sd3demo.attend(this)"'
            f"{' class=special' if word.startswith('⟨') else ''}>{escape(word)}<small></small></button>"
            for u, (of, word) in enumerate(seen.words)
            if of == encoder
        )
        rows += (
            f'<h4 data-encoder="{escape(encoder)}">{escape(NAMES.get(encoder, encoder))} <small></small></h4>'
            f'<div class="chips">{chips}</div>'
        )
    return rows


def _range(name: str, count: int, value: int) -> str:
    still = " disabled" if count == 1 else ""
    return (
        f'<label>{name.capitalize()} <output></output><input type="range" name="{name}" min="0" '
        f'max="{count - 1}" value="{value}" oninput="sd3demo.attend(this)" '
        f'onchange="sd3demo.attended(this)"{still}></label>'
    )
