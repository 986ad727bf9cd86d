"""Numbers of the two papers that the project shows are those that the papers print."""

import re
from pathlib import Path

import pytest

from sd3demo.training.flow import Recipe
from sd3demo.training.settings import TrainSettings
from sd3demo.ui.densities.settings import PRESETS
from sd3demo.ui.score.geneval import PUBLISHED
from sd3demo.ui.trajectories.story import TABLE_6
from tests.paper_tables import PAPER_TABLES

ROOT = Path(__file__).resolve().parents[1]


def test_the_densities_of_table_1_have_their_printed_ranks() -> None:
    printed = {
        row[0].replace(",", ", "): tuple(row[1:]) for row in PAPER_TABLES["sd3_table1_global_rank"]["rows"]
    }
    shown = {one.variant: (one.rank, one.rank_5, one.rank_50) for one in PRESETS}
    assert shown == {name: ranks for name, ranks in printed.items() if name.startswith("rf")}


def test_the_best_mode_is_fourth_of_all() -> None:
    ranked = [
        row[0] for row in sorted(PAPER_TABLES["sd3_table1_global_rank"]["rows"], key=lambda row: row[1])
    ]
    assert ranked.index("rf/mode(1.29)") == 3
    assert next(name for name in ranked if "mode" in name) == "rf/mode(1.29)"


def test_geneval_is_shown_as_printed_in_table_5() -> None:
    printed = {_plain(row[0]): tuple(row[1:]) for row in PAPER_TABLES["sd3_table5_geneval"]["rows"]}
    assert {_plain(name): scores for name, scores in PUBLISHED} == printed


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower().replace("²", "2").replace("α", "alpha").replace("w/", ""))


def test_path_lengths_are_shown_as_printed_in_table_6() -> None:
    rows = PAPER_TABLES["sd3_table6_steps_and_path_length"]["rows"]
    assert tuple((row[0], row[-1]) for row in rows) == TABLE_6


def test_encoders_are_zeroed_as_often_as_in_appendix_b3() -> None:
    printed = PAPER_TABLES["sd3_encoder_dropout"]["per_encoder_probability"]
    assert Recipe().zeroed == (printed,) * 3
    assert TrainSettings().zeroed == printed
    assert printed**3 == pytest.approx(
        PAPER_TABLES["sd3_encoder_dropout"]["unconditional_fraction_about"], abs=1e-3
    )


WRONG = (
    r"section 5\.2[:,)]",  # the zeroed encoders stand in appendix B.3
    r"section 5\.3: hidden",  # the rule of 64 d ends section 4
    r"eq\. 13-14",  # 14 is EDM
    r"what a straight flow of unit variance",
    r"nothing left to predict",
    r"only the rectified flow is straight",
    r"lands short",
    r"native picture holds nothing",
    r"it holds nothing to be guided by",
    r"1\.29 did best in table 1",
    r"straight, SD3 section 2",
    r"3, which people preferred",
    r"straight flow .{0,60}would measure",
)
"""Statements that stood here and are not in the papers, or not true."""


@pytest.mark.parametrize("statement", WRONG)
def test_what_was_corrected_stands_nowhere(statement: str) -> None:
    files = [
        *ROOT.glob("sd3demo/**/*.py"),
        *ROOT.glob("sd3demo/**/*.md"),
        *ROOT.glob("assets/studies/*.json"),
    ]
    files += [ROOT / "README.md", ROOT / "assets" / "tiny" / "README.md"]
    pattern = re.compile(statement, re.IGNORECASE | re.DOTALL)
    found = [file for file in files if pattern.search(" ".join(file.read_text(encoding="utf-8").split()))]
    assert found == []
