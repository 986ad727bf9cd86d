"""The flow lab: what it streams, and what it says."""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from gradio import FileData
from gradio.components.image_editor import EditorData
from gradio.components.plot import PlotData
from PIL import Image

from sd3demo.errors import Failure, Refusal
from sd3demo.settings import parse
from sd3demo.training.toy_data import POINTS
from sd3demo.ui import Core
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.flow_lab import particles as particles_of_lab
from sd3demo.ui.flow_lab import tab as plane
from sd3demo.ui.flow_lab import training as training_of_lab
from sd3demo.ui.flow_lab.training import FlowFigures, FlowSettings, TrainedFlow
from sd3demo.ui.run.errors import sentence as sentence_of
from sd3demo.ui.run.events import RunStopped
from sd3demo.ui.run.run_status import RunStatus
from sd3demo.ui.server.gradio_internals import Call, bound_sketch
from sd3demo.ui.server.limits import Limits
from sd3demo.ui.server.line import Line
from tests.ui.fake_page import Rehearsal

CORE = Core(("tiny",), Rehearsal().run)
FIELDS = {name: field.default for name, field in FlowSettings.model_fields.items()}


def taught(
    data: str = "moons", sketch: plane.SketchValue | None = None, **changed: object
) -> Iterator[tuple[RunStatus, list[object]]]:
    return plane.train(CORE, data, sketch, *(FIELDS | {"steps": 100} | changed).values())


def test_a_training_is_streamed_and_ends_with_every_plot_and_the_flow() -> None:
    *before, (status, last) = list(taught("normal"))
    assert before
    assert (before[0][0].step, before[0][0].count) == (50, 100)
    assert "data-live" in str(before[0][1][3])
    figures, kept, charts, particles, *plots = last
    assert status.phase == "finished"
    assert isinstance(kept, TrainedFlow)
    assert set(charts) == set(plane.SAVED)
    assert all(isinstance(plot, PlotData) for plot in plots)
    assert {"Path", "Off the data", "Straight", "Optimum"} == set(
        re.findall(r"<dt>([^<]+)</dt>", str(figures))
    )
    assert "data-live" not in str(particles)
    assert str(particles).count("<canvas") == 1
    assert training_of_lab.NO_REFLOW in str(particles)


def test_reflow_goes_on_from_the_flow_before_and_counts() -> None:
    *_, (_, (_, kept, *_)) = taught()
    assert isinstance(kept, TrainedFlow)
    weights = [weight.clone() for weight in kept.network.parameters()]
    *_, (_, (figures, flow, _, particles, *_)) = plane.reflow(CORE, "moons", kept)
    assert "after one round of reflow" in str(figures)
    assert isinstance(flow, TrainedFlow)
    assert flow.rounds == 1
    assert flow.before is kept.network
    assert re.findall(r"<b>([^<]+)</b>", str(particles)) == ["Before reflow", "After reflow"]
    assert all(torch.equal(a, b) for a, b in zip(weights, kept.network.parameters(), strict=True))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda: plane.reflow(CORE, "drawn", None), "No flow is trained yet; press Train first"),
        (lambda: taught(shift=0), r"Shift α is 0; it must lie in \[0.1, 100\]"),
        (lambda: taught(steps=0), r"Training steps is 0; it must lie in \[100, 5000\]"),
        (lambda: taught("cats"), "Unknown data 'cats'; choose one of moons"),
        (lambda: taught("drawn"), "The sheet is empty; draw something on it"),
        (lambda: taught("drawn", {"composite": np.full((9, 9, 4), 255, np.uint8)}), "The sheet is empty"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(answer, sentence: str) -> None:
    with pytest.raises(Refusal) as error:
        list(answer())
    said = sentence_of(error.value, titles(FlowSettings))
    assert re.match(sentence, said[:1].upper() + said[1:])


def test_ink_is_what_differs_from_the_ground() -> None:
    sheet = np.zeros((6, 6, 4), np.uint8)
    sheet[2, 3] = (0, 0, 0, 255)
    found = plane.ink({"composite": sheet})
    assert found is not None
    assert np.argwhere(found > 0).tolist() == [[2, 3]]


def test_the_optimum_stands_beside_the_paths_only_where_it_is_known() -> None:
    figures = FlowFigures(2.0, 1.0, 0.5, 0.25)
    known = TrainedFlow(None, FlowSettings(), "normal", training_of_lab.points_of("normal", None))
    html = training_of_lab.figures_html(known, figures, None)
    assert f"{training_of_lab.optimum():.2f}" in html
    assert "<dd>25%" in html
    moons = TrainedFlow(None, FlowSettings(), "moons", known.points)
    assert "Optimum" not in training_of_lab.figures_html(moons, figures, None)
    assert "before 0.500" in training_of_lab.figures_html(moons, figures, figures)


def test_the_page_can_say_where_a_training_was_stopped_and_shows_the_flow_before_it() -> None:
    text, _, _, particles, *plots = plane.ended(RunStatus("running", step=350, count=1500), "moons", None)
    assert text == "Stopped after 350 steps. The previous flow is kept."
    assert str(particles).count("<canvas") == 2
    assert all(isinstance(plot, PlotData) for plot in plots)
    text, _, _, particles, *plots = plane.ended(RunStatus("running", step=350, count=1500), "drawn", None)
    assert text == "Stopped after 350 steps."
    assert "Draw the data" in str(particles)
    assert plots == [None, None]


@pytest.mark.parametrize("data", POINTS)
def test_the_tab_opens_on_a_flow_that_ships_for_all_named_data(data: str) -> None:
    flow = training_of_lab.flow_of(data, None)
    assert flow is not None
    assert flow.settings == FlowSettings()
    assert (flow.rounds, flow.data) == (1, data)
    before, after = (training_of_lab.figures_of(flow, network) for network in (flow.before, flow.network))
    assert after.straightness > max(0.95, before.straightness)
    _, charts, particles, *plots = plane.view_of(data, None)
    assert set(charts) == set(plane.SAVED)
    assert particles.count("<canvas") == 2
    assert all(isinstance(plot, PlotData) for plot in plots)


def test_the_default_separates_the_moons() -> None:
    """Of the samples of 50 steps few lie in the gap; of points of the data themselves 1% lie as far off."""
    flow = training_of_lab.flow_of("moons", None)
    assert flow is not None
    assert training_of_lab.figures_of(flow, flow.before).off < 0.10


def test_a_visitors_own_flow_stands_in_place_of_the_one_that_ships_for_its_own_data_alone() -> None:
    own = TrainedFlow(None, FlowSettings(), "moons", training_of_lab.points_of("moons", None))
    assert training_of_lab.flow_of("moons", own) is own
    assert training_of_lab.flow_of("rings", own).data == "rings"
    assert training_of_lab.flow_of("drawn", own) is None


def test_drawn_data_never_keep_what_other_data_showed() -> None:
    status, figures, charts, particles, *plots = plane.chosen("drawn", None)
    assert (status, figures, charts, plots) == ("", "", {}, [None, None])
    assert "Draw the data on the sheet" in particles
    ink = np.zeros((64, 64))
    ink[0, :8] = 1.0  # a corner, far from the moons
    *_, view = training_of_lab.train_flow(
        FlowSettings(steps=100), "drawn", training_of_lab.points_of("drawn", ink)
    )
    shown = json.loads(unescape(re.search(r'data-told="([^"]+)"', view.particles)[1]))
    points = (
        np.frombuffer(b64decode(shown["data"]), "<i2").reshape(-1, 2) / particles_of_lab.WHOLE * shown["edge"]
    )
    assert points[:, 0].max() < -1.2
    assert points[:, 1].min() > 1.2


def test_a_refusal_names_the_data_that_exist() -> None:
    with pytest.raises(Refusal, match="choose one of moons, clusters, rings, checkerboard, normal, drawn"):
        training_of_lab.points_of("cats", None)


def limited(**limits: object) -> Core:
    return Core(("tiny",), Rehearsal().run, line=Line(parse(Limits, limits)))


def training(core: Core, steps: int) -> list[tuple[RunStatus, list[object]]]:
    return list(plane.train(core, "moons", None, *(FIELDS | {"steps": steps}).values()))


def test_where_labs_are_off_nothing_is_trained() -> None:
    with pytest.raises(Refusal, match="training is off on this page"):
        training(limited(labs=False), 100)


def test_a_training_ends_after_the_seconds_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_of_lab, "PAUSE", 0.0)
    core = limited(run_seconds=0.1)
    with pytest.raises(Failure, match=r"stopped after \d+ s; a run has 0\.1 s here: try fewer steps"):
        training(core, 5000)
    assert core.line.count == 0


def test_a_training_that_nobody_waits_for_ends_soon_and_frees_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training_of_lab, "PAUSE", 0.0)
    asked = [0]

    def wanted() -> bool:
        asked[0] += 1
        return asked[0] < 5

    monkeypatch.setattr("sd3demo.ui.run.turns.current_call", lambda **_: Call("me", wanted))
    core = limited()
    with pytest.raises(RunStopped):
        training(core, 5000)
    assert asked[0] == 5
    assert core.line.count == 0


def test_a_drawing_is_bounded_before_it_is_decoded(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    Image.new("1", (8192, 8192)).save(file)
    sheet = gr.Sketchpad(type="numpy", image_mode="RGBA")
    bound_sketch(sheet)
    large = FileData(path=str(file))
    with pytest.raises(gr.Error, match=r"large\.png is 8192 x 8192, 67 megapixels, and at most 1"):
        sheet.preprocess(EditorData(background=None, layers=[], composite=large))
    small = tmp_path / "small.png"
    Image.new("RGBA", (8, 8), "red").save(small)
    fine = FileData(path=str(small))
    value = sheet.preprocess(EditorData(background=None, layers=[fine] * 50, composite=fine))
    assert len(value["layers"]) == 1
    assert value["composite"].shape == (8, 8, 4)
