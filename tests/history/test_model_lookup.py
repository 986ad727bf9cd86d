"""The model of a receipt is found by the hash of its weights, and no path of a machine leaves it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sd3demo import catalogue
from sd3demo.catalogue import find, fingerprint
from sd3demo.engine.events import ArmFinished
from sd3demo.errors import Refusal
from sd3demo.history import RunStore, model_for, read_receipt, receipts_of, single_request, to_png
from sd3demo.history.export import export
from sd3demo.history.index import HistoryIndex
from sd3demo.history.model_lookup import remember_folder, remembered_folders
from sd3demo.history.portable import file_name, portable_model, portable_request
from sd3demo.history.receipts import Receipt
from sd3demo.history.traces import read_trace, to_file
from sd3demo.settings import parse
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from tests.engine.runs import EXACT, exactly, run
from tests.history.fake_trace import a_trace

RAN = run(exactly("red", steps=3), EXACT)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has nothing yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def folder(checkpoint: Callable[..., Path], home: Path) -> Path:
    """Somebody's own model, in a folder of its own."""
    return Path(shutil.copytree(checkpoint(), home / "secret-place" / "my-model"))


def receipt_of(model: str, weights: str) -> Receipt:
    request = RAN.plan.request.model_copy(update={"model": model})
    return receipts_of(request, replace(RAN.finished, weights_sha256=weights))[0]


def test_the_model_of_the_name_is_taken_where_its_weights_are_the_receipts() -> None:
    found = model_for(receipt_of("tiny", fingerprint(find("tiny"))))
    assert (found.spec.name, found.same_weights, found.note) == ("tiny", True, "")


def test_weights_that_moved_to_another_name_are_found_by_their_hash() -> None:
    """As when `tiny` was trained anew, and its older weights ship under another name."""
    found = model_for(receipt_of("tiny", fingerprint(find("tiny-2"))))
    assert (found.spec.name, found.same_weights) == ("tiny-2", True)
    assert found.note == "the model is tiny in the receipt and tiny-2 here"
    assert single_request(receipt_of("tiny", "0" * 64), found.model).model == "tiny-2"


def test_a_folder_is_found_among_those_that_are_named(folder: Path) -> None:
    receipt = receipt_of(str(folder), fingerprint(find(str(folder))))
    with pytest.raises(Refusal, match=r"the model 'my-model', whose .*: give its folder with --model FOLDER"):
        model_for(receipt)
    for models in ([str(folder)], ["tiny", folder]):
        found = model_for(receipt, models)
        assert (found.spec.folder, found.same_weights) == (str(folder), True)
    assert model_for(receipt, [folder], everywhere=False).spec.folder == str(folder)


def test_a_folder_that_a_run_was_made_from_is_remembered(folder: Path, home: Path) -> None:
    weights = fingerprint(find(str(folder)))
    store = RunStore(home / "runs")
    request = RAN.plan.request.model_copy(update={"model": str(folder)})
    kept = store.save(request, replace(RAN.finished, weights_sha256=weights))
    record = HistoryIndex(store).record(kept.id)
    assert record.request.model == "my-model"
    for of in (record, read_receipt(kept.images[0])):
        assert model_for(of).spec.folder == str(folder)
        with pytest.raises(Refusal, match="give its folder"):
            model_for(of, ["tiny"], everywhere=False)  # a shared page opens no folder that it does not offer
    shutil.rmtree(folder)
    with pytest.raises(Refusal, match="give its folder"):
        model_for(record)


def test_other_weights_are_used_where_none_have_the_hash_and_it_is_said(folder: Path) -> None:
    unknown = receipt_of("tiny", "e" * 64)
    for found in (model_for(unknown), model_for(unknown, ["tiny"], everywhere=False)):
        assert (found.spec.name, found.same_weights) == ("tiny", False)
        assert found.note == "no weights here have the receipt's hash, eeeeeeeeeeee…; tiny is used instead"
    assert model_for(unknown, [folder]).spec.folder == str(folder)
    with pytest.raises(Refusal, match="give its folder"):
        model_for(receipt_of("/etc", "e" * 64), ["tiny"], everywhere=False)


def test_a_model_that_is_not_here_is_named_with_what_to_do() -> None:
    with pytest.raises(Refusal, match=r"run `hf download .*, or give its folder with --model FOLDER"):
        model_for(receipt_of("sd3-medium", "e" * 64))


def test_an_index_that_is_damaged_or_cannot_be_written_costs_nothing(
    folder: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = home / "data" / "sd3demo" / "models.json"
    file.parent.mkdir(parents=True)
    for content in ("", "[1]", '{"a": 1}', "[" * 100_000):
        file.write_text(content)
        assert remembered_folders() == {}
    file.unlink()
    file.mkdir()
    remember_folder(str(folder), "0" * 64)
    assert "cannot remember the folder of a model" in caplog.text
    file.rmdir()
    remember_folder("my-model", "1" * 64)  # not a folder here
    remember_folder("tiny", "1" * 64)
    assert remembered_folders() == {}


def test_a_folder_that_is_named_by_its_last_part_is_remembered_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    remember_folder("my-model", "1" * 64)
    assert remembered_folders() == {"1" * 64: str(folder)}


@pytest.mark.parametrize("name", [*catalogue.CATALOGUE, "stabilityai/stable-diffusion-3.5-large"])
def test_a_name_of_the_catalogue_stays(name: str) -> None:
    assert portable_model(name) == name


@pytest.mark.parametrize(
    "path", ["/home/somebody/my-model", "~/my-model", "../x/my-model/", "C:\\Users\\somebody\\my-model"]
)
def test_of_a_path_the_last_part_stays(path: str) -> None:
    assert portable_model(path) == "my-model"


def test_no_path_of_the_machine_is_in_what_can_be_shared(folder: Path, home: Path) -> None:
    store = RunStore(home / "runs")
    request = RAN.plan.request.model_copy(update={"model": str(folder)})
    kept = store.save(request, RAN.finished)
    archive = home / "runs.zip"
    export(store, [kept.id], archive)
    trace = a_trace()
    content = to_file(replace(trace, request=trace.request.model_copy(update={"model": str(folder)})))
    (home / "a.safetensors").write_bytes(content)
    assert read_trace(home / "a.safetensors").request.model == "my-model"
    assert json.loads((kept.folder / "request.json").read_text())["model"] == "my-model"
    files = [archive, home / "a.safetensors", *kept.folder.iterdir()]
    assert [file.name for file in files if b"secret-place" in file.read_bytes()] == []


def larger(**changed: object) -> ResolvedExtrapolation:
    values = RAN.plan.request.model_dump() | {"width": 32, "height": 32, "scale": 2, "native_width": 16}
    values |= {"native_height": 16, "start": 1, "large_steps": 3, **changed}
    return parse(ResolvedExtrapolation, values)


def test_of_a_super_resolution_models_file_its_name_stays() -> None:
    assert portable_request(larger(upscaler="/home/somebody/esrgan.pth")).upscaler == "esrgan.pth"
    assert portable_request(larger()).upscaler == file_name("") == ""


def test_an_enlarged_pictures_receipt_holds_the_native_ones(home: Path) -> None:
    finished = RAN.finished
    fields = {name: getattr(finished, name) for name in ("sigmas", "calls", "path_length", "chord")}
    fields |= {"noise_sha256": ("a" * 64,), "weights_sha256": finished.weights_sha256, "seconds": 1.0}
    pixels = np.zeros((32, 32, 3), np.uint8)
    native = ArmFinished(arm="native", stage="native", pictures=finished.pictures, **fields)
    fields["noise_sha256"] = ("b" * 64,)
    large = ArmFinished(arm="direct", stage="direct", pictures=(pixels,), **fields)
    ended = replace(finished, pictures=(pixels,), arms={"native": native, "direct": large})
    kept = RunStore(home / "runs").save(larger(), ended, {"native": RAN.plan.request, "direct": larger()})
    parent, child = (read_receipt(kept.folder / f"{name}.png") for name in ("native", "direct"))
    assert parent.parent is None
    assert child.parent is not None
    assert child.parent.model_dump() == {
        name: parent.model_dump()[name] for name in type(child.parent).model_fields
    }
    assert (child.noise_sha256, child.parent.noise_sha256) == ("b" * 64, "a" * 64)
    alone = RunStore(home / "more").save(larger(), ended, {"direct": larger()})
    assert read_receipt(alone.images[0]).parent is None
    (home / "again.png").write_bytes(to_png(pixels, child))
    assert read_receipt(home / "again.png") == child
