"""A run as a program for gradio_client, which calls a page's `/infer` or `/extrapolate` by its address."""

from sd3demo.settings import Resolved
from sd3demo.snippets.fewest_settings import fewest_settings
from sd3demo.ui.api.parameters import NAMES, SERVER_FILES

ADDRESS = "http://127.0.0.1:7860/"
"""Where a page of one's own listens."""


def client_code(request: Resolved, address: str = ADDRESS) -> str:
    """Return a program that asks the page at an address for the run's picture; of a batch, for the first.

    What only the command line takes is said in a comment.
    """
    asked = fewest_settings(request)
    large = "scale" in asked.kind.model_fields
    left_out = {"count"} | (set(SERVER_FILES) - asked.files.keys())
    lines = [
        f"    {NAMES.get(name, name)}={value!r},"
        for name, value in asked.settings.items()
        if name not in left_out and name not in asked.files
    ]
    lines += [
        f'    {name}=base64.b64encode(Path("{file}").read_bytes()).decode(),'
        for name, file in asked.files.items()
    ]
    notes = []
    if request.count > 1:
        notes.append(f"# The first of {request.count} pictures; the others have the seeds after it.")
    if asked.own or asked.settings.get("upscaler"):
        notes.append("# It needs a file of yours that only the command line takes.")
    imports = ["import base64", "from pathlib import Path", ""] if asked.files else []
    return "\n".join(
        (
            *imports,
            "from gradio_client import Client",
            "",
            *notes,
            f"client = Client({address!r})",
            "picture, seed = client.predict(",
            *lines,
            f'    api_name="/{"extrapolate" if large else "infer"}",',
            ")",
            "print(picture)",
            "",
        )
    )
