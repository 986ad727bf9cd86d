"""The buttons below the plots: each has its two, one event answers for many, and a wrong name is told."""

from collections import Counter

import gradio as gr
import numpy as np
import pytest

from sd3demo.plots.chart import Axis, Chart, Curve, csv
from sd3demo.ui import build, core
from sd3demo.ui.run.plots import frame, savable


def chart(name: str, shift: float) -> Chart:
    curve = Curve(name, np.array([0.0, 1.0]), np.array([shift, 2 * shift]), "black")
    return Chart(name, name, "", Axis("x"), Axis("y"), (curve,))


@pytest.fixture
def page() -> gr.Blocks:
    with gr.Blocks() as page:
        shift = gr.Number(3)
        savable([frame(name) for name in ("first", "second")], chart, [shift])
    return page


def test_one_event_writes_the_numbers_of_whichever_plot_is_named(page: gr.Blocks) -> None:
    (write,) = [fn.fn for fn in page.fns.values() if fn.fn]
    for name in ("first", "second"):
        assert write(name, 3.0) == f"{name}\n{csv(chart(name, 3.0))}"


@pytest.mark.parametrize("name", ["third", "", None])
def test_a_name_that_is_no_plot_of_the_group_is_a_sentence(page: gr.Blocks, name: object) -> None:
    (write,) = [fn.fn for fn in page.fns.values() if fn.fn]
    with pytest.raises(gr.Error, match="has no numbers here; choose one of first, second"):
        write(name, 3.0)


def test_every_plot_of_the_page_is_a_frame_that_gets_buttons_and_one_group_answers_them() -> None:
    blocks = build(core()).blocks.values()
    plots = {one.elem_id.removeprefix("plot-") for one in blocks if isinstance(one, gr.Plot)}
    frames = {one.elem_id.removeprefix("plot-") for one in blocks if "frame" in (one.elem_classes or ())}
    asked = [one for one in blocks if isinstance(one, gr.Button) and one.elem_classes]
    groups = Counter(name.removeprefix("numbers-") for one in asked for name in one.elem_classes)
    assert len(plots) >= 10
    assert frames == plots
    assert groups == Counter(plots)
