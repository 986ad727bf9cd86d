"""The score marks the pictures that `generate` makes, by the judge, and says how sure it is."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd3demo.cli import main
from sd3demo.engine import Engine
from sd3demo.errors import Refusal
from sd3demo.settings import Request, parse
from sd3demo.studies.exam_pictures import GENEVAL, PICTURE, exam_of
from sd3demo.studies.score.score import CEILING, STUDY, ScoreStudy, scores_of
from sd3demo.studies.score_rows import BUILT_IN, category_score, mean_score
from sd3demo.studies.study import Cell, Measured, Table, run
from sd3demo.world.exam import CATEGORIES, exams, mark
from sd3demo.world.judge import read

QUICK = {"steps": 2, "cfg": 1.0}


def scored(**settings: object) -> tuple[list[Measured], Table]:
    *measured, table = run(STUDY, parse(ScoreStudy, QUICK | settings), Engine(), None)
    return measured, table


def marked(passed: bool, parts: dict[str, float], category: str = "single") -> Measured:
    cell = Cell(PICTURE, "tiny", {}, {"category": category})
    return Measured(cell, {"passed": passed, "parts": parts}, 1, 1, True, 0, 0)


def test_each_picture_is_marked_and_the_rate_is_their_mean() -> None:
    measured, table = scored(n=3, categories="colours")
    pictures = [one for one in measured if one.cell.measurement is PICTURE]
    assert [exam_of(one.cell.given) for one in pictures] == exams("colours", 3)
    for one in pictures:
        file = io.BytesIO(base64.b64decode(one.raw["picture"]))
        picture = np.asarray(Image.open(file)).transpose(2, 0, 1) / 255
        again = mark(exam_of(one.cell.given), read(picture))
        assert (one.raw["passed"], one.raw["parts"]) == (again.passed, again.parts)
    (row,) = table.rows
    rate = sum(bool(one.raw["passed"]) for one in pictures) / 3
    assert row.values[:3] == ("colours", rate, pytest.approx((rate * (1 - rate) / 3) ** 0.5))
    assert table.column("ceiling") == (1,)  # lone things survive the autoencoder


def test_a_rate_is_the_share_that_passed_with_its_binomial_error() -> None:
    marks = category_score([marked(passed, {"count": float(passed)}) for passed in (True, False, True, True)])
    assert (marks.score, marks.n, marks.parts) == (0.75, 4, {"count": 0.75})
    assert marks.score_error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)


def test_the_mean_is_over_categories_and_not_over_pictures() -> None:
    one = category_score([marked(True, {"count": 1.0})] * 9)
    other = category_score([marked(False, {"count": 0.0}), marked(True, {"count": 1.0})])
    both = mean_score([one, other])
    assert both.score == pytest.approx(0.75)
    assert both.score_error == pytest.approx((0.25 / 2) ** 0.5 / 2)
    assert both.n == 11


def test_one_category_is_not_genevals_six() -> None:
    settings = parse(ScoreStudy, {"categories": "geneval"})
    six = [marked(k % 2 == 0, {"count": 1.0}, name) for k, name in enumerate(GENEVAL)]
    assert scores_of(settings, six).overall == pytest.approx(0.5)
    assert scores_of(settings, six[:5]).overall is None


def test_the_settings_reach_the_pictures() -> None:
    one, two = (scored(n=1, categories="single", seed=seed)[0][0] for seed in (0, 1))
    assert one.cell.given["exam"] == two.cell.given["exam"]
    assert one.raw["picture"] != two.raw["picture"]


@pytest.mark.parametrize(("t5", "said"), [("on", False), ("zeros", True), ("omit", True)])
def test_what_is_built_in_stands_beside_a_score_without_t5(t5: str, said: bool) -> None:
    _, table = scored(n=1, categories="typography", t5=t5)
    assert (BUILT_IN in table.caption) is said
    assert table.caption.endswith(".")


def test_every_setting_of_a_request_but_its_text_and_number_is_a_setting_of_the_score() -> None:
    own = {"prompt", "prompt_2", "prompt_3", "count"}
    assert set(Request.model_fields) - own <= set(ScoreStudy.model_fields)


def test_the_ceiling_depends_on_the_model_and_the_size_alone() -> None:
    few, many = (
        STUDY.cells(parse(ScoreStudy, {"n": 1, "steps": steps, "t5": t5}))
        for steps, t5 in ((2, "on"), (9, "omit"))
    )
    ceilings = [[cell.given for cell in cells if cell.measurement is CEILING] for cells in (few, many)]
    assert ceilings[0] == ceilings[1]


def test_the_command_line_gives_every_category_and_keeps_what_it_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["score", "--n", "1", "--steps", "1", "--cfg", "1", "--keep", str(tmp_path), "--json"]
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    result = json.loads(said)
    assert list(result["scores"]) == list(CATEGORIES)
    rates = [result["scores"][name]["rate"] for name in GENEVAL]
    assert result["overall"] == pytest.approx(sum(rates) / len(rates))
    assert result["n"] == 1
    assert result["settings"]["steps"] == 1
    assert main(words) == 0
    again = capsys.readouterr()
    assert again.out.splitlines()[-1] == said
    assert again.err.count("(cached)") == 2 * len(CATEGORIES)


def test_an_unknown_category_is_refused_before_any_work() -> None:
    with pytest.raises(Refusal, match="unknown category 'zebras'; choose one or several of single"):
        parse(ScoreStudy, {"categories": "zebras"})
