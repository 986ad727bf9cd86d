"""The Extrapolate tab without a browser: switches to settings, the plan before a run, the run on the page."""

import pickle
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sd3demo.catalogue import CATALOGUE, find
from sd3demo.engine import Budget, Plan
from sd3demo.engine.events import ArmFinished, Event, Finished, StepDone
from sd3demo.engine.plan.stages import Arm
from sd3demo.errors import Failure, Refusal
from sd3demo.settings import parse
from sd3demo.settings.extrapolation import COMPARED, PLAIN, PRESETS, Extrapolation, preset_of, with_preset
from sd3demo.ui.context import Core
from sd3demo.ui.controls.labels import label
from sd3demo.ui.extrapolate import xray
from sd3demo.ui.extrapolate.compare_view import PictureCard, comparison
from sd3demo.ui.extrapolate.form import (
    NAMES,
    OPEN,
    PARTS,
    SHOWN,
    ExtrapolationForm,
    form_control,
    inactive,
    opening,
    preset_values,
    requested,
    with_all_methods,
)
from sd3demo.ui.extrapolate.handlers import (
    ExtrapolationVisit,
    OwnPicture,
    ended,
    is_wanted,
    open_picture,
    pressed,
    run,
)
from sd3demo.ui.extrapolate.plan_view import plan_html, planned
from sd3demo.ui.extrapolate.stream import ExtrapolationView, PreviousPicture, extrapolation_views
from sd3demo.ui.run.run_status import RunStatus, status_html
from sd3demo.ui.server.gradio_internals import ServedFile
from tests.ui.fake_extrapolation import enlarging

pytestmark = pytest.mark.usefixtures("shared_weights")

SPEC = CATALOGUE["sd3-medium"]
CORE = Core(("sd3-medium",), enlarging, None)  # type: ignore[call-arg]
HTML = "<script>alert(1)</script> & <img src=x onerror=alert(2)>"


@pytest.fixture(autouse=True)
def _roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which everything fits."""
    monkeypatch.setattr("sd3demo.ui.extrapolate.plan_view.here", lambda: Budget("cpu", 2**40))


def held(preset: str = "tuned", **changed: object) -> dict[str, object]:
    few = {"prompt": "a red circle", "steps": 3, "large_steps": 3, "start": "1", "tail": 0}
    return {**opening(SPEC, preset), **few, **changed}


def keep(arm: Arm, made: ArmFinished) -> ServedFile:
    return ServedFile(f"/tmp/{arm.name}.png", f"file={arm.name}.png", f"{arm.name}.png")


def news(
    values: dict[str, object], run: Any = enlarging, previous: PreviousPicture | None = None
) -> Iterator[tuple[RunStatus, ExtrapolationView]]:
    plan = planned(requested(values), CORE)
    return extrapolation_views(plan, run(plan), write=keep, save=lambda plan, result: "", previous=previous)


def shown(values: dict[str, object], previous: PreviousPicture | None = None) -> list[ExtrapolationView]:
    return [view for _, view in news(values, previous=previous)]


def test_all_pictures_are_made_and_kept_though_the_file_of_one_cannot_be_written() -> None:
    plan, kept, written = planned(requested(held(compare=["upsample"])), CORE), [], []

    def save(plan: Plan, result: Finished) -> str:
        kept.extend(result.arms)
        return ""

    def write(arm: Arm, result: ArmFinished) -> ServedFile:
        written.append(arm.name)
        if len(written) == 1:
            raise Refusal("the disk is full")
        return keep(arm, result)

    with pytest.raises(Refusal, match="the disk is full"):
        list(extrapolation_views(plan, enlarging(plan), write=write, save=save, previous=None))
    assert written == kept == [arm.name for arm in plan.arms]
    assert len(kept) > 1


@pytest.mark.parametrize("preset", PRESETS)
def test_the_controls_of_a_preset_ask_for_that_preset(preset: str) -> None:
    *_, last = requested(opening(SPEC, preset) | {"prompt": "a red circle"}).values()
    meant = with_preset(
        parse(Extrapolation, {"prompt": "a red circle", "model": "sd3-medium", "scale": 2}), preset
    )
    for name in PRESETS["paper-flux"] | dict.fromkeys(PLAIN):
        assert getattr(last, name) == getattr(meant, name), name


@pytest.mark.parametrize("switch", PARTS)
def test_a_switch_turns_its_part_off_and_nothing_else(switch: str) -> None:
    everything = held("release")
    *_, on = requested(everything).values()
    *_, off = requested(everything | {switch: False}).values()
    field, value = PARTS[switch][0], PARTS[switch][1]
    assert getattr(off, field) == value != getattr(on, field)
    assert off.model_copy(update={field: getattr(on, field)}) == on


@pytest.mark.parametrize("switch", PARTS)
def test_a_switch_turns_its_part_on_from_nothing(switch: str) -> None:
    nothing = held() | dict.fromkeys(PARTS, False)
    *_, on = requested(nothing | {switch: True}).values()
    assert getattr(on, PARTS[switch][0]) != PARTS[switch][1]


def test_every_control_opens_with_what_its_setting_can_be() -> None:
    for preset in PRESETS:
        values = held(preset)
        assert set(values) == set(NAMES)
        assert planned(requested(values), CORE).fits
    for name in set(NAMES) - {"model"}:
        assert form_control(name, held()[name], spec=SPEC, models=CORE.models).label
    for name in OPEN:
        for choice in set(label(name).suggested) - {"2,4"}:
            requested(held(**{name: choice}))
    assert set(preset_values("paper-flux")) == set(preset_values("tuned"))
    assert set(NAMES) <= set(ExtrapolationForm.model_fields)


def test_the_same_noise_and_the_native_stage_serve_every_method() -> None:
    made = planned(requested(held(compare=list(SHOWN))), CORE)
    assert [arm.name for arm in made.arms][-1] == "projected"
    assert {arm.name for arm in made.arms} == {"native", *SHOWN}
    assert [stage.key for stage in made.stages].count("native") == 1


def test_a_method_that_the_solver_cannot_carry_out_is_left_out_of_a_comparison() -> None:
    names = set(requested(held(compare=list(SHOWN), solver="heun")))
    assert names == set(SHOWN) - {"skip-residual"}


def test_what_changes_nothing_is_greyed_with_its_reason() -> None:
    assert inactive(held(use_flow=False))["strength"].startswith("Only Projected flow or")
    assert "strength" not in inactive(held(use_flow=False, compare=["hiflow"]))
    assert inactive(held(use_attention=False))["attention"] == "Attention scale is switched off above."
    assert inactive(held(low_pass="dct"))["level"] == "Only haar has levels."
    assert "cutoff" not in inactive(held(low_pass="dct"))
    assert set(inactive(held())) >= {"width", "height"}
    assert not {"width", "height"} & set(inactive(held(size="own")))
    assert "sets the positions itself" in inactive(held(method="time-aware", compare=[]))["positions"]
    assert "positions" not in inactive(held(method="time-aware", compare=["direct"]))
    one_call = inactive(held(method="sr-refine", compare=["upsample"]))
    assert {"large_steps", "tail", "lift", "start"} <= one_call.keys()
    assert not {"large_steps", "tail", "lift"} & inactive(held(method="sr-refine")).keys()


def test_what_a_models_network_lacks_is_greyed_with_the_reason() -> None:
    tiny, dev, schnell = (inactive(held(model=name)) for name in ("tiny", "flux-dev", "flux-schnell"))
    assert tiny["rope_base"] == "Means nothing for tiny: its positions are no rotary embedding."
    assert tiny["guidance"] == "Stable Diffusion 3 has no such setting."
    assert {"rope_base", "copies_at", "large_guidance"} <= tiny.keys()
    assert not {"rope_base", "copies_at", "guidance", "large_guidance"} & dev.keys()
    assert "distilled to need no" in schnell["guidance"]
    assert "large_guidance" in schnell


def test_a_preset_is_the_models_familys_and_applies_what_has_no_control() -> None:
    spec = find("flux-dev")
    *_, release = requested(opening(spec, "release") | {"prompt": "a"}).values()
    said = preset_of("release", "flux")
    assert {name: getattr(release, name) for name in said} == said
    assert release.shift == 3.0


def test_what_is_greyed_changes_nothing() -> None:
    """The reason is true: another value of a dormant control asks for the same stages."""
    other = {
        "strength": "constant",
        "level": "3",
        "cutoff": "0.5",
        "positions": "scheduled",
        "cascade": "doubling",
    }
    for values in (
        held(use_flow=False),
        held(low_pass="dct", size="4"),
        held(method="time-aware", compare=["upsample"]),
    ):
        plan = planned(requested(values), CORE)
        for name in set(other) & set(inactive(values)):
            again = planned(requested(values | {name: other[name]}), CORE)
            assert [stage.sigmas for stage in again.flow_stages] == [
                stage.sigmas for stage in plan.flow_stages
            ]
            assert [stage.toolkit for stage in again.flow_stages] == [
                stage.toolkit for stage in plan.flow_stages
            ]


def test_the_plan_tells_what_each_button_takes_and_every_stage() -> None:
    text = plan_html(CORE, held())
    rows = re.findall(r"<tr><th scope='row'>([^<]+)</th><td>(\d+)</td><td>([\d,]+)</td>", text)
    for title, values in (("Enlarge", held()), ("All methods", with_all_methods(held()))):
        plan = planned(requested(values), CORE)
        assert (title, str(len(plan.arms)), f"{plan.calls:,}") in rows
    assert "GiB free" in text
    for title in ("Native", "Upsampled", "Direct", "Upscaled and encoded", "Projected flow"):
        assert f">{title}" in text
    assert "2048 × 2048" in text
    assert "FLOP" in text


def test_what_all_methods_lack_is_said_and_the_plan_of_the_other_button_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(plan: Plan, limits: object) -> None:
        if len(plan.arms) > 5:
            raise Refusal("all methods take longer than a run may here")

    monkeypatch.setattr("sd3demo.ui.extrapolate.plan_view.refuse_too_long", refuse)
    text = plan_html(CORE, held())
    assert "All methods take longer than a run may here" in text
    assert "<th scope='row'>Enlarge</th>" in text
    assert "<th scope='row'>All methods</th>" not in text


def test_one_bar_goes_over_all_stages_and_never_back() -> None:
    statuses = [status for status, _ in news(held())]
    shares = [status.share for status in statuses if status.share is not None]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    begun = next(index for index, status in enumerate(statuses) if status.share)
    assert all(status.share is not None for status in statuses[begun:-1] if status.step)
    for status in statuses[begun:-1]:
        if status.share is not None:
            assert f'<progress max="1" value="{round(status.share, 4)}"' in status_html(status)


def test_what_was_made_is_told_beside_what_was_planned() -> None:
    values = with_all_methods(held())
    plan = planned(requested(values), CORE)
    assert (
        f"{plan.calls} calls of the network in 3.5 s; planned were {plan.calls:,}" in shown(values)[-1].story
    )


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"size": "own", "width": 1000, "height": 2048}, "Width is 1000"),
        ({"start": "0"}, "Start t₀"),
        ({"strength": "1:9"}, "Strength"),
        ({"cascade": "4,2"}, "Cascade"),
        ({"steps": 0}, "Steps is 0"),
        ({"use_text": True, "text_copies": "none"}, "Copies of the text"),
        ({"model": "sd3.5-large"}, "unknown model|Unknown model"),
        ({"compare": ["zebra"]}, "Compare with"),
    ],
)
def test_bad_input_is_one_sentence_in_the_place_of_the_plan(
    changed: dict[str, object], sentence: str
) -> None:
    text = plan_html(CORE, held(**changed))
    assert 'class="failed"' in text
    assert re.search(sentence, text)
    assert "Traceback" not in text


def test_the_native_picture_stands_there_before_the_others_begin() -> None:
    seen = list(news(held()))
    first = next(view for _, view in seen if "file=native.png" in view.cards)
    assert "file=projected.png" not in first.cards
    assert "file=native.png" in first.comparison
    status, last = seen[-1]
    for name in ("native", *COMPARED):
        assert f"file={name}.png" in last.cards
    assert last.cards.count("<figure") == last.cards.count("noise in flat areas 0.0 of 255") == 4
    assert (status.phase, status.text) == ("finished", "Done in 3.5 s.")
    assert last.finished is not None


def test_every_stage_is_streamed_under_its_own_name() -> None:
    said = [status for status, _ in news(held())]
    for title in ("Native", "Direct", "Projected flow"):
        steps = [status.step for status in said if status.stage == title and status.count]
        assert steps[:3] == [1, 2, 3], title
    assert any("Upscaled to 2048 × 2048" in status.text for status in said)


def test_any_two_of_the_large_pictures_can_be_chosen() -> None:
    last = shown(held())[-1].comparison
    options = re.findall(r'<option value="([^"]+)"', last)
    assert options == [f"file={name}.png" for name in COMPARED] * 2
    assert re.search(r'file=upsample.png" selected', last)
    assert re.search(r'file=projected.png" selected', last)


@pytest.mark.slow
def test_the_previous_run_can_be_laid_beside_the_next_one() -> None:
    first = shown(held("paper", use_text=False, use_attention=False))[-1]
    assert first.previous is not None
    changed = shown(held(use_reshift=False), first.previous)[-1]
    other = PreviousPicture(replace(first.previous.card, source="file=old.png"), "a red circle", 0, "all")
    assert "The previous run (all)" in shown(held(use_reshift=False), other)[-1].comparison
    assert "Before: projected flow, per-frequency, time shift" in changed.story
    elsewhere = shown(held(prompt="a blue square"), other)[-1]
    assert "The previous run" not in elsewhere.comparison


def test_a_failure_in_a_later_stage_keeps_what_was_shown() -> None:
    def failing(plan: Plan) -> Iterator[Event]:
        for event in enlarging(plan):
            if isinstance(event, StepDone) and event.stage == "projected":
                raise Failure("the latent is not finite after step 1 of 3")
            yield event

    seen: list[ExtrapolationView] = []
    with suppress(Failure):
        for _, view in news(held(), failing):
            seen.append(view)
    assert "file=native.png" in seen[-1].cards
    assert "file=direct.png" in seen[-1].comparison


def test_a_closed_page_closes_the_run() -> None:
    ended_how: list[str] = []

    def watched(plan: Plan) -> Iterator[Event]:
        try:
            yield from enlarging(plan)
        finally:
            ended_how.append("closed")

    stream = news(held(), watched)
    while next(stream)[0].step != 2:
        pass
    stream.close()  # type: ignore[attr-defined]
    assert ended_how == ["closed"]


def test_stop_says_where_the_run_stood() -> None:
    status = next(status for status, _ in news(held()) if status.stage == "Direct" and status.step == 2)
    assert "Stopped: Direct, step 2 of 3" in str(ended(status, ExtrapolationVisit())[0])
    assert "before the first step" in str(ended(RunStatus("running"), ExtrapolationVisit())[0])


def test_a_prompt_is_shown_as_text() -> None:
    for status, view in news(held(prompt=HTML)):
        assert "<script>" not in view.comparison + view.cards + status.text + view.story


def test_a_comparison_of_one_picture_or_none_does_not_break() -> None:
    assert comparison([], "", "", "run") == ""
    alone = comparison([PictureCard("a", "A", "file=a.png", (64, 64), file="a.png")], "a", "a", "run")
    assert 'data-result="run"' in alone
    assert "Settings changed since this picture" in alone
    assert alone.count("<option") == 2


def test_xrays_are_told_of_in_sentences_with_the_runs_own_numbers() -> None:
    values = held(compare=["direct"])
    made = planned(requested(values), CORE)
    *_, finished = enlarging(made)
    kept = xray.xray_records(made, finished)  # type: ignore[arg-type]
    assert list(kept) == ["direct", "projected"]
    said = {name: xray.chart_of(kept, "projected", name)[1] for name in xray.PLOTS}
    assert "from 1.50 to 0.50" in said["strength"]
    assert "no strength" in xray.chart_of(kept, "direct", "strength")[1]
    assert "no correction to see" in xray.chart_of(kept, "direct", "norms")[1]
    assert len(set(said.values())) == len(xray.PLOTS)
    shown_now = xray.plots_and_sentences(kept, "projected")
    assert len(shown_now) == 2 * len(xray.PLOTS)


def test_the_tab_opens_with_the_models_own_values() -> None:
    values = opening(find("sd3-medium"))
    assert values["steps"] == 28
    assert values["width"] == 2048
    with pytest.raises(Refusal, match="prompt is empty"):
        requested(values)


def test_a_picture_of_ones_own_stands_in_place_of_the_native_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.png"
    Image.new("RGB", (300, 200), "teal").save(file)
    said, own = open_picture(CORE, str(file))
    assert "300 × 200" in str(said)
    assert isinstance(own, OwnPicture)
    assert len(pickle.dumps(own)) < 1000  # what a session keeps of it
    values = held(compare=["upsample", "hiflow"])
    made = planned(requested(values, own=True), CORE, own.unread)
    assert [arm.name for arm in made.arms] == ["native", "upsample", "projected"]
    assert made.stages[0].kind == "given"
    text = plan_html(CORE, values, own.unread)
    assert "Your picture" in text
    assert ">Native<" not in text


@pytest.mark.parametrize("size", [(4, 4), (900, 20)])
def test_a_picture_that_cannot_stand_there_gets_a_sentence(tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "mine.png"
    Image.new("RGB", size).save(file)
    said, pixels = open_picture(CORE, str(file))
    assert 'class="failed"' in str(said)
    assert pixels is None


def test_what_is_no_picture_gets_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "mine.png"
    file.write_bytes(b"no picture")
    said, pixels = open_picture(CORE, str(file))
    assert "“mine.png” cannot be read as a picture" in str(said)
    assert str(tmp_path) not in str(said)
    assert pixels is None
    assert open_picture(CORE, None) == ["", None]


def test_a_second_press_waits_with_its_own_settings_and_stop_drops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    core, visit = Core(("tiny",), enlarging), ExtrapolationVisit()

    def press(status: RunStatus, prompt: str) -> list[object]:
        values = held(prompt=prompt, model="tiny", steps=2, large_steps=2)
        return pressed(False, status, visit, None, *(values[name] for name in NAMES))

    status, _ = press(RunStatus(), "one")
    assert isinstance(status, RunStatus)
    assert is_wanted(visit)
    going = run(core, visit)
    now, _ = next(going)
    press(now, "two")
    assert not is_wanted(visit)  # the run that goes on takes it
    seen = list(going)
    assert any(status.behind == "Next in the queue: 1. two" for status, _ in seen)
    assert [status.phase for status, _ in seen].count("finished") == 2
    assert visit.previous is not None
    assert visit.previous.prompt == "two"

    press(RunStatus(), "three")
    assert is_wanted(visit)
    going = run(core, visit)
    now, _ = next(going)
    press(now, "four")
    going.close()  # type: ignore[attr-defined]
    assert str(ended(now, visit)[0]).endswith("1 waiting run dropped.")
    assert not is_wanted(visit)
