"""The tabs of several studies: built when looked at, opened by links, left alone by their own controls."""

import json

import gradio as gr
import pytest

from sd3demo.ui import Core, build
from sd3demo.ui.controls import deep_links
from sd3demo.ui.controls.deep_links import Link, read, split, written
from sd3demo.ui.controls.lazy_tab import OWN
from sd3demo.ui.studies.tabs import OpenStudies, _follow_link, _kept, _looked_at, packed, unpacked
from tests.ui.fake_page import Rehearsal

NAMES = ("path-length", "few-steps")
SKIP = gr.skip()


@pytest.fixture(scope="module")
def core() -> Core:
    return Core(("tiny",), Rehearsal().run)


@pytest.fixture(scope="module")
def score(core: Core) -> Link:
    (found,) = [link for link in deep_links._LINKS[build(core)] if link.tab == "score"]
    return found


def text(study: str = NAMES[0], **settings: str) -> str:
    return json.dumps({"study": study, **{name.replace("_", "-"): value for name, value in settings.items()}})


def test_a_study_is_built_with_the_first_look_and_only_once() -> None:
    held, state, built = _looked_at(NAMES[1], text(), OpenStudies(NAMES[0]))
    assert json.loads(str(held))["study"] == NAMES[1]
    assert isinstance(state, OpenStudies)
    assert state.chosen == NAMES[1]
    assert str(built).isdigit()
    assert _looked_at(NAMES[1], str(held), state)[2] == SKIP
    assert _looked_at(NAMES[0], text(), OpenStudies(NAMES[0]))[0] == SKIP  # a link may come meanwhile


def test_the_tab_that_is_there_at_first_does_not_overrule_a_link() -> None:
    held, state, _ = _looked_at(NAMES[0], text(NAMES[1]), OpenStudies(NAMES[0]))
    assert held == SKIP
    assert isinstance(state, OpenStudies)
    assert state.chosen == NAMES[0]


def test_a_link_opens_its_tab_and_builds_anew_what_holds_other_settings() -> None:
    state = OpenStudies(NAMES[0], {NAMES[0]: "", NAMES[1]: "n:3"})
    tab, now, first, second = _follow_link(NAMES, text(NAMES[1], few_steps="n:5"), state)
    assert tab.selected == f"study-tab-{NAMES[1]}"  # type: ignore[attr-defined]
    assert now.texts == {NAMES[0]: "", NAMES[1]: "n:5"}  # type: ignore[attr-defined]
    assert first == SKIP
    assert str(second).isdigit()
    unseen = _follow_link(NAMES, text(few_steps="n:5"), OpenStudies(NAMES[0]))
    assert unseen[2:] == [SKIP, SKIP]  # they are built with the link's settings when they are looked at


def test_what_the_controls_of_a_study_write_moves_nothing(core: Core) -> None:
    values, _ = unpacked(core, NAMES[1], "n:5")
    held, state = _kept(core, NAMES[1], text(), OpenStudies(NAMES[0]), *values.values())
    assert json.loads(str(held)) == {"study": NAMES[0], NAMES[1]: "n:5", OWN: True}
    assert isinstance(state, OpenStudies)
    assert _follow_link(NAMES, str(held), OpenStudies(NAMES[0], {NAMES[1]: ""})) == [SKIP] * 4
    assert _kept(core, NAMES[1], text(few_steps="n:5"), state, *values.values()) == [SKIP, SKIP]


def test_the_settings_of_a_study_go_into_a_text_and_back(core: Core) -> None:
    values, faults = unpacked(core, "score", "n:5;categories:colours, single;cfg:2.5")
    assert faults == []
    assert (values["n"], values["categories"], values["cfg"]) == (5, "colours, single", 2.5)
    assert unpacked(core, "score", packed(core, "score", *values.values()))[0] == values
    assert "on the page it must lie in" in unpacked(core, "score", "n:5000")[1][0]


@pytest.mark.parametrize(
    ("fragment", "study", "own"),
    [
        ("#/score?n=5&cfg=2", "score", "n:5;cfg:2"),
        ("#/score?study=t5-off&t5-off=n:5", "t5-off", ""),
        ("#/score?score-steps=n:5", "score-steps", ""),
    ],
)
def test_links_of_the_score_that_were_shared_before_still_open(
    fragment: str, study: str, own: str, score: Link
) -> None:
    values, faults = read(score, split(fragment)[1])
    assert faults == []
    (update,) = score.fill(values)
    held = json.loads(str(update))
    assert (held["study"], held["score"]) == (study, own)
    assert written("score", score.values_of([update]), score.start).count("=") >= fragment.count("&") + 1
