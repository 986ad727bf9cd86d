"""The exam: prompts by category with what each one asks for, against which a judged picture passes or fails.

Six categories follow GenEval (arXiv 2310.11513): single object, two objects, counting, colours,
position, colour attribution; typography is ours. Half of the prompts are phrased in frames that
training never uses, and the words to be written are never trained (`typography`) or trained
(`typography-trained`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sd3demo.world.captions import BACKGROUND_FRAMES, HELD_OUT_FRAMES, WORD_FRAMES, article
from sd3demo.world.scenes import Scene, arrange, write
from sd3demo.world.vocabulary import (
    BACKGROUNDS,
    COUNTS,
    HELD_OUT_WORDS,
    RELATIONS,
    SHAPES,
    TRAINED_WORDS,
    colours_on,
    plural,
)

if TYPE_CHECKING:
    from sd3demo.world.judge import Component, JudgedPicture

POSITION_MARGIN = 0.1
"""How much farther along an axis one centre must lie than the other, in units of the side, as in GenEval."""


@dataclass(frozen=True)
class Item:
    """A number of things of one shape, and of one colour unless None."""

    count: int
    shape: str
    colour: str | None = None


@dataclass(frozen=True)
class Exam:
    """A prompt and what it asks for; None is not asked for."""

    category: str
    prompt: str
    items: tuple[Item, ...] = ()
    relation: str | None = None
    background: str | None = None
    text: str | None = None
    text_colour: str | None = None


@dataclass(frozen=True)
class Mark:
    """Whether a picture passes, and partial scores in [0, 1], which rise long before it does."""

    passed: bool
    parts: dict[str, float]


def _suits(component: Component, item: Item) -> bool:
    return component.is_shape and component.shape == item.shape and item.colour in (None, component.colour)


def _related(one: Component, other: Component, relation: str) -> bool:
    dx, dy = other.x - one.x, other.y - one.y
    gap = {"left of": dx, "right of": -dx, "above": dy, "below": -dy}[relation]
    return gap > POSITION_MARGIN


def _assigned(
    components: tuple[Component, ...], items: tuple[Item, ...]
) -> list[tuple[Component, ...]] | None:
    """Return the components of each item, or None unless each suits exactly one and the counts agree."""
    groups = [tuple(f for f in components if _suits(f, item)) for item in items]
    exact = all(len(group) == item.count for group, item in zip(groups, items, strict=True))
    return groups if exact and sum(map(len, groups)) == len(components) else None


def mark(exam: Exam, reading: JudgedPicture) -> Mark:
    """Score a judged picture against what the exam asks for."""
    parts: dict[str, float] = {}
    if exam.background:
        parts["background"] = float(reading.background == exam.background)
    if exam.text is not None:
        hits = sum(a == b for a, b in zip(exam.text, reading.text, strict=False))
        parts["letters"] = hits / max(len(exam.text), len(reading.text))
        parts["word"] = float(reading.text == exam.text)
        if exam.text_colour:
            same = [f.colour == exam.text_colour for f in reading.components]
            parts["colour"] = sum(same) / max(1, len(same))
        passed = parts["word"] == 1 and parts.get("colour", 1) == 1
    else:
        total = sum(item.count for item in exam.items)
        shapes = [item.shape for item in exam.items for _ in range(item.count)]
        colours = {item.colour for item in exam.items if item.colour}
        parts["count"] = float(len(reading.components) == total)
        parts["shape"] = _overlap([f.shape if f.is_shape else "?" for f in reading.components], shapes)
        if colours:
            parts["colour"] = sum(f.colour in colours for f in reading.components) / max(
                1, len(reading.components)
            )
        groups = _assigned(reading.components, exam.items)
        passed = groups is not None
        if groups and exam.relation:
            passed = _related(groups[0][0], groups[1][0], exam.relation)
            parts["relation"] = float(passed)
    return Mark(passed=passed and parts.get("background", 1) == 1, parts=parts)


def _overlap(names: list[str], wanted: list[str]) -> float:
    """Size of the common multiset over the size of the larger one."""
    common = sum(min(names.count(name), wanted.count(name)) for name in set(wanted))
    return common / max(len(names), len(wanted), 1)


def _phrased(rng: random.Random, phrase: str, background: str | None, *, framed: bool = True) -> str:
    if background:
        phrase = rng.choice(BACKGROUND_FRAMES).format(phrase, ground=background)
    return rng.choice(HELD_OUT_FRAMES).format(phrase) if framed and rng.random() < 0.5 else phrase


def _ground(rng: random.Random) -> str | None:
    return rng.choice(tuple(BACKGROUNDS)) if rng.random() < 0.5 else None


def _colours(rng: random.Random, background: str | None, count: int) -> list[str]:
    """Draw colours that stand out from the background, or from every one where None is given."""
    grounds = [background] if background else list(BACKGROUNDS)
    known = sorted(set.intersection(*(set(colours_on(ground)) for ground in grounds)))
    return rng.sample(known, count)


def _single(rng: random.Random) -> Exam:
    shape, ground = rng.choice(SHAPES), _ground(rng)
    return Exam("single", _phrased(rng, article(shape), ground), (Item(1, shape),), background=ground)


def _two(rng: random.Random) -> Exam:
    one, two = rng.sample(SHAPES, 2)
    ground = _ground(rng)
    prompt = _phrased(rng, f"{article(one)} and {article(two)}", ground)
    return Exam("two", prompt, (Item(1, one), Item(1, two)), background=ground)


def _counting(rng: random.Random) -> Exam:
    shape, ground, count = rng.choice(SHAPES), _ground(rng), rng.randint(1, 5)
    phrase = f"{COUNTS[count - 1]} {shape if count == 1 else plural(shape)}"
    return Exam("counting", _phrased(rng, phrase, ground), (Item(count, shape),), background=ground)


def _colour(rng: random.Random) -> Exam:
    shape, ground = rng.choice(SHAPES), _ground(rng)
    [colour] = _colours(rng, ground, 1)
    prompt = _phrased(rng, article(f"{colour} {shape}"), ground)
    return Exam("colours", prompt, (Item(1, shape, colour),), background=ground)


def _position(rng: random.Random) -> Exam:
    (one, two), relation, ground = rng.sample(SHAPES, 2), rng.choice(RELATIONS), _ground(rng)
    prompt = _phrased(rng, f"{article(one)} {relation} {article(two)}", ground)
    return Exam("position", prompt, (Item(1, one), Item(1, two)), relation=relation, background=ground)


def _attribution(rng: random.Random) -> Exam:
    (one, two), ground = rng.sample(SHAPES, 2), _ground(rng)
    first, second = _colours(rng, ground, 2)
    phrase = f"{article(f'{first} {one}')} and {article(f'{second} {two}')}"
    items = (Item(1, one, first), Item(1, two, second))
    return Exam("attribution", _phrased(rng, phrase, ground), items, background=ground)


def _typography(rng: random.Random, category: str, words: tuple[str, ...]) -> Exam:
    word, ground = rng.choice(words), _ground(rng)
    [colour] = _colours(rng, ground, 1)
    phrase = f"{rng.choice(WORD_FRAMES).format(word)} in {colour}"
    prompt = _phrased(rng, phrase, ground, framed=False)
    return Exam(category, prompt, background=ground, text=word, text_colour=colour)


CATEGORIES: dict[str, Callable[[random.Random], Exam]] = {
    "single": _single,
    "two": _two,
    "counting": _counting,
    "colours": _colour,
    "position": _position,
    "attribution": _attribution,
    "typography": lambda rng: _typography(rng, "typography", HELD_OUT_WORDS),
    "typography-trained": lambda rng: _typography(rng, "typography-trained", TRAINED_WORDS),
}
"""Category -> draws a prompt of it."""


def truth(exam: Exam, rng: random.Random) -> Scene:
    """Draw a scene that passes the exam, as training scenes are drawn."""
    if exam.text is not None:
        return write(rng, exam.text, background=exam.background, colour=exam.text_colour, middle=True)
    colours = tuple(item.colour for item in exam.items if item.colour)
    return arrange(
        rng,
        counts=tuple(item.count for item in exam.items),
        background=exam.background,
        shapes=tuple(item.shape for item in exam.items),
        colours=colours if len(colours) == len(exam.items) else (),
        relation=exam.relation,
    )


def exams(category: str, count: int, seed: int = 0) -> list[Exam]:
    """Return the first `count` prompts of a category; equal for equal seeds."""
    rng = random.Random(f"exam/{category}/{seed}")
    return [CATEGORIES[category](rng) for _ in range(count)]
