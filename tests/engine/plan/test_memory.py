"""Memory told truly: what an engine holds counts as free, a model stays put, idle encoders cost nothing."""

import json
from dataclasses import replace

import pytest

from sd3demo.catalogue import CATALOGUE
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.plan.device import first_visible
from sd3demo.engine.plan.memory import GIB, PLACEMENTS
from sd3demo.engine.plan.to_json import to_json
from sd3demo.settings import Request

LARGE = [name for name, spec in CATALOGUE.items() if spec.hub]
LISTING = "0, GPU-aaaa-1, 81000\n1, GPU-bbbb-2, 24000\n2, GPU-bbcc-3, 8000\n"


def planned(name: str, budget: Budget, **settings: object) -> Plan:
    values = {"prompt": "a circle", "model": name, **settings}
    return plan(Request.model_validate(values), CATALOGUE[name], budget)


def holding(done: Plan, *, taken: float = 0.0) -> Budget:
    """The budget of the next plan, once the model of this one is held and others took some GiB meanwhile."""
    return replace(
        done.budget, memory=done.budget.memory - int(taken * GIB), held=done.model_key
    )  # what is free and what is held add up to what was free before


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("gib", [6, 8, 12, 16, 20, 24, 48, 80])
@pytest.mark.parametrize("change", [{}, {"t5": "zeros"}, {"width": 512}, {"count": 2}, {"steps": 4}])
def test_a_held_model_keeps_its_placement_from_plan_to_plan(
    name: str, gib: int, change: dict[str, object]
) -> None:
    first = planned(name, Budget("cuda", gib * GIB, 1e14))
    second = planned(name, holding(first), **change)
    third = planned(name, holding(second))
    assert PLACEMENTS.index(second.placement) >= PLACEMENTS.index(first.placement)  # never faster unasked
    if not change or second.notes == ():
        assert second.placement == first.placement
    assert third.placement == second.placement


@pytest.mark.parametrize("name", LARGE)
def test_without_t5_it_is_neither_read_nor_counted(name: str) -> None:
    budget = Budget("cuda", 80 * GIB, 1e14)
    whole, without = planned(name, budget), planned(name, budget, t5="zeros")
    assert whole.components - without.components == {"text_encoder_3"}
    assert whole.memory["encode"] - without.memory["encode"] > 9 * GIB
    assert planned(name, budget, t5="omit").components == without.components
    assert planned(name, budget, t5="empty").components == whole.components
    alone = planned(name, budget, t5="zeros", clip_l="zeros", clip_g="zeros")
    assert alone.components == {"transformer", "vae"}


@pytest.mark.parametrize(("settings", "calls"), [({}, 6), ({"uncond": "zeros"}, 3), ({"cfg": 1}, 3)])
def test_an_unconditional_of_zeros_runs_no_encoder(settings: dict[str, object], calls: int) -> None:
    found = planned("sd3-medium", Budget("cuda", 80 * GIB, 1e14), **settings)
    assert found.encoder_calls == calls
    whole = planned("sd3-medium", Budget("cuda", 80 * GIB, 1e14))
    assert found.flops["encode"] == pytest.approx(whole.flops["encode"] * calls / 6)


def test_an_encoder_that_is_loaded_stays_counted_while_there_is_room_for_it() -> None:
    first = planned("sd3-medium", Budget("cuda", 24 * GIB, 1e14))
    later = planned("sd3-medium", holding(first), t5="zeros")
    assert later.components == first.components
    tight = planned("sd3-medium", holding(first, taken=9), t5="zeros")
    assert tight.placement == first.placement == "resident"
    assert tight.components == first.components - {"text_encoder_3"}
    assert tight.fits


def test_a_model_that_no_longer_fits_goes_one_level_lower_and_says_so_once() -> None:
    first = planned("sd3-medium", Budget("cuda", 24 * GIB, 1e14))
    second = planned("sd3-medium", holding(first, taken=8))
    assert (first.placement, second.placement) == ("resident", "by-model")
    assert second.notes == (
        "the placement is by-model and no longer resident: this run needs more memory than is free",
    )
    third = planned("sd3-medium", replace(second.budget, held=second.model_key))
    assert (third.placement, third.notes) == ("by-model", ())


def test_a_placement_that_is_asked_for_moves_a_held_model() -> None:
    first = planned("sd3-medium", Budget("cuda", 24 * GIB, 1e14))
    assert planned("sd3-medium", holding(first), placement="streamed").placement == "streamed"


def test_another_model_makes_room_and_is_placed_as_on_an_empty_device() -> None:
    budget = Budget("cuda", 24 * GIB, 1e14)
    held = holding(planned("sd3-medium", budget, placement="streamed"))
    assert planned("sd3.5-medium", held).placement == planned("sd3.5-medium", budget).placement


def test_a_plan_says_which_components_are_read() -> None:
    found = to_json(planned("sd3-medium", Budget("cuda", 24 * GIB, 1e14), t5="zeros"))
    assert found["components"] == ["text_encoder", "text_encoder_2", "transformer", "vae"]
    json.dumps(found)


def test_the_command_line_plans_the_same_twice_and_less_without_t5() -> None:
    from sd3demo.cli import main

    def asked(*flags: str) -> dict[str, object]:
        import contextlib
        import io

        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert main(["plan", "a circle", "--model", "sd3.5-large", "--vram", "12", "--json", *flags]) == 0
        return json.loads(out.getvalue())

    first, again, without = asked(), asked(), asked("--t5", "zeros")
    assert first == again
    saved = first["memory"]["encode"] - without["memory"]["encode"]  # type: ignore[index]
    assert saved > 0  # streamed: a part of the weights at a time
    assert first["weights"]["encode"] - without["weights"]["encode"] > 9e9  # type: ignore[index]
    assert without["components"] == ["text_encoder", "text_encoder_2", "transformer", "vae"]


@pytest.mark.parametrize(
    ("visible", "gib"),
    [
        (None, 81000),
        ("0", 81000),
        ("1", 24000),
        ("2,0", 8000),
        ("GPU-bbbb", 24000),
        (" 1 , 2", 24000),
        ("", None),
        ("-1", None),
        ("7", None),
        ("MIG-1234", None),
    ],
)
def test_the_gpu_that_is_visible_is_the_one_that_is_asked(visible: str | None, gib: int | None) -> None:
    assert first_visible(LISTING, visible) == (None if gib is None else gib * 2**20)
