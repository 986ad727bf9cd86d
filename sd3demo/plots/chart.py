"""A chart as data, drawn as a plotly figure or exported as a table.

All drawing is done here, so that every plot has a title, the equation that it shows, units, and colours that
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
"""Mid tones, with enough contrast on white and on black."""

TEXT = "#7a746b"  # of a downloaded picture; on the page its style sheet sets the text colour
RULE = "rgba(138, 131, 121, 0.25)"
UPRIGHT_NAMES = (
    4  # the most names that stand beside each other: more stand below each other, along the y axis
)
NAME_ROW = 30  # pixels of the height that a name along the y axis takes
LETTER = 6.2  # pixels of a letter in a legend, so that a phone shows two short names a row
HALF_ROW = 90  # pixels of the longest name that a phone shows two of in a row
HEIGHT = 372  # pixels, and more for a long legend; the width is that of the page
PLOT_MARGINS = 136  # pixels of the height that are above and below the plot


@dataclass(frozen=True)
class Axis:
    """An axis with its symbol or unit in the title; `shown` is its range, that of the data by default.

    `names` label 0, 1, 2, ... on a categorical axis; `ticks` restricts the numbers that are shown.
    """

    title: str
    shown: tuple[float, float] | None = None
    log: bool = False
    names: tuple[str, ...] = ()
    ticks: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Curve:
    """One series of numbers; a value that is not finite is a gap.

    `listed` is whether the legend names it; `error` is the half length of an error bar.
    """

    name: str
    x: Numbers  # (n,)
    y: Numbers  # (n,)
    colour: str
    kind: Kind = "line"
    strong: bool = False
    listed: bool = True
    error: Numbers | None = None  # (n,)
    opacity: float = 1.0


@dataclass(frozen=True, eq=False)
class Contours:
    """A function on a grid of the plane, drawn as filled levels under the curves."""

    name: str
    x: Numbers  # (m,)
    y: Numbers  # (n,)
    values: Numbers  # (n, m)
    colour: str


@dataclass(frozen=True, eq=False)
class Chart:
    """A plot: `name` is its file name, `source` the paper's section or equation."""

    name: str
    title: str
    source: str
    x: Axis
    y: Axis
    curves: tuple[Curve, ...]
    square: bool = False
    """Whether both axes have the same scale."""
    contours: Contours | None = None


def figure(chart: Chart) -> go.Figure:
    """Draw the chart as a figure that plotly has validated."""
    return go.Figure(_drawing(chart)).update_layout(template="none")


def figure_json(chart: Chart) -> str:
    """Return the figure as JSON for a browser, not validated: that takes 5 ms, more than all the rest."""
    return str(plotly.io.to_json(_drawing(chart), validate=False))


def has_values(chart: Chart) -> bool:
    """Whether the chart shows any value beside its reference lines."""
    return any(np.isfinite(curve.y).any() for curve in chart.curves if curve.kind != "dotted")


def page(charts: Sequence[Chart], caption: str) -> str:
    """Return a web page of the charts that needs no other file; it includes plotly.js."""
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
    """Export the chart's numbers, a row a point: curve, x, y under the titles of the axes, and errors."""
    file = io.StringIO()
    rows = tables.writer(file, lineterminator="\n")
    with_errors = any(curve.error is not None for curve in chart.curves)
    rows.writerow(["curve", chart.x.title, chart.y.title, *(["error"] if with_errors else [])])
    for curve in chart.curves:
        errors = np.full_like(curve.y, np.nan) if curve.error is None else curve.error
        for x, y, error in zip(curve.x, curve.y, errors, strict=True):
            where = chart.x.names[int(x)] if chart.x.names else f"{x:.8g}"
            rows.writerow([curve.name, where, _number(y), *([_number(error)] if with_errors else [])])
    return file.getvalue()


def _number(value: float) -> str:
    return f"{value:.8g}" if np.isfinite(value) else ""


def _drawing(chart: Chart) -> dict[str, object]:
    under = [_levels(chart.contours)] if chart.contours else []
    curves = [_trace(curve) for curve in chart.curves]
    if _is_turned(chart):
        return {
            "data": [_turned(trace) for trace in curves],
            "layout": _layout(chart) | _turned_layout(chart),
        }
    return {"data": [*under, *curves], "layout": _layout(chart)}


def _is_turned(chart: Chart) -> bool:
    """Whether names stand along the y axis, so that nobody has to turn the head."""
    return len(chart.x.names) > UPRIGHT_NAMES


def _turned(trace: dict[str, object]) -> dict[str, object]:
    """A trace with its axes exchanged."""
    turned = trace | {"x": trace["y"], "y": trace["x"]}
    if "error_y" in turned:
        turned["error_x"] = turned.pop("error_y")
    if trace["type"] == "bar":
        turned["orientation"] = "h"
    if isinstance(marker := trace.get("marker"), dict) and marker.get("symbol") == "line-ew-open":
        turned["marker"] = marker | {"symbol": "line-ns-open"}
    return turned


def _turned_layout(chart: Chart) -> dict[str, object]:
    """The axes of a chart whose names stand along the y axis, the first one above."""
    names = _axis(chart.x) | {"title": {"text": ""}, "tickangle": 0}
    if chart.x.shown:
        names["range"] = [*reversed(chart.x.shown)]
    rows = NAME_ROW * len(chart.x.names) - HEIGHT + PLOT_MARGINS
    listed = _rows([curve.name for curve in chart.curves if curve.listed])
    return {
        "xaxis": _axis(chart.y),
        "yaxis": names,
        "annotations": [],
        "height": HEIGHT + max(rows, 0) + listed,
    }


def _levels(contours: Contours) -> dict[str, object]:
    flat = np.where(np.isfinite(contours.values), contours.values, np.nan).astype("<f4")
    values = {"dtype": "f4", "bdata": base64.b64encode(flat.tobytes()).decode()}
    return {
        "type": "contour",
        "name": contours.name,
        "x": _packed(contours.x),
        "y": _packed(contours.y),
        "z": values | {"shape": f"{len(contours.y)}, {len(contours.x)}"},
        "colorscale": [[0, f"{COLOURS[contours.colour]}00"], [1, COLOURS[contours.colour]]],
        "opacity": 0.35,
        "showscale": False,
        "showlegend": True,
        "hoverinfo": "skip",
        "line": {"width": 0.5},
    }


def _packed(values: Numbers) -> dict[str, str]:
    """Encode numbers in plotly's binary format, its fastest; one that is not finite is a gap."""
    finite = np.where(np.isfinite(values), values, np.nan).astype("<f4")
    return {"dtype": "f4", "bdata": base64.b64encode(finite.tobytes()).decode()}


def _trace(curve: Curve) -> dict[str, object]:
    colour = COLOURS[curve.colour]
    x, y = _packed(curve.x), _packed(curve.y)
    trace: dict[str, object] = {"name": curve.name, "x": x, "y": y, "showlegend": curve.listed}
    if curve.opacity < 1:
        trace["opacity"] = curve.opacity
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
    listed += [chart.contours.name] if chart.contours else []
    within = {"constrain": "domain"} if chart.square else {}  # else the range grows until it fills the plot
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
        "xaxis": _axis(chart.x) | within,
        "yaxis": _axis(chart.y) | {"title": {"text": ""}} | within | ({"scaleanchor": "x"} if within else {}),
        "annotations": [_y_title(chart.y.title)],
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
    """Return the width of a legend entry in pixels, by its longest name."""
    return LETTER * max(map(len, names), default=1)


def _rows(names: Sequence[str]) -> int:
    """Return the height in pixels that a long legend adds, so that the plot keeps its own on a phone."""
    if _width(names) > HALF_ROW:
        return 19 * max(len(names) - 3, 0)
    return 11 * max(len(names) - 4, 0)


def _y_title(title: str) -> dict[str, object]:
    """Return the y axis's title as an annotation above it: rotated, it meets the heading of a low chart."""
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
        drawn |= {"tickangle": 0, "showgrid": False}
    if axis.ticks:
        drawn |= {"tickvals": list(axis.ticks)}
    if axis.log:
        drawn |= {"type": "log", "exponentformat": "power", "dtick": 1}
    return drawn
