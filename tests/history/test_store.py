"""A run is on the disk whole or not at all."""

import errno
import json
import os
from pathlib import Path

import pytest

from sd3demo.errors import Refusal
from sd3demo.history import Run, RunStore, read_receipt, write_whole
from sd3demo.settings import Resolved
from tests.engine.running import EXACT, exactly, run

RAN = run(exactly("red", count=2, steps=3), EXACT)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def save(store: RunStore) -> Run:
    return store.save(RAN.plan.request, RAN.finished)


def everything(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class FullDisk:
    """os.fsync that fails from the nth call on, as on a disk that fills up."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, descriptor: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_run_is_its_request_its_result_and_its_pictures(store: RunStore) -> None:
    kept = save(store)
    assert sorted(path.name for path in kept.folder.iterdir()) == [
        "0.png",
        "1.png",
        "request.json",
        "result.json",
    ]
    request = json.loads((kept.folder / "request.json").read_text())
    assert Resolved.model_validate(request) == RAN.plan.request
    result = json.loads((kept.folder / "result.json").read_text())
    assert result["images"] == ["0.png", "1.png"]
    assert result["sigmas"] == list(RAN.finished.sigmas)
    assert [read_receipt(image).picture for image in kept.images] == [0, 1]


def test_runs_of_the_same_second_have_ids_of_their_own(store: RunStore) -> None:
    kept = [save(store) for _ in range(3)]
    assert len({run.id for run in kept}) == 3
    assert {run.id for run in store.runs()} == {run.id for run in kept}
    assert store.find(kept[1].id).images == kept[1].images


def test_a_store_that_was_never_used_is_empty_and_is_not_made(store: RunStore) -> None:
    assert store.runs() == []
    assert not store.root.exists()


@pytest.mark.parametrize("after", range(6))
def test_a_full_disk_gives_a_sentence_and_leaves_nothing(
    store: RunStore, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", FullDisk(after))
        with pytest.raises(
            Refusal, match=r"cannot keep the run in .*: No space left on device; free some space"
        ):
            save(store)
    assert store.runs() == []
    assert everything(store.root) == []
    assert save(store).images


def test_a_run_that_is_being_written_is_not_seen(store: RunStore) -> None:
    kept = save(store)
    (store.root / ".new-half").mkdir()
    assert [run.id for run in store.runs()] == [kept.id]


@pytest.mark.parametrize("id", ["", "..", "../runs", "20260101-000000-00000000", "a/b"])
def test_an_id_that_is_no_run_is_refused(store: RunStore, id: str) -> None:
    save(store)
    with pytest.raises(Refusal, match="there is no run"):
        store.find(id)


def test_a_discarded_run_is_gone(store: RunStore) -> None:
    kept = save(store)
    store.discard(kept)
    assert store.runs() == []
    assert everything(store.root) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match="choose another"):
        save(RunStore(tmp_path / "file" / "runs"))


@pytest.mark.parametrize("after", [0, 1])
def test_files_are_written_all_or_none(tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {tmp_path / "a.png": b"a", tmp_path / "b.png": b"b"}
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", FullDisk(after))
        with pytest.raises(Refusal, match=r"cannot write .*\.png: No space left on device"):
            write_whole(files)
    assert everything(tmp_path) == []
    write_whole(files)
    assert sorted(path.name for path in everything(tmp_path)) == ["a.png", "b.png"]


def test_the_home_of_runs_is_where_the_system_keeps_programs_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert RunStore.at_home().root == tmp_path / "sd3demo" / "runs"
