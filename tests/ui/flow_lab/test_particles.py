"""Particles as the browser gets them: where they were, within a plot that fits them."""

import json
import re
from base64 import b64decode
from html import unescape

import numpy as np
import pytest
import torch

from sd3demo.flow.solvers import At, Step
from sd3demo.ui.flow_lab.particles import COUNTS, FRAMES, WHOLE, FlowSide, edge_of, particles_html, stops_of


def steps(count: int) -> list[Step]:
    """From (1, 0) to (0, 0) in equal steps, three particles."""
    places = [torch.tensor([[1 - k / count, 0.0]] * 3) for k in range(count + 1)]
    return [
        Step(At(1 - k / count, k, count), 1 - (k + 1) / count, places[k], places[k], places[k + 1], k + 1)
        for k in range(count)
    ]


@pytest.mark.parametrize("count", COUNTS)
def test_a_path_is_sent_from_its_beginning_to_its_end(count: int) -> None:
    stops = stops_of(steps(count))
    assert stops.shape[1:] == (3, 2)
    assert len(stops) <= FRAMES + 1
    np.testing.assert_allclose(stops[[0, -1], 0, 0], [1, 0])
    np.testing.assert_allclose(np.diff(stops[:, 0, 0]), -1 / (len(stops) - 1), atol=1e-6)


@pytest.mark.parametrize(("furthest", "edge"), [(0.3, 1.0), (1.9, 2.0), (2.0, 2.5), (3.3, 3.5), (99, 6.0)])
def test_the_plot_is_as_large_as_what_it_shows(furthest: float, edge: float) -> None:
    assert edge_of(np.array([[furthest, 0.0], [-furthest / 2, 0.1]])) == edge


def test_the_browser_gets_every_place_within_the_plot() -> None:
    paths = {count: stops_of(steps(count)) for count in COUNTS}
    html = particles_html(
        [FlowSide("<b>", "n & n", paths), FlowSide("b", "none yet", {})], np.array([[0.5, -2]])
    )
    assert "<b><b>" not in html
    assert html.count("<canvas") == 1
    found = re.search(r'data-told="([^"]+)"', html)
    assert found
    told = json.loads(unescape(found[1]))
    assert told["edge"] == 2.5
    assert told["particles"] == 3
    data = np.frombuffer(b64decode(told["data"]), "<i2") / WHOLE * told["edge"]
    np.testing.assert_allclose(data, [0.5, -2], atol=1e-4)
    sent = np.frombuffer(b64decode(told["sides"][0]["5"]), "<i2").reshape(6, 3, 2) / WHOLE * told["edge"]
    np.testing.assert_allclose(sent, paths[5], atol=1e-4)
    assert told["sides"][1] == {}
