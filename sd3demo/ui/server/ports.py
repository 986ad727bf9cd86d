"""Where the page listens.

gradio looks for a port by itself, but answers a taken one, a host that is not of this machine and a busy
machine with the same error.
"""

import errno
import os
import socket
from importlib.util import find_spec

from sd3demo.errors import Refusal
from sd3demo.ui.server.gradio_internals import DEFAULT_HOST, DEFAULT_PORTS

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
    name = (host or DEFAULT_HOST).removeprefix("[").removesuffix("]")
    candidates = DEFAULT_PORTS if port is None else (port,)
    for candidate in candidates:
        why = why_unavailable(name, candidate)
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


def why_unavailable(name: str, port: int) -> str | None:
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
