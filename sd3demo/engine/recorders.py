"""What a run can record: callables over each Step, which a plan names and `Finished` brings back.

A recorder lives in the process of the loop and sees live tensors; what it returns is small and on the CPU.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sd3demo.engine.events import Record
from sd3demo.engine.previews import PreviewMap
from sd3demo.flow.lengths import LengthRecorder
from sd3demo.flow.solvers import Step

FRAMES = 8  # of a film strip


class Recorder(Protocol):
    """Called with each Step; then asked once for what it found."""

    def __call__(self, step: Step, /) -> None: ...

    def result(self) -> Record: ...


class Lengths:
    """(2, B): the length of each picture's path, and its chord (SD3, table 6)."""

    def __init__(self, preview: PreviewMap) -> None:
        self._recorder = LengthRecorder()

    def __call__(self, step: Step) -> None:
        self._recorder(step)

    def result(self) -> Record:
        path = self._recorder.result()
        return _array(torch.stack((path.length, path.chord)))


class Film:
    """(F, B, H, W, 3): the prediction of the data, x0 = x - t v, at up to eight steps spread over the run."""

    def __init__(self, preview: PreviewMap) -> None:
        self._preview = preview
        self._frames: list[NDArray[np.uint8]] = []

    def __call__(self, step: Step) -> None:
        index, count = step.at.index, step.at.count
        frames = min(FRAMES, count)
        if any(index == round(frame * (count - 1) / max(frames - 1, 1)) for frame in range(frames)):
            self._frames.append(np.stack(self._preview(step.denoised)))

    def result(self) -> Record:
        frames: Record = np.stack(self._frames)
        return frames


class Norms:
    """(N, 2, B): at each step the root mean square of x and of v."""

    def __init__(self, preview: PreviewMap) -> None:
        self._rows: list[Tensor] = []

    def __call__(self, step: Step) -> None:
        rows = [x.float().flatten(1).pow(2).mean(1).sqrt() for x in (step.x, step.v)]
        self._rows.append(torch.stack(rows))

    def result(self) -> Record:
        return _array(torch.stack(self._rows))


RECORDERS: Mapping[str, Callable[[PreviewMap], Recorder]] = {"lengths": Lengths, "film": Film, "norms": Norms}


def _array(values: Tensor) -> Record:
    array: Record = values.to(torch.float32).cpu().numpy()
    return array
