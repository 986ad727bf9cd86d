"""`sd3demo claims`: twenty rows for programs, and the same for people."""

import json

import pytest

from sd3demo.cli import main
from sd3demo.studies.claims.twenty import TWENTY

KEYS = {"claim", "paper", "ours", "n", "weights", "date", "state", "older", "reason", "rerun"}


def test_the_json_has_twenty_rows_with_the_papers_figure_and_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "--json"]) == 0
    out = capsys.readouterr()
    rows = json.loads(out.out)["claims"]
    assert [row["number"] for row in rows] == list(range(1, 21))
    assert all(set(row) >= KEYS for row in rows)
    assert {row["state"] for row in rows} <= {"holds", "partly", "no", "not measured"}
    assert out.err == ""


def test_the_text_has_every_claim(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims"]) == 0
    text = capsys.readouterr().out
    assert all(claim.claim in text and claim.paper in text for claim in TWENTY)
