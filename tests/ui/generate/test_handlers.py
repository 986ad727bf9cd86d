"""What the Generate tab answers to what people do: a dropped picture, a new seed for each run, a stop."""

from pathlib import Path

import gradio as gr
import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, plan
from sd3demo.history import receipts_of, to_png
from sd3demo.settings import Request, parse
from sd3demo.ui import Core
from sd3demo.ui.controls.labels import LABELS
from sd3demo.ui.generate import handlers
from sd3demo.ui.generate.handlers import VIEWS, GenerateHandlers
from sd3demo.ui.run.run_status import STARTING, running
from sd3demo.ui.run.visit import Visit
from tests.ui.fake_page import Rehearsal, finished
from tests.ui.generate.presses import pressed

NAME = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(autouse=True)
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))


@pytest.fixture
def answers() -> GenerateHandlers:
    return GenerateHandlers(Core(("tiny",), Rehearsal().run))


def picture(folder: Path, **settings: object) -> Path:
    asked = parse(Request, {"prompt": "a red circle", "model": "tiny", "steps": 3, "seed": 8} | settings)
    made = plan(asked, find("tiny"), Budget())
    done = finished(made)
    file = folder / NAME
    file.write_bytes(to_png(done.pictures[-1], receipts_of(made.request, done)[-1]))
    return file


def test_a_dropped_picture_brings_its_settings_back(answers: GenerateHandlers, tmp_path: Path) -> None:
    status, empty, *updates = answers.receipt(str(picture(tmp_path, count=2)), Visit())
    updates = updates[VIEWS:]
    held = {name: update["value"] for name, update in zip(answers.names, updates, strict=True)}  # type: ignore[index]
    assert (held["prompt"], held["steps"], held["seed"], held["count"]) == ("a red circle", 3, 9, 1)
    assert "The settings are those of &lt;img src=x" in str(status)
    assert "<img" not in str(status)
    assert empty is None


def test_a_file_without_settings_is_a_sentence_that_names_it(
    answers: GenerateHandlers, tmp_path: Path
) -> None:
    file = tmp_path / NAME
    file.write_bytes(b"GIF89a")
    status, empty, *updates = answers.receipt(str(file), Visit())
    assert "“&lt;img src=x onerror=alert(1)&gt;.png” is not a PNG file" in str(status)
    assert str(tmp_path) not in str(status)
    assert empty is None
    assert all(update == gr.skip() for update in updates)


def test_with_a_random_seed_each_run_has_another_and_shows_it(answers: GenerateHandlers) -> None:
    values = dict(answers.start({})) | {"prompt": "a red circle", "steps": 2}
    given = [values[name] for name in answers.names]
    seeds = set()
    for _ in range(3):
        visit = Visit()
        first, *_ = pressed(answers, given, reseed=True, visit=visit)
        assert first[0] == STARTING
        assert visit.result is not None
        assert visit.result.request.seed == first[1][-2]
        seeds.add(first[1][-2])
    assert len(seeds) == 3


def test_without_a_prompt_the_one_that_the_field_shows_is_run(answers: GenerateHandlers) -> None:
    values = dict(answers.start({})) | {"prompt": " ", "steps": 1}
    visit = Visit()
    first, *_ = pressed(answers, [values[name] for name in answers.names], visit=visit)
    assert visit.result is not None
    assert first[1][-1] == visit.result.request.prompt == LABELS["prompt"].hint


def test_a_stopped_run_says_after_which_step() -> None:
    assert handlers.ended(running("", step=3, count=28)) == ["Stopped after step 3 of 28."]
    assert handlers.ended(STARTING) == ["Stopped before step 1."]
