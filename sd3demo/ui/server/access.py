"""Under which names the page answers, what a browser is told with each answer, and errors in one line.

A page of this machine alone answers to its names and to no other: else a foreign site whose name is turned
to this machine (DNS rebinding) could read it. On a Space the Hub shows the page in a frame of its own site.
"""

import os
from collections.abc import Mapping, Sequence

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sd3demo.errors import Refusal
from sd3demo.history.location import HOST, LOCAL_HOSTS, SPACE
from sd3demo.ui.server.operations import Operations
from sd3demo.ui.server.run_log import write_refusal

SPACE_HOST = "SPACE_HOST"  # the name of a Space's own page, set there
OWN_NAMES = (*LOCAL_HOSTS, "[::1]")
HUB = ("https://huggingface.co", "https://*.huggingface.co", "https://*.hf.space")
"""The sites that show a Space in a frame."""
HEALTH_PATHS = ("/healthz", "/readyz", "/metrics")
HEARTBEAT = "/heartbeat/"  # a request of gradio's that stays open as long as a tab does


def allowed_hosts(host: str | None, named: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names that the page answers to; `*` is any.

    A page that other machines reach cannot know its names, so it answers to any unless some are named.
    """
    listens = (host or os.environ.get(HOST, LOCAL_HOSTS[0])).lower()
    if listens not in OWN_NAMES and not named:
        return ("*",)
    space = os.environ.get(SPACE_HOST, "").lower()
    return tuple(dict.fromkeys([*OWN_NAMES, listens, *filter(None, [space]), *map(str.lower, named)]))


def parse_hosts(text: str | None) -> tuple[str, ...]:
    """Return the names of a list with commas. Raises Refusal for what is no name of a machine."""
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    for name in names:
        bare = name.removeprefix("*.")
        if not bare or (any(sign in bare for sign in "*/:@ ") and name not in OWN_NAMES):
            raise Refusal(
                f"allowed_hosts holds {name!r}; give names without scheme and port, such as "
                "demo.example.org or *.example.org"
            )
    return names


def security_headers() -> Mapping[str, str]:
    """Return the headers of every answer: who may frame the page, and what a browser may not guess."""
    headers = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
    if os.environ.get(SPACE):  # X-Frame-Options knows no list of sites
        return headers | {"Content-Security-Policy": f"frame-ancestors 'self' {' '.join(HUB)}"}
    return headers | {
        "Content-Security-Policy": "frame-ancestors 'self'",
        "X-Frame-Options": "SAMEORIGIN",
    }


def outer_layers(operations: Operations, hosts: Sequence[str]) -> list[Middleware]:
    """Return the layers round all that answers, the outermost first."""
    return [
        Middleware(SecurityHeaders, headers=security_headers()),
        Middleware(TrustedHostMiddleware, allowed_hosts=[*hosts], www_redirect=False),
        Middleware(OpenRequests, operations=operations),
    ]


class SecurityHeaders:
    """Adds headers to every answer that does not have them."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app = app
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


class OpenRequests:
    """Counts what is being answered, so that a closing page can wait for it."""

    def __init__(self, app: ASGIApp, operations: Operations) -> None:
        self.app = app
        self.operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counts = scope["type"] == "http" and not (HEARTBEAT in scope["path"] or scope["path"] in HEALTH_PATHS)
        if not counts:
            await self.app(scope, receive, send)
            return
        self.operations.open_requests(1)
        try:
            await self.app(scope, receive, send)
        finally:
            self.operations.open_requests(-1)


class OneLineErrors:
    """Answers a request that gradio cannot make sense of with a sentence, and writes a line in place of a
    traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            name = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            write_refusal("request", name, where=str(scope["path"])[:200])
            answer = JSONResponse({"detail": "this request does not fit what the page takes"}, 400)
            await answer(scope, receive, send)
