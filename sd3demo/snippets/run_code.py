"""A run as a command and as Python, each of which makes the same picture again."""

import shlex
from collections.abc import Mapping

from sd3demo.settings import Resolved
from sd3demo.settings.extrapolation import PRESETS, ResolvedExtrapolation
from sd3demo.snippets.fewest_settings import FewestSettings, fewest_settings
from sd3demo.studies.grid.grid_plan import Grid, axis_text

PROGRAM = """\
from pathlib import Path

from sd3demo.catalogue import find
from sd3demo.engine import Engine, plan
from sd3demo.engine.events import Finished
from sd3demo.engine.plan.device import budget
from sd3demo.history import receipts_of, to_png
from sd3demo.settings{module} import {kind}

request = {request}
run = plan(request, find(request.model), budget())
(*_, finished) = Engine().run(run)
assert isinstance(finished, Finished)
for pixels, receipt in zip(finished.pictures, receipts_of(run.request, finished)):
    Path(f"picture-{{receipt.picture}}.png").write_bytes(to_png(pixels, receipt))
"""
GRID_PROGRAM = """\
from PIL import Image

from sd3demo.catalogue import find
from sd3demo.engine import Engine, plan
from sd3demo.engine.plan.device import budget
from sd3demo.settings import Request, parse
from sd3demo.studies.grid.grid_plan import Grid, GridPicture, axis, plan_grid, run
from sd3demo.studies.grid.sheet import draw_sheet

available = budget()


def prepare(settings):
    request = parse(Request, settings)
    return plan(request, find(request.model), available)


grid = {grid}
settings = {settings}
pictures = {{}}
for event in run(plan_grid(grid, settings, prepare), Engine().run_batch):
    if isinstance(event, GridPicture):
        pictures |= dict.fromkeys(event.cells, event.finished.pictures[0])
sheet = Image.fromarray(draw_sheet(grid, pictures, settings["prompt"]).pixels)
"""
"""It makes a grid again, up to its picture, `sheet`."""
DEPENDENT = ("steps", "cfg", "shift", "schedule")
"""Settings whose own value is another for another model or size."""
TAKEN = "tuned"
"""The preset that the command takes where none is named."""
OWN = """\
# It enlarged a picture of one's own, which the command line takes: see the command.
"""


def command_line(request: Resolved, out: str = "picture.png") -> str:
    """Return the command that makes a run again."""
    asked, preset = _with_best_preset(request)
    name = "extrapolate" if _is_large(asked) else "generate"
    words = ["sd3demo", name, *(["--preset", preset] if preset else [])]
    prompt = str(asked.settings["prompt"])
    for setting, value in {**asked.settings, **asked.files}.items():
        if setting == "prompt":
            continue
        flag = f"--{setting.replace('_', '-')}"
        words += [flag] if value is True else [flag, _typed(value)]
    if asked.own:
        words += ["--own", "picture-of-your-own.png"]
    words += ["--out", out]
    if prompt.startswith("-"):
        words += ["--", prompt]
    else:
        words.insert(2, prompt)
    return shlex.join(words)


def python_code(request: Resolved) -> str:
    """Return a program that makes a run again and writes its pictures."""
    asked = fewest_settings(request)
    module = ".extrapolation" if _is_large(asked) else ""
    code = PROGRAM.format(module=module, kind=asked.kind.__name__, request=request_code(asked))
    return OWN + code if asked.own else code


def grid_command(request: Resolved, grid: Grid, out: str = "grid.png") -> str:
    """Return the command that makes a grid again; `request` is what all cells have in common."""
    words = ["sd3demo", "grid", "--x", axis_text(grid.x), *(["--y", axis_text(grid.y)] if grid.y else [])]
    for setting, value in grid_settings(request, grid).items():
        if setting != "prompt":
            words += [f"--{setting.replace('_', '-')}", _typed(value)]
    return shlex.join([*words, "--out", out, "--", str(request.prompt)])


def grid_code(request: Resolved, grid: Grid) -> str:
    """Return a program that makes a grid again, up to its picture, `sheet`."""
    sides = ", ".join(f"axis({axis_text(side)!r})" for side in (grid.x, grid.y) if side)
    lines = "".join(f"    {name!r}: {value!r},\n" for name, value in grid_settings(request, grid).items())
    return GRID_PROGRAM.format(grid=f"Grid({sides})", settings=f"{{\n{lines}}}")


def grid_settings(request: Resolved, grid: Grid) -> dict[str, object]:
    """Return the settings that all cells of a grid have in common, the prompt first."""
    asked = fewest_settings(request)
    names = {axis.name for axis in (grid.x, grid.y) if axis}
    said = {name: getattr(request, name) for name in DEPENDENT if names & {"model", "width", "height"}}
    settings = {"prompt": request.prompt, **said, **asked.settings, **asked.files}
    return {name: value for name, value in settings.items() if name == "prompt" or name not in names}


def study_command(name: str, given: Mapping[str, object]) -> str:
    """Return the command that runs a study with these settings, which are not its defaults."""
    words = ["sd3demo", "study", name]
    for setting, value in given.items():
        flag = f"--{setting.replace('_', '-')}"
        words += [flag] if value is True else [flag, _typed(value)]
    return shlex.join(words)


def request_code(asked: FewestSettings) -> str:
    """Return the Python expression of a request."""
    lines = "".join(f"    {name}={value!r},\n" for name, value in {**asked.settings, **asked.files}.items())
    return f"{asked.kind.__name__}(\n{lines})"


def _with_best_preset(request: Resolved) -> tuple[FewestSettings, str]:
    """Return the fewest settings over any preset, and its name, empty where the command takes it by itself.

    A flag cannot turn off what a preset turns on.
    """
    if not isinstance(request, ResolvedExtrapolation):
        return fewest_settings(request), ""
    found = [(fewest_settings(request, preset), preset) for preset in (TAKEN, *PRESETS)]
    able = [each for each in found if False not in each[0].settings.values()] or found
    asked, preset = min(able, key=lambda each: len(each[0].settings) + (each[1] != TAKEN))
    return asked, "" if preset == TAKEN else preset


def _is_large(asked: FewestSettings) -> bool:
    return "scale" in asked.kind.model_fields


def _typed(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
