"""Runs as one zip: a folder each, whole; without room or runs a sentence and no file."""

import shutil
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from sd3demo.errors import Refusal
from sd3demo.history import RunStore
from sd3demo.history.export import export
from tests.engine.runs import EXACT, exactly, run

RAN = run(exactly("red", count=2, steps=3), EXACT)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path / "runs")
    for _ in range(3):
        store.save(RAN.plan.request, RAN.finished)
    return store


def test_a_zip_holds_every_file_of_its_runs(store: RunStore, tmp_path: Path) -> None:
    ids = store.ids()[:2]
    file = tmp_path / "deep" / "runs.zip"
    assert export(store, ids, file) == 2
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        expected = {f"{id}/{path.name}" for id in ids for path in (store.root / id).iterdir()}
        assert set(archive.namelist()) == expected
        for name in expected:
            assert archive.read(name) == (store.root / name).read_bytes()
    assert [path.name for path in file.parent.iterdir()] == ["runs.zip"]


def test_a_run_that_went_meanwhile_is_left_out(store: RunStore, tmp_path: Path) -> None:
    ids = store.ids()
    store.discard(store.find(ids[0]))
    assert export(store, [*ids, "../../etc"], tmp_path / "runs.zip") == 2


@pytest.mark.parametrize(
    ("ids", "sentence"), [([], "no run is chosen"), (["20200101-000000-00000000"], "no longer")]
)
def test_nothing_to_export_is_a_sentence(
    ids: list[str], sentence: str, store: RunStore, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match=sentence):
        export(store, ids, tmp_path / "runs.zip")
    assert not (tmp_path / "runs.zip").exists()


def test_a_zip_for_which_there_is_no_room_is_not_begun(
    store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2**40, 2**40, 2**20))
    with pytest.raises(Refusal, match=r"the zip needs .* MiB and 1 MiB are free; choose fewer runs"):
        export(store, store.ids(), tmp_path / "out" / "runs.zip")
    assert not (tmp_path / "out").exists()
