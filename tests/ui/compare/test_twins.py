"""Twins: each changes one setting, keeps the seed, and is left out where it would change nothing."""

import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget
from sd3demo.engine.plan.resolve import resolve
from sd3demo.errors import Refusal
from sd3demo.settings import Request, Resolved, parse
from sd3demo.ui.compare.twins import CHANGES, MODEL, twin_of, twins_html, twins_of
from sd3demo.ui.run.setting_differences import differing_settings

MODELS = ("tiny", "tiny-3", "sd3-medium")


def request(**values: object) -> Resolved:
    asked = {"prompt": "a red circle", "model": "tiny", "seed": 5, "shift": 2.0} | values
    return resolve(parse(Request, asked), find(str(asked["model"])), Budget())


def names(asked: Resolved) -> list[str]:
    return [twin.name for twin in twins_of(asked, MODELS)]


def test_a_plain_picture_has_every_twin() -> None:
    assert names(request()) == ["no-t5", "cfg-1", "steps-4", "shift-1", "shift-3", "heun", MODEL]


@pytest.mark.parametrize("name", CHANGES)
def test_a_twin_changes_one_setting(name: str) -> None:
    asked = request(solver="heun") if name == "euler" else request()
    _, setting, value = CHANGES[name]
    twin = twin_of(asked, MODELS, name)
    assert [each.name for each in differing_settings(asked, twin.request)] == [setting]
    assert getattr(twin.request, setting) == value
    assert twin.request.seed == 5


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"t5": "zeros"}, {"no-t5"}),
        ({"t5": "omit"}, {"no-t5"}),
        ({"cfg": 1}, {"cfg-1"}),
        ({"steps": 4}, {"steps-4"}),
        ({"shift": 3}, {"shift-3"}),
        ({"schedule": "linear"}, {"shift-1", "shift-3"}),
        ({"solver": "heun"}, {"heun"}),
        ({"model": "sd3-medium"}, set()),
    ],
)
def test_a_twin_that_would_change_nothing_is_left_out(values: dict[str, object], missing: set[str]) -> None:
    assert not missing & set(names(request(**values)))


def test_another_model_gets_the_prompt_and_the_seed_and_its_own_settings() -> None:
    twin = twin_of(request(steps=9, negative="a star"), MODELS, MODEL)
    asked = twin.request
    assert (asked.model, asked.prompt, asked.seed, asked.negative) == ("tiny-3", "a red circle", 5, "a star")
    assert (asked.steps, asked.cfg) == (find("tiny-3").defaults.steps, find("tiny-3").defaults.cfg)
    assert twin.changed == "Model tiny → tiny-3"
    assert MODEL not in [
        each.name for each in twins_of(request(), ("tiny", "sd3-medium"))
    ]  # not on this disk


def test_an_unknown_twin_is_refused_with_those_there_are() -> None:
    with pytest.raises(Refusal, match="no twin 'rk9'; it has no-t5, cfg-1"):
        twin_of(request(), MODELS, "rk9")


def test_each_button_says_what_it_changes_and_html_is_text() -> None:
    html = twins_html(request(), "file=<b>.png", MODELS)
    assert 'data-twin="cfg-1"' in html
    assert 'title="CFG scale 4 → 1"' in html
    assert "<b>.png" not in html
