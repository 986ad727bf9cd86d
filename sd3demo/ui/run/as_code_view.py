"""A result as code, folded away under it: the command, Python, a call of this page, and a notebook."""

import base64
from collections.abc import Mapping
from html import escape

from sd3demo.errors import Refusal
from sd3demo.settings import Resolved, Settings, non_default_values
from sd3demo.snippets.notebook import grid_notebook, run_notebook, study_notebook
from sd3demo.snippets.run_code import command_line, grid_code, grid_command, python_code, study_command
from sd3demo.studies.grid.grid_plan import Grid
from sd3demo.ui.api.client_code import ADDRESS, client_code, grid_client_code
from sd3demo.ui.server.gradio_internals import current_request


def as_code_html(request: Resolved, *, noise_sha256: str = "", weights_sha256: str = "") -> str:
    """Return the panel for the run of a request; empty for settings that cannot be asked for again."""
    try:
        parts = {
            "Command line": command_line(request),
            "Python": python_code(request),
            "This page, by gradio_client": client_code(request, page_address()),
        }
        notebook = run_notebook(request, noise_sha256=noise_sha256, weights_sha256=weights_sha256)
    except Refusal:
        return ""
    return _panel(parts, notebook, str(request.seed))


def grid_as_code_html(request: Resolved, grid: Grid) -> str:
    """Return the panel for a grid over what all of its cells have in common."""
    parts = {
        "Command line": grid_command(request, grid),
        "Python": grid_code(request, grid) + 'sheet.save("grid.png")\n',
        "This page, by gradio_client": grid_client_code(request, grid, page_address()),
    }
    return _panel(parts, grid_notebook(request, grid), "grid")


def study_as_code_html(name: str, settings: Settings) -> str:
    """Return the panel for a study that was run with these settings."""
    given = non_default_values(settings)
    return _panel({"Command line": study_command(name, given)}, study_notebook(name, given), name)


def page_address() -> str:
    """Return the address of the page that the visitor sees, the usual one outside of a call."""
    request = current_request()
    host = request.headers.get("host", "") if request is not None else ""
    if not host:
        return ADDRESS
    secure = request is not None and request.headers.get("x-forwarded-proto", "http") == "https"
    return f"{'https' if secure else 'http'}://{host}/"


def _panel(parts: Mapping[str, str], notebook: str, name: str) -> str:
    """Return what is folded away: each part under its title, and the notebook as a file of this name."""
    blocks = "".join(
        f'<h3>{title}</h3><pre tabindex="0" aria-label="{title}"><code>{escape(code)}</code></pre>'
        '<button type="button" class="copy">Copy</button>'
        for title, code in parts.items()
    )
    content = base64.b64encode(notebook.encode("utf-8")).decode()
    link = (
        f'<p><a class="act" download="sd3demo-{escape(name)}.ipynb" '
        f'href="data:application/x-ipynb+json;base64,{content}">Download as a notebook</a> '
        "It runs in a clone of the project.</p>"
    )
    return f'<details class="as-code"><summary>As code</summary>{blocks}{link}</details>'
