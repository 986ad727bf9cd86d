"""What a run says while it goes on: frozen, picklable, on the CPU, small enough for another process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (H, W, 3), sRGB
Record = NDArray[np.float64] | NDArray[np.float32] | NDArray[np.float16] | NDArray[np.uint8]


@dataclass(frozen=True)
class Loading:
    """The model's files are being read; the next event says that they were."""

    model: str
    bytes: int


@dataclass(frozen=True)
class Encoded:
    """The texts are encoded. `calls` counts the text encoders that ran: none when all was remembered."""

    calls: int
    seconds: float


@dataclass(frozen=True)
class StageStarted:
    """A stage begins: `sigmas` are its times, one more than it has steps."""

    stage: str
    width: int
    height: int
    sigmas: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class StepDone:
    """Step `index` of `count` was made, from time t to t_next.

    `previews` show the prediction of the finished pictures, x0 = x - t v, one for each picture, at the size
    of the latent. They come from a linear map of its channels and cost nothing.
    """

    stage: str
    index: int
    count: int
    t: float
    t_next: float
    previews: tuple[Pixels, ...]
    seconds: float


@dataclass(frozen=True)
class Lifted:
    """A finished stage was brought to the size of the next one, as its guide."""

    stage: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class ArmFinished:
    """One of the pictures of an extrapolation is there, and stays whatever happens to those after it.

    `stage` is the run of the solver that it comes from; `calls` and `seconds` are those of the stages that no
    arm before it needed. All else is as in Finished.
    """

    arm: str
    stage: str
    pictures: tuple[Pixels, ...]
    sigmas: tuple[float, ...]
    calls: int
    path_length: tuple[float, ...]
    chord: tuple[float, ...]
    noise_sha256: tuple[str, ...]
    weights_sha256: str
    seconds: float
    records: Mapping[str, Record] = field(default_factory=dict)
    words: tuple[tuple[str, str], ...] = ()
    unread: Mapping[str, list[str]] = field(default_factory=dict)
    request_id: str = ""


@dataclass(frozen=True, eq=False)
class Finished:
    """The result. Lists have an entry a picture; `calls` counts the network's evaluations of one picture.

    `seconds` are those of the phases; `records` hold what the recorders that the plan names have found.
    `words` are the words, (encoder, text), that a record of attention speaks of; `unread` are those that an
    encoder did not read, by its name, and the text beyond its limit. Of an extrapolation this is the picture
    that was asked for, with all calls; `arms` holds every arm's. `request_id` names the run in the log of
    whoever serves it; empty where nobody does.
    """

    pictures: tuple[Pixels, ...]
    sigmas: tuple[float, ...]
    calls: int
    encoder_calls: int
    path_length: tuple[float, ...]
    chord: tuple[float, ...]
    noise_sha256: tuple[str, ...]
    weights_sha256: str
    seconds: Mapping[str, float]
    records: Mapping[str, Record] = field(default_factory=dict)
    words: tuple[tuple[str, str], ...] = ()
    unread: Mapping[str, list[str]] = field(default_factory=dict)
    arms: Mapping[str, ArmFinished] = field(default_factory=dict)
    inputs: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    request_id: str = ""


@dataclass(frozen=True)
class Stopped:
    """The run was asked to stop and did, after `steps` steps of the stage."""

    stage: str
    steps: int


@dataclass(frozen=True)
class Paused:
    """The run stands before a stage; another process can go on from `results`, the stages so far."""

    stage: str
    results: bytes


Event: TypeAlias = (
    Loading | Encoded | StageStarted | StepDone | Lifted | ArmFinished | Finished | Stopped | Paused
)


@dataclass(frozen=True, eq=False)
class BatchEvent:
    """News of one of several runs that go on together: `run` is its place among them."""

    run: int
    event: Event
