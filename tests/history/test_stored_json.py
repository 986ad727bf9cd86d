"""Receipts outlive versions: what an older one wrote is read, and what cannot be read is told apart."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, create_model

from sd3demo.errors import Refusal
from sd3demo.history import RunStore, read_receipt, stored_json
from sd3demo.history import traces as traces_module
from sd3demo.history.index import HistoryIndex
from sd3demo.history.receipts import Receipt, receipt_from, receipt_json, receipts_of
from sd3demo.history.sheet_receipts import read_sheet, sheet_from, sheet_json
from sd3demo.history.stored_json import FORMAT, REQUESTS, canonical, digest_of
from sd3demo.history.traces import read_trace
from sd3demo.settings import identity, non_default_values
from tests.engine.runs import EXACT, exactly, run

FORMAT_1 = Path(__file__).parent / "format_1"
"""Files that version 0.1 wrote."""
PICTURES = sorted(file.name for file in FORMAT_1.glob("*.png") if file.stem != "grid")
RAN = run(exactly("red", count=2, steps=3), EXACT)
RECEIPT = receipts_of(RAN.plan.request, RAN.finished)[1]


def grown(kind: type[BaseModel]) -> type[BaseModel]:
    """The same settings in a later version, which has one more of them."""
    return create_model(kind.__name__, __base__=kind, flavour=(float, Field(0.5, ge=0, le=1)))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version of sd3demo, whose requests have one more setting."""
    for name, kind in REQUESTS.items():
        monkeypatch.setitem(REQUESTS, name, grown(kind))
    monkeypatch.setattr(traces_module, "Resolved", grown(traces_module.Resolved))


def stored(change: Callable[[dict], object], receipt: Receipt = RECEIPT) -> dict:
    """A receipt as another version may have written it, with the digest that belongs to it."""
    values = json.loads(receipt_json(receipt))
    change(values)
    values["digest"] = digest_of(values)
    return values


def refusal(values: Mapping[str, object]) -> str:
    with pytest.raises(Refusal) as caught:
        receipt_from(values, "the receipt in a.png")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", PICTURES)
def test_a_receipt_of_format_1_is_read(name: str) -> None:
    receipt = read_receipt(FORMAT_1 / name)
    assert receipt.kind == ("generate" if name in ("native.png", "batch-member.png") else "extrapolate")
    assert type(receipt.request) is REQUESTS[receipt.kind]
    assert receipt.format == FORMAT == 2
    assert receipt_from(json.loads(receipt_json(receipt)), name) == receipt


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("name", PICTURES)
def test_a_receipt_of_format_1_is_read_after_a_setting_was_added(name: str) -> None:
    assert read_receipt(FORMAT_1 / name).request.flavour == 0.5  # type: ignore[attr-defined]


@pytest.mark.usefixtures("later")
def test_a_receipt_of_this_version_is_read_after_a_setting_was_added() -> None:
    again = receipt_from(json.loads(receipt_json(RECEIPT)), "it")
    assert again.request.flavour == 0.5  # type: ignore[attr-defined]
    assert {**again.request.model_dump(), "flavour": None} == {
        **RECEIPT.request.model_dump(),
        "flavour": None,
    }


@pytest.mark.usefixtures("later")
def test_grids_and_traces_of_then_are_read_after_a_setting_was_added() -> None:
    sheet = read_sheet(FORMAT_1 / "grid.png")
    assert {picture.request.flavour for picture in sheet.pictures} == {0.5}  # type: ignore[attr-defined]
    assert sheet_from(json.loads(sheet_json(sheet)), "it") == sheet
    assert read_trace(FORMAT_1 / "plain.safetensors").request.flavour == 0.5  # type: ignore[attr-defined]


def test_a_run_of_then_and_one_of_now_open_after_a_setting_was_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(tmp_path / "runs")
    now = store.save(RAN.plan.request, RAN.finished)
    then = store.root / "20240101-000000-0123abcd"
    shutil.copytree(now.folder, then)
    result = json.loads((then / "result.json").read_text())
    for name in ("format", "kind", "versions"):  # version 0.1 wrote none of them
        del result[name]
    (then / "result.json").write_text(json.dumps(result))
    for name, kind in REQUESTS.items():
        monkeypatch.setitem(REQUESTS, name, grown(kind))
    for id in (now.id, then.name):
        record = HistoryIndex(store).record(id)
        assert record.request.flavour == 0.5  # type: ignore[attr-defined]
        assert record.weights_sha256 == RAN.finished.weights_sha256


NEWER = "the receipt in a.png was written by a newer version of sd3demo: it has the "
OLDER = "the receipt in a.png cannot be migrated to sd3demo "
EDITED = "the receipt in a.png was edited: its digest does not match what it says; give the file as sd3demo"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (stored(lambda v: v.update(format=3)), NEWER + "format 3"),
        (stored(lambda v: v.update(format=3, surprise=1)), NEWER + "format 3"),
        (stored(lambda v: v["request"].update(flavour=1)), NEWER + "setting 'flavour'"),
        (stored(lambda v: v.update(surprise=1)), NEWER + "setting 'surprise'"),
        (stored(lambda v: v.update(kind="film")), NEWER + "kind 'film'"),
        (stored(lambda v: v["request"].update(steps=1000)), OLDER),
        (stored(lambda v: v["request"].update(solver="rk5")), OLDER),
        (stored(lambda v: v.update(sigmas=[1.0])), OLDER),
        (
            stored(lambda v: v["request"].pop("steps")),
            "the receipt in a.png cannot be read: steps is missing",
        ),
        (stored(lambda v: v.pop("request")), "the receipt in a.png c"),
        ({**stored(lambda v: None), "picture": 0}, EDITED),
        ({**stored(lambda v: None), "digest": "0" * 64}, EDITED),
    ],
)
def test_an_old_receipt_a_newer_one_and_an_edited_one_are_told_apart(
    values: dict[str, object], sentence: str
) -> None:
    assert refusal(values).startswith(sentence)


def test_the_sentences_say_what_to_do() -> None:
    versions = {"sd3demo": "7.8.9"}
    newer = refusal(stored(lambda v: v.update(format=3, versions=versions)))
    older = refusal(stored(lambda v: (v["request"].update(steps=1000), v.update(versions=versions))))
    assert newer.endswith("update sd3demo to 7.8.9")
    assert "steps is 1000; it must lie in [1, 100]; open it with the version that wrote it, 7.8.9" in older


def test_a_batch_beyond_the_last_seed_is_migrated_for_the_pictures_that_can_be_made_again() -> None:
    """Version 0.1 made three pictures from the seed 2^32 - 2, the last of which has no seed of its own."""
    first = json.loads(receipt_json(RECEIPT))
    del first["kind"], first["parent"]
    first["request"] |= {"seed": 2**32 - 2, "count": 3}

    def of_format_1(picture: int) -> dict[str, object]:
        values = {**first, "format": 1, "picture": picture}
        return values | {"digest": digest_of(values)}

    for picture in (0, 1):
        request = receipt_from(of_format_1(picture), "it").request
        assert (request.seed, request.count) == (2**32 - 2, 2)
    assert "cannot be migrated" in refusal(of_format_1(2))


def test_the_digest_of_format_1_is_over_an_empty_digest_and_that_of_format_2_over_the_rest() -> None:
    import hashlib

    one, two = {"format": 1, "a": 1.0, "digest": "x"}, {"format": 2, "a": 1.0, "digest": "x"}
    assert canonical(one | {"digest": ""}) == '{"a": 1.0, "digest": "", "format": 1}'
    assert digest_of(one) == hashlib.sha256(b'{"a": 1.0, "digest": "", "format": 1}').hexdigest()
    assert digest_of(two) == hashlib.sha256(b'{"a": 1.0, "format": 2}').hexdigest()


@pytest.mark.parametrize("kind", [type(exactly()), *REQUESTS.values()])
def test_a_new_setting_leaves_the_identity_of_old_ones(kind: type[BaseModel]) -> None:
    values = {"prompt": "a", "steps": 3, "cfg": 2, "shift": 1, "width": 64, "height": 64, "scale": 2}
    values |= {"schedule": "uniform", "max_sequence_length": 9, "precision": "float32"}
    values |= {"native_width": 32, "native_height": 32, "start": 1, "large_steps": 3}
    now = kind.model_validate({name: value for name, value in values.items() if name in kind.model_fields})
    then = grown(kind).model_validate(now.model_dump())
    assert identity(then) == identity(now)
    assert identity(then.model_copy(update={"flavour": 0.75})) != identity(now)
    assert kind.model_validate(non_default_values(now)) == now


def test_every_kind_of_request_is_told_from_the_others() -> None:
    assert set(REQUESTS) == {"generate", "extrapolate"}
    assert len(set(REQUESTS.values())) == len(REQUESTS)
    assert stored_json.kind_of(RAN.plan.request) == "generate"
