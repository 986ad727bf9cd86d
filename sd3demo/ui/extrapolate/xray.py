"""The X-ray below the pictures: why a method holds together, from what its run recorded."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import gradio as gr

from sd3demo.engine import Plan
from sd3demo.engine.events import Finished, Record
from sd3demo.engine.plan.stages import Stage
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.ui.run.plots import PlotPlace, drawn, frame

if TYPE_CHECKING:
    from sd3demo.plots.chart import Chart
    from sd3demo.plots.xray import Xray

PLOTS = ("norms", "strength", "spectra", "ends")
EMPTY = (
    '<p class="hint">Press Enlarge: four charts appear here, how strong the correction is at each step, '
    "how large, and which frequencies it holds.</p>"
)


@dataclass(frozen=True, eq=False)
class XrayRecord:
    """What one run of the solver recorded, small enough to be kept for a visitor."""

    name: str
    title: str
    record: Record
    times: tuple[float, ...]
    scale: float
    size: tuple[int, int]


@dataclass(frozen=True)
class XrayPanel:
    """The places of the plots and of their sentences, and the choice of a method."""

    which: gr.Radio
    frames: tuple[PlotPlace, ...]
    sentences: tuple[gr.HTML, ...]


def xray_records(plan: Plan, finished: Finished) -> dict[str, XrayRecord]:
    """The X-rays of a run's larger pictures that a network made, the one asked for last."""
    found = {}
    for arm in plan.arms:
        stage = plan.stage(arm.stage)
        result = finished.arms.get(arm.name)
        if result is None or stage.kind != "flow" or arm.name == "native" or "xray" not in result.records:
            continue
        _, rows, columns = plan.spec.latent.shape(stage.width, stage.height)
        found[arm.name] = XrayRecord(
            arm.name,
            METHODS[arm.name].title,
            result.records["xray"],
            result.sigmas,
            _scale(stage, plan),
            (rows, columns),
        )
    return found


def method_choice() -> gr.Radio:
    """Whose X-ray is shown; nobody's before there is a run."""
    return gr.Radio([], label="X-ray of", elem_id="xray-of", visible=False)


def panel(which: gr.Radio) -> XrayPanel:
    """The empty panel; whoever has a run fills it."""
    with gr.Row(elem_classes="views xray"):
        gr.HTML(EMPTY, elem_id="xray-before")
        frames, sentences = [], []
        for name in PLOTS:
            with gr.Column(elem_classes="xray-plot", min_width=260):
                frames.append(frame(f"xray-{name}"))
                sentences.append(gr.HTML(elem_id=f"xray-{name}-says", elem_classes="says"))
    return XrayPanel(which, tuple(frames), tuple(sentences))


def method_update(kept: dict[str, XrayRecord]) -> object:
    """The choice of methods, the one that was asked for chosen."""
    choices = [(one.title, one.name) for one in kept.values()]
    return gr.update(choices=choices, value=choices[-1][1] if choices else None, visible=bool(choices))


def plots_and_sentences(kept: dict[str, XrayRecord], which: str | None) -> list[object]:
    """Each plot, then each sentence."""
    if not kept or which not in kept:
        return [gr.skip() for _ in range(2 * len(PLOTS))]
    found = [chart_of(kept, which, name) for name in PLOTS]
    return [
        *(drawn(chart) for chart, _ in found),
        *(f"<p>{escape(said)}</p>" for _, said in found),
    ]


def csv_chart(name: str, kept: dict[str, XrayRecord], which: str | None) -> Chart:
    """A plot for its CSV."""
    if not kept or which not in kept:
        raise gr.Error("There is no run yet; press Enlarge first.", print_exception=False)
    return chart_of(kept, which, name.removeprefix("xray-"))[0]


def chart_of(kept: dict[str, XrayRecord], which: str, name: str) -> tuple[Chart, str]:
    from sd3demo.plots.xray import XRAYS

    direct = kept.get("direct") if which != "direct" else None
    same = direct is not None and direct.size == kept[which].size
    return XRAYS[name](_xray(kept[which]), _xray(direct) if direct and same else None)


def _xray(one: XrayRecord) -> Xray:
    import numpy as np

    from sd3demo.engine.record.bands import bands
    from sd3demo.plots.xray import Xray

    times = np.array(one.times)
    record = one.record.astype(np.float32)
    return Xray(one.title, bands(record, times), times, one.scale, one.size)


def _scale(stage: Stage, plan: Plan) -> float:
    """How many times larger than the native picture."""
    native = plan.stages[0]
    return ((stage.width * stage.height) / (native.width * native.height)) ** 0.5
