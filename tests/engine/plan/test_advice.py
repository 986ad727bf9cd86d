"""What is said where a run does not fit: every change that is named, planned again, does what it says."""

import re

import pytest

from sd3demo.catalogue import CATALOGUE
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.plan.advice import refuse_unless_it_fits, too_large
from sd3demo.engine.plan.memory import GIB
from sd3demo.errors import Refusal
from sd3demo.settings import Request, parse
from sd3demo.settings.extrapolation import PLAIN, Extrapolation

MEDIUM = CATALOGUE["sd3-medium"]
NAMED = re.compile(
    r"(precision|placement|t5) ([a-z0-9-]+)|(one picture at a time)|scale of ([\d.]+)|at (\d+) x (\d+)"
)


def made(device: str, gib: float, **settings: object) -> Plan:
    values = {"prompt": "a circle", "model": "sd3-medium", **settings}
    kind = Extrapolation if "scale" in settings else Request
    return plan(parse(kind, values), MEDIUM, Budget(device, int(gib * GIB), 1e14))  # type: ignore[arg-type]


def changed(words: str) -> dict[str, object]:
    """The settings that a piece of advice names."""
    found: dict[str, object] = {}
    for name, value, one, scale, width, height in NAMED.findall(words):
        if name:
            found[name] = value
        elif one:
            found["count"] = 1
        elif scale:
            found |= {"scale": float(scale), "count": 1}
        else:
            found |= {"width": int(width), "height": int(height), "count": 1}
    return found


@pytest.mark.parametrize(
    ("device", "gib", "settings", "start"),
    [
        ("cpu", 23, {"scale": 2}, "precision bfloat16, which needs 22.4 GiB"),
        (
            "cpu",
            36,
            {"scale": 2},
            "precision bfloat16, which needs 22.4 GiB or t5 zeros, which needs",
        ),
        (
            "cpu",
            19.5,
            {"scale": 2},
            "precision bfloat16 and t5 zeros, which together need",
        ),
        ("cpu", 60, {"scale": 2, "count": 16, "method": "direct"}, "precision bfloat16, which needs"),
        ("cpu", 20, {}, "precision bfloat16, which needs 17.4 GiB"),
        ("cpu", 8, {}, "t5 zeros and precision bfloat16, which together need"),
        ("cuda", 16, {"placement": "resident"}, "placement by-model, which needs"),
        ("cuda", 9, {"placement": "by-model"}, "placement streamed, which needs"),
        ("cuda", 9, {"scale": 2, "placement": "by-model", **PLAIN}, "placement streamed, which needs"),
        ("cpu", 17.5, {"scale": 2}, "precision bfloat16 and t5 zeros, which together need"),
        ("cpu", 5, {"scale": 2}, "a device with more memory: with"),
        ("cuda", 0.2, {"scale": 2}, "a device with more memory"),
    ],
)
def test_what_is_named_would_fit_as_it_says(
    device: str, gib: float, settings: dict[str, object], start: str
) -> None:
    found = made(device, gib, **settings)
    assert not found.fits
    said = too_large(found).partition(": try ")[2]
    assert said.startswith(start)
    if said.startswith("a device"):
        assert not made(device, gib, **settings | changed(said)).fits
        return
    together = "which together need" in said
    for one in [said] if together else said.split(" or "):
        again = made(device, gib, **settings | changed(one))
        assert again.fits
        assert f"{max(again.memory.values()) / GIB:.1f} GiB" in one


def test_a_placement_saves_nothing_where_the_weights_are_in_the_devices_memory() -> None:
    plain = made("cpu", 20, scale=2)
    for placement in ("by-model", "streamed"):
        assert made("cpu", 20, scale=2, placement=placement, **PLAIN).memory == plain.memory
    assert "placement" not in too_large(plain)


def test_an_extrapolation_that_fits_is_not_refused_and_one_that_does_not_says_both_sizes() -> None:
    refuse_unless_it_fits(made("cpu", 100, scale=2))
    with pytest.raises(
        Refusal, match=r"^1 x 2048 x 2048 px need about 44\.7 GiB and 17\.5 GiB are free: try"
    ):
        refuse_unless_it_fits(made("cpu", 17.5, scale=2))
