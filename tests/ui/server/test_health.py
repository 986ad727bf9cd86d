"""What a balancer and a monitoring see: alive, ready or why not, and figures that follow the runs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gradio_client import Client
from prometheus_client.parser import text_string_to_metric_families

from sd3demo.errors import Failure, Refusal
from sd3demo.history import RunStore
from sd3demo.ui import Core, app, build
from sd3demo.ui.server import first_load
from sd3demo.ui.server.health import not_ready
from sd3demo.ui.server.operations import Operations
from tests.ui.fake_page import Rehearsal, serving
from tests.ui.server.pages import ask


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = RunStore(tmp_path_factory.mktemp("runs"))
    with serving(Core(("tiny",), Rehearsal().run, store)) as address:
        yield address


def figures(address: str) -> dict[str, float]:
    """Every sample by its name and labels."""
    reply = ask(address, "/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain")
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def test_a_page_that_serves_is_alive_and_ready(address: str) -> None:
    assert ask(address, "/healthz").json == {"status": "alive"}
    ready = ask(address, "/readyz")
    assert (ready.status, ready.json["reasons"]) == (200, [])


def test_the_figures_follow_what_happens(address: str) -> None:
    client = Client(address, verbose=False)
    before = figures(address)
    client.predict("a red circle", num_inference_steps=2, api_name="/infer")
    with pytest.raises(Exception, match="num_inference_steps"):
        client.predict("a red circle", num_inference_steps=1000, api_name="/infer")
    after = figures(address)

    def more(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert more("sd3demo_runs_total finished") == 1
    assert more("sd3demo_refusals_total input") == 1
    assert more("sd3demo_phase_seconds_count flow") == 1
    assert more("sd3demo_phase_seconds_sum flow") == pytest.approx(1.2)
    assert after["sd3demo_active_runs"] == after["sd3demo_queue_length"] == 0
    assert after["sd3demo_sessions"] >= 1
    assert after["process_resident_memory_bytes"] > 1e6


def test_a_page_is_not_ready_before_its_model_is_loaded() -> None:
    operations = Operations()
    assert not_ready(operations, None) == ["the model is not loaded yet"]
    core = Core(("tiny",), Rehearsal().run, load=lambda: None)
    first_load.load_and_check(core, operations)
    assert not_ready(operations, None) == []


@pytest.mark.parametrize("error", [Refusal("no /a/folder"), Failure("no"), RuntimeError("no")])
def test_a_model_that_cannot_be_loaded_is_a_reason_without_a_path(error: Exception) -> None:
    def load() -> None:
        raise error

    operations = Operations()
    first_load.load_and_check(Core(("tiny",), Rehearsal().run, load=load), operations)
    assert not_ready(operations, None) == ["the model cannot be loaded; the log says why"]


def test_a_history_that_cannot_be_written_is_a_reason_without_a_path(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    (reason,) = not_ready(Operations(model=""), RunStore(file / "runs"))
    assert reason.startswith("the history cannot be written: ")
    assert str(tmp_path) not in reason


def test_a_page_that_closes_is_not_ready() -> None:
    operations = Operations(model="")
    operations.close()
    assert not_ready(operations, None) == ["the page is closing"]


def test_the_embedded_weights_are_as_published() -> None:
    operations = Operations()
    first_load.check_weights("tiny", operations)
    assert operations.weights.startswith("as published, ")
    assert operations.damage == ""


def test_a_bit_that_flipped_in_a_weight_is_said(tmp_path: Path, flipped: Callable[[Path], Path]) -> None:
    operations = Operations()
    first_load.check_weights(str(flipped(tmp_path)), operations)
    assert operations.weights == "damaged: vae/diffusion_pytorch_model.safetensors"
    assert str(tmp_path.parent) not in operations.damage
    assert "pictures may be wrong" in operations.damage


@pytest.fixture
def flipped() -> Callable[[Path], Path]:
    """Copies the embedded model with one bit of its autoencoder changed."""
    import shutil

    from sd3demo.catalogue import assets

    def copy(folder: Path) -> Path:
        made = folder / "model"
        shutil.copytree(assets() / "tiny", made)
        file = made / "vae" / "diffusion_pytorch_model.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        return made

    return copy


def test_the_page_says_that_weights_are_damaged_and_else_nothing(
    tmp_path: Path, flipped: Callable[[Path], Path]
) -> None:
    operations, work = Operations(), Core(("tiny",), Rehearsal().run)
    assert app._notice(work, operations) == ""
    first_load.check_weights(str(flipped(tmp_path)), operations)
    assert 'role="alert"' in app._notice(work, operations)
    page = build(Core(("tiny",), Rehearsal().run))
    (shown,) = [fn for fn in page.fns.values() if getattr(fn.fn, "func", None) is app._notice]
    assert shown.targets[0][1] == "load"


def test_a_page_that_is_opened_during_a_run_says_where_its_picture_comes(tmp_path: Path) -> None:
    kept = Core(("tiny",), Rehearsal().run, RunStore(tmp_path / "runs"))
    assert app._notice(kept, Operations()) == ""
    with kept.line.join("somebody", 1.0):
        assert 'href="#/history"' in app._notice(kept, Operations())
    shared = Core(("tiny",), Rehearsal().run)  # which has no history to look in
    with shared.line.join("somebody", 1.0):
        assert app._notice(shared, Operations()) == ""
