"""Scene descriptions: exactly what a picture shows, in units of its side (origin top left, y down)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from sd3demo.world.layout import across, alone, beside, together
from sd3demo.world.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT_WORDS,
    LETTERS,
    RELATIONS,
    SHADE_CONTRAST,
    SHAPES,
    TEXTURES,
    TRAINED_WORDS,
    colours_on,
    distance,
    shade,
)

TYPE_SIZE = 0.25
"""Height of a letter and its advance, so that four fill the picture."""
LINES = (0.25, 0.5, 0.75)
"""Where the middle of a line of text may lie."""
DIAGONAL_SHARE = 0.25
"""Share of the pairs in no relation that stand in opposite corners, not side by side."""


@dataclass(frozen=True)
class Thing:
    """One shape; (x, y) is the centre and r the circumradius."""

    shape: str
    colour: str
    texture: str
    x: float
    y: float
    r: float


@dataclass(frozen=True)
class Lettering:
    """A written word in spaced capitals; (x, y) is its centre and each letter is `height` high."""

    text: str
    colour: str
    x: float
    y: float
    height: float


@dataclass(frozen=True)
class Scene:
    """Groups of equal things, or a word, on a plain background; groups[0] is in `relation` to groups[1]."""

    background: str
    groups: tuple[tuple[Thing, ...], ...] = ()
    relation: str | None = None
    lettering: Lettering | None = None

    @property
    def things(self) -> tuple[Thing, ...]:
        return tuple(thing for group in self.groups for thing in group)


def _texture(rng: random.Random, colour: str, background: str) -> str:
    plain = distance(shade(COLOURS[colour]), BACKGROUNDS[background]) < SHADE_CONTRAST
    return "solid" if plain or rng.random() < 0.7 else rng.choice(TEXTURES[1:])


def arrange(
    rng: random.Random,
    *,
    counts: tuple[int, ...],
    background: str | None = None,
    shapes: tuple[str, ...] = (),
    colours: tuple[str, ...] = (),
    relation: str | None = None,
) -> Scene:
    """Draw a scene of one or two groups with these counts (five things at most) and whatever else is given.

    Without a relation the first group stands on the left.
    """
    total = sum(counts)
    background = background or rng.choice(tuple(BACKGROUNDS))
    looks: list[tuple[str, str, str]] = []
    for index, _count in enumerate(counts):
        taken = [look[:2] for look in looks]
        while True:
            shape = shapes[index] if shapes else rng.choice(SHAPES)
            colour = colours[index] if colours else rng.choice(colours_on(background))
            if (shape, colour) not in taken:
                break
        looks.append((shape, colour, _texture(rng, colour, background) if total < 3 else "solid"))
    if len(counts) == 1:
        placed = [[alone(rng)] if total == 1 else together(rng, total)]
    elif relation is None and total == 2 and rng.random() < DIAGONAL_SHARE:
        placed = across(rng)
    else:
        placed = beside(rng, (counts[0], counts[1]), relation or "left of")
    groups = tuple(
        tuple(Thing(*look, *disc) for disc in discs) for look, discs in zip(looks, placed, strict=True)
    )
    return Scene(background=background, groups=groups, relation=relation)


def write(
    rng: random.Random,
    text: str,
    *,
    background: str | None = None,
    colour: str | None = None,
    middle: bool = False,
) -> Scene:
    """Draw a scene that shows `text` (two to four capitals) in one size.

    It stands in the middle always, or half of the time, else in one of nine places as far out as it fits.
    """
    background = background or rng.choice(tuple(BACKGROUNDS))
    colour = colour or rng.choice(colours_on(background))
    x = y = 0.5
    if not middle and rng.random() < 0.5:
        free = (1 - len(text) * TYPE_SIZE) / 2
        x, y = 0.5 + rng.choice((-1, 0, 1)) * free, rng.choice(LINES)
    return Scene(
        background=background, lettering=Lettering(text=text, colour=colour, x=x, y=y, height=TYPE_SIZE)
    )


def random_text(rng: random.Random) -> str:
    """Draw a training word in one case of three, else random capitals; never a held-out word."""
    if rng.random() < 1 / 3:
        return rng.choice(TRAINED_WORDS)
    while True:
        text = "".join(rng.choices(LETTERS, k=rng.choice((2, 3, 3, 4, 4))))
        if text not in HELD_OUT_WORDS:
            return text


def _single(rng: random.Random) -> Scene:
    return arrange(rng, counts=(1,))


def _pair(rng: random.Random) -> Scene:
    return arrange(rng, counts=(1, 1), relation=rng.choice((*RELATIONS, None, None)))


def _two(rng: random.Random) -> Scene:
    return arrange(rng, counts=(1, 1))


def _count(rng: random.Random) -> Scene:
    return arrange(rng, counts=(rng.choice((2, 3, 4, 5)),))


def _groups(rng: random.Random) -> Scene:
    counts = rng.choice(((2, 1), (1, 2), (2, 2), (3, 1), (1, 3), (3, 2), (2, 3), (4, 1), (1, 4)))
    return arrange(rng, counts=counts, relation=rng.choice((*RELATIONS, None)))


def _word(rng: random.Random) -> Scene:
    return write(rng, random_text(rng))


KINDS: dict[str, Callable[[random.Random], Scene]] = {
    "single": _single,
    "pair": _pair,
    "two": _two,
    "count": _count,
    "groups": _groups,
    "word": _word,
}
"""Kind of scene -> draws one; a pair mostly stands in a relation, two things never do."""

MIX = {"single": 0.15, "pair": 0.15, "two": 0.15, "count": 0.20, "groups": 0.15, "word": 0.20}
"""Default share of each kind of scene in training."""


def draw(rng: random.Random, mix: dict[str, float] | None = None) -> Scene:
    """Draw a scene of the training distribution, or of another mix: weights of KINDS."""
    shares = mix or MIX
    kind = rng.choices(list(shares), weights=list(shares.values()))[0]
    return KINDS[kind](rng)
