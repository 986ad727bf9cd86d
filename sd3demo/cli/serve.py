"""`sd3demo serve`: the app."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sd3demo.catalogue import CATALOGUE, find, offer
from sd3demo.catalogue.lora_files import offer_lora
from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.history import page_store
from sd3demo.history.location import is_public
from sd3demo.history.portable import is_catalogue_name
from sd3demo.settings import Settings

BEHIND = "127.0.0.1"  # where the processes listen that stand behind a proxy of ours


class ServerOptions(Settings):
    """The address that the page listens on, who may come in, and how it ends."""

    host: str | None = Field(
        None,
        description="The address to listen on: 0.0.0.0 lets other machines in; this machine only by default.",
    )
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="The port to listen on; the first free one from 7860 by default."
    )
    allowed_hosts: str | None = Field(
        None,
        description="Names that the page answers to, with commas, such as demo.example.org. A page of this "
        "machine alone answers to localhost otherwise, any other page to every name.",
    )
    auth: str | None = Field(
        None,
        description="A file of lines user:password: who may come in. A line *:password is one password for a "
        "class, which any name goes with.",
    )
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Processes that serve the page side by side, each with its own model and queue. Several "
        "stand behind HAProxy, which has to be installed.",
    )
    grace: Annotated[float, Field(ge=0, le=3600)] = Field(
        20.0, description="Seconds that runs have to finish once the page is asked to stop."
    )


class ServedModels(Settings):
    """What the page offers."""

    model: str | None = Field(
        None,
        description="A folder in diffusers format, or a model of the catalogue, that is offered first; a "
        "folder under its last part's name.",
    )
    lora: str | None = Field(None, description="A LoRA's file that is offered by its name; again for more.")


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
    deletion: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether visitors may delete runs of the history; auto is off where other people reach "
        "the page.",
    )


def serve(
    server: ServerOptions,
    models: ServedModels,
    history: HistoryOptions,
    report: Report,
    port: int | None = None,
) -> int:
    """Serve the page; on a `port` of this machine, where it is one of several processes of the page."""
    from sd3demo.deploy import limits
    from sd3demo.ui import ServeOptions, build, core, launch, limits_of
    from sd3demo.ui.server.access import parse_hosts
    from sd3demo.ui.server.gradio_internals import DEFAULT_HOST
    from sd3demo.ui.server.limits import divided
    from sd3demo.ui.server.logins import read_logins
    from sd3demo.ui.server.ports import free_port
    from sd3demo.ui.server.run_log import to_stderr
    from sd3demo.ui.server.workers import find_proxy, serve_workers

    most = limits_of(server.host, card=limits().page)
    store = page_store(history.runs, history.runs_gib or most.runs_gib, server.host)
    offered = tuple(CATALOGUE)
    if models.model is not None:
        name = find(models.model).name if is_catalogue_name(models.model) else offer(Path(models.model))
        offered = (name, *(each for each in offered if each != name))
    for file in (models.lora or "").split(","):
        if file.strip():
            offer_lora(Path(file.strip()))
    shared = is_public(server.host)
    may_delete = history.deletion == "on" or (history.deletion == "auto" and not shared)
    options = ServeOptions(
        allowed_hosts=parse_hosts(server.allowed_hosts),
        logins=read_logins(server.auth) if server.auth else None,
        preload=True,
        grace=server.grace,
    )
    host = server.host or DEFAULT_HOST
    if server.workers > 1 and port is None:
        find_proxy(server.workers)
        to_stderr()
        return serve_workers(
            partial(serve, server, models, history, report),
            server.workers,
            host=host,
            port=free_port(server.host, server.port),
            grace=server.grace,
            behind_proxy=most.behind_proxy,
        )
    to_stderr()
    page = build(core(offered, store, limits=divided(most, server.workers), may_delete=may_delete))
    if port is None:
        launch(page, host=server.host, port=server.port, options=options)
    else:
        launch(page, host=BEHIND, port=port, options=replace(options, visitors_host=host))
    return 0


COMMAND = Command(serve, (ServerOptions, ServedModels, HistoryOptions))
