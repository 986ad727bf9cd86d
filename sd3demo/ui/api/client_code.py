"""A run or a grid as a program for gradio_client, which calls an endpoint of a page by its address."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sd3demo.settings import Resolved
from sd3demo.snippets.fewest_settings import FewestSettings, fewest_settings
from sd3demo.snippets.run_code import grid_settings
from sd3demo.studies.grid.grid_plan import Grid, axis_text
from sd3demo.ui.api.parameters import NAMES, SERVER_FILES

ADDRESS = "http://127.0.0.1:7860/"
"""Where a page of one's own listens."""


def client_code(request: Resolved, address: str = ADDRESS) -> str:
    """Return a program that asks the page at an address for the run's picture; of a batch, for the first.

    What only the command line takes is said in a comment.
    """
    asked = fewest_settings(request)
    large = "scale" in asked.kind.model_fields
    notes = []
    if request.count > 1:
        notes.append(f"# The first of {request.count} pictures; the others have the seeds after it.")
    if asked.own or asked.settings.get("upscaler"):
        notes.append("# It needs a file of yours that only the command line takes.")
    endpoint = "extrapolate" if large else "infer"
    return _program(asked, asked.settings, endpoint, address, notes, results="picture, seed")


def grid_client_code(request: Resolved, grid: Grid, address: str = ADDRESS) -> str:
    """Return a program that asks the page at an address for a grid over what its cells have in common."""
    sides = {"x": axis_text(grid.x), **({"y": axis_text(grid.y)} if grid.y else {})}
    asked, settings = fewest_settings(request), {**grid_settings(request, grid), **sides}
    notes = ["# It needs a file of yours that only the command line takes."] if asked.files else []
    return _program(replace(asked, files={}), settings, "grid", address, notes, results="picture")


def _program(
    asked: FewestSettings,
    settings: Mapping[str, object],
    endpoint: str,
    address: str,
    notes: Sequence[str],
    *,
    results: str,
) -> str:
    left_out = {"count"} | (set(SERVER_FILES) - asked.files.keys())
    lines = [
        f"    {NAMES.get(name, name)}={value!r},"
        for name, value in settings.items()
        if name not in left_out and name not in asked.files
    ]
    lines += [
        f'    {name}=base64.b64encode(Path("{file}").read_bytes()).decode(),'
        for name, file in asked.files.items()
    ]
    imports = ["import base64", "from pathlib import Path", ""] if asked.files else []
    return "\n".join(
        (
            *imports,
            "from gradio_client import Client",
            "",
            *notes,
            f"client = Client({address!r})",
            f"{results} = client.predict(",
            *lines,
            f'    api_name="/{endpoint}",',
            ")",
            "print(picture)",
            "",
        )
    )
