"""`/plan`, `/extrapolate` and `/study`, the endpoints for programs beside `/infer` and the curves.

What is left open takes the model's own value. What cannot be done is one sentence that begins with the name
of the argument at fault.
"""

from collections.abc import Generator, Mapping
from contextlib import closing

import gradio as gr
from gradio.events import api
from pydantic import JsonValue

from sd3demo.catalogue import find, locate
from sd3demo.engine import Budget, Plan, plan
from sd3demo.engine.events import Finished
from sd3demo.engine.plan.advice import refuse_unless_it_fits
from sd3demo.engine.plan.device import GPU_FLOPS
from sd3demo.engine.plan.memory import GIB
from sd3demo.engine.plan.to_json import to_json
from sd3demo.errors import Failure, Refusal
from sd3demo.settings import Request, parse
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.studies.cache import kept_at_home
from sd3demo.studies.study import Table, find_study
from sd3demo.studies.study import run as measured
from sd3demo.ui.context import Core
from sd3demo.ui.extrapolate.handlers import remember
from sd3demo.ui.generate import handlers as answers
from sd3demo.ui.generate.stream import sentence
from sd3demo.ui.server.zerogpu import here
from sd3demo.ui.studies.handlers import asked as allowed

NAMES = {"negative": "negative_prompt", "cfg": "guidance_scale", "steps": "num_inference_steps"}
"""What the endpoints call settings that have another name here."""
MOST_VRAM = 10_000  # GiB


def endpoints(core: Core) -> None:
    """All three. A plan answers at once; the others stand in the same line as the page's runs."""
    _plan(core)
    _extrapolate(core)
    _study(core)


def _plan(core: Core) -> None:
    def plan(
        prompt: str = "a picture",
        width: int | None = None,
        height: int | None = None,
        guidance_scale: float | None = None,
        num_inference_steps: int | None = None,
        shift: float | str | None = None,
        schedule: str | None = None,
        solver: str | None = None,
        t5: str | None = None,
        count: int | None = None,
        scale: float | None = None,
        method: str | None = None,
        model: str | None = None,
        vram: float | None = None,
    ) -> dict[str, JsonValue]:
        """Says what a request will do, without doing it: stages, sigmas, network calls, memory and seconds.

        Args:
            prompt: What the picture should show; no cost depends on it.
            width: In pixels; the model's native size by default.
            height: In pixels; the model's native size by default.
            guidance_scale: 1 is no guidance, for half the work.
            num_inference_steps: Steps of the solver.
            shift: A number, or "auto" for what the size asks for.
            schedule: "uniform", "single", "diffusers", "linear" or "comfy".
            solver: "euler", "midpoint", "heun", "rk4" or "ab2".
            t5: "on", "zeros", "omit" or "empty".
            count: Pictures at once.
            scale: How many times larger than the native picture each side is, for an extrapolation.
            method: How an extrapolated picture is held to the native one, such as "projected".
            model: A model that the page offers; the first by default.
            vram: Plan for a GPU with this many GiB free, in place of this machine.
        """
        values = {
            "prompt": prompt,
            "width": width,
            "height": height,
            "cfg": guidance_scale,
            "steps": num_inference_steps,
            "shift": shift,
            "schedule": schedule,
            "solver": solver,
            "t5": t5,
            "count": count,
            "scale": scale,
            "method": method,
            "model": model,
        }
        try:
            return _jsonable(to_json(_planned(core, values, _budget(vram))))
        except Exception as error:
            raise _said(error) from error

    api(plan, api_name="plan", queue=False)


def _extrapolate(core: Core) -> None:
    def extrapolate(
        prompt: str,
        scale: float = 2.0,
        method: str = "projected",
        negative_prompt: str = "",
        seed: int = 0,
        randomize_seed: bool = False,
        guidance_scale: float | None = None,
        num_inference_steps: int | None = None,
        low_pass: str | None = None,
        strength: str | None = None,
    ) -> tuple[gr.FileData, int]:
        """Makes a picture beyond the model's own size; returns it as a PNG with its receipt, and its seed.

        It is kept in the history of a page that has one. A run that has begun goes to its end, also where
        its client has gone away.

        Args:
            prompt: What the picture should show.
            scale: How many times larger than the native picture each side is.
            method: "projected" (I-Max), "direct", "upsample", "sdedit" or another one that `method` may be.
            negative_prompt: What guidance should lead away from.
            seed: Draws the initial noise.
            randomize_seed: Draw a new seed; it is returned.
            guidance_scale: 1 is no guidance; the model's own by default.
            num_inference_steps: Steps of the native picture; the model's own by default.
            low_pass: What of a picture counts as its composition, such as "haar" or "radial".
            strength: How strongly it is drawn to the native picture, such as "paper".
        """
        values = {
            "prompt": prompt,
            "negative": negative_prompt,
            "seed": answers.new_seed() if randomize_seed else seed,
            "cfg": guidance_scale,
            "steps": num_inference_steps,
            "scale": scale,
            "method": method,
            "low_pass": low_pass,
            "strength": strength,
        }
        try:
            made = _planned(core, values, here())
            refuse_unless_it_fits(made)
            locate(made.spec)
            finished = _ended(core.run(made))
            (kept,) = answers.keep(made.request, finished)
            remember(core, made, finished)
            return gr.FileData(path=kept.path, orig_name=kept.name), made.request.seed
        except Exception as error:
            raise _said(error) from error

    api(extrapolate, api_name="extrapolate", concurrency_limit=1, concurrency_id="model")


def _study(core: Core) -> None:
    def study(name: str, settings: dict[str, JsonValue] | None = None) -> dict[str, JsonValue]:
        """Runs an experiment to its table; what was measured before is not measured again.

        Args:
            name: One of the studies, such as "path-length"; a wrong one is answered with all of them.
            settings: Of the study, by name; what is left out has its default. `n` is at most 200 here.
        """
        try:
            found = find_study(str(name))
            given = settings or {}
            if not isinstance(given, dict):
                raise Refusal(f"settings is a {type(given).__name__}; give names and values")
            fields = found.settings.model_fields
            unknown = [one for one in given if one not in fields]
            if unknown:
                raise Refusal(f"unknown setting {unknown[0]!r}; choose one of {', '.join(fields)}")
            values = [
                given.get(one, field.get_default(call_default_factory=True)) for one, field in fields.items()
            ]
            chosen = allowed(core, found, values)
            with closing(measured(found, chosen, core.engine(), kept_at_home())) as news:
                *_, table = news
            assert isinstance(table, Table)
            return _tabled(table)
        except Exception as error:
            raise _said(error) from error

    api(study, api_name="study", concurrency_limit=1, concurrency_id="model")


def _planned(core: Core, values: Mapping[str, object], budget: Budget) -> Plan:
    """The plan of an endpoint's arguments, an extrapolation where a scale or a method is among them."""
    given = {name: value for name, value in values.items() if value is not None}
    large = "scale" in given or "method" in given
    request = parse(Extrapolation if large else Request, {"model": core.models[0], **given})
    if request.model not in core.models:
        raise Refusal(f"unknown model {request.model!r}; choose one of {', '.join(core.models)}")
    return plan(request, find(request.model), budget)


def _budget(vram: float | None) -> Budget:
    if vram is None:
        return here()
    if not isinstance(vram, int | float) or not 0.1 <= vram <= MOST_VRAM:
        raise Refusal(f"vram is {vram}; it must lie in [0.1, {MOST_VRAM}]")
    return Budget("cuda", int(vram * GIB), GPU_FLOPS)


def _ended(events: Generator) -> Finished:
    with closing(events):
        for event in events:
            if isinstance(event, Finished):
                return event
    raise Failure("the run stopped before it was finished")


def _tabled(table: Table) -> dict[str, JsonValue]:
    return {
        "study": table.study,
        "columns": [column.name for column in table.columns],
        "units": {column.name: column.unit for column in table.columns if column.unit},
        "rows": [list(row.values) for row in table.rows],
        "caption": table.caption,
    }


def _jsonable(values: dict[str, object]) -> dict[str, JsonValue]:
    return values  # type: ignore[return-value]


def _said(error: Exception) -> gr.Error:
    return gr.Error(sentence(error, NAMES), print_exception=False)
