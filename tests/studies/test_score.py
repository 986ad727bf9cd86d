"""The score marks the pictures that `generate` makes, by the judge, and says how sure it is."""

import json

import pytest

from sd3demo.cli import main
from sd3demo.engine import Engine
from sd3demo.errors import Refusal
from sd3demo.studies.score import GENEVAL, Marked, Sampling, Scores, ScoreSettings, _rate, score
from sd3demo.world.judge import read
from sd3demo.world.prompts import CATEGORIES, Mark, exams, mark

QUICK = {"steps": 2, "cfg": 1.0}


def test_each_picture_is_marked_and_the_rate_is_their_mean() -> None:
    settings = ScoreSettings(n=3, category="colours")
    news = list(score(settings, Sampling(**QUICK), Engine()))
    marked = [event for event in news if isinstance(event, Marked)]
    assert [event.done for event in marked] == [1, 2, 3]
    assert [event.exam for event in marked] == exams("colours", 3)
    for event in marked:
        assert event.mark == mark(event.exam, read(event.picture.transpose(2, 0, 1) / 255))
    result = news[-1]
    assert isinstance(result, Scores)
    rate = result.scores["colours"]
    assert rate.rate == sum(event.mark.passed for event in marked) / 3
    assert rate.error == pytest.approx((rate.rate * (1 - rate.rate) / 3) ** 0.5)
    assert rate.ceiling == 1  # lone things survive the autoencoder
    assert result.overall is None  # one category is not GenEval's six


def test_a_rate_is_the_share_that_passed_with_its_binomial_error() -> None:
    rate = _rate([Mark(passed, {"count": float(passed)}) for passed in (True, False, True, True)], 0.9)
    assert (rate.rate, rate.ceiling, rate.n) == (0.75, 0.9, 4)
    assert rate.error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)
    assert rate.parts == {"count": 0.75}


def test_the_settings_reach_the_pictures() -> None:
    settings = ScoreSettings(n=1, category="single")
    one, two = (
        next(event for event in score(settings, Sampling(**QUICK, seed=seed), Engine())) for seed in (0, 1)
    )
    assert isinstance(one, Marked)
    assert isinstance(two, Marked)
    assert one.exam == two.exam
    assert (one.picture != two.picture).any()


def test_the_command_line_gives_every_category(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--n", "1", "--steps", "1", "--cfg", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(result["scores"]) == list(CATEGORIES)
    rates = [result["scores"][name]["rate"] for name in GENEVAL]
    assert result["overall"] == pytest.approx(sum(rates) / len(rates))
    assert result["n"] == 1
    assert result["settings"]["steps"] == 1


def test_an_unknown_category_is_refused_before_any_work() -> None:
    with pytest.raises(Refusal, match="unknown category 'zebras'; choose one of single"):
        next(score(ScoreSettings(category="zebras"), Sampling(), Engine()))
