"""The README's table of the ablation is the shipped one."""

import json

import pytest

from sd3demo.settings import parse
from sd3demo.studies.results import read, result
from sd3demo.studies.study import Column, Row, Table, find_study
from tests.ablation import README, SHIPPED, SHOWN, markdown, written

NAME = SHIPPED.stem
NAMES = ("scale", "arm", *(part for name in SHOWN for part in (name, f"{name} error")), "n")
NOTHING = (None,) * 4
TABLE = Table(
    NAME,
    tuple(Column(name, "dB" if name == "spectrum" else "", "what it is") for name in NAMES),
    (
        Row(
            (2, "renders", 1.0, 0.0, None, None, 0.31, 0.1, -0.2, 0.1, *NOTHING, 0.4, 0.1, None, None, 54),
            {"n": 9},
        ),
        Row(
            (2, "all parts", 0.5, 0.07, 9.1, 0.2, 2.4, 0.3, 1.0, 0.2, *NOTHING, 5.38, 0.1, 0.5, 0.07, 54),
            {"n": 9},
        ),
    ),
    "A caption.",
)


def test_the_markdown_has_every_row_with_its_errors() -> None:
    lines = markdown(TABLE).split("\n")
    assert (
        "| 2×, all parts | 0.50 ± 0.07 | 9.1 ± 0.2 | 2.4 ± 0.3 | 1.0 ± 0.2 | 5.38 ± 0.10 | 0.50 ± 0.07 |"
        in lines
    )
    assert "paired" not in lines[0]
    assert lines[-1] == "A caption. n = 54; ± is the standard error."
    assert len({line.count("|") for line in lines[:4]}) == 1


def test_the_table_stands_between_its_marks() -> None:
    text = "a\n<!-- ablation -->\nold\n<!-- /ablation -->\nb"
    values = result(NAME, parse(find_study(NAME).settings, {}), TABLE)
    made = written(text, values)
    assert "old" not in made
    assert "2×, all parts" in made
    assert made.startswith("a\n")
    assert made.endswith("\nb")


def test_the_readme_has_the_shipped_table() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count("<!-- ablation -->") == text.count("<!-- /ablation -->") == 1
    if not SHIPPED.exists():
        pytest.skip("no ablation is shipped yet")
    values = json.loads(SHIPPED.read_text(encoding="utf-8"))
    assert text == written(text, values), f"run `python -m tests.ablation {SHIPPED}`"
    table = read(values).table
    assert min(table.column("n")) >= 50  # type: ignore[type-var]
    assert {2, 4} <= set(table.column("scale"))
