"""What a soak measures: figures with the most that each may be, as a table and as JSON."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Figure:
    """Something that was measured, and the most that it may be; None where it is only told.

    `quiet` is one that takes a quiet machine and the full length to be judged.
    """

    name: str
    measured: float
    most: float | None = None
    unit: str = ""
    quiet: bool = False

    @property
    def holds(self) -> bool:
        return self.most is None or self.measured <= self.most


@dataclass(frozen=True)
class Part:
    """One command's result: what it did, as a sentence, and what it found. `faults` are its first few."""

    name: str
    done: str
    figures: tuple[Figure, ...]
    faults: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return all(figure.holds for figure in self.figures)

    @property
    def missed(self) -> list[str]:
        """The figures that are missed, of those that any machine and any length can judge."""
        return [figure.name for figure in self.figures if not (figure.holds or figure.quiet)]


def table(parts: Sequence[Part]) -> str:
    """All figures in Markdown, each part under what was done."""
    lines = ["| | measured | at most | |", "|---|---|---|---|"]
    for part in parts:
        lines.append(f"| **{part.name}**: {part.done} | | | |")
        for figure in part.figures:
            most = "" if figure.most is None else _written(figure.most, figure.unit)
            said = "" if figure.most is None else "holds" if figure.holds else "**missed**"
            lines.append(f"| {figure.name} | {_written(figure.measured, figure.unit)} | {most} | {said} |")
    return "\n".join(lines)


def to_json(parts: Sequence[Part]) -> dict[str, object]:
    """The same for programs, with the day and the machine."""
    return {
        "date": date.today().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "holds": all(part.holds for part in parts),
        "parts": [asdict(part) for part in parts],
    }


def from_json(values: Mapping) -> list[Part]:
    """The parts of what `to_json` wrote."""
    return [
        Part(
            each["name"],
            each["done"],
            tuple(Figure(**figure) for figure in each["figures"]),
            tuple(each["faults"]),
        )
        for each in values["parts"]
    ]


def recorded(file: Path = RESULTS) -> str:
    """What the README shows of the results that were recorded last."""
    if not file.exists():
        return "No results are recorded yet: `make soak` measures them and writes this table."
    values = json.loads(file.read_text(encoding="utf-8"))
    head = f"Measured on {values['date']} on {values['cores']} cores ({values['machine']}):"
    return f"{head}\n\n{table(from_json(values))}"


def record(parts: Sequence[Part], file: Path = RESULTS) -> None:
    """Write results where the README's table is made from; parts that were not run now stay."""
    kept = from_json(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else []
    new = {part.name: part for part in parts}
    names = list(dict.fromkeys([*(part.name for part in kept), *new]))
    old = {part.name: part for part in kept}
    file.write_text(json.dumps(to_json([new.get(name) or old[name] for name in names]), indent=1) + "\n")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] if ordered else 0.0


def growth(samples: Sequence[tuple[float, float]], settled: float, window: float = 10.0) -> float:
    """How far the largest median of a window after `settled` seconds is above the first, in percent.

    `samples` are moments and values. 0 where there is nothing to compare.
    """
    medians = []
    start = settled
    while samples and start + window <= samples[-1][0]:
        found = [value for moment, value in samples if start <= moment < start + window]
        if found:
            medians.append(percentile(found, 50))
        start += window
    return 100 * (max(medians) / medians[0] - 1) if medians else 0.0


def _written(value: float, unit: str) -> str:
    number = f"{value:.0f}" if value == int(value) else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return f"{number} {unit}".strip()
