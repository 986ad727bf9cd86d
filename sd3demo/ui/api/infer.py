"""`/infer` and `/extrapolate`, the endpoints that make a picture and return it as a PNG with its receipt.

`/infer` takes the SD3 Space's arguments in its order, then all other settings.
"""

from collections.abc import Mapping

import gradio as gr
from pydantic import JsonValue

from sd3demo.catalogue import locate
from sd3demo.engine.plan.advice import refuse_unless_it_fits
from sd3demo.settings import Request
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.ui.api.endpoint import ApiEndpoint
from sd3demo.ui.api.parameters import ApiParameter, of_field, of_settings, settings_of
from sd3demo.ui.api.picture_inputs import PICTURES, sent_pictures
from sd3demo.ui.api.plan import MODEL, planned
from sd3demo.ui.context import Core, prepare
from sd3demo.ui.extrapolate.handlers import save_extrapolation
from sd3demo.ui.generate.handlers import new_seed
from sd3demo.ui.run.events import result_of
from sd3demo.ui.run.files import save_to_history, write_pictures
from sd3demo.ui.run.turns import in_turn
from sd3demo.ui.server.lighter import refuse_too_long
from sd3demo.ui.server.zerogpu import here

RANDOMIZE = ApiParameter(
    "randomize_seed", bool, "Random seed", "Draw a new seed in place of the one given; it is returned.", False
)
RETURNS: Mapping[str, object] = {"Picture": gr.FileData, "Seed": int}
ONE_PICTURE = frozenset({"count"})
"""An answer holds one picture."""
KEPT = (
    "It is kept in the history of a page that has one. A run stops within a step of being cancelled, or "
    "of its client going away."
)


def infer(core: Core) -> ApiEndpoint:
    """The endpoint of one picture from a text."""

    def answer(values: Mapping[str, JsonValue]) -> tuple[gr.FileData, int]:
        with sent_pictures(values) as pictures:
            plan = prepare({"model": core.models[0], **_seeded(values, Request), **pictures}, core)
        finished = result_of(in_turn(core, plan))
        save_to_history(core, plan.request, finished)  # first: a picture is kept though no file can be sent
        (file,) = write_pictures(plan.request, finished)
        return gr.FileData(path=file.path, orig_name=file.name), plan.request.seed

    space = ("prompt", "negative", "seed", RANDOMIZE, "width", "height", "cfg", "steps", "shift", "t5")
    return ApiEndpoint(
        "infer",
        f"Makes one picture from a text; returns it as a PNG with its receipt, and its seed. {KEPT}",
        (*of_settings(Request, (*space, MODEL), without=ONE_PICTURE), *PICTURES),
        RETURNS,
        answer,
        queued=True,
    )


def extrapolate(core: Core) -> ApiEndpoint:
    """The endpoint of a picture beyond the model's own size."""

    def answer(values: Mapping[str, JsonValue]) -> tuple[gr.FileData, int]:
        with sent_pictures(values) as pictures:
            settings = _seeded(values, Extrapolation) | pictures
            plan = planned(core, settings, core.budget(here()))
        refuse_unless_it_fits(plan)
        refuse_too_long(plan, core.limits)
        locate(plan.spec)
        finished = result_of(in_turn(core, plan))
        save_extrapolation(core, plan, finished)
        (file,) = write_pictures(plan.request, finished)
        return gr.FileData(path=file.path, orig_name=file.name), plan.request.seed

    method = of_field(Extrapolation, "method")
    scale = ApiParameter(
        "scale", float, "Scale", "How many times larger than the native picture each side is.", 2.0
    )
    first = ("prompt", scale, method, "negative", "seed", RANDOMIZE, "cfg", "steps", "low_pass", "strength")
    return ApiEndpoint(
        "extrapolate",
        "Makes a picture beyond the model's own size; returns it as a PNG with its receipt, and its seed. "
        f"{KEPT}",
        (*of_settings(Extrapolation, (*first, MODEL), without=ONE_PICTURE), *PICTURES),
        RETURNS,
        answer,
        queued=True,
    )


def _seeded(values: Mapping[str, JsonValue], kind: type[Request]) -> dict[str, JsonValue]:
    """The settings that are asked for, with a new seed where one is wanted."""
    drawn = {"seed": new_seed()} if values["randomize_seed"] else {}
    return settings_of(values, kind) | drawn
