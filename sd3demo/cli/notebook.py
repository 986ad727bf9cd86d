"""`sd3demo notebook PNG`: a picture's run, or a study, as a Jupyter notebook that makes it again."""

import json
from pathlib import Path

from pydantic import Field

from sd3demo.cli.flags import Command
from sd3demo.cli.output_files import check_file
from sd3demo.cli.report import Report
from sd3demo.errors import Refusal
from sd3demo.history import read_receipt, single_request, write_whole
from sd3demo.settings import Settings, non_default_values, parse
from sd3demo.snippets.notebook import run_notebook, study_notebook
from sd3demo.studies.study import find_study


class NotebookOptions(Settings):
    """What the notebook is of, and where it goes."""

    file: Path | None = Field(None, description="A PNG that sd3demo wrote; without one, name a study.")
    study: str = Field("", description="A study in place of a picture; `sd3demo study --list` names them.")
    settings: str = Field(
        "",
        description="The settings of the study as a JSON object, such as '{\"n\": 4}'; its own by default.",
    )
    out: Path = Field(Path("run.ipynb"), description="The notebook's file.")


def notebook(options: NotebookOptions, report: Report) -> int:
    check_file(options.out, ".ipynb", "a notebook is an .ipynb file")
    if (options.file is None) == (not options.study):
        raise Refusal("give a PNG that sd3demo wrote or the name of a study with --study, and not both")
    if options.file is not None and options.settings:
        raise Refusal("settings are those of a study; a picture has its own in its receipt")
    text = _of_study(options) if options.file is None else _of_picture(options.file)
    write_whole({options.out: text.encode("utf-8")})
    report.result({"notebook": str(options.out)}, str(options.out))
    return 0


def _of_picture(file: Path) -> str:
    receipt = read_receipt(file)
    return run_notebook(
        single_request(receipt), noise_sha256=receipt.noise_sha256, weights_sha256=receipt.weights_sha256
    )


def _of_study(options: NotebookOptions) -> str:
    found = find_study(options.study)
    try:
        given = json.loads(options.settings or "{}")
    except ValueError as error:
        raise Refusal(f"settings is no JSON: {error}; give an object such as '{{\"n\": 4}}'") from error
    if not isinstance(given, dict):
        raise Refusal(f"settings is a {type(given).__name__}; give an object such as '{{\"n\": 4}}'")
    settings = parse(found.settings, given)
    found.cells(settings)  # what cannot be is refused here, and not in the notebook
    return study_notebook(options.study, non_default_values(settings))


COMMAND = Command(notebook, (NotebookOptions,), arguments=("file",))
