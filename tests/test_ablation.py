"""The README's table of the ablation is the shipped one, and what a table's JSON gives back is the table."""

import json

import pytest

from sd3demo.cli.study import as_json
from sd3demo.studies.study import Column, Row, Table
from sd3demo.ui.extrapolate_measured import SHIPPED as NAME
from sd3demo.ui.extrapolate_measured import read, shipped
from tests.ablation import README, SHIPPED, SHOWN, markdown, written

NAMES = ("scale", "arm", *(part for name in SHOWN for part in (name, f"{name} error")), "n")
TABLE = Table(
    NAME,
    tuple(Column(name, "dB" if name == "spectrum" else "", "what it is") for name in NAMES),
    (
        Row((2, "renders", 1.0, 0.0, None, None, 0.31, 0.1, -0.2, 0.1, 0.4, 0.1, None, None, 54), {"n": 9}),
        Row((2, "all parts", 0.5, 0.07, 9.1, 0.2, 2.4, 0.3, 1.0, 0.2, 5.38, 0.1, None, None, 54), {"n": 9}),
    ),
    "A caption.",
)


def test_a_table_comes_back_from_its_json() -> None:
    assert read(NAME, json.loads(json.dumps(as_json(TABLE)))) == TABLE


def test_the_markdown_has_every_row_with_its_errors() -> None:
    lines = markdown(TABLE).split("\n")
    assert "| 2×, all parts | 0.50 ± 0.07 | 9.1 ± 0.2 | 2.4 ± 0.3 | 1.0 ± 0.2 | 5.38 ± 0.10 |  |" in lines
    assert lines[-1] == "A caption. n = 54; ± is the standard error."
    assert len({line.count("|") for line in lines[:4]}) == 1


def test_the_table_stands_between_its_marks() -> None:
    text = "a\n<!-- ablation -->\nold\n<!-- /ablation -->\nb"
    made = written(text, {"study": NAME, "table": as_json(TABLE)})
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
    found = shipped(SHIPPED)
    assert found is not None
    assert min(found.column("n")) >= 50  # type: ignore[type-var]
    assert {2, 4} <= set(found.column("scale"))
