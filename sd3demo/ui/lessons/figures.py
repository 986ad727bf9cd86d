"""The figures of lessons: read from what was recorded, or computed; never written down."""

import math
from statistics import NormalDist

import numpy as np

from sd3demo.catalogue import find
from sd3demo.engine.record.traces import Trace
from sd3demo.flow.grids import resolution_shift
from sd3demo.history.traces import read_trace, shipped
from sd3demo.studies.results import recorded
from sd3demo.ui.densities.settings import PRESETS
from sd3demo.ui.lessons.lesson_steps import Figure, StudyFigure


def value_of(figure: Figure) -> float | None:
    """A figure's value; None where its study was not recorded, or has no such row."""
    if not isinstance(figure, StudyFigure):
        return figure.compute()
    found = recorded(figure.study)
    if found is None:
        return None
    names = [column.name for column in found.table.columns]
    if figure.column not in names:
        return None
    for row in found.table.rows:
        values = dict(zip(names, row.values, strict=True))
        if all(values.get(name) == value for name, value in figure.where.items()):
            value = values[figure.column]
            return float(value) if isinstance(value, int | float) else None
    return None


def middle_share() -> float:
    """The share of logit-normal(0, 1) between t = 1/4 and 3/4 (SD3, eq. 19)."""
    return 2 * NormalDist().cdf(math.log(3)) - 1


def weight_ratio() -> float:
    """w at t = 3/4 over that at 1/4 for a density that is symmetric in t: t / (1 - t) (SD3, eq. 18)."""
    weight = lambda t: t / (1 - t)  # noqa: E731
    return weight(0.75) / weight(0.25)


def rank(variant: str) -> float:
    """The mean rank of a formulation in SD3's table 1."""
    return next(one.rank for one in PRESETS if one.variant == variant)


def double_side_shift() -> float:
    """alpha for twice the side (SD3, eq. 23)."""
    return resolution_shift(128 * 128, 64 * 64)


def t5_share() -> float:
    """T5's share of the parameters of SD3's text encoders."""
    spec = find("sd3-medium")
    counts = [spec.components[encoder.folder].parameters for encoder in spec.encoders]
    return counts[-1] / sum(counts)


def trace(name: str) -> Trace:
    """A trace that ships."""
    return read_trace(next(path for path in shipped() if path.stem.partition("-")[2] == name))


def path_length(name: str) -> float:
    """The length of a recorded path, in the latent's units."""
    return trace(name).shape.length


def prediction_distance(part: float) -> float:
    """How far the prediction is from the finished picture after this part of the run; of 255."""
    film = trace("with-guidance").film[:, 1].astype(float)
    step = round(part * (len(film) - 1))
    return float(np.sqrt(np.mean((film[step] - film[-1]) ** 2)))


def guidance_gain(part: float) -> float:
    """|| v || over || v_c || after this part of the recorded run with CFG."""
    guidance = trace("with-guidance").guidance
    step = round(part * (len(guidance) - 1))
    return float(guidance[step, 2] / guidance[step, 0])


def steps_gap() -> float:
    """How much two steps and the most differ in the distance to the true scene, at twice the side."""
    ends = (value_of(StudyFigure("imax-steps", "paired patches", {"scale": 2, "steps": n})) for n in (2, 28))
    two, most = (math.nan if value is None else value for value in ends)
    return abs(two - most)
