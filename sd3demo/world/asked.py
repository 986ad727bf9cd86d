"""What a prompt asks for, read from its words: the captions of the world and their everyday variants.

A prompt that says anything else is not read at all: half of it judged would be a wrong verdict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sd3demo.world.captions import PLACE_PHRASES
from sd3demo.world.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    COUNTS,
    LETTERS,
    PLACES,
    RELATION_PHRASES,
    SHAPES,
    TEXTURES,
    plural,
)

QUOTED = re.compile(r'"([^"]*)"|“([^”]*)”')
TOKEN = re.compile(r"[a-z0-9]+|,|\x00")
WORD = "\x00"
"""Stands for the text in quotation marks among the words of a prompt."""
ARTICLES = ("a", "an", "the")
SIZES = ("small", "large", "big", "tiny")
FRAME = re.compile(
    r"(?:(?:a|an|the) )?(?:(?:picture|image|drawing|photo) (?:of|showing) )?(?:there (?:is|are) )?"
)
ABOUT_WORDS = {"the", "a", "word", "text", "letters", "reading", "that", "says", "written"}
NUMBERS = {word: place for place, word in enumerate(COUNTS, 1)} | {str(n): n for n in range(1, 6)}
NAMES = {name: shape for shape in SHAPES for name in (shape, plural(shape))}
GROUNDS = {**{name: name for name in BACKGROUNDS}, "grey": "gray"}
PLACE_WORDS = {
    tuple(phrase.split()): name
    for name in PLACES
    for phrase in (
        name,
        *PLACE_PHRASES.get(name, ()),
        *(f"{word} {name}" for word in ("in the", "at the", "on the")),
    )
}
"""Each phrase for a place, as words -> its name."""
RELATION_WORDS = {
    tuple(phrase.split()): name for name, phrases in RELATION_PHRASES.items() for phrase in phrases
}


@dataclass(frozen=True)
class AskedItem:
    """A number of things of one shape; an empty attribute is not asked for."""

    count: int
    shape: str
    colour: str = ""
    texture: str = ""
    place: str = ""

    @property
    def words(self) -> str:
        """The item as a short phrase: `red circle`, `three striped stars at the top`."""
        number = "" if self.count == 1 else COUNTS[self.count - 1]
        name = self.shape if self.count == 1 else plural(self.shape)
        place = f"({self.place})" if self.place else ""
        return " ".join(filter(None, (number, self.texture, self.colour, name, place)))


@dataclass(frozen=True)
class AskedPicture:
    """What a prompt asks for: groups of things or a text, and the background; empty is not asked for.

    The first item stands in `relation` to the second. `sizes` are the words for sizes, which the judge does
    not judge.
    """

    items: tuple[AskedItem, ...] = ()
    relation: str = ""
    background: str = ""
    text: str = ""
    colour: str = ""
    place: str = ""
    sizes: tuple[str, ...] = ()


def asked_of(prompt: str) -> AskedPicture | None:
    """Return what a prompt asks for; None where any of its words is not understood here."""
    texts = [first or second for first, second in QUOTED.findall(prompt)]
    plain = QUOTED.sub(f" {WORD} ", prompt).lower().strip().removesuffix(".").strip()
    words = TOKEN.findall(plain)
    if len(texts) > 1 or TOKEN.sub("", plain).split() or not words:
        return None
    plain = " ".join(words).replace(" ,", ",")
    plain, background = _without_background(plain.removeprefix(_frame(plain)))
    words = TOKEN.findall(plain)
    if texts:
        return _lettering(words, texts[0].upper(), background)
    return _things(words, background)


def _frame(plain: str) -> str:
    found = FRAME.match(plain)
    frame = found.group() if found else ""
    return frame if len(frame.split()) > 1 else ""  # an article alone belongs to the thing


def _without_background(plain: str) -> tuple[str, str]:
    """Split the background off the end: `on a white background`, `on white`, `, white background`."""
    names = "|".join(GROUNDS)
    found = re.search(rf"(?:(?: on| with|,)(?: a| the)? ({names}) background| on ({names}))$", plain)
    if found is None:
        return plain, ""
    return plain[: found.start()], GROUNDS[found[1] or found[2]]


def _lettering(words: list[str], text: str, background: str) -> AskedPicture | None:
    at = words.index(WORD)
    before, after = words[:at], words[at + 1 :]
    if not text or set(text) - set(LETTERS) or set(before) - ABOUT_WORDS:
        return None
    if after[:1] == ["written"]:
        after = after[1:]
    colour = ""
    if after[:1] == ["in"] and len(after) > 1 and after[1] in COLOURS:
        colour, after = after[1], after[2:]
    place, length = _phrase(after, PLACE_WORDS)
    if after[length:]:
        return None
    return AskedPicture(background=background, text=text, colour=colour, place=place)


def _things(words: list[str], background: str) -> AskedPicture | None:
    items: list[AskedItem] = []
    sizes: list[str] = []
    relation = ""
    while True:
        found = _item(words)
        if found is None:
            return None
        item, own_sizes, words = found
        items.append(item)
        sizes += own_sizes
        if not words:
            break
        name, length = _phrase(words, RELATION_WORDS)
        if name:
            if len(items) > 1:
                return None
            relation, words = name, words[length:]
            continue
        length = 2 if words[:2] == [",", "and"] else 1
        if words[0] not in (",", "and") or relation:
            return None
        words = words[length:]
    if relation and len(items) != 2:
        return None
    return AskedPicture(tuple(items), relation, background, sizes=tuple(dict.fromkeys(sizes)))


def _item(words: list[str]) -> tuple[AskedItem, list[str], list[str]] | None:
    """Read one group of things: the item, the words for its size, and the words that follow."""
    count, colour, texture = 0, "", ""
    sizes: list[str] = []
    for at, word in enumerate(words):
        if word in NAMES:
            count = count or (1 if word in SHAPES else 0)
            place, length = _phrase(words[at + 1 :], PLACE_WORDS)
            if words[at + 1 + length :][:1] == ["of"]:  # `left of` is a relation, and `left` no place there
                place, length = "", 0
            if not count:
                return None  # things without a number
            return AskedItem(count, NAMES[word], colour, texture, place), sizes, words[at + 1 + length :]
        if word in ARTICLES and at == 0:
            count = 1 if word != "the" else 0
        elif word in NUMBERS and not count:
            count = NUMBERS[word]
        elif word in SIZES:
            sizes.append(word)
        elif word in COLOURS and not colour:
            colour = word
        elif word in TEXTURES and not texture:
            texture = word
        else:
            return None
    return None


def _phrase(words: list[str], phrases: dict[tuple[str, ...], str]) -> tuple[str, int]:
    """Return what the longest phrase at the beginning of the words stands for, and how long it is."""
    for length in range(min(len(words), 5), 0, -1):
        if (name := phrases.get(tuple(words[:length]))) is not None:
            return name, length
    return "", 0
