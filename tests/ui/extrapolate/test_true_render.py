"""The true render beside the methods: how far each is from it, who is nearest; the recorded enlargement."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sd3demo.catalogue import assets, find, fingerprint
from sd3demo.engine import Plan
from sd3demo.engine import plan as plan_of
from sd3demo.engine.events import ArmFinished, Finished, Pixels
from sd3demo.engine.plan.stages import Arm
from sd3demo.history.receipts import read_receipt
from sd3demo.settings import parse
from sd3demo.settings.extrapolation import COMPARED, Extrapolation, method_arms
from sd3demo.studies.exam_pictures import local_budget
from sd3demo.ui import Core, build
from sd3demo.ui.extrapolate import recorded_pictures
from sd3demo.ui.extrapolate.recorded_pictures import NAMES, read_pixels, recorded_request, recorded_view
from sd3demo.ui.extrapolate.stream import extrapolation_views
from sd3demo.ui.extrapolate.true_render import (
    ABOUT,
    TRUE,
    distances,
    nearest_html,
    true_pixels,
    true_render_of,
)
from sd3demo.ui.server.gradio_internals import ServedFile
from sd3demo.world.scene_fit import drawn
from sd3demo.world.scenes import Scene, Thing
from tests.ui.fake_extrapolation import enlarging

SCENE = Scene("white", ((Thing("star", "red", "solid", 0.4, 0.6, 0.25),),))


def pixels(side: int) -> Pixels:
    return np.rint(drawn(SCENE, side) * 255).astype(np.uint8)


def served(content: bytes, name: str) -> ServedFile:
    return ServedFile(f"/tmp/{name}", f"file={name}", name)


def planned() -> Plan:
    asked = {"prompt": "a red star", "model": "tiny", "scale": 2, "steps": 2, "large_steps": 2}
    arms = method_arms(parse(Extrapolation, asked), COMPARED)
    *_, last = arms.values()
    return plan_of(last, find("tiny"), local_budget("cpu"), recorders=("lengths", "xray"), arms=arms)


def ended(plan: Plan) -> Finished:
    """A run whose native and upsampled pictures show a scene of the world."""
    *_, last = enlarging(plan)
    assert isinstance(last, Finished)
    large = plan.request.width
    shown = {"native": pixels(64), "upsample": pixels(large)}
    arms = {
        name: replace(arm, pictures=(shown.get(name, arm.pictures[0]),)) for name, arm in last.arms.items()
    }
    return replace(last, arms=arms)


def keep(arm: Arm, made: ArmFinished) -> ServedFile:
    return served(b"", f"{arm.name}.png")


def test_the_true_render_is_the_scene_of_the_native_picture() -> None:
    true = true_pixels(pixels(64), 128)
    assert true is not None
    assert np.abs(true / 255 - pixels(128) / 255).mean() < 0.01
    assert true_pixels(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), 128) is None


def test_the_nearest_picture_is_named_and_upsampling_where_it_wins() -> None:
    true = pixels(128)
    far = distances({"upsample": true, "projected": 255 - true}, true)
    assert far["upsample"] == 0 < far["projected"]
    titles = {"upsample": "Upsampled", "projected": "Projected flow"}
    said = nearest_html(far, titles)
    assert "<b>Upsampled</b> is nearest" in said
    assert "plain upsampling is enough" in said
    assert "plain upsampling" not in nearest_html({"upsample": 2.0, "projected": 1.0}, titles)
    assert nearest_html({"projected": 1.0}, titles) == ""


def test_a_run_of_the_world_ends_with_the_true_render_as_a_choice_and_the_distances() -> None:
    plan = planned()
    result = ended(plan)
    found = true_render_of(plan, result, lambda pixels: served(b"", "true.png"))
    assert found is not None
    assert set(found.distances) == {"upsample", "direct", "projected"}
    events = (result if isinstance(event, Finished) else event for event in enlarging(plan))
    *_, (_, view) = extrapolation_views(
        plan, events, write=keep, save=lambda plan, result: "", previous=None, truth=lambda *_: found
    )
    assert view.cards.count("<figure") == 5
    assert re.findall(r'<option value="([^"]+)"', view.comparison)[3] == "file=true.png"
    assert re.search(r'file=projected.png" selected', view.comparison)
    assert view.cards.count("of 255 from the true render") == 3
    assert "is nearest to the true render" in view.story


def test_another_model_has_no_true_render() -> None:
    plan = planned()
    foreign = replace(plan, spec=replace(plan.spec, draws=""))
    assert true_render_of(foreign, ended(plan), lambda pixels: served(b"", "t")) is None


def test_the_tab_opens_on_a_recorded_run_with_its_receipts() -> None:
    view = recorded_view(Core(("tiny",), enlarging), served)
    assert view is not None
    assert view.cards.count("<figure") == len(NAMES)
    for name in NAMES:
        assert ABOUT[name].split(",")[0] in view.cards
    assert "Use these settings" in view.story
    assert "is nearest to the true render" in view.story
    assert view.previous is not None
    for name in NAMES[:-1]:
        receipt = read_receipt(recorded_pictures.place() / f"{name}.png")
        assert receipt.request.prompt == view.previous.prompt
        assert receipt.weights_sha256 == fingerprint(find(receipt.request.model))


def test_it_shows_what_projected_flow_is_for() -> None:
    files = {name: read_pixels(recorded_pictures.place() / f"{name}.png") for name in NAMES}
    far = distances({name: files[name] for name in NAMES[1:-1]}, files[TRUE])
    assert far["projected"] < far["upsample"] < far["direct"]
    folder = assets() / "larger"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 10**6


def test_the_prompt_of_the_form_is_that_of_the_picture_with_which_the_tab_opens() -> None:
    config = build(Core(("tiny",), enlarging)).config
    (box,) = [each for each in config["components"] if each["props"].get("elem_id") == "large-prompt"]
    request = recorded_request()
    assert request is not None
    assert box["props"]["value"] == request.prompt


def test_without_the_recorded_pictures_the_tab_opens_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_pictures, "place", lambda: tmp_path)
    assert recorded_view(Core(("tiny",), enlarging), served) is None
