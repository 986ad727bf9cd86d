"""Marked pictures to rows of a table: the share that is right with its standard error, and the softer marks.

A picture is right when all that its prompt claims is true of it; the softer marks, each a share of one kind
of claim, move long before that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sd3demo.studies.statistics import error, grouped, mean, mean_of_rates, numbers, rate_error
from sd3demo.studies.study import Column, Json, Measured, Row, Scalar

BUILT_IN = (
    "The whole-word tokenizers of the CLIPs do not know untrained words, so part of what typography loses "
    "without T5 is built in."
)
PARTS = ("background", "colour", "count", "shape", "relation", "letters")
"""The softer marks that a table shows."""

COLUMNS = (
    Column("category", "", "GenEval's six or typography; mean is that of several"),
    Column("score", "", "share of pictures of which every claim of the prompt is true"),
    Column("score error", "", "its standard error, sqrt(p (1 - p) / n)"),
    Column("soft", "", "mean of the softer marks of each picture: right colours, counts, shapes, letters"),
    Column("soft error", "", "its standard error over the pictures"),
    Column("n", "", "pictures"),
)
PART_COLUMNS = tuple(Column(part, "", f"mean of the softer mark for {part}") for part in PARTS)


@dataclass(frozen=True)
class CategoryScore:
    """What the pictures of one kind came to."""

    score: float
    score_error: float
    soft: float
    soft_error: float | None
    n: int
    parts: Mapping[str, float]

    @property
    def values(self) -> tuple[Scalar, ...]:
        """As `COLUMNS` name them, but the category."""
        return (self.score, self.score_error, self.soft, self.soft_error, self.n)


def category_score(found: Sequence[Measured]) -> CategoryScore:
    """The marks of pictures of one category."""
    score = mean(numbers(found, "passed"))
    parts = [_parts(one) for one in found]
    soft = [mean(tuple(each.values())) for each in parts]
    names = {name: [each[name] for each in parts if name in each] for name in PARTS}
    means = {name: mean(values) for name, values in names.items() if values}
    return CategoryScore(score, rate_error(score, len(found)), mean(soft), error(soft), len(found), means)


def mean_score(marks: Sequence[CategoryScore]) -> CategoryScore:
    """The plain mean over categories, as GenEval takes it."""
    score, score_error = mean_of_rates([one.score for one in marks], [one.score_error for one in marks])
    errors = [one.soft_error for one in marks if one.soft_error is not None]
    soft, soft_error = mean_of_rates([one.soft for one in marks], errors or [0.0] * len(marks))
    names = {name: [one.parts[name] for one in marks if name in one.parts] for name in PARTS}
    parts = {name: mean(values) for name, values in names.items() if values}
    known = soft_error if len(errors) == len(marks) else None
    return CategoryScore(score, score_error, soft, known, sum(one.n for one in marks), parts)


def by_category(found: Sequence[Measured]) -> dict[str, CategoryScore]:
    """Marks by category, and under `mean` that of several categories."""
    groups = grouped(found, lambda arm: arm["category"])
    marks = {str(name): category_score(group) for name, group in groups.items()}
    return marks | ({"mean": mean_score(tuple(marks.values()))} if len(marks) > 1 else {})


def rows_of(found: Sequence[Measured], field: str, again: Mapping[str, Json]) -> tuple[Row, ...]:
    """A row for each value of one part of the arm and each category.

    `again` are the study's settings, of which `field` and `categories` are narrowed for each row.
    """
    rows: list[Row] = []
    for value, group in grouped(found, lambda arm: arm[field]).items():
        for category, marks in by_category(group).items():
            settings = {**again, field: str(value)}
            if category != "mean":
                settings["categories"] = category
            rows.append(Row((value, category, *marks.values), settings))
    return tuple(rows)


def _parts(found: Measured) -> dict[str, float]:
    parts = found.raw["parts"]
    if not isinstance(parts, Mapping):
        raise TypeError(f"the parts of a mark are {parts!r}")
    return {name: float(str(value)) for name, value in parts.items()}
