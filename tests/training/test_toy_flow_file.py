"""Flows in the plane on the disk: what is read is what was written, and anything else is one sentence."""

from pathlib import Path

import pytest
import torch

from sd3demo.errors import Refusal
from sd3demo.training.toy_flow import Flow
from sd3demo.training.toy_flow_file import FlowPair, LossHistory, read_pair, shipped_pair, to_file

PAIR = FlowPair(
    "moons", {"steps": 100}, Flow(seed=1), Flow(seed=2), LossHistory((50, 100), (2.0, 1.0), (3.0,), (1.0,))
)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "moons.safetensors"
    file.write_bytes(to_file(PAIR))
    again = read_pair(file)
    assert (again.data, dict(again.settings), again.losses) == (PAIR.data, dict(PAIR.settings), PAIR.losses)
    for one, other in ((PAIR.trained, again.trained), (PAIR.reflowed, again.reflowed)):
        for before, after in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(before.half().float(), after)
    assert file.read_bytes() == to_file(again)


@pytest.mark.parametrize("content", [b"", b"no tensors", to_file(PAIR)[:-9]])
def test_a_damaged_file_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "moons.safetensors"
    file.write_bytes(content)
    with pytest.raises(Refusal, match=r"holds no flow in the plane; `make recordings` writes one"):
        read_pair(file)


def test_no_flow_ships_for_data_that_a_person_draws() -> None:
    assert shipped_pair("drawn") is None
