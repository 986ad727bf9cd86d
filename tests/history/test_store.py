"""A run is on the disk whole or not at all."""

import errno
import fcntl
import json
import os
from pathlib import Path

import pytest

from sd3demo.errors import Refusal
from sd3demo.history import Run, RunStore, page_store, read_receipt, user_store, write_whole
from sd3demo.settings import Resolved
from tests.engine.runs import EXACT, exactly, run

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
        "thumbnail.webp",
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


@pytest.mark.parametrize("after", range(7))
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


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing of runs."""
    for name in ("SD3DEMO_RUNS", "SD3DEMO_RUNS_GIB", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return monkeypatch


def test_the_home_of_runs_is_where_the_system_keeps_programs_data(
    tmp_path: Path, bare: pytest.MonkeyPatch
) -> None:
    assert user_store().root == tmp_path / "sd3demo" / "runs"
    bare.setenv("SD3DEMO_RUNS", str(tmp_path / "named"))
    assert user_store().root == tmp_path / "named"
    assert user_store(tmp_path / "flag").root == tmp_path / "flag"
    bare.setenv("SD3DEMO_RUNS", "off")
    assert user_store() is None
    assert user_store(tmp_path / "flag").root == tmp_path / "flag"
    bare.delenv("SD3DEMO_RUNS")
    assert user_store("off") is None


@pytest.mark.parametrize(
    ("runs", "environment", "host", "kept"),
    [
        (None, {}, "127.0.0.1", True),
        (None, {}, "0.0.0.0", False),
        (None, {"SPACE_ID": "somebody/space"}, "127.0.0.1", False),
        (None, {"SPACE_ID": "somebody/space", "SD3DEMO_RUNS": "/data/runs"}, "0.0.0.0", True),
        (None, {"SD3DEMO_RUNS": "off"}, "127.0.0.1", False),
        ("off", {"SD3DEMO_RUNS": "/data/runs"}, "127.0.0.1", False),
        ("/data/runs", {"SPACE_ID": "somebody/space"}, "0.0.0.0", True),
        ("/data/runs", {"SD3DEMO_RUNS": "off"}, "0.0.0.0", True),
    ],
)
def test_visitors_see_no_history_of_others_unless_somebody_asked_for_it(
    runs: str | None, environment: dict[str, str], host: str, kept: bool, bare: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        bare.setenv(name, value)
    assert (page_store(runs, host=host) is not None) is kept


def test_the_limit_of_all_runs_can_be_set(bare: pytest.MonkeyPatch) -> None:
    assert user_store().limit == 4 * 2**30
    assert user_store(gib=0.5).limit == 2**29
    bare.setenv("SD3DEMO_RUNS_GIB", "2")
    assert (user_store().limit, user_store(gib=0.5).limit) == (2**31, 2**29)


@pytest.mark.parametrize("given", ["much", "-1", "0", "nan", "inf"])
def test_a_limit_that_is_none_is_a_sentence(given: str, bare: pytest.MonkeyPatch) -> None:
    bare.setenv("SD3DEMO_RUNS_GIB", given)
    with pytest.raises(Refusal, match=r"SD3DEMO_RUNS_GIB is .* must be a number of GiB above 0"):
        user_store()


def test_the_oldest_runs_make_room_and_never_the_one_just_made(store: RunStore) -> None:
    first = save(store)
    size = store.size(first.id)
    assert size == sum(path.stat().st_size for path in everything(first.folder))
    store.limit = 3 * size + size // 2
    kept = [first, *[save(store) for _ in range(4)]]
    assert store.ids() == [run.id for run in reversed(kept[2:])]
    store.limit = 1
    last = save(store)
    assert store.ids() == [last.id]
    assert len(everything(store.root)) == len(everything(last.folder))


def test_runs_are_listed_from_the_newest_whenever_they_were_made(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    for moment in (1.0e9, 1.0e9 + 0.001, 1.0e9 + 0.25, 1.0e9 + 3600, *[2.0e9] * 11):
        monkeypatch.setattr("time.time_ns", lambda at=moment: int(at * 1e9) + 1)
        ids.append(save(store).id)
    assert store.ids() == ids[::-1]
    assert store.find(ids[0]).finished_at.isoformat() == "2001-09-09T01:46:40+00:00"


def test_a_run_of_an_older_version_is_listed_too(store: RunStore) -> None:
    kept = save(store)
    old = store.root / "20240101-000000-0123abcd"
    kept.folder.rename(old)
    assert store.ids() == [old.name]
    assert store.find(old.name).finished_at.year == 2024


def test_what_dead_processes_left_is_swept_and_what_is_being_written_is_not(store: RunStore) -> None:
    save(store)
    dead, deleted, alive = (store.root / name for name in (".new-dead", ".old-run-1", ".new-alive"))
    for folder in (dead, deleted, alive):
        folder.mkdir()
        (folder / "0.png").write_bytes(b"half")
    (store.root / "notes.txt").write_text("not ours")
    descriptor = os.open(alive, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        save(store)
        assert (dead.exists(), deleted.exists(), alive.exists()) == (False, False, True)
    finally:
        os.close(descriptor)
    save(store)
    assert not alive.exists()
    assert (store.root / "notes.txt").exists()
    assert len(store.ids()) == 3
