"""Requests that are refused before gradio sees them: too large, or a run that the queue cannot take now.

A refusal is one sentence as JSON, `{"detail": ...}`, with status 413, 429 or 503 and, where waiting helps,
Retry-After. The page's own runs pass: they say the same sentence where their progress stands.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable
from typing import Any

from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sd3demo.ui.server.line import Line, LineRefusal
from sd3demo.ui.server.visitors import visitor_of

CALL = re.compile(r"/gradio_api/(?:call(?:/v2)?|run|api)/(?P<name>[^/]+)/?$")
JOIN = re.compile(r"/gradio_api/queue/join/?$")
UPLOAD = re.compile(r"/gradio_api/upload/?$")
MIB = 2**20


class Admission:
    """`is_run` tells by its name or its number whether an endpoint computes; `uploaded` follows an upload."""

    def __init__(
        self, app: ASGIApp, line: Line, is_run: Callable[[str | int], bool], uploaded: Callable[[], None]
    ) -> None:
        self.app = app
        self.line = line
        self.is_run = is_run
        self.uploaded = uploaded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            return await self.app(scope, receive, send)
        headers, path = Headers(scope=scope), str(scope["path"])
        if UPLOAD.search(path):
            return await self._upload(headers, scope, receive, send)
        most = self.line.limits.request_mib
        if int(headers.get("content-length") or 0) > most * MIB:
            return await _too_large(most, "request", scope, receive, send)
        body = await _body(receive, int(most * MIB))
        if body is None:
            return await _too_large(most, "request", scope, receive, send)
        name = CALL.search(path)
        values = _values(body) if name or JOIN.search(path) else {}
        if values.get("session_hash") == "":  # gradio's queue would look for a session of no name
            said = "session_hash is empty; leave it out, or send a text of your own"
            return await JSONResponse({"detail": said}, 422)(scope, receive, send)
        asked: str | int | None = name["name"] if name else _fn_index(values)
        if asked is not None and self.is_run(asked):
            refusal = self.line.refusal(self._visitor(scope, headers))
            if refusal is not None:
                return await _refused(refusal)(scope, receive, send)
        await self.app(scope, _again(body, receive), send)

    async def _upload(self, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        most, length = self.line.limits.upload_mib, headers.get("content-length")
        if length is None:
            said = "an upload must say its length; send Content-Length"
            return await JSONResponse({"detail": said}, 411)(scope, receive, send)
        if int(length) > most * MIB:
            return await _too_large(most, "upload", scope, receive, send)
        await self.app(scope, receive, send)
        await run_sync(self.uploaded)

    def _visitor(self, scope: Scope, headers: Headers) -> str:
        host = (scope.get("client") or ("",))[0]
        behind = self.line.limits.behind_proxy
        return visitor_of(host, headers.get("x-forwarded-for", ""), "", behind_proxy=behind)


def _refused(refusal: LineRefusal) -> JSONResponse:
    wait = {"Retry-After": str(math.ceil(refusal.retry_after))} if refusal.retry_after else {}
    return JSONResponse({"detail": str(refusal)}, refusal.status, wait)


def _too_large(most: float, what: str, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    said = f"the {what} is too large; one {what} may have {most:g} MiB here"
    return JSONResponse({"detail": said}, 413)(scope, receive, send)


async def _body(receive: Receive, most: int) -> bytes | None:
    """The whole body; None where it is larger."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever comes: gradio listens for the client to go away."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message


def _values(body: bytes) -> dict[str, Any]:
    """The values of a body of JSON, none where it is anything else."""
    try:
        values: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _fn_index(values: dict[str, Any]) -> int | None:
    index = values.get("fn_index")
    return index if isinstance(index, int) else None
