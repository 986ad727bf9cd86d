"""Charts of the judge's scores: by category, and against a setting, with standard errors."""

import numpy as np

from sd3demo.plots.chart import Axis, Chart, Curve
from sd3demo.plots.tables import axis, curve, distinct, named, numbers, only, places, shade, title_of
from sd3demo.studies.study import Table

MEASURES = {
    "score": ("Score", Axis("share that is right", (0, 1.04))),
    "soft": ("Softer marks", Axis("mean of the softer marks", (0, 1.04))),
}
"""The two columns of scores, with their title and axis."""
SOURCE = "by the world's judge; bars: ± standard error"
ALL = "mean"  # the category of the rows over all categories


def score(table: Table) -> Chart:
    """Plot the score of each category as a bar, with the ceiling that the autoencoder sets."""
    names = [str(name) for name in table.column("category")]
    x = places(table, "category", names)
    ceiling = Curve("ceiling", x, numbers(table.column("ceiling")), "orange", "levels")
    return Chart(
        "score",
        "How often the picture is right",
        SOURCE,
        named("category", names),
        MEASURES["score"][1],
        (curve("score", table, x, "score", "green", "bars"), ceiling),
    )


def soft(table: Table) -> Chart:
    """Plot the partial scores over the last row's categories; letters from the first row that has them, since
    those categories may have none."""
    names = [column.name for column in table.columns]
    known = {part: [value for value in table.column(part) if value is not None] for part in names}
    last = only(table, category=str(table.column("category")[-1]))
    parts = [part for part in names[names.index("ceiling") + 1 :] if known[part]]
    values_by_part = {part: last.column(part)[0] for part in parts}
    values = numbers([known[part][0] if value is None else value for part, value in values_by_part.items()])
    return Chart(
        "soft",
        "What is right about it, part by part",
        "mean over the prompts that claim it",
        named("part of the claim", parts),
        Axis("share that is right", (0, 1.04)),
        (Curve("right", np.arange(len(parts), dtype=np.float64), values, "blue", "bars"),),
    )


def against(table: Table, setting: str, measure: str, source: str) -> Chart:
    """Plot a measure of each category against a setting; the mean is the strong curve."""
    title, up = MEASURES[measure]
    along = axis(table, setting)
    parts = {str(name): only(table, category=name) for name in distinct(table, "category")}
    curves = tuple(
        curve(
            name,
            part,
            places(part, setting, along.names),
            measure,
            "green" if name == ALL else shade(index + 1),
            strong=name == ALL or len(parts) == 1,
        )
        for index, (name, part) in enumerate(parts.items())
    )
    return Chart(f"{measure}-{setting}", f"{title} against {title_of(setting)}", source, along, up, curves)


def by_size(table: Table, measure: str) -> Chart:
    """Plot a measure against the shift, a curve for each image size."""
    title, up = MEASURES[measure]
    sizes = distinct(table, "side")
    whole = only(table, category=str(table.column("category")[-1]))
    parts = [only(whole, side=side) for side in sizes]
    return Chart(
        f"{measure}-shift",
        f"{title} against the shift, by size",
        "SD3 section 5.3.2, figure 6, eq. 23",
        Axis("shift α"),
        up,
        tuple(
            curve(f"{side} px", part, places(part, "shift"), measure, shade(index), strong=True)
            for index, (side, part) in enumerate(zip(sizes, parts, strict=True))
        ),
    )


def by_t5_mode(table: Table, measure: str, name: str) -> Chart:
    """Plot a measure by category, a bar for each T5 mode."""
    title, up = MEASURES[measure]
    names = [str(category) for category in distinct(table, "category")]
    modes = distinct(table, "t5")
    return Chart(
        name,
        f"{title} with T5 and without",
        "SD3 section 5.3.3, figures 7 and 9",
        named("category", names),
        up,
        tuple(
            curve(f"T5 {mode}", part, places(part, "category", names), measure, shade(index), "bars")
            for index, mode in enumerate(modes)
            for part in [only(table, t5=mode)]
        ),
    )
