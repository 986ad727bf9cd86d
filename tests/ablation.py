"""The ablation of projected flow in the README and in the assets: `python -m tests.ablation STUDY.json`.

The file is what `sd3demo study imax-ablation --json` printed, and ships with the other recorded studies; its
table stands in the README between `<!-- ablation -->` and `<!-- /ablation -->`.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from sd3demo.studies.results import read
from sd3demo.studies.study import Scalar, Table

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "assets" / "studies" / "imax-ablation.json"
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- ablation -->\n).*?(<!-- /ablation -->)", re.DOTALL)

SHOWN: Mapping[str, tuple[str, int]] = {
    "obeyed": ("obeyed", 2),
    "drift": ("drift, of 255", 1),
    "spectrum": ("spectrum, dB", 1),
    "excess": ("excess, dB", 1),
    "paired patches": ("paired patches, of 255", 2),
    "paired wins": ("paired wins", 2),
    "patches": ("patches, of 255", 2),
    "wins": ("wins", 2),
}
"""Columns of the README's table, where they hold anything: what they are called there, and their digits."""


def markdown(table: Table) -> str:
    """The table for people, a value beside its standard error."""
    names = [column.name for column in table.columns]
    shown = {
        name: how
        for name, how in SHOWN.items()
        if name in names and any(value is not None for value in table.column(name))
    }
    heads = ["", *(title for title, _ in shown.values())]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * len(shown)}"]
    for row in table.rows:
        values = dict(zip(names, row.values, strict=True))
        cells = [_cell(values[name], values[f"{name} error"], digits) for name, (_, digits) in shown.items()]
        lines.append(f"| {values['scale']}×, {values['arm']} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{table.caption} n = {table.column('n')[0]}; ± is the standard error."])


def _cell(value: Scalar, error: Scalar, digits: int) -> str:
    if not isinstance(value, int | float):
        return ""
    spread = f" ± {error:.{digits}f}" if isinstance(error, int | float) else ""
    return f"{value:.{digits}f}{spread}"


def written(readme: str, values: Mapping[str, object]) -> str:
    """The README with the table of a study's JSON."""
    table = markdown(read(values).table)
    return BLOCK.sub(lambda match: f"{match[1]}{table}\n{match[2]}", readme)


def main(file: Path) -> None:
    values = json.loads(file.read_text(encoding="utf-8"))
    SHIPPED.parent.mkdir(parents=True, exist_ok=True)
    SHIPPED.write_text(json.dumps(values) + "\n", encoding="utf-8")
    README.write_text(written(README.read_text(encoding="utf-8"), values), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
