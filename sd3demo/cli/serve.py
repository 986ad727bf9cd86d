"""`sd3demo serve`: the app."""

from typing import Annotated

from pydantic import Field

from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.history import page_store
from sd3demo.settings import Settings


class ServerOptions(Settings):
    """The address that the page listens on."""

    host: str | None = Field(
        None,
        description="The address to listen on: 0.0.0.0 lets other machines in; this machine only by default.",
    )
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="The port to listen on; the first free one from 7860 by default."
    )


class HistoryOptions(Settings):
    """Where finished runs are saved."""

    runs: str | None = Field(
        None,
        description="The folder that runs are saved in, or off. The user's data folder by default; off where "
        "other people reach the page, since whoever opens it sees all of its history.",
    )
    runs_gib: Annotated[float, Field(ge=0.01, le=1_000_000)] | None = Field(
        None,
        description="The most GiB that all runs together take, 4 by default; the oldest are deleted first.",
    )


def serve(server: ServerOptions, history: HistoryOptions, report: Report) -> int:
    from sd3demo.deploy import limits
    from sd3demo.ui import build, core, launch, limits_of

    most = limits_of(server.host, card=limits().page)
    store = page_store(history.runs, history.runs_gib or most.runs_gib, server.host)
    launch(build(core(history=store, limits=most)), host=server.host, port=server.port)
    return 0


COMMAND = Command(serve, (ServerOptions, HistoryOptions))
