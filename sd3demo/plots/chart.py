"""A chart as data: what is drawn, and the same numbers as a table.

Everything is drawn here, so every plot has its title, the equation that it shows, its units, and colours that
can be read on white, on black and on a phone.
"""

import base64
import csv as tables
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np
import plotly.graph_objects as go
import plotly.io
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Kind = Literal["line", "dashed", "dotted", "area", "bars", "dots", "points", "levels"]

COLOURS: Mapping[str, str] = {
    "grey": "#8a8379",
    "green": "#1d957d",
    "orange": "#d9742b",
    "violet": "#7d70d6",
    "blue": "#3a86c8",
    "pink": "#c9507f",
    "olive": "#a08a1c",
    "brown": "#9a6247",
}
"""Middle tones, which stand out on white as on black."""

TEXT = "#7a746b"  # of a downloaded picture; the page's own style sheet sets the text that it shows
RULE = "rgba(138, 131, 121, 0.25)"
MANY = 4  # names on an axis, of which more are written aslant
LETTER = 6.2  # pixels of a letter in a legend, so that a phone has two short names side by side
ABREAST = 90  # pixels of a name of which a phone has two side by side
HEIGHT = 372  # pixels, and more for a long legend; the width is that of the page


@dataclass(frozen=True)
class Axis:
    """What is along an axis, with its sign or unit; `shown` are its ends, those of the data by default.

    `names` stand at 0, 1, 2, ... on an axis that has no numbers; `ticks` are the only numbers to be shown.
    """

    title: str
    shown: tuple[float, float] | None = None
    log: bool = False
    names: tuple[str, ...] = ()
    ticks: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Curve:
    """One series of numbers; a value that is not finite is a gap.

    `listed` is whether the legend names it; `error` is how far a value may lie off, to both sides.
    """

    name: str
    x: Numbers  # (n,)
    y: Numbers  # (n,)
    colour: str
    kind: Kind = "line"
    strong: bool = False
    listed: bool = True
    error: Numbers | None = None  # (n,)


@dataclass(frozen=True, eq=False)
class Chart:
    """A plot: `name` is that of its files, `source` the paper's section or equation."""

    name: str
    title: str
    source: str
    x: Axis
    y: Axis
    curves: tuple[Curve, ...]
    square: bool = False
    """Whether a unit is as long on both axes."""


def figure(chart: Chart) -> go.Figure:
    """The chart drawn, checked by plotly."""
    return go.Figure(_drawing(chart)).update_layout(template="none")


def figure_json(chart: Chart) -> str:
    """The same for a browser, unchecked: plotly checks for 5 ms a figure, longer than all else takes."""
    return str(plotly.io.to_json(_drawing(chart), validate=False))


def page(charts: Sequence[Chart], caption: str) -> str:
    """A web page of the charts that needs nothing beside itself, plotly's own program included."""
    drawn = [
        plotly.io.to_html(figure(chart), include_plotlyjs=index == 0, full_html=False)
        for index, chart in enumerate(charts)
    ]
    title = escape(charts[0].title if charts else caption)
    body = "\n".join([*drawn, f"<p>{escape(caption)}</p>"])
    style = "body { font-family: system-ui, sans-serif; max-width: 60rem; margin: 1rem auto; color: #5b564f }"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style><body>{body}</body></html>"
    )


def csv(chart: Chart) -> str:
    """The chart's numbers, a row for each point: curve, x, y under the titles of the axes, and errors."""
    file = io.StringIO()
    rows = tables.writer(file, lineterminator="\n")
    with_errors = any(curve.error is not None for curve in chart.curves)
    rows.writerow(["curve", chart.x.title, chart.y.title, *(["error"] if with_errors else [])])
    for curve in chart.curves:
        errors = np.full_like(curve.y, np.nan) if curve.error is None else curve.error
        for x, y, error in zip(curve.x, curve.y, errors, strict=True):
            where = chart.x.names[int(x)] if chart.x.names else f"{x:.8g}"
            rows.writerow([curve.name, where, _written(y), *([_written(error)] if with_errors else [])])
    return file.getvalue()


def _written(value: float) -> str:
    return f"{value:.8g}" if np.isfinite(value) else ""


def _drawing(chart: Chart) -> dict[str, object]:
    return {"data": [_trace(curve) for curve in chart.curves], "layout": _layout(chart)}


def _packed(values: Numbers) -> dict[str, str]:
    """Numbers as plotly takes them fastest; one that is not finite is a gap."""
    finite = np.where(np.isfinite(values), values, np.nan).astype("<f4")
    return {"dtype": "f4", "bdata": base64.b64encode(finite.tobytes()).decode()}


def _trace(curve: Curve) -> dict[str, object]:
    colour = COLOURS[curve.colour]
    x, y = _packed(curve.x), _packed(curve.y)
    trace: dict[str, object] = {"name": curve.name, "x": x, "y": y, "showlegend": curve.listed}
    if curve.error is not None:
        array = [float(error) if np.isfinite(error) else None for error in curve.error]
        bars = {"type": "data", "array": array, "thickness": 1.2, "width": 3}
        trace["error_y"] = bars | {"color": TEXT if curve.kind == "bars" else colour}
    if curve.kind == "bars":
        return trace | {"type": "bar", "marker": {"color": colour}}
    trace |= {"type": "scatter", "mode": "lines"}
    width = 3.2 if curve.strong else 1.8
    match curve.kind:
        case "area":
            line = {"color": colour, "width": 0, "shape": "hvh"}
            return trace | {"line": line, "fill": "tozeroy", "opacity": 0.5}
        case "dots":
            dots = {"color": colour, "size": 6 if curve.strong else 4}
            line = {"color": colour, "width": 2.4 if curve.strong else 1}
            return trace | {"mode": "lines+markers", "marker": dots, "line": line}
        case "points":
            return trace | {"mode": "markers", "marker": {"color": colour, "size": 3, "opacity": 0.6}}
        case "levels":
            stroke = {"symbol": "line-ew-open", "size": 22, "color": colour, "line": {"width": 2}}
            return trace | {"mode": "markers", "marker": stroke}
        case "dashed" | "dotted":
            dash = "dash" if curve.kind == "dashed" else "dot"
            return trace | {"line": {"color": colour, "width": width, "dash": dash}}
        case _:
            return trace | {"line": {"color": colour, "width": width}}


def _layout(chart: Chart) -> dict[str, object]:
    listed = [curve.name for curve in chart.curves if curve.listed]
    return {
        "title": {
            "text": f"<b>{chart.title}</b>",
            "subtitle": {"text": chart.source, "font": {"size": 12}},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
            "pad": {"t": 12},
            "font": {"size": 15},
        },
        "xaxis": _axis(chart.x),
        "yaxis": _axis(chart.y) | {"title": {"text": ""}} | ({"scaleanchor": "x"} if chart.square else {}),
        "annotations": [_upright(chart.y.title)],
        "legend": {
            "orientation": "h",
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "font": {"size": 11},
            "entrywidth": _width(listed),
        },
        "showlegend": True,
        "hovermode": "closest",
        "height": HEIGHT + (50 if chart.x.names else 0) + _rows(listed),
        "margin": {"l": 36, "r": 12, "t": 92, "b": 44},
        "font": {"color": TEXT, "size": 12, "family": "system-ui, sans-serif"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": TEXT, "activecolor": COLOURS["green"]},
        "bargap": 0.15,
        "uirevision": chart.name,  # a zoom survives the next move of a slider
    }


def _width(names: Sequence[str]) -> float:
    """Pixels of a place in the legend: those of its longest name."""
    return LETTER * max(map(len, names), default=1)


def _rows(names: Sequence[str]) -> int:
    """Pixels that a long legend adds, so that a phone has as high a plot above it."""
    if _width(names) > ABREAST:
        return 19 * max(len(names) - 3, 0)
    return 11 * max(len(names) - 4, 0)


def _upright(title: str) -> dict[str, object]:
    """What is along the upright axis, above it: written along it, it meets the heading on a low chart."""
    where = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "bottom"}
    return where | {"text": title, "showarrow": False, "yshift": 10, "xshift": -28}


def _axis(axis: Axis) -> dict[str, object]:
    drawn: dict[str, object] = {
        "title": {"text": axis.title, "standoff": 6, "font": {"size": 12}},
        "gridcolor": RULE,
        "linecolor": RULE,
        "zeroline": False,
        "automargin": True,
    }
    if axis.shown:
        ends = np.log10(axis.shown) if axis.log else axis.shown
        drawn["range"] = [float(end) for end in ends]
    if axis.names:
        drawn |= {"tickvals": list(range(len(axis.names))), "ticktext": list(axis.names)}
        drawn |= {"tickangle": -35 if len(axis.names) > MANY else 0, "showgrid": False}
    if axis.ticks:
        drawn |= {"tickvals": list(axis.ticks)}
    if axis.log:
        drawn |= {"type": "log", "exponentformat": "power", "dtick": 1}
    return drawn
