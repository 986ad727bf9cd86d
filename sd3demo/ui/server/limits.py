"""What visitors of a page may ask for: every limit in one place, with its value at home and in public.

`SD3DEMO_` and a limit's name in capitals, such as `SD3DEMO_RUN_SECONDS=30`, sets it; on a Space the Spacefile
does, under `limits: page:`. `inf` is no limit. The README's table is printed from here.
"""

import math
import os
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sd3demo.engine.plan.batch_size import MAX_RUNS
from sd3demo.errors import Refusal
from sd3demo.history.location import SPACE, is_public
from sd3demo.settings import parse

PREFIX = "SD3DEMO_"
WINDOW = 600.0  # seconds: over this long `visitor_seconds` are counted


class Limits(BaseModel):
    """The limits of a page, by default those of a person's own machine. Seconds of a run are its plan's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_seconds: float = Field(math.inf, ge=0.1, le=math.inf, description="Seconds that one run may take.")
    visitor_seconds: float = Field(
        math.inf,
        ge=0.1,
        le=math.inf,
        description="Seconds that all runs of a visitor may take within ten minutes.",
    )
    line_seconds: float = Field(
        math.inf, ge=0.1, le=math.inf, description="Seconds that all runs in the queue together may take."
    )
    visitor_places: int = Field(32, ge=1, le=1000, description="Places that a visitor may have in the queue.")
    places: int = Field(
        32, ge=1, le=1000, description="Places in the queue, the run that goes on among them."
    )
    batch: Annotated[int, Field(ge=1, le=MAX_RUNS)] | Literal["auto"] = Field(
        "auto",
        description="Runs that wait together and go as one batch; 1 is none, auto what was measured to "
        "shorten the mean wait: none on a CPU.",
    )
    studies: bool = Field(True, description="Whether visitors may run studies.")
    keep_running: bool = Field(
        True,
        description="Whether a run goes on when its visitor leaves the page, where a history keeps its "
        "picture; else it ends with its step.",
    )
    labs: bool = Field(True, description="Whether visitors may train in the Flow lab.")
    picture_pixels: int = Field(
        64 * 2**20, ge=2**16, le=2**28, description="Pixels of a picture that is decoded."
    )
    picture_chunks: int = Field(
        20_000, ge=100, le=10**6, description="Chunks, segments and scans in the file of a picture."
    )
    upload_mib: float = Field(64, ge=0.1, le=4096, description="MiB of one upload.")
    uploads_mib: float = Field(
        2048, ge=1, le=2**20, description="MiB of all uploads and served files; the oldest are deleted first."
    )
    request_mib: float = Field(8, ge=0.1, le=1024, description="MiB of a request that is no upload.")
    runs_gib: float = Field(
        4, ge=0.01, le=10**6, description="GiB of the history; the oldest are deleted first."
    )
    studies_mib: float = Field(
        256, ge=0.1, le=2**20, description="MiB of cached study results; the oldest are deleted first."
    )
    sessions: int = Field(
        1000, ge=10, le=10_000, description="Visits that are remembered; the longest idle are forgotten."
    )
    behind_proxy: bool = Field(
        False, description="Whether visitors are told apart by X-Forwarded-For, which a proxy must set."
    )


MEASURED: Mapping[str, int] = {"cpu": 1}
"""Runs of a batch by device, where `python -m tests.bench waiting` found that the mean wait is no longer than
one after another. On a CPU it is: a batch of eight takes 0.84 of the time, and all of them wait to its end.
What was not measured has none."""


def batch_limit(limits: Limits, device: str) -> int:
    """Return how many runs that wait may go as one batch on a device."""
    return MEASURED.get(device, 1) if limits.batch == "auto" else limits.batch


AT_HOME = parse(Limits, {})
IN_PUBLIC: Mapping[str, object] = {
    "run_seconds": 60.0,
    "visitor_seconds": 180.0,
    "line_seconds": 600.0,
    "visitor_places": 4,
    "studies": False,
    "keep_running": False,
    "picture_pixels": 16 * 2**20,
    "upload_mib": 16.0,
    "uploads_mib": 512.0,
    "request_mib": 2.0,
    "runs_gib": 1.0,
    "studies_mib": 64.0,
    "sessions": 500,
}
"""Where other people reach the page; the other limits are as at home."""


def limits_of(
    host: str | None = None,
    *,
    card: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Limits:
    """Return the limits of a page on this host: the defaults, a Space's `card`, then the environment.

    Raises Refusal for a value that a limit cannot have.
    """
    defaults = dict(IN_PUBLIC) if is_public(host, environ) else {}
    if environ.get(SPACE):
        defaults |= {"behind_proxy": True, **(card or {})}
    given = {
        name: environ[variable(name)]
        for name in Limits.model_fields
        if environ.get(variable(name), "").strip()
    }
    try:
        return parse(Limits, defaults | given)
    except Refusal as error:
        name, _, rest = str(error).partition(" ")
        raise Refusal(f"{variable(name) if name in given else name} {rest}") from error


def divided(limits: Limits, workers: int) -> Limits:
    """Return the limits of one of several processes of a page: places, uploads and sessions are divided.

    What a run or a visitor may have holds in each, for a visitor stays with one. The history and the studies
    are one folder, whose size each process looks after.
    """
    shares: dict[str, object] = {
        "places": math.ceil(limits.places / workers),
        "uploads_mib": max(limits.uploads_mib / workers, 1.0),
        "sessions": max(math.ceil(limits.sessions / workers), 10),
    }
    return limits.model_copy(update=shares)


def variable(name: str) -> str:
    """The environment variable of a limit."""
    return f"{PREFIX}{name.upper()}"


def table() -> str:
    """All limits as a table for the README."""
    public = parse(Limits, IN_PUBLIC)
    lines = ["| variable | limits | own machine | in public |", "| --- | --- | --- | --- |"]
    for name, field in Limits.model_fields.items():
        values = (_written(getattr(AT_HOME, name)), _written(getattr(public, name)))
        lines.append(f"| `{variable(name)}` | {field.description} | {values[0]} | {values[1]} |")
    return "\n".join(lines)


def _written(value: bool | float | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if math.isinf(value) else f"{value:,.10g}"
