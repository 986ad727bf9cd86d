"""A field that the settings gain has its control, its place in links and its way to the run, by itself."""

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from pydantic import Field

from sd3demo.engine import Plan
from sd3demo.engine.events import Event
from sd3demo.engine.plan import resolve
from sd3demo.settings import Request, Resolved
from sd3demo.ui import Core
from sd3demo.ui.controls import deep_links
from sd3demo.ui.generate.handlers import GenerateHandlers
from sd3demo.ui.generate.tab import generate
from tests.ui.fake_page import events
from tests.ui.generate.presses import pressed


class GrownRequest(Request):
    """Settings of a release to come."""

    sharpness: float = Field(0.5, ge=0, le=1, description="One field more.")


class GrownResolved(Resolved):
    """The same of which nothing is left open."""

    sharpness: float = 0.5


@pytest.fixture(autouse=True)
def resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "Resolved", GrownResolved)


@pytest.fixture
def asked() -> list[Plan]:
    return []


@pytest.fixture
def core(asked: list[Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Core:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))

    def run(plan: Plan) -> Iterator[Event]:
        asked.append(plan)
        yield from events(plan)

    return Core(("tiny",), run)


@pytest.fixture
def page(core: Core) -> gr.Blocks:
    with gr.Blocks() as page:
        with gr.Tabs() as tabs, gr.Tab("Generate", id="generate"):
            generate(core, GrownRequest)
        deep_links.connect(page, tabs)
    return page


def test_it_has_a_control_with_its_own_words(page: gr.Blocks) -> None:
    (control,) = [block for block in page.blocks.values() if block.elem_id == "set-sharpness"]
    assert isinstance(control, gr.Slider)
    assert (control.label, control.info, control.value) == ("Sharpness", "One field more.", 0.5)


def test_it_has_its_place_in_links(page: gr.Blocks) -> None:
    (link,) = deep_links._LINKS[page]
    values = dict(link.start({})) | {"prompt": "a red circle", "sharpness": 0.75}
    fragment = deep_links.written("generate", values, link.start)
    assert fragment == "#/generate?prompt=a+red+circle&sharpness=0.75"
    held, faults = deep_links.read(link, deep_links.split(fragment)[1])
    assert (held["sharpness"], faults) == (0.75, [])
    assert "Sharpness is 7" in deep_links.read(link, {"sharpness": "7"})[1][0]


def test_it_reaches_the_run(core: Core, asked: list[Plan]) -> None:
    answers = GenerateHandlers(core, GrownRequest)
    values = dict(answers.start({})) | {"prompt": "a red circle", "steps": 2, "sharpness": 0.75}
    *_, (status, _) = pressed(answers, [values[name] for name in answers.names])
    assert status.phase == "finished"
    (plan,) = asked
    assert (plan.request.prompt, plan.request.sharpness) == ("a red circle", 0.75)
