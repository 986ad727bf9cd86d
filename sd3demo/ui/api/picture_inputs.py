"""Pictures that a client sends with its call: the text of a file, in base64 or as a data URL."""

import base64
import binascii
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import JsonValue

from sd3demo.errors import Refusal
from sd3demo.settings import FILES, Request
from sd3demo.ui.api.parameters import ApiParameter
from sd3demo.ui.controls.labels import label

PICTURES = tuple(
    ApiParameter(
        name,
        str | None,
        label(name).title,
        f"{Request.model_fields[name].description} Here its content, as a data URL or in base64.",
    )
    for name in FILES
)
"""The parameters; what a client sends is never the name of a file of the server."""


@contextmanager
def sent_pictures(values: Mapping[str, JsonValue]) -> Iterator[dict[str, str]]:
    """The settings that name the pictures of a call, in files that are gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in FILES if values.get(name)}
        for name, file in files.items():
            file.write_bytes(_content(name, values[name]))
        try:
            yield {name: str(file) for name, file in files.items()}
        except Refusal as error:
            text = str(error)
            for name, file in files.items():
                text = text.replace(str(file), name)
            raise Refusal(text) from error


def _content(name: str, value: JsonValue) -> bytes:
    text = value.partition(",")[2] if isinstance(value, str) and value.startswith("data:") else value
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(f"{name} is not base64; send a picture's content as a data URL or in base64") from error
