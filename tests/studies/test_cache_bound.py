"""The files of measured cells have a bound, and stand beside the runs."""

import json
from pathlib import Path

import pytest

from sd3demo.catalogue.user_folders import user_data
from sd3demo.studies.cache import ResultCache, beside, kept_at_home, trim


def keys(folder: Path, name: str) -> list[str]:
    return [json.loads(line)["key"] for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def test_the_oldest_cells_make_room_and_the_newest_stay(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path, ["a", "b"], limit=20_000)
    cache.add("b", "first", {}, {"x": 0})
    for number in range(500):
        cache.add("a", f"{number}", {}, {"x": "y" * 80})
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 20_000
    kept = keys(tmp_path, "a")
    assert kept == [f"{number}" for number in range(500)][-len(kept) :]
    assert len(kept) > 50
    assert keys(tmp_path, "b") == ["first"]  # the largest file makes room
    again = ResultCache(tmp_path, ["a", "b"])
    assert "499" in again
    assert "0" not in again


def test_a_folder_within_its_bound_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"torn\n" * 10)
    trim(tmp_path, 50)
    assert file.read_bytes() == b"torn\n" * 10


def test_the_cells_are_with_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert beside(user_data() / "runs") == kept_at_home()
    assert beside(tmp_path / "mine") == tmp_path / "mine" / "studies"
