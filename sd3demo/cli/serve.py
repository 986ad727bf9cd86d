"""`sd3demo serve`: the app."""

from typing import Annotated

from pydantic import Field

from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.history import page_store
from sd3demo.settings import Settings


class Address(Settings):
    """Where the page listens."""

    host: str | None = Field(
        None, description="0.0.0.0 lets other machines in; without it only this machine reaches the page."
    )
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="The port of the page; by default the first free one from 7860 on."
    )


class Keeping(Settings):
    """Where finished runs go."""

    runs: str | None = Field(
        None,
        description="The folder that keeps runs, or off. The user's data folder by default; off where other "
        "people reach the page, since whoever opens it sees all of its history.",
    )
    runs_gib: Annotated[float, Field(ge=0.01, le=1_000_000)] | None = Field(
        None, description="GiB that all runs together may have, 4 by default; the oldest make room."
    )


def serve(address: Address, keeping: Keeping, report: Report) -> int:
    history = page_store(keeping.runs, keeping.runs_gib, address.host)
    from sd3demo.ui import build, core, launch

    launch(build(core(history=history)), host=address.host, port=address.port)
    return 0


COMMAND = Command(serve, (Address, Keeping))
