"""Flows in the plane on the disk: the weights before and after one reflow, and how both were trained.

A file has 16-bit weights, 80 KB in all; the flow that is read from it is the one that was measured.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sd3demo.catalogue import assets
from sd3demo.errors import Refusal
from sd3demo.training.toy_flow import Flow

KEYWORD = "sd3demo.flow"
SUFFIX = ".safetensors"
ROUNDS = ("trained", "reflowed")
"""What the two sets of weights are called in a file, in the order of their training."""


@dataclass(frozen=True)
class LossHistory:
    """The loss of a training: at steps, and by t after its first report and at its end."""

    steps: tuple[int, ...]
    values: tuple[float, ...]
    first: tuple[float, ...]
    last: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class FlowPair:
    """A flow as it was trained and after one round of reflow; `settings` are those of the training."""

    data: str
    settings: Mapping[str, object]
    trained: Flow
    reflowed: Flow
    losses: LossHistory
    """Of the training, and not of the reflow."""


def to_file(pair: FlowPair) -> bytes:
    """Return the content of a pair's file."""
    tensors: dict[str, Tensor] = {}
    for name, flow in zip(ROUNDS, (pair.trained, pair.reflowed), strict=True):
        tensors |= {f"{name}.{key}": weight.detach().half() for key, weight in flow.state_dict().items()}
    header = {"data": pair.data, "settings": dict(pair.settings), "losses": asdict(pair.losses)}
    return save(tensors, {KEYWORD: json.dumps(header, sort_keys=True)})


def read_pair(path: Path) -> FlowPair:
    """Return the pair in a file. Raises Refusal for one that is foreign or damaged."""
    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {})[KEYWORD])
            weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        losses = LossHistory(**{name: tuple(values) for name, values in header["losses"].items()})
        trained, reflowed = (_flow(weights, name) for name in ROUNDS)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Refusal(f"{path} holds no flow in the plane; `make recordings` writes one") from error
    return FlowPair(header["data"], header["settings"], trained, reflowed, losses)


@cache
def shipped_pair(data: str) -> FlowPair | None:
    """Return the pair of these data that comes with the package; None where there is none."""
    path = place(data)
    return read_pair(path) if path.is_file() else None


def place(data: str) -> Path:
    """Return where the pair of these data lies."""
    return assets() / "flow_lab" / f"{data}{SUFFIX}"


def _flow(weights: Mapping[str, Tensor], name: str) -> Flow:
    own = {
        key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")
    }
    flow = Flow(width=len(own["layers.0.weight"]))
    flow.load_state_dict(own)
    return flow.eval().requires_grad_(False)
