"""An extrapolation comes back: dropped on the page, chosen in the history, verified."""

from collections.abc import Iterator, Mapping
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.events import Event
from sd3demo.errors import Refusal
from sd3demo.history import RunStore, receipts_of, to_png
from sd3demo.history.index import HistoryIndex
from sd3demo.settings import parse
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.ui import Core
from sd3demo.ui.controls.deep_links import Link, read, split
from sd3demo.ui.extrapolate import reopen as extrapolate_again
from sd3demo.ui.extrapolate.form import NAMES, ExtrapolationForm, opening, requested
from sd3demo.ui.generate.handlers import VIEWS, GenerateHandlers
from sd3demo.ui.history.handlers import HistoryHandlers, HistoryPlace
from sd3demo.ui.run.visit import Visit
from sd3demo.ui.verify.tab import answer
from tests.ui.fake_page import finished

SETTINGS = (
    {},
    {"scale": 4},
    {"scale": 3, "cascade": "2,3"},
    {"scale": None, "width": 96, "height": 160},
    {"method": "direct", "positions": "extend", "text_copies": 1},
    {"method": "sdedit"},
    {"start": 0.7, "low_pass": "radial", "cutoff": 0.25},
    {"half_patch": True, "reshift": 1, "steps": 7, "large_steps": 3, "tail": 2, "attention": "log"},
)
SPEC = find("tiny")


def planned(settings: Mapping[str, object]) -> Plan:
    values = {"prompt": "a red <circle>", "model": "tiny", "seed": 7, "scale": 2, "steps": 4}
    return plan(parse(Extrapolation, values | settings), SPEC, Budget())


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Core:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))

    def run(made: Plan) -> Iterator[Event]:
        yield finished(made)

    return Core(("tiny",), run, RunStore(tmp_path / "runs"))  # type: ignore[arg-type]


def of_link(link: str) -> object:
    """What the Extrapolate tab would run after a link was opened."""
    tab, given = split(link)
    values, faults = read(
        Link(
            tab,
            ExtrapolationForm,
            dict.fromkeys(NAMES),
            lambda _: opening(SPEC) | {"prompt": "other"},
            list,
            {},
            {"prompt": "-"},
        ),
        given,
    )
    assert (tab, faults) == ("extrapolate", [])
    return plan(list(requested(values).values())[-1], SPEC, Budget()).request


def kept(tmp_path: Path, made: Plan) -> Path:
    done = finished(made)
    path = tmp_path / "large.png"
    path.write_bytes(to_png(done.pictures[0], receipts_of(made.request, done)[0]))
    return path


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_its_link_asks_for_the_same_extrapolation(settings: dict, core: Core) -> None:
    request = planned(settings).request
    assert of_link(extrapolate_again.link(request, core)) == request


@pytest.mark.parametrize("settings", [{"negative": "dark"}, {"t5": "zeros"}, {"schedule": "linear"}], ids=str)
def test_what_the_tab_has_no_control_for_is_named(settings: dict, core: Core) -> None:
    with pytest.raises(Refusal, match=r"no control for its (Negative prompt|T5|Schedule)"):
        extrapolate_again.link(planned(settings).request, core)


def test_a_dropped_one_leads_to_its_own_tab(core: Core, tmp_path: Path) -> None:
    """Generate would make another picture from the settings that it knows of."""
    made = planned({})
    generate = GenerateHandlers(core)
    status, _, *updates = generate.receipt(str(kept(tmp_path, made)), Visit())
    assert updates[VIEWS:] == [gr.skip()] * len(generate.names)
    link = str(status).split('href="')[1].split('"')[0]
    assert of_link(unescape(link)) == made.request


@pytest.mark.parametrize("settings", [{}, {"negative": "dark"}], ids=str)
def test_one_of_the_history_can_be_opened(settings: dict, core: Core) -> None:
    assert core.history is not None
    made = planned(settings)
    run = core.history.save(made.request, finished(made))
    handlers = HistoryHandlers(core, HistoryIndex(core.history))
    _, _, _, told, _, status, _ = handlers.choose(HistoryPlace(), SimpleNamespace(run=run.id))  # type: ignore[arg-type]
    assert status == ""
    assert "128 × 128 px" in str(told)
    assert f"#/verify?run={run.id}/0" in str(told)
    assert ("Use these settings" in str(told)) == (settings == {})
    assert ("no control for its Negative prompt" in str(told)) == (settings != {})


def test_one_is_verified_by_an_extrapolation(core: Core, tmp_path: Path) -> None:
    *_, (_, last) = answer(core, str(kept(tmp_path, planned({}))), "")
    assert "not one byte differs" in str(last[2])


def test_one_from_a_picture_of_ones_own_is_not_verified_without_it(core: Core, tmp_path: Path) -> None:
    made = planned({})
    request = made.request.model_copy(update={"own_picture": "a" * 64})
    done = finished(made)
    path = tmp_path / "large.png"
    path.write_bytes(to_png(done.pictures[0], receipts_of(request, done)[0]))
    with pytest.raises(Refusal, match="picture of somebody"):
        list(answer(core, str(path), ""))
