"""A run, a grid or a study as a Jupyter notebook (nbformat 4.5), which a clone executes as it is."""

import json
import re
from collections.abc import Iterable, Mapping

from sd3demo import __version__
from sd3demo.settings import Resolved
from sd3demo.snippets.fewest_settings import fewest_settings
from sd3demo.snippets.run_code import command_line, grid_code, grid_command, request_code
from sd3demo.studies.grid.grid_plan import Grid
from sd3demo.studies.study import STUDIES

INSTALL = (
    "To execute it, install sd3demo in the kernel's environment: `pip install -e . -c constraints.txt` in a "
    "clone of the project."
)
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
RUN = """\
from sd3demo.engine import Engine
from sd3demo.engine.events import Finished, StepDone

predictions = []
for event in Engine().run(run):
    if isinstance(event, StepDone) and event.stage == run.stages[-1].key:
        predictions.append(event.previews[0])
    if isinstance(event, Finished):
        finished = event
print(f"{sum(finished.seconds.values()):.1f} s, path length {finished.path_length[0]:.2f}")"""
SHOW = """\
import numpy as np
from PIL import Image


def shown(pixels, side=256):
    \"\"\"Return a picture, enlarged with its pixels kept sharp where it is small.\"\"\"
    scale = max(side // max(pixels.shape[:2]), 1)
    return Image.fromarray(np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1))


shown(np.concatenate(finished.pictures, axis=1))"""
TWIN = """\
from sd3demo.plots.difference_map import difference_map

changed = request.model_copy(update={"steps": max(run.request.steps // 2, 1)})
(*_, twin) = Engine().run(plan(changed, find(changed.model), budget()))
found = difference_map(finished.pictures[0], twin.pictures[0])
print(f"{found.share:.0%} of the pixels differ, by {found.mean:.1f} levels of 255 on average")
shown(np.concatenate([finished.pictures[0], twin.pictures[0], found.pixels], axis=1))"""


def run_notebook(request: Resolved, *, noise_sha256: str = "", weights_sha256: str = "") -> str:
    """Return the notebook of a run, as the text of its file; it compares the hashes that are given."""
    asked = fewest_settings(request)
    module = ".extrapolation" if "scale" in asked.kind.model_fields else ""
    cells = [
        _heading("run", command_line(request)),
        _code(
            f"from sd3demo.settings{module} import {asked.kind.__name__}\n\nrequest = {request_code(asked)}"
        ),
        _markdown("What the run will do, without doing it:"),
        _code(
            "from sd3demo.catalogue import find\nfrom sd3demo.engine import plan\n"
            "from sd3demo.engine.plan.device import budget\n\n"
            "run = plan(request, find(request.model), budget())\n"
            'print(f"{run.calls} network calls, about {run.seconds:.1f} s")\nrun.sigmas'
        ),
        _markdown("The run, step by step:"),
        _code(RUN),
        _code(SHOW),
        _markdown("The predictions of the picture on the way, x0 = x − t v, from noise to data:"),
        _code("shown(np.concatenate(predictions, axis=1), side=64 * len(predictions))"),
    ]
    if noise_sha256:
        cells += [
            _markdown("The receipt's noise and weights, by their hashes:"),
            _code(
                f"noise = {noise_sha256!r}\nweights = {weights_sha256!r}\n"
                "print(noise in finished.noise_sha256, weights == finished.weights_sha256)"
            ),
        ]
    cells += [
        _markdown("From the same noise in half the steps: both pictures, and where they differ."),
        _code(TWIN),
    ]
    return _text(cells)


def grid_notebook(request: Resolved, grid: Grid) -> str:
    """Return the notebook of a grid, as the text of its file; `request` is what all cells have in common."""
    return _text([_heading("grid", grid_command(request, grid)), _code(f"{grid_code(request, grid)}sheet")])


def study_notebook(name: str, settings: Mapping[str, object]) -> str:
    """Return the notebook of a study, as the text of its file. `settings` are those without its defaults."""
    return _text(
        [
            _markdown(
                f"# The study {name} of sd3demo {__version__}\n\n{STUDIES[name]}\n\n"
                f"What was measured before is not measured again. {INSTALL}"
            ),
            _code(
                "from sd3demo.settings import parse\nfrom sd3demo.studies.study import find_study\n\n"
                f"study = find_study({name!r})\n"
                f"settings = parse(study.settings, {dict(settings)!r})\nsettings"
            ),
            _code(
                "from sd3demo.engine import Engine\nfrom sd3demo.studies.cache import kept_at_home\n"
                "from sd3demo.studies.study import Measured, run\n\n"
                "for news in run(study, settings, Engine(), kept_at_home()):\n"
                "    if isinstance(news, Measured):\n"
                '        print(f"{news.done} of {news.count}", end="\\r")\n'
                "table = news\ntable.caption"
            ),
            _code(
                "from IPython.display import Markdown\n\n\n"
                "def row(values):\n"
                '    """Return a row of the table, numbers to four digits."""\n'
                '    cells = (f"{one:.4g}" if isinstance(one, float) else str(one) for one in values)\n'
                "    return f\"| {' | '.join(cells)} |\"\n\n\n"
                "names = [column.name for column in table.columns]\n"
                'rule = row(["---"] * len(names))\n'
                'Markdown("\\n".join([row(names), rule, *(row(each.values) for each in table.rows)]))'
            ),
            _code(
                "from IPython.display import display\n\n"
                "from sd3demo.plots.chart import figure\nfrom sd3demo.plots.studies import CHARTS\n\n"
                "for chart in study.charts:\n    display(figure(CHARTS[chart](table)))"
            ),
        ]
    )


def _heading(what: str, command: str) -> dict[str, object]:
    """The first cell: what the notebook is of, the same as a command, and how to install the project."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", command))])
    return _markdown(
        f"# A {what} of sd3demo {__version__}\n\n"
        f"The same on the command line:\n\n{fence}\n{command}\n{fence}\n\n{INSTALL}"
    )


def _markdown(text: str) -> dict[str, object]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(text: str) -> dict[str, object]:
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": text}


def _text(cells: Iterable[Mapping[str, object]]) -> str:
    numbered = [{**cell, "id": f"cell-{place}"} for place, cell in enumerate(cells, 1)]
    document = {"cells": numbered, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
