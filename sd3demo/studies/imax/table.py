"""The tables of the studies of extrapolation: a row for each arm at each scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sd3demo.studies.imax.larger_pictures import REFERENCES, RENDERS, ImaxSettings, is_paired
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
    Column("noise", "of 255", "standard deviation where the native picture is flat; speckles count"),
    Column("noise error", "of 255"),
    Column(
        "paired patches",
        "of 255",
        "distance of the patches of 7 x 7 pixels to those of the same scene, drawn at that size",
    ),
    Column("paired patches error", "of 255"),
    Column(
        "paired wins",
        "",
        "share of prompts whose patches are nearer to the same scene's than the compared arm's",
    ),
    Column("paired wins error"),
    Column("patches", "of 255", "distance of all patches to those of other scenes of the captions"),
    Column("patches error", "of 255"),
    Column(
        "wins",
        "",
        "share of prompts whose patches are nearer to those of other scenes of the caption than the compared "
        "arm's",
    ),
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
    pairs = [one for one in found if is_paired(one.cell)]
    values: list[Scalar] = [
        scale,
        arm if value is None else value[arm],
        obeyed,
        rate_error(obeyed, n),
        *_mean([raw["parts"] for raw in raws]),
        *(_mean(drifts) if drifts else (None, None)),
        *between(*spectra, spectral_distance),
        *between(*spectra, lambda a, b: detail_excess(a, b, float(cast("float", scale)))),
        *_mean([raw["noise"] for raw in raws]),
        *(_mean(_to_same(pairs, arm)) if pairs else (None, None)),
        *_rate(_wins(pairs, arm, compared, _same)),
        *between(*patches, patch_distance),
        *_rate(_wins(found, arm, compared, _others)),
        None if arm in REFERENCES else raws[0]["operations"] / 1e9,
        n,
    ]
    return Row(tuple(values), settings.model_dump(mode="json") | {"scales": f"{scale}"})


def _mean(values: Sequence[float]) -> tuple[float, float | None]:
    return mean(values), error(values)


def _raw(one: Measured, arm: str) -> Mapping[str, Any]:
    return cast("Mapping[str, Mapping[str, Any]]", one.raw["arms"])[arm]


def _rate(points: Sequence[float]) -> tuple[float | None, float | None]:
    """A share and its standard error; neither of nothing."""
    return (mean(points), rate_error(mean(points), len(points))) if points else (None, None)


def _features(found: Sequence[Measured], arm: str, name: str) -> tuple[list[Any], list[Any]]:
    """An arm's features and those of other scenes of the captions, prompt by prompt."""
    import numpy as np

    return (
        [np.array(_raw(one, arm)[name]) for one in found],
        [np.array(cast("Mapping[str, Any]", one.raw["real"])[name]) for one in found],
    )


def _same(one: Measured) -> Sequence[float]:
    """The patches of the same scene, drawn at the larger size."""
    return cast("Sequence[float]", _raw(one, RENDERS)["patches"])


def _others(one: Measured) -> Sequence[float]:
    """The patches of other scenes of the caption."""
    return cast("Sequence[float]", cast("Mapping[str, Any]", one.raw["real"])["patches"])


def _distance(one: Measured, arm: str, true: Sequence[float]) -> float:
    import numpy as np

    from sd3demo.studies.imax.measures import patch_distance

    return patch_distance(np.array(_raw(one, arm)["patches"]), np.array(true))


def _to_same(pairs: Sequence[Measured], arm: str) -> list[float]:
    """How far an arm's patches are from the same scene's, prompt by prompt."""
    return [_distance(one, arm, _same(one)) for one in pairs]


def _wins(
    found: Sequence[Measured], arm: str, compared: str, true: Callable[[Measured], Sequence[float]]
) -> list[float]:
    """For each prompt 1 where an arm's patches are nearer to the true ones, else 0; one half for a tie."""
    if arm == compared:
        return []
    gaps = [_distance(one, compared, true(one)) - _distance(one, arm, true(one)) for one in found]
    return [0.5 if gap == 0 else float(gap > 0) for gap in gaps]
