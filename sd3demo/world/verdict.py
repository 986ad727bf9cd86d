"""Whether a picture shows what its prompt asks for: the judge's reading against the words of the prompt.

Where the prompt is not of the world there is no verdict, rather than a wrong one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sd3demo.world.asked import AskedItem, AskedPicture, asked_of
from sd3demo.world.exam import POSITION_MARGIN

if TYPE_CHECKING:
    from sd3demo.world.judge import Component, JudgedPicture

LARGEST_SIDE = 512
"""Pixels: larger pictures are averaged down to this side before they are judged."""
MIDDLE = (0.41, 0.59)
"""A centre between these is neither left nor right, neither top nor bottom, as in `captions.place`."""
PLACE_SLACK = 0.03
"""How far a centre may lie beyond them: the judge measures it from what is visible."""


@dataclass(frozen=True)
class VerdictCheck:
    """One thing that was asked for, whether it is there, and what is there instead where it is not."""

    asked: str
    holds: bool
    found: str = ""


@dataclass(frozen=True)
class PictureVerdict:
    """What of a prompt a picture shows. `unjudged` are words of the prompt that nothing was checked for."""

    checks: tuple[VerdictCheck, ...]
    unjudged: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return all(check.holds for check in self.checks)


def picture_verdict(prompt: str, pixels: NDArray[np.uint8]) -> PictureVerdict | None:
    """Judge a picture (H, W, 3) by its prompt; None for a prompt that is not of the world."""
    asked = asked_of(prompt)
    if asked is None:
        return None
    from sd3demo.world.judge import read  # brings in torch and scipy

    return verdict_of(asked, read(_reduced(pixels).transpose(2, 0, 1) / np.float32(255)))


def verdict_of(asked: AskedPicture, reading: JudgedPicture) -> PictureVerdict:
    """Compare what was asked for with what the judge reads."""
    checks = _text_checks(asked, reading) if asked.text else _item_checks(asked, reading)
    if asked.background:
        same = reading.background == asked.background
        found = "" if same else f"{reading.background} background"
        checks.append(VerdictCheck(f"{asked.background} background", same, found))
    return PictureVerdict(tuple(checks), asked.sizes)


def _text_checks(asked: AskedPicture, reading: JudgedPicture) -> list[VerdictCheck]:
    same = reading.text == asked.text
    checks = [
        VerdictCheck(f"“{asked.text}”", same, "" if same else f"“{reading.text}”" if reading.text else "")
    ]
    if asked.colour:
        colours = [each.colour for each in reading.components]
        others = [name for name in dict.fromkeys(colours) if name != asked.colour]
        checks.append(VerdictCheck(f"in {asked.colour}", bool(colours) and not others, " and ".join(others)))
    if asked.place and reading.components:
        checks.append(VerdictCheck(asked.place, _is_at(asked.place, *_centre(reading.components))))
    return checks


def _item_checks(asked: AskedPicture, reading: JudgedPicture) -> list[VerdictCheck]:
    groups, others = _assigned(asked, reading.components)
    instead = " and ".join(_described(each) for each in others)
    checks = []
    for item, group in zip(asked.items, groups, strict=True):
        holds = len(group) == item.count
        found = "" if holds else str(len(group)) if group or item.count > 1 else instead
        checks.append(VerdictCheck(item.words, holds, found))
    if asked.relation and all(groups):
        holds = _are_related(groups[0], groups[1], asked.relation)
        checks.append(VerdictCheck(asked.relation, holds))
    if others and not any(check.found == instead for check in checks):
        checks.append(VerdictCheck("nothing else", False, instead))
    return checks


def _assigned(
    asked: AskedPicture, components: Sequence[Component]
) -> tuple[list[list[Component]], list[Component]]:
    """Give each component to one item at most, as many as can be, and among equals as the relation has it.

    Those that are too many stand with their item as well; last come the components of no item.
    """
    from scipy.optimize import linear_sum_assignment

    items = asked.items
    groups: list[list[Component]] = [[] for _ in items]
    places = [index for index, item in enumerate(items) for _ in range(item.count)]
    taken: set[int] = set()
    if components:
        suits = np.array([[_suits(each, items[index]) for index in places] for each in components])
        before = np.array([_before(each, asked.relation) for each in components])
        turns = np.where(np.array(places) == 0, 1, -1)
        weights = suits * (1 + 1e-3 * before[:, None] * turns)
        for row, column in zip(*linear_sum_assignment(weights, maximize=True), strict=True):
            if suits[row, column]:
                groups[places[column]].append(components[row])
                taken.add(int(row))
    others: list[Component] = []
    for row, component in enumerate(components):
        if row not in taken:
            fitting = [group for item, group in zip(items, groups, strict=True) if _suits(component, item)]
            (fitting[0] if fitting else others).append(component)
    return groups, others


def _suits(component: Component, item: AskedItem) -> bool:
    return (
        component.is_shape
        and component.shape == item.shape
        and item.colour in ("", component.colour)
        and item.texture in ("", component.texture)
        and (not item.place or _is_at(item.place, component.x, component.y))
    )


def _is_at(place: str, x: float, y: float) -> bool:
    """Whether a centre lies at a place of that name."""
    return _lies(x, "left" in place, "right" in place) and _lies(y, "top" in place, "bottom" in place)


def _lies(at: float, low: bool, high: bool) -> bool:
    least, most = MIDDLE
    if low or high:
        return at < least + PLACE_SLACK if low else at > most - PLACE_SLACK
    return least - PLACE_SLACK <= at <= most + PLACE_SLACK


def _centre(components: Sequence[Component]) -> tuple[float, float]:
    return (
        sum(each.x for each in components) / len(components),
        sum(each.y for each in components) / len(components),
    )


def _are_related(one: Sequence[Component], other: Sequence[Component], relation: str) -> bool:
    means = [sum(_before(each, relation) for each in group) / len(group) for group in (one, other)]
    return means[0] - means[1] > POSITION_MARGIN


def _before(component: Component, relation: str) -> float:
    """How far a component lies where the first item of a relation belongs; 0 without a relation."""
    x, y = component.x, component.y
    return {"left of": -x, "right of": x, "above": -y, "below": y}.get(relation, 0.0)


def _described(component: Component) -> str:
    colour = "" if component.colour == "unknown" else f"{component.colour} "
    return f"{colour}{component.shape if component.is_shape else 'patch'}"


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A large picture, averaged over squares of pixels."""
    factor = -(-max(pixels.shape[:2]) // LARGEST_SIDE)
    if factor == 1:
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).reduce(factor))
