"""What programs make is kept as what visitors make is: in the history, where the page has one."""

import errno
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from sd3demo.history import RunStore, read_receipt
from sd3demo.history.index import HistoryIndex
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from sd3demo.ui import Core
from sd3demo.ui.server import gradio_internals
from tests.ui.fake_page import Rehearsal, serving, write_model


@pytest.mark.parametrize(("name", "files"), [("/infer", 1), ("/extrapolate", 2)])
def test_a_picture_is_kept_though_no_file_of_it_can_be_sent(
    name: str, files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gradio_internals, "save_bytes_to_cache", full)
    store = RunStore(tmp_path / "runs")
    core = Core((str(write_model(tmp_path / "model")),), Rehearsal().run, store)
    with serving(core) as address:
        client = Client(address, verbose=False, download_files=str(tmp_path / "got"))
        with pytest.raises(AppError, match=r"cannot write .*: No space left on device"):
            client.predict("a red circle", num_inference_steps=2, api_name=name)
    (run,) = store.runs()
    assert len(run.images) == files


def test_both_endpoints_keep_their_runs_and_say_how_they_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    store = RunStore(tmp_path / "runs")
    core = Core((str(write_model(tmp_path / "model")),), Rehearsal().run, store)
    with serving(core) as address:
        client = Client(address, verbose=False, download_files=str(tmp_path / "got"))
        told = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
        plain, _ = client.predict("a red circle", seed=5, num_inference_steps=2, api_name="/infer")
        large, _ = client.predict("a red circle", seed=6, num_inference_steps=2, api_name="/extrapolate")
    kept = {record.request.seed: record for record in map(HistoryIndex(store).record, store.ids())}
    assert set(kept) == {5, 6}
    assert [image.name for image in kept[5].run.images] == ["0.png"]
    assert {image.name for image in kept[6].run.images} == {"native.png", "projected.png"}
    assert isinstance(kept[6].request, ResolvedExtrapolation)
    for file, seed in ((plain, 5), (large, 6)):
        assert read_receipt(Path(file)).request == kept[seed].request
    for name in ("/infer", "/extrapolate"):
        assert "stops within a step of being cancelled" in told[name]["description"]
