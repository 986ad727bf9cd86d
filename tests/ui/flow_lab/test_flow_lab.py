"""The flow lab: what it streams, and what it says."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from gradio.components.plot import PlotData

from sd3demo.errors import Refusal
from sd3demo.flow.path.lengths import PathLength
from sd3demo.ui.controls.labels import titles
from sd3demo.ui.flow_lab import tab as plane
from sd3demo.ui.flow_lab import training
from sd3demo.ui.flow_lab.training import FlowSettings, TrainedFlow
from sd3demo.ui.run.errors import sentence as sentence_of
from sd3demo.ui.run.run_status import RunStatus

FIELDS = {name: field.default for name, field in FlowSettings.model_fields.items()}


def taught(
    data: str = "moons", sketch: plane.SketchValue | None = None, **changed: object
) -> Iterator[tuple[RunStatus, list[object]]]:
    return plane.train(data, sketch, *(FIELDS | {"steps": 100} | changed).values())


def test_a_training_is_streamed_and_ends_with_every_plot_and_the_flow() -> None:
    *before, (status, last) = list(taught("normal"))
    assert before
    assert (before[0][0].step, before[0][0].count) == (50, 100)
    figures, kept, charts, *plots = last
    assert status.phase == "finished"
    assert isinstance(kept, TrainedFlow)
    assert set(charts) == set(plane.PLOTS)
    assert all(isinstance(plot, PlotData) for plot in plots)
    assert {"Path", "Chord", "Straight", "Optimum"} == set(re.findall(r"<dt>(\w+)</dt>", str(figures)))


def test_reflow_goes_on_from_the_flow_before_and_counts() -> None:
    *_, (_, (_, kept, *_)) = taught()
    assert isinstance(kept, TrainedFlow)
    weights = [weight.clone() for weight in kept.network.parameters()]
    *_, (_, (figures, flow, *_)) = plane.reflow(kept)
    assert "after one round of reflow" in str(figures)
    assert isinstance(flow, TrainedFlow)
    assert flow.rounds == 1
    assert all(torch.equal(a, b) for a, b in zip(weights, kept.network.parameters(), strict=True))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda: plane.reflow(None), "No flow is trained yet; press Train first"),
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
    paths = PathLength(torch.tensor([2.0]), torch.tensor([1.0]))
    noise = torch.zeros(1, 2)
    known = TrainedFlow(None, FlowSettings(), "normal", training.points_of("normal", None))
    assert f"{training.optimum(noise):.3f}" in training.lengths_html(known, paths, noise)
    assert "Optimum" not in training.lengths_html(
        TrainedFlow(None, FlowSettings(), "moons", known.points), paths, noise
    )
    assert training.optimum(noise) == pytest.approx(float(torch.tensor([1.0, -0.5]).norm()))


def test_the_page_can_say_where_a_training_was_stopped() -> None:
    assert plane.ended(RunStatus("running", step=350, count=1500)) == [
        "Stopped after 350 steps. The previous flow is kept."
    ]


def test_a_refusal_names_the_data_that_exist() -> None:
    with pytest.raises(Refusal, match="choose one of moons, clusters, rings, checkerboard, normal, drawn"):
        training.points_of("cats", None)
