"""The tables of the studies of extrapolation: a row for each arm at each scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sd3demo.studies.imax.larger_pictures import REFERENCES, ImaxSettings
from sd3demo.studies.statistics import error, grouped, mean, rate_error
from sd3demo.studies.study import Column, Measured, Row, Scalar, Table

COLUMNS = (
    Column("obeyed", "", "share of pictures that are what their prompt says, by the world's judge"),
    Column("obeyed error", "", "its standard error"),
    Column("parts", "", "mean of the judge's softer figures: count, shapes, colours, places, background"),
    Column("parts error"),
    Column("drift", "of 255", "how far the picture left the native one, root mean square at the native size"),
    Column("drift error"),
    Column("spectrum", "dB", "distance of the radial power spectrum to that of real renders"),
    Column("spectrum error", "dB"),
    Column("excess", "dB", "power beyond the native frequencies over that of real renders; below 0 is soft"),
    Column("excess error", "dB"),
    Column("patches", "of 255", "distance of the patches of 7 x 7 pixels to those of real renders"),
    Column("patches error", "of 255"),
    Column("wins", "", "share of prompts whose patches are nearer to real ones than the compared arm's"),
    Column("wins error"),
    Column("operations", "GFLOP", "of the network at the larger size, counted from shapes"),
    Column("n", "", "prompts"),
)


def table_of(
    study: str,
    settings: ImaxSettings,
    measured: Sequence[Measured],
    *,
    compared: str,
    caption: str,
    named: Column,
    value: Mapping[str, Scalar] | None = None,
) -> Table:
    """A table with a row for each scale and arm; `compared` is the arm that wins are counted against.

    `named` is the column of the arms; `value` puts something else than its name there, and leaves out arms
    that it does not hold.
    """
    rows = [
        _row(settings, scale, arm, found, compared, value)
        for scale, found in grouped(measured, lambda arm: arm["scale"]).items()
        for arm in (*REFERENCES, *cast("list[str]", found[0].cell.given["order"]))
        if value is None or arm in value
    ]
    return Table(study, (Column("scale"), named, *COLUMNS), tuple(rows), caption)


def _row(
    settings: ImaxSettings,
    scale: Scalar,
    arm: str,
    found: Sequence[Measured],
    compared: str,
    value: Mapping[str, Scalar] | None,
) -> Row:
    from sd3demo.studies.imax.measures import (
        between,
        detail_excess,
        patch_distance,
        spectral_distance,
    )

    raws = [_raw(one, arm) for one in found]
    n = len(raws)
    obeyed = mean([float(raw["passed"]) for raw in raws])
    drifts = [raw["drift"] for raw in raws if raw["drift"] is not None]
    spectra = _features(found, arm, "spectrum")
    patches = _features(found, arm, "patches")
    wins = _wins(found, arm, compared)
    values: list[Scalar] = [
        scale,
        arm if value is None else value[arm],
        obeyed,
        rate_error(obeyed, n),
        *_mean([raw["parts"] for raw in raws]),
        *(_mean(drifts) if drifts else (None, None)),
        *between(*spectra, spectral_distance),
        *between(*spectra, lambda a, b: detail_excess(a, b, float(cast("float", scale)))),
        *between(*patches, patch_distance),
        *((None, None) if wins is None else (wins, rate_error(wins, n))),
        None if arm in REFERENCES else raws[0]["operations"] / 1e9,
        n,
    ]
    return Row(tuple(values), settings.model_dump(mode="json") | {"scales": f"{scale}"})


def _mean(values: Sequence[float]) -> tuple[float, float | None]:
    return mean(values), error(values)


def _raw(one: Measured, arm: str) -> Mapping[str, Any]:
    return cast("Mapping[str, Mapping[str, Any]]", one.raw["arms"])[arm]


def _features(found: Sequence[Measured], arm: str, name: str) -> tuple[list[Any], list[Any]]:
    """An arm's features and the real ones, prompt by prompt."""
    import numpy as np

    return (
        [np.array(_raw(one, arm)[name]) for one in found],
        [np.array(cast("Mapping[str, Any]", one.raw["real"])[name]) for one in found],
    )


def _wins(found: Sequence[Measured], arm: str, compared: str) -> float | None:
    """The share of prompts on which an arm's patches are nearer to real ones; one half for a tie."""
    from sd3demo.studies.imax.measures import patch_distance

    if arm == compared:
        return None
    ours, real = _features(found, arm, "patches")
    theirs, _ = _features(found, compared, "patches")
    points = []
    for one, other, true in zip(ours, theirs, real, strict=True):
        gap = patch_distance(other, true) - patch_distance(one, true)
        points.append(0.5 if gap == 0 else float(gap > 0))
    return mean(points)
