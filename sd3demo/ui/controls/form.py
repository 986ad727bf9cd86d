"""Names that moved to build.py, models.py and generate/size.py; goes once nothing imports it."""

from sd3demo.catalogue import ModelSpec
from sd3demo.ui.controls.build import Control, Value, inactive, opening
from sd3demo.ui.controls.build import control as _control
from sd3demo.ui.controls.build import update as _update
from sd3demo.ui.controls.models import about_model, is_here, model_title

dormant = inactive


def control(name: str, value: Value, spec: ModelSpec, reason: str = "", *, place: str = "set") -> Control:
    return _control(name, value, spec=spec, reason=reason, place=place)


def filled(name: str, value: Value, spec: ModelSpec) -> dict[str, object]:
    return _update(name, value, spec)


def textbox(name: str, reason: str = "", *, place: str = "set") -> Control:
    return _control(name, "", reason=reason, place=place)


__all__ = [
    "Control",
    "Value",
    "about_model",
    "control",
    "dormant",
    "filled",
    "is_here",
    "model_title",
    "opening",
    "textbox",
]
