"""A checkpoint's scheduler config: the shift rule and the grid convention that follow from it.

Sigmas are computed here and not by diffusers' scheduler, so each field that moves them is either obeyed or
refused by its name. A field that no version known here has is refused unless it is off.
"""

from collections.abc import Mapping
from pathlib import Path

from sd3demo.catalogue.shifts import ConstantShift, LinearMuShift, ShiftRule
from sd3demo.catalogue.weight_files import read_json
from sd3demo.errors import Refusal

SCHEDULER = "FlowMatchEulerDiscreteScheduler"

OBEYED: Mapping[str, object] = {
    "shift": 1.0,
    "use_dynamic_shifting": False,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "time_shift_type": "exponential",
}
"""The fields that are obeyed, each with its default in diffusers."""

NEUTRAL: Mapping[str, object] = {
    "num_train_timesteps": 1000,
    "invert_sigmas": False,
    "shift_terminal": None,
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "stochastic_sampling": False,
}
"""The fields that are refused at any other value than this, which is the default in diffusers."""


def read_scheduler(folder: Path, index: Mapping[str, object], patch_side: int) -> ShiftRule:
    """Return the shift rule of a checkpoint's folder. Raises Refusal for a scheduler that is not obeyed.

    A rule over the picture's patches, each `patch_side` pixels wide, is what dynamic shifting asks for.
    """
    file = folder / "scheduler" / "scheduler_config.json"
    config = read_json(file)
    named = index.get("scheduler")
    classes = [config.get("_class_name"), named[1] if isinstance(named, list) and len(named) == 2 else None]
    other = next((name for name in classes if name not in (None, SCHEDULER)), None)
    if other is not None:
        raise Refusal(
            f"{file} is a {other}'s; only {SCHEDULER} is obeyed: put its config there, with the shift of "
            "this one, and choose the sampler with --solver"
        )
    for name, value in config.items():
        if name.startswith("_") or name in OBEYED or (name not in NEUTRAL and not value):
            continue
        neutral = NEUTRAL.get(name)
        if value != neutral and not (not value and not neutral):
            raise Refusal(
                f"{file} sets {name} to {value}, which is not obeyed here and would give another picture; "
                f"set it to {str(neutral).lower() if name in NEUTRAL else 'false'} and choose --schedule and "
                "--shift instead"
            )
    return _rule(file, {**OBEYED, **config}, patch_side)


def _rule(file: Path, config: Mapping[str, object], patch_side: int) -> ShiftRule:
    if not config["use_dynamic_shifting"]:
        return ConstantShift(_positive(file, config, "shift"))
    kind = config["time_shift_type"]
    if kind not in ("exponential", "linear"):
        raise Refusal(f"{file} sets time_shift_type to {kind}; it must be exponential or linear")
    tokens = (
        int(_positive(file, config, "base_image_seq_len")),
        int(_positive(file, config, "max_image_seq_len")),
    )
    if tokens[0] == tokens[1]:
        raise Refusal(f"{file} has equal base_image_seq_len and max_image_seq_len; they must differ")
    return LinearMuShift(
        base=_positive(file, config, "base_shift"),
        top=_positive(file, config, "max_shift"),
        tokens=tokens,
        patch_side=patch_side,
        exponential=kind == "exponential",
    )


def _positive(file: Path, config: Mapping[str, object], name: str) -> float:
    value = config[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise Refusal(f"{file} sets {name} to {value}; it must be a positive number")
    return float(value)
