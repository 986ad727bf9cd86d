"""A trace's charts show its own numbers: those of the steps, the angles, and the branches."""

import subprocess
import sys

import numpy as np
import pytest

from sd3demo.engine.record.traces import Trace
from sd3demo.plots import trajectories
from sd3demo.plots.chart import Chart, Curve
from tests.history.fake_trace import a_trace

TRACES = [a_trace(), a_trace(steps=1), a_trace(steps=30, seed=2, bend=0)]
every_trace = pytest.mark.parametrize("trace", TRACES, ids=lambda trace: f"{trace.steps}-steps")


def curve(chart: Chart, name: str) -> Curve:
    (found,) = [one for one in chart.curves if one.name == name]
    return found


@every_trace
def test_the_bars_add_up_to_the_path_that_is_drawn(trace: Trace) -> None:
    charts = trajectories.charts(trace)
    bars, grown = curve(charts["move-lengths"], "move"), curve(charts["travelled"], "path so far")
    assert bars.y.sum() == pytest.approx(trace.shape.length)
    np.testing.assert_allclose(np.diff(grown.y), bars.y)
    assert grown.y[-1] == pytest.approx(trace.shape.length)
    assert grown.x.tolist() == trace.sigmas.tolist()


@every_trace
def test_the_even_speed_adds_up_to_the_chord(trace: Trace) -> None:
    charts = trajectories.charts(trace)
    assert charts["move-lengths"].curves[1].y.sum() == pytest.approx(trace.shape.chord)
    assert curve(charts["travelled"], "its chord").y.tolist() == pytest.approx([trace.shape.chord] * 2)
    assert curve(charts["travelled"], "√(2D)").y.tolist() == pytest.approx([np.sqrt(80)] * 2)


def test_angles_are_in_degrees_and_at_the_times_of_their_steps() -> None:
    trace = a_trace()
    chart = trajectories.angles(trace)
    turn, off = curve(chart, "turn"), curve(chart, "off the chord")
    np.testing.assert_allclose(np.radians(turn.y), trace.turns[1:], rtol=1e-6)
    assert turn.x.tolist() == trace.sigmas[1:-1].tolist()
    np.testing.assert_allclose(np.radians(off.y), trace.shape.to_chord)
    assert off.x.tolist() == trace.sigmas[:-1].tolist()


def test_the_projection_has_every_state_and_the_chord_between_its_ends() -> None:
    trace = a_trace()
    chart = trajectories.projection(trace)
    path, chord = curve(chart, "path"), curve(chart, "chord")
    assert len(path.x) == trace.steps + 1
    assert (chord.x[0], chord.y[0], chord.x[1], chord.y[1]) == (path.x[0], path.y[0], path.x[-1], path.y[-1])
    first, second = trace.shape.projection().share
    assert f"{100 * first:.1f}%" in chart.x.title
    assert f"{100 * second:.1f}%" in chart.y.title


def test_guidance_shows_the_branches_and_their_angle() -> None:
    trace = a_trace()
    norms, apart = trajectories.guidance_norms(trace), trajectories.guidance_angle(trace)
    for column, one in enumerate(norms.curves):
        np.testing.assert_allclose(one.y, trace.guidance[:, column])
    np.testing.assert_allclose(np.radians(apart.curves[0].y), trace.guidance[:, 3], rtol=1e-6)


def test_where_guidance_is_off_there_is_a_gap() -> None:
    trace = a_trace()
    trace.guidance[4:, [1, 3]] = np.nan
    charts = trajectories.charts(trace)
    assert np.isnan(charts["guidance-norms"].curves[1].y[4:]).all()
    assert np.isnan(charts["guidance-angle"].curves[0].y[4:]).all()
    trace.guidance[:, [1, 3]] = np.nan
    assert trajectories.guidance_angle(trace).y.shown == (0, 1)


@pytest.mark.parametrize("name", trajectories.charts(a_trace()))
def test_the_trace_before_is_drawn_in_grey_and_can_be_left_out(name: str) -> None:
    now, before = a_trace(), a_trace(steps=20, seed=5)
    alone, compared = trajectories.charts(now)[name], trajectories.charts(now, before)[name]
    grey = [one for one in compared.curves if one.name == trajectories.BEFORE]
    assert not any(one.name == trajectories.BEFORE for one in alone.curves)
    if name == "guidance-norms":
        assert grey == []  # three curves are enough
    else:
        assert [one.colour for one in grey] == ["grey"]
        assert len(compared.curves) == len(alone.curves) + 1


def test_no_torch_is_loaded_to_draw_a_trace() -> None:
    code = (
        "import sys; from tests.history.fake_trace import a_trace;"
        "from sd3demo.plots.trajectories import charts;"
        "from sd3demo.plots.chart import figure_json;"
        "from sd3demo.ui.trajectories import attention_view, film, story;"
        "t = a_trace(); [figure_json(c) for c in charts(t, t).values()]; film.film(t);"
        "attention_view.explorer(t);"
        "story.story(t, t); print('torch' in sys.modules, 'plotly' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
