"""Favourites are kept in the store: after a restart, between processes, and when the oldest make room."""

import subprocess
import sys
from pathlib import Path

import pytest

from sd3demo.errors import Refusal
from sd3demo.history import Run, RunStore
from sd3demo.history.index import HistoryIndex
from tests.engine.runs import EXACT, exactly, run
from tests.test_tree import ROOT

RAN = run(exactly("red", count=1, steps=3), EXACT)
MARK = """
import sys
from pathlib import Path
from sd3demo.history import RunStore
store = RunStore(Path(sys.argv[1]))
for turn in range(200):
    store.mark_favourite(sys.argv[2], turn % 2 == 0)
store.mark_favourite(sys.argv[2], sys.argv[3] == "on")
"""


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def save(store: RunStore, prompt: str = "red") -> Run:
    return store.save(RAN.plan.request.model_copy(update={"prompt": prompt}), RAN.finished)


def test_a_favourite_survives_a_restart_and_is_found(store: RunStore) -> None:
    first, second = save(store), save(store, "blue")
    store.mark_favourite(first.id, True)
    store.mark_favourite(first.id, True)  # twice is once
    again = RunStore(store.root)
    assert (again.is_favourite(first.id), again.is_favourite(second.id)) == (True, False)
    index = HistoryIndex(again)
    assert index.find("is:favourite") == [first.id]
    assert index.find("is:favourite blue") == []
    again.mark_favourite(first.id, False)
    again.mark_favourite(first.id, False)
    assert index.find("is:favourite") == []


def test_two_processes_mark_at_once(store: RunStore) -> None:
    one, other = save(store), save(store)
    marking = [
        subprocess.Popen([sys.executable, "-c", MARK, str(store.root), id, last], cwd=ROOT)
        for id, last in ((one.id, "on"), (one.id, "on"), (other.id, "off"))
    ]
    assert [each.wait(timeout=120) for each in marking] == [0, 0, 0]
    assert (store.is_favourite(one.id), store.is_favourite(other.id)) == (True, False)
    assert store.ids() == [other.id, one.id]
    assert HistoryIndex(store).record(one.id).request == RAN.plan.request


def test_a_run_that_is_gone_cannot_be_marked(store: RunStore) -> None:
    kept = save(store)
    store.mark_favourite(kept.id, True)
    store.discard(kept)
    assert not store.is_favourite(kept.id)
    with pytest.raises(Refusal, match="there is no run"):
        store.mark_favourite(kept.id, True)
    assert store.ids() == []


def test_favourites_make_room_last(store: RunStore) -> None:
    oldest = save(store)
    store.mark_favourite(oldest.id, True)
    store.limit = 3 * store.size(oldest.id) + store.size(oldest.id) // 2
    rest = [save(store) for _ in range(4)]
    assert store.ids() == [rest[3].id, rest[2].id, oldest.id]
    store.limit = 1
    last = save(store)
    assert store.ids() == [last.id]
