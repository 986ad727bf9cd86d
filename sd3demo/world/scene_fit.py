"""The scene that a picture shows, measured from its pixels, so that it can be drawn at any size.

The judge says what is there and about where. Each thing's centre and radius are then moved until the scene,
drawn at the picture's size, is as near to it as it can be. A picture that shows anything else has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from sd3demo.world.judge import Component, JudgedPicture, read
from sd3demo.world.render import render
from sd3demo.world.scenes import Lettering, Scene, Thing
from sd3demo.world.vocabulary import COLOURS

Picture = NDArray[np.floating]
"""(H, W, 3) in [0, 1]."""
SPECKS = 0.01  # share of the area that may be neither a thing nor a letter
FAR = 0.12  # root mean square from the drawn scene, of 1, beyond which the picture shows something else
FIRST_MOVE = 0.01  # of the picture's side
PRECISION = 1e-4  # of the picture's side
RING = 0.9  # outer radius of a ring, of its circumradius
MARGIN = 0.08  # about a thing, of the picture's side: where its fit is compared


def fitted_scene(picture: Picture) -> Scene | None:
    """Return the scene that a square picture shows; None where it is no drawing of the world."""
    if picture.shape[0] != picture.shape[1]:
        return None
    seen = read(picture.transpose(2, 0, 1))
    if not seen.components or seen.specks > SPECKS:
        return None
    if any(one.colour not in COLOURS for one in seen.components):
        return None
    scene = _things(picture, seen) or _word(picture, seen)
    return scene if scene is not None and misfit(scene, picture) <= FAR else None


def misfit(scene: Scene, picture: Picture) -> float:
    """Return the root mean square between a picture and the scene drawn at its size, of 1."""
    return float(np.sqrt(np.square(drawn(scene, len(picture)) - picture).mean()))


def drawn(scene: Scene, side: int) -> Picture:
    """Return the scene as a picture of that many pixels a side."""
    return np.asarray(render([scene], side)[0].permute(1, 2, 0).numpy())


def _things(picture: Picture, seen: JudgedPicture) -> Scene | None:
    """The scene of a picture whose components are all shapes."""
    if not all(one.is_shape for one in seen.components):
        return None
    things = tuple(_thing(picture, seen.background, one) for one in seen.components)
    return Scene(seen.background, tuple((thing,) for thing in things))


def _thing(picture: Picture, background: str, one: Component) -> Thing:
    start = (one.x, one.y, one.r / _radius_of_area(one.shape))

    def scene(values: Sequence[float]) -> Scene:
        x, y, r = values
        return Scene(background, ((Thing(one.shape, one.colour, one.texture, x, y, r),),))

    x, y, r = _nearest(scene, start, picture, (one.x, one.y), start[2] + MARGIN)
    return Thing(one.shape, one.colour, one.texture, x, y, r)


def _word(picture: Picture, seen: JudgedPicture) -> Scene | None:
    """The scene of a picture whose components are the letters of one word in one colour."""
    letters = seen.components
    colours = [one.colour for one in letters]
    if not all(one.is_letter for one in letters):
        return None
    colour = max(set(colours), key=colours.count)
    middle = (letters[0].x + letters[-1].x) / 2, sum(one.y for one in letters) / len(letters)
    height = (letters[-1].x - letters[0].x) / (len(letters) - 1) if len(letters) > 1 else 0.25
    word = Lettering(seen.text, colour, *middle, height)

    def scene(values: Sequence[float]) -> Scene:
        x, y, height = values
        return Scene(seen.background, lettering=replace(word, x=x, y=y, height=height))

    return scene(_nearest(scene, (*middle, height), picture, (0.5, 0.5), 1.0))


def _nearest(
    scene: Callable[[Sequence[float]], Scene],
    start: tuple[float, float, float],
    picture: Picture,
    centre: tuple[float, float],
    reach: float,
) -> tuple[float, float, float]:
    """The x, y and size for which the scene is nearest to the picture, within reach of a centre."""
    side = len(picture)
    columns, rows = (
        slice(max(round((at - reach) * side), 0), max(round((at + reach) * side), 1)) for at in centre
    )

    def far(values: NDArray[np.float64]) -> float:
        if not 0 < values[2] < 1:
            return 1.0
        gap = (drawn(scene(values.tolist()), side) - picture)[rows, columns]
        return float(np.square(gap).mean())

    simplex = np.array([start, *(np.array(start) + FIRST_MOVE * np.eye(3)[k] for k in range(3))])
    options = {"initial_simplex": simplex, "xatol": PRECISION, "fatol": 1e-9, "maxfev": 200}
    x, y, size = minimize(far, np.array(start), method="Nelder-Mead", options=options).x.tolist()
    return x, y, size


@cache
def _radius_of_area(shape: str) -> float:
    """The radius of a disc of a shape's area, over the shape's own circumradius; a ring's hole is filled."""
    if shape == "ring":
        return RING
    scene = Scene("black", ((Thing(shape, "white", "solid", 0.5, 0.5, 0.45),),))
    ground, ink = (drawn(one, 8)[0, 0, 0] for one in (Scene("black"), Scene("white")))
    cover = (drawn(scene, 256)[:, :, 0] - ground) / (ink - ground)
    return float(np.sqrt(cover.mean() / np.pi) / 0.45)
