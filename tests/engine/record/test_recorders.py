"""What recorders say of a run is what its own steps say, on a model whose answer is known."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from sd3demo.catalogue import EncoderInput, read_folder
from sd3demo.engine import Budget, plan
from sd3demo.engine.record.recorder_context import recorder_context
from sd3demo.engine.record.traces import (
    BLOCKS,
    MOMENTS,
    MOST_SHARES,
    RECORDED,
    averaged,
    left_out,
    map_side,
    spread,
    traces_of,
)
from sd3demo.engine.run.previews import PreviewMap
from sd3demo.flow.path.angles import angle
from sd3demo.flow.solvers import SOLVERS
from sd3demo.history.traces import LARGEST
from sd3demo.models.exact import Exact, NamedColours
from sd3demo.models.protocol import TokenWords
from sd3demo.settings import Request
from tests.engine.runs import EXACT, Ran, exactly, run


def traced(solver: str = "euler", **settings: object) -> Ran:
    return run(exactly(solver=solver, steps=9, count=2, **settings), EXACT, recorders=RECORDED)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_shape_of_a_trace_is_that_of_the_steps(solver: str) -> None:
    ran = traced(solver, cfg=3)
    for k, trace in enumerate(traces_of(ran.plan, ran.finished)):
        assert trace.shape.length == pytest.approx(ran.finished.path_length[k], rel=1e-5)
        assert trace.shape.chord == pytest.approx(ran.finished.chord[k], rel=1e-5)
        moves = [float((step.x_next - step.x)[k].norm()) for step in ran.steps]
        np.testing.assert_allclose(trace.shape.moves, moves, rtol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_turns_are_between_velocities_and_not_between_moves(solver: str) -> None:
    ran = traced(solver)
    velocities = [step.v for step in ran.steps]
    expected = [angle(a, b) for a, b in pairwise(velocities)]
    found = ran.finished.records["turns"]
    assert found[0].tolist() == [0, 0]
    np.testing.assert_allclose(found[1:], torch.stack(expected), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4"])
def test_guidance_is_seen_once_a_step_where_the_step_begins(solver: str) -> None:
    """v = v_u + w (v_c - v_u), so the norms and the angle fix that of v by the law of cosines."""
    scale = 3.0
    ran = traced(solver, cfg=scale)
    found = ran.finished.records["guidance"].astype(np.float64)
    assert found.shape == (9, 4, 2)
    conditional, unconditional, guided, apart = found.transpose(1, 0, 2)
    product = conditional * unconditional * np.cos(apart)
    expected = (scale * conditional) ** 2 + ((1 - scale) * unconditional) ** 2
    expected += 2 * scale * (1 - scale) * product
    np.testing.assert_allclose(guided**2, expected, rtol=1e-3)
    np.testing.assert_allclose(guided[0], [float(v.norm()) for v in ran.steps[0].v], rtol=1e-5)


def test_where_guidance_is_off_there_is_one_branch_and_no_angle() -> None:
    found = traced(cfg=5, cfg_from=0.5).finished.records["guidance"]
    off = np.array(traced().plan.sigmas[:-1]) < 0.5
    assert np.isnan(found[off][:, [1, 3]]).all()
    assert np.isfinite(found[~off]).all()
    np.testing.assert_allclose(found[off][:, 0], found[off][:, 2])


def test_the_film_ends_with_the_picture_and_begins_with_the_noise() -> None:
    ran = traced()
    film = ran.finished.records["film"]
    for k in range(2):
        assert np.abs(film[-1, 0, k].astype(int) - ran.finished.pictures[k]).max() <= 1
        assert np.array_equal(film[-1, 0, k], film[-1, 1, k])
        assert film[0, 0, k].std() > 60  # noise is all over the range; a prediction is not
        assert film[0, 1, k].std(axis=(0, 1)).max() < 40


def test_a_model_without_attention_has_a_trace_without_attention() -> None:
    ran = traced()
    assert ran.finished.words == ()
    assert all(trace.attention is None for trace in traces_of(ran.plan, ran.finished))


@pytest.mark.parametrize("kind", ["sd3-medium", "sd3.5-medium"])
def test_a_networks_trace_has_shares_of_attention_by_word(kind: str, checkpoint: Callable[..., Path]) -> None:
    spec = read_folder(checkpoint(kind))
    request = Request(prompt="a red circle", model=spec.name, steps=3, count=2, max_sequence_length=9)
    ran = run(request, spec, recorders=RECORDED)
    first, second = traces_of(ran.plan, ran.finished)
    assert first.attention is not None
    assert second.attention is not None
    steps, blocks, words, height, width = first.attention.maps.shape
    assert (steps, blocks) == (3, spec.network.depth)
    assert words == len(first.attention.words)
    assert (height, width) == (spec.native // spec.latent.multiple,) * 2
    totals = first.attention.maps.astype(np.float32).sum(2)
    assert 0 < totals.min() < totals.max() < 1
    assert not np.array_equal(first.attention.maps, second.attention.maps)
    assert (first.request.seed, second.request.seed) == (0, 1)


@pytest.mark.parametrize(("recorders", "asked"), [(RECORDED, 1), (("lengths",), 0)])
def test_words_are_read_only_where_attention_is_recorded(recorders: tuple[str, ...], asked: int) -> None:
    seen: list[tuple[EncoderInput, ...]] = []

    class Attending(Exact):
        def words(self, inputs: tuple[EncoderInput, ...]) -> TokenWords:
            seen.append(inputs)
            return TokenWords((("T5", "red"),), torch.ones(1, 1))

        def attention(self, x, t, conditioning, groups, blocks):
            return iter(())

    planned = replace(plan(exactly(), EXACT, Budget()), recorders=recorders)
    preview = PreviewMap(torch.zeros(3, 3, 3, 3), torch.zeros(3))
    context = recorder_context(planned, Attending(), preview, NamedColours(()))
    assert len(context.words) == len(seen) == asked


@pytest.mark.parametrize(("count", "most"), [(1, 8), (5, 8), (8, 8), (28, 8), (100, 8), (38, BLOCKS)])
def test_what_is_spread_has_both_ends_and_no_number_twice(count: int, most: int) -> None:
    chosen = spread(count, most)
    assert (chosen[0], chosen[-1], len(chosen)) == (0, count - 1, min(count, most))
    assert list(chosen) == sorted(set(chosen))
    assert max(np.diff(chosen), default=1) - min(np.diff(chosen), default=1) <= 1


@pytest.mark.parametrize(("words", "side"), [(20, 32), (64, 32), (400, 12), (10**9, 1)])
def test_maps_of_many_words_are_coarser_so_that_a_trace_stays_small(words: int, side: int) -> None:
    found = map_side(MOMENTS, BLOCKS, words)
    assert found == side
    assert found == 1 or MOMENTS * BLOCKS * words * found**2 <= MOST_SHARES
    assert 2 * MOST_SHARES < LARGEST / 2  # bytes of half precision, beside what a file may have


def test_no_more_moments_are_kept_than_said() -> None:
    assert len(spread(50, MOMENTS)) == MOMENTS


@pytest.mark.parametrize("size", [(64, 64), (65, 100), (7, 300)])
def test_a_small_picture_has_the_mean_of_the_large_one(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    small = averaged(picture, 32)
    assert max(small.shape[:2]) <= 32
    assert left_out(picture, 32).shape == small.shape
    flat = np.full((*size, 3), 77, np.uint8)
    assert (averaged(flat, 32) == 77).all()
    corner = picture[:8, :8]  # it is as small as that already
    np.testing.assert_array_equal(averaged(corner, 32), corner)
    if size == (64, 64):
        blocks = picture.reshape(32, 2, 32, 2, 3).mean((1, 3)).round()
        np.testing.assert_array_equal(small, blocks.astype(np.uint8))
