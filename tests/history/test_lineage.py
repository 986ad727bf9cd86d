"""An enlarged picture finds the run of the small one, and that one all that enlarged it."""

from pathlib import Path

import pytest

from sd3demo.engine import Budget, plan
from sd3demo.history import Run, RunStore
from sd3demo.history.index import HistoryIndex
from sd3demo.history.lineage import Lineage, LineageIndex
from sd3demo.settings import Request, parse
from sd3demo.settings.extrapolation import Extrapolation
from tests.engine.runs import EXACT, run

ASKED = {"prompt": "red", "model": EXACT.name, "cfg": 1, "shift": 1, "steps": 3}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def generated(store: RunStore, **settings: object) -> Run:
    ran = run(parse(Request, ASKED | settings), EXACT)
    return store.save(ran.plan.request, ran.finished)


def enlarged(store: RunStore, **settings: object) -> Run:
    ran = run(parse(Extrapolation, ASKED | {"scale": 2} | settings), EXACT)
    arms = {arm.name: arm.request for arm in ran.plan.arms}
    return store.save(ran.plan.request, ran.finished, arms)


def test_parent_and_child_find_each_other(store: RunStore) -> None:
    parent, other = generated(store), generated(store, seed=1)
    child, again = enlarged(store), enlarged(store, method="direct")
    found = LineageIndex(HistoryIndex(store))
    assert found.of(child.id) == found.of(again.id) == Lineage(parents=(parent.id,))
    assert found.of(parent.id) == Lineage(children=(again.id, child.id))
    assert found.of(other.id) == Lineage()


def test_a_picture_of_a_batch_is_a_parent(store: RunStore) -> None:
    batch, child = generated(store, seed=4, count=3), enlarged(store, seed=6)
    found = LineageIndex(HistoryIndex(store))
    assert found.of(child.id).parents == (batch.id,)
    assert found.of(batch.id).children == (child.id,)


@pytest.mark.parametrize("settings", [{"steps": 4}, {"prompt": "blue"}, {"solver": "heun"}])
def test_a_picture_of_other_settings_is_no_parent(settings: dict[str, object], store: RunStore) -> None:
    generated(store, **settings)
    child = enlarged(store)
    assert LineageIndex(HistoryIndex(store)).of(child.id) == Lineage()


def test_what_is_deleted_or_damaged_has_no_lineage(store: RunStore) -> None:
    parent, child, broken = generated(store), enlarged(store), enlarged(store, seed=3)
    found = LineageIndex(HistoryIndex(store))
    assert found.of(child.id).parents == (parent.id,)
    store.discard(parent)
    assert found.of(child.id) == Lineage()
    (broken.folder / "result.json").write_text("{")
    assert LineageIndex(HistoryIndex(store)).of(broken.id) == Lineage()
    assert LineageIndex(HistoryIndex(store)).of("20200101-000000-00000000") == Lineage()


def test_the_native_picture_of_an_enlargement_has_the_settings_of_generate() -> None:
    """So that both have one key, and Generate makes the parent."""
    native = plan(parse(Extrapolation, ASKED | {"scale": 2}), EXACT, Budget()).arms[0].request
    assert native == plan(parse(Request, ASKED), EXACT, Budget()).request
