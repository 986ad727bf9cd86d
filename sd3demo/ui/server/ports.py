"""Where the page listens, and what gradio need not do until it does.

gradio looks for a port by itself, but answers a taken one, a host that is not of this machine and a busy
machine with the same error.
"""

import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import gradio as gr
from gradio.http_server import INITIAL_PORT_VALUE, LOCALHOST_NAME, TRY_NUM_PORTS
from gradio.routes import App

from sd3demo.errors import Refusal

log = logging.getLogger(__name__)

WHY = {
    errno.EADDRINUSE: "it is taken; try another --port",
    errno.EACCES: "this user may not; try a --port from 1024 on",
    errno.EADDRNOTAVAIL: "this machine has no such address; try --host 127.0.0.1 or 0.0.0.0",
}
TOOLS = "GRADIO_MCP_SERVER"  # gradio's own name
UNKNOWN = "no machine is called so; try --host 127.0.0.1 or 0.0.0.0"


def free_port(host: str | None, port: int | None) -> int:
    """The port that was asked for, or the first free one from 7860 on, where nobody listens on this host.

    Raises Refusal with the reason when there is none.
    """
    name = (host or LOCALHOST_NAME).removeprefix("[").removesuffix("]")
    candidates = range(INITIAL_PORT_VALUE, INITIAL_PORT_VALUE + TRY_NUM_PORTS) if port is None else (port,)
    for candidate in candidates:
        why = hindrance(name, candidate)
        if why is None:
            return candidate
        if port is not None or why != WHY[errno.EADDRINUSE]:
            raise Refusal(f"cannot listen on {name}, port {candidate}: {why}")
    raise Refusal(
        f"cannot listen on {name}: all ports from {candidates[0]} to {candidates[-1]} are taken; "
        "try another --port"
    )


def refuse_tools_without_package() -> None:
    """Raises Refusal where the environment asks for tools for agents and the package for them is not here."""
    if os.environ.get(TOOLS, "").lower() == "true" and find_spec("mcp") is None:
        raise Refusal(
            f'{TOOLS} is True, and the package mcp is not installed; try pip install -e ".[mcp]", '
            f"or leave {TOOLS} out"
        )


def hindrance(name: str, port: int) -> str | None:
    """Why nobody can listen there now; None where one can."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (socket.gaierror, UnicodeError):
        return UNKNOWN
    except OSError as error:
        return WHY.get(error.errno or 0, f"{error.strerror}; try another --port")
    return None


def sparing(build: Callable[[], gr.Blocks]) -> gr.Blocks:
    """The page that is built, without the web apps that gradio would make on the way and throw away.

    gradio has no setting for that, so this stands on how it is made inside. Where a release of it is made
    otherwise, the page is built as gradio builds any, and the log says what that costs.
    """
    if not callable(getattr(App, "create_app", None)):
        _grudge("App.create_app is gone")
        return build()
    try:
        with no_app_yet():
            return build()
    except (
        AttributeError,
        TypeError,
    ) as error:  # gradio asked of the app what none can answer, or it is ours
        _grudge(str(error))
        return build()


def _grudge(why: str) -> None:
    log.warning(
        "gradio %s makes its web app in a way that is not known here (%s): the page opens some tenths of a "
        "second later, and works all the same; constraints.txt names the release that it was tested with",
        gr.__version__,
        why,
    )


@contextmanager
def no_app_yet() -> Iterator[None]:
    """While a page is built: gradio would make its web app three times over, and `launch` makes the only one
    that serves. Until then `page.app` is None."""
    made = App.create_app
    App.create_app = staticmethod(_no_app)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        App.create_app = staticmethod(made)  # type: ignore[method-assign]


def _no_app(*_: object, **__: object) -> None:
    return None
