"""The history as a gallery asks for it: search, small pictures, a run's words; damaged runs do no harm."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd3demo.errors import Refusal
from sd3demo.history import Run, RunStore
from sd3demo.history.index import HistoryIndex
from sd3demo.history.thumbnails import SIDE, thumbnail, thumbnail_of
from tests.engine.runs import EXACT, exactly, run

RAN = run(exactly("red", count=2, steps=3), EXACT)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def save(store: RunStore, prompt: str) -> Run:
    return store.save(RAN.plan.request.model_copy(update={"prompt": prompt}), RAN.finished)


def test_every_word_of_a_search_must_be_in_the_prompt_whatever_its_case(store: RunStore) -> None:
    names = ["a red circle", "A RED Square", "Straße und Kreis", "red <b>circle</b>", "ﬁg tree"]
    ids = {name: save(store, name).id for name in names}
    index = HistoryIndex(store)

    def found(wanted: str) -> list[str]:
        return [name for name in names if ids[name] in index.find(wanted)]

    assert index.find() == [ids[name] for name in reversed(names)]
    assert found("Red") == ["a red circle", "A RED Square", "red <b>circle</b>"]
    assert found("circle red") == ["a red circle", "red <b>circle</b>"]
    assert found("STRASSE") == ["Straße und Kreis"]
    assert found("fig") == ["ﬁg tree"]
    assert found(".*") == found("green") == []
    assert found("  ") == names


def test_new_and_deleted_runs_are_seen_at_once(store: RunStore) -> None:
    index = HistoryIndex(store)
    assert index.find() == []
    first, second = save(store, "one"), save(store, "two")
    assert index.find() == [second.id, first.id]
    store.discard(first)
    assert index.find() == [second.id]
    assert index.size() == store.size(second.id) > 0


def test_a_run_says_all_of_itself(store: RunStore) -> None:
    kept = save(store, "red")
    record = HistoryIndex(store).record(kept.id)
    assert record.request == RAN.plan.request
    assert record.run.images == kept.images
    assert record.result["calls"] == RAN.finished.calls


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"seed": 3}', b"\xff\xfe"])
def test_a_damaged_run_is_not_listed_and_is_refused(store: RunStore, content: bytes | None) -> None:
    kept, other = save(store, "red"), save(store, "blue")
    file = kept.folder / "request.json"
    file.unlink() if content is None else file.write_bytes(content)
    index = HistoryIndex(store)
    assert index.find() == [other.id]
    with pytest.raises(Refusal, match=r"cannot be read: "):
        index.record(kept.id)


@pytest.mark.parametrize("id", ["", "..", "20200101-000000-00000000"])
def test_a_run_that_is_not_there_is_refused(store: RunStore, id: str) -> None:
    with pytest.raises(Refusal, match="there is no run"):
        HistoryIndex(store).record(id)


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (128, 128), (1024, 512), (40, 3000)])
def test_small_pictures_are_small_and_of_the_same_shape(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    with Image.open(io.BytesIO(thumbnail(pixels))) as small:
        assert max(small.size) <= SIDE
        assert small.width / small.height == pytest.approx(size[0] / size[1], rel=0.5)
        if max(size) <= SIDE:
            assert np.array_equal(np.asarray(small.convert("RGB")), pixels)


def test_a_run_without_a_small_picture_gets_one_and_a_damaged_picture_none(store: RunStore) -> None:
    kept = save(store, "red")
    index = HistoryIndex(store)
    written = index.thumbnail(kept.id)
    (kept.folder / "thumbnail.webp").unlink()
    assert index.thumbnail(kept.id) == written
    kept.images[0].write_bytes(b"no picture")
    assert index.thumbnail(kept.id) == b""


def test_a_huge_picture_is_not_decoded_for_a_small_one(tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    Image.new("1", (8000, 8000)).save(file)
    assert file.stat().st_size < 20_000
    with pytest.raises(ValueError, match="8000 x 8000 pixels are too many"):
        thumbnail_of(file)


def test_a_run_of_a_newer_version_is_refused_with_a_sentence(store: RunStore) -> None:
    kept = save(store, "red")
    values = json.loads((kept.folder / "request.json").read_text()) | {"flavour": "salt"}
    (kept.folder / "request.json").write_text(json.dumps(values))
    assert HistoryIndex(store).find("red") == [kept.id]
    with pytest.raises(
        Refusal, match="was written by a newer version of sd3demo: it has the setting 'flavour'"
    ):
        HistoryIndex(store).record(kept.id)
