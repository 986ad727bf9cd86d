"""Captions: several phrasings a scene, short ones and detailed ones (SD3, table 4, compares original captions
with a mix of them and synthetic, detailed ones).

What a caption leaves out is free in the picture, with these defaults: things without a stated relation or
place stand side by side and are named from left to right; a single thing or a word stands in the middle, and
a single thing has a medium size. A few phrasings are never used in training: HELD_OUT_FRAMES and the
phrasings of `exam.py` test whether the model understands the words rather than the sentence.
"""

from __future__ import annotations

import random
from typing import Literal

from sd3demo.world.layout import LARGE_FROM, SMALL_BELOW
from sd3demo.world.scenes import Lettering, Scene, Thing
from sd3demo.world.vocabulary import COUNTS, RELATION_PHRASES, plural

Detail = Literal["short", "detailed"]

FRAMES = ("{}",) * 8 + ("a picture of {}", "an image showing {}", "a drawing of {}", "a photo of {}")
HELD_OUT_FRAMES = ("an image of {}", "a drawing showing {}")
BACKGROUND_FRAMES = ("{} on a {ground} background", "{} on {ground}", "{}, {ground} background")
WORD_FRAMES = (
    'the word "{}"',
    'the text "{}"',
    'letters reading "{}"',
    'text that says "{}"',
    '"{}" written',
)
PLACE_PHRASES = {
    "left": ("on the left", "at the left"),
    "right": ("on the right", "at the right"),
    "top": ("at the top",),
    "bottom": ("at the bottom",),
    "center": ("in the center", "in the middle"),
}


def place(x: float, y: float) -> str:
    """Return the name of a place on the picture, one of vocabulary.PLACES."""
    vertical = "top" if y < 0.41 else "bottom" if y > 0.59 else ""
    horizontal = "left" if x < 0.41 else "right" if x > 0.59 else ""
    return " ".join(filter(None, (vertical, horizontal))) or "center"


def place_phrase(rng: random.Random, x: float, y: float) -> str:
    """Return `place` as part of a sentence: 'in the top left', 'on the right'."""
    name = place(x, y)
    return rng.choice(PLACE_PHRASES.get(name, (f"in the {name}", f"at the {name}")))


def article(phrase: str) -> str:
    """Put 'a' or 'an' before the phrase."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def size(thing: Thing) -> str:
    """Return 'small', 'large' or '' for a single thing."""
    return "small" if thing.r < SMALL_BELOW else "large" if thing.r >= LARGE_FROM else ""


def noun(rng: random.Random, group: tuple[Thing, ...], *, colour: bool, texture: bool, sized: bool) -> str:
    """Describe a group with the given attributes: 'a large striped red circle', 'three rings'."""
    thing, count = group[0], len(group)
    words = [
        size(thing) if sized and count == 1 else "",
        thing.texture if texture and (thing.texture != "solid" or rng.random() < 0.3) else "",
        thing.colour if colour else "",
        thing.shape if count == 1 else plural(thing.shape),
    ]
    phrase = " ".join(filter(None, words))
    if count == 1:
        return f"one {phrase}" if rng.random() < 0.1 else article(phrase)
    return f"{count if rng.random() < 0.1 else COUNTS[count - 1]} {phrase}"


def _place_suffix(rng: random.Random, what: Thing | Lettering, detailed: bool) -> str:
    """Return the phrase for its place; the middle is mostly left out."""
    if place(what.x, what.y) == "center" and rng.random() >= (0.6 if detailed else 0.15):
        return ""
    return f" {place_phrase(rng, what.x, what.y)}"


def _in_order(scene: Scene) -> tuple[tuple[Thing, ...], ...]:
    """Return the groups from left to right, their order in a caption without a relation."""
    return tuple(sorted(scene.groups, key=lambda group: sum(thing.x for thing in group) / len(group)))


def _groups(rng: random.Random, scene: Scene, detailed: bool) -> str:
    lone = len(scene.things) == 1
    related = scene.relation and (detailed or scene.relation in ("above", "below") or rng.random() < 0.7)
    groups = scene.groups if related else _in_order(scene)
    coloured = detailed or rng.random() < 0.65
    textured = detailed or (any(t.texture != "solid" for t in scene.things) and rng.random() < 0.6)
    parts = [noun(rng, group, colour=coloured, texture=textured, sized=lone) for group in groups]
    if len(parts) == 1:
        return f"{parts[0]}{_place_suffix(rng, groups[0][0], detailed) if lone else ''}"
    if scene.relation and related:
        return f"{parts[0]} {rng.choice(RELATION_PHRASES[scene.relation])} {parts[1]}"
    if len(scene.things) == 2:
        places = [place(thing.x, thing.y) for thing in (groups[0][0], groups[1][0])]
        if detailed or places != ["left", "right"]:
            return f"{parts[0]} {places[0]} and {parts[1]} {places[1]}"
    return f"{parts[0]} and {parts[1]}"


def _lettering(rng: random.Random, lettering: Lettering, detailed: bool) -> str:
    text = lettering.text if rng.random() < 0.85 else lettering.text.lower()
    phrase = rng.choice(WORD_FRAMES).format(text)
    if detailed or rng.random() < 0.7:
        phrase += f" in {lettering.colour}"
    return phrase + _place_suffix(rng, lettering, detailed)


def caption(rng: random.Random, scene: Scene, detail: Detail | None = None) -> str:
    """Draw a caption of the scene from the training phrasings; `detail` None draws that too, evenly."""
    detailed = (detail or rng.choice(("short", "detailed"))) == "detailed"
    phrase = _lettering(rng, scene.lettering, detailed) if scene.lettering else _groups(rng, scene, detailed)
    if detailed or rng.random() < 0.35:
        ground = scene.background
        if ground == "gray" and rng.random() < 0.2:
            ground = "grey"
        phrase = rng.choice(BACKGROUND_FRAMES).format(phrase, ground=ground)
    if len(phrase.split()) <= 12 and not scene.lettering:
        phrase = rng.choice(FRAMES).format(phrase)
    return phrase
