"""The flow lab: what it streams, and what it says."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from gradio.components.plot import PlotData

from sd3demo.errors import Refusal
from sd3demo.flow.path.lengths import PathLength
from sd3demo.ui.flow_lab import tab as plane
from sd3demo.ui.flow_lab import training as course
from sd3demo.ui.flow_lab.training import Course, Trained

FIELDS = {name: field.default for name, field in Course.model_fields.items()}


def taught(
    data: str = "moons", sheet: plane.Sheet | None = None, **changed: object
) -> Iterator[list[object]]:
    return plane.train(data, sheet, *(FIELDS | {"steps": 100} | changed).values())


def test_a_training_is_streamed_and_ends_with_every_plot_and_the_flow() -> None:
    *before, last = list(taught("normal"))
    assert before
    assert "Step 50 of 100" in str(before[0][0])
    status, figures, kept, charts, *plots = last
    assert "100 steps of training done" in str(status)
    assert isinstance(kept, Trained)
    assert set(charts) == set(plane.PLOTS)
    assert all(isinstance(plot, PlotData) for plot in plots)
    assert {"Path", "Chord", "Straight", "Optimum"} == set(re.findall(r"<dt>(\w+)</dt>", str(figures)))


def test_reflow_goes_on_from_the_flow_before_and_counts() -> None:
    kept = list(taught())[-1][2]
    assert isinstance(kept, Trained)
    weights = [weight.clone() for weight in kept.flow.parameters()]
    *_, last = list(plane.reflow(kept))
    assert "after one round of reflow" in str(last[1])
    assert isinstance(last[2], Trained)
    assert last[2].rounds == 1
    assert all(torch.equal(a, b) for a, b in zip(weights, kept.flow.parameters(), strict=True))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda: plane.reflow(None), "No flow is trained yet; press Train first"),
        (lambda: taught(shift=0), r"Shift α is 0; it must lie in \[0.1, 100\]"),
        (lambda: taught(steps=0), r"Steps of training is 0; it must lie in \[100, 5000\]"),
        (lambda: taught("cats"), "Unknown data &#x27;cats&#x27;; choose one of moons"),
        (lambda: taught("drawn"), "The sheet is empty; draw something on it"),
        (lambda: taught("drawn", {"composite": np.full((9, 9, 4), 255, np.uint8)}), "The sheet is empty"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(answer, sentence: str) -> None:
    ((status, *others),) = list(answer())
    assert re.search(sentence, str(status))
    assert not any(isinstance(other, PlotData) for other in others)


def test_ink_is_what_differs_from_the_ground() -> None:
    sheet = np.zeros((6, 6, 4), np.uint8)
    sheet[2, 3] = (0, 0, 0, 255)
    found = plane.ink({"composite": sheet})
    assert found is not None
    assert np.argwhere(found > 0).tolist() == [[2, 3]]


def test_the_optimum_stands_beside_the_paths_only_where_it_is_known() -> None:
    paths = PathLength(torch.tensor([2.0]), torch.tensor([1.0]))
    noise = torch.zeros(1, 2)
    known = Trained(None, Course(), "normal", course.chosen("normal", None))
    assert f"{course.optimum(noise):.3f}" in course.told(known, paths, noise)
    assert "Optimum" not in course.told(Trained(None, Course(), "moons", known.points), paths, noise)
    assert course.optimum(noise) == pytest.approx(float(torch.tensor([1.0, -0.5]).norm()))


def test_the_page_can_say_where_a_training_was_stopped() -> None:
    assert "Stopped after 350 steps" in str(plane.stopped("<p>Step 350 of 1500</p>"))
    assert not isinstance(plane.stopped("done"), str)


def test_a_refusal_names_the_data_that_exist() -> None:
    with pytest.raises(Refusal, match="choose one of moons, rings, checkerboard, normal, drawn"):
        course.chosen("cats", None)
