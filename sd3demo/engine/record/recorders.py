"""What a run can record: callables over each Step, which a plan names and `Finished` brings back.

A recorder lives in the process of the loop and sees live tensors; what it returns is small and on the CPU.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from sd3demo.engine.events import Record
from sd3demo.engine.record.recorder_context import RecorderContext
from sd3demo.engine.record.traces import BLOCKS, MOMENTS, averaged, left_out, map_side, spread
from sd3demo.engine.record.xray import XRayRecorder
from sd3demo.flow.extrapolation.projection import Correction
from sd3demo.flow.guidance import Branch
from sd3demo.flow.path.angles import MoveRecorder, angle
from sd3demo.flow.path.lengths import LengthRecorder
from sd3demo.flow.solvers import At, Step

FILM_SIDE = 32  # pixels of a frame, at most


class Recorder(Protocol):
    """Called with each Step; then asked once for what it found."""

    def __call__(self, step: Step, /) -> None: ...

    def result(self) -> Record: ...


@runtime_checkable
class BranchRecorder(Protocol):
    """A recorder that is told, beside the steps, what each branch of the network answered."""

    def witness(self, at: At, answers: Mapping[Branch, Tensor], v: Tensor, /) -> None: ...


@runtime_checkable
class CorrectionRecorder(Protocol):
    """A recorder that is told, at each evaluation, what a method made of the model's velocity."""

    def correction(self, correction: Correction, /) -> None: ...


class Lengths:
    """(2, B): the length of each picture's path, and its chord (SD3, table 6)."""

    def __init__(self, scene: RecorderContext) -> None:
        self._recorder = LengthRecorder()

    def __call__(self, step: Step) -> None:
        self._recorder(step)

    def result(self) -> Record:
        path = self._recorder.result()
        return _array(torch.stack((path.length, path.chord)))


class Moves:
    """(B, N, N): the inner products of each path's moves, from which `flow.shapes` tells its shape."""

    def __init__(self, scene: RecorderContext) -> None:
        self._recorder = MoveRecorder()

    def __call__(self, step: Step) -> None:
        self._recorder(step)

    def result(self) -> Record:
        return self._recorder.result()


class Angles:
    """(N, B): the angle of each step's velocity to that of the step before, in radians; 0 for the first."""

    def __init__(self, scene: RecorderContext) -> None:
        self._before: Tensor | None = None
        self._rows: list[Tensor] = []

    def __call__(self, step: Step) -> None:
        before = step.v if self._before is None else self._before
        self._rows.append(angle(before, step.v).cpu())
        self._before = step.v

    def result(self) -> Record:
        rows = torch.stack(self._rows)
        rows[0] = 0
        return _array(rows)


class GuidanceGeometry:
    """(N, 4, B): at each step || v_c ||, || v_u ||, || v ||, and the angle between v_c and v_u in radians.

    Where guidance is off there is no v_u: its norm and its angle are not numbers.
    """

    def __init__(self, scene: RecorderContext) -> None:
        self._rows: dict[int, Tensor] = {}

    def witness(self, at: At, answers: Mapping[Branch, Tensor], v: Tensor) -> None:
        if at.index in self._rows:
            return  # a later stage of the same step
        conditional = answers["conditional"]
        norm = _norms(conditional)
        nothing = torch.full_like(norm, torch.nan)
        rows = [norm, nothing, _norms(v), nothing]
        if "unconditional" in answers:
            rows[1] = _norms(answers["unconditional"])
            rows[3] = angle(conditional, answers["unconditional"])
        self._rows[at.index] = torch.stack(rows).cpu()

    def __call__(self, step: Step) -> None:
        """The branches say all."""

    def result(self) -> Record:
        return _array(torch.stack([self._rows[index] for index in sorted(self._rows)]))


class PreviewFrames:
    """(N + 1, 2, B, H, W, 3): the state z and the prediction of the data x - t v, at each step and at last.

    Large latents are thinned out: the state by leaving pixels out, so that noise stays as strong as it is,
    and the prediction by averaging.
    """

    def __init__(self, scene: RecorderContext) -> None:
        self._preview = scene.preview
        self._frames: list[NDArray[np.uint8]] = []
        self._last: Tensor | None = None

    def __call__(self, step: Step) -> None:
        self._frames.append(self._frame(step.x, step.denoised))
        self._last = step.x_next

    def result(self) -> Record:
        assert self._last is not None
        frames: Record = np.stack([*self._frames, self._frame(self._last, self._last)])
        return frames

    def _frame(self, state: Tensor, denoised: Tensor) -> NDArray[np.uint8]:
        states = [left_out(pixels, FILM_SIDE) for pixels in self._preview(state)]
        predictions = [averaged(pixels, FILM_SIDE) for pixels in self._preview(denoised)]
        return np.stack((np.stack(states), np.stack(predictions)))


class Norms:
    """(N, 2, B): at each step the root mean square of x and of v."""

    def __init__(self, scene: RecorderContext) -> None:
        self._rows: list[Tensor] = []

    def __call__(self, step: Step) -> None:
        rows = [x.float().flatten(1).pow(2).mean(1).sqrt() for x in (step.x, step.v)]
        self._rows.append(torch.stack(rows))

    def result(self) -> Record:
        return _array(torch.stack(self._rows))


class AttentionMaps:
    """(S, K, B, U, h, w) in half precision: the share of each patch's attention on each word.

    S steps and K blocks are spread over the run and over the depth, see `engine.traces.spread`; large
    pictures are averaged over neighbouring patches. Empty, (0,), where the model has no attention to show.
    """

    def __init__(self, scene: RecorderContext) -> None:
        self._scene = scene
        self._blocks = spread(scene.depth, BLOCKS)
        self._maps: list[NDArray[np.float16]] = []

    def __call__(self, step: Step) -> None:
        moments = spread(step.at.count, MOMENTS)
        if not self._scene.words or step.at.index not in moments:
            return
        most = map_side(len(moments), len(self._blocks), len(self._scene.words))
        rows, columns = step.x.shape[-2:]
        maps = []
        for found in self._scene.attention(step.x, step.at.t, self._blocks):
            batch, patches, words = found.shape
            side = round((rows * columns / patches) ** 0.5)  # latent pixels of a patch, along a side
            grid = found.transpose(1, 2).reshape(batch, words, rows // side, columns // side)
            maps.append(adaptive_avg_pool2d(grid, _within(grid.shape[-2:], most)).half().cpu().numpy())
        self._maps.append(np.stack(maps))

    def result(self) -> Record:
        return np.stack(self._maps) if self._maps else np.zeros(0, np.float16)


RECORDERS: Mapping[str, Callable[[RecorderContext], Recorder]] = {
    "lengths": Lengths,
    "moves": Moves,
    "turns": Angles,
    "guidance": GuidanceGeometry,
    "film": PreviewFrames,
    "norms": Norms,
    "attention": AttentionMaps,
    "xray": XRayRecorder,
}


def _within(size: Sequence[int], side: int) -> tuple[int, int]:
    """A size with its proportions, made as small as `side` along the longer side."""
    scale = min(side / max(size), 1)
    height, width = (max(round(each * scale), 1) for each in size)
    return height, width


def _norms(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x.float().flatten(1), dim=1)


def _array(values: Tensor) -> Record:
    array: Record = values.to(torch.float32).cpu().numpy()
    return array
