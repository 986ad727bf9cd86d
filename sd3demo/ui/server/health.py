"""`/healthz`, `/readyz` and `/metrics`, beside gradio's own routes and open without a login.

Alive is whoever answers. Ready is who can make a picture and keep it: a balancer sends visitors elsewhere
until then, and once the page is closing. The proxy before several processes asks each of them every other
second, so that the figures of all are fresh whichever of them is asked for `/metrics`.
"""

from collections.abc import Sequence

import gradio as gr
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sd3demo.errors import Refusal
from sd3demo.history import RunStore
from sd3demo.ui.server import metrics
from sd3demo.ui.server.access import HEALTH_PATHS
from sd3demo.ui.server.gradio_internals import session_count
from sd3demo.ui.server.line import Line
from sd3demo.ui.server.operations import Operations


def not_ready(operations: Operations, history: RunStore | None) -> list[str]:
    """Return why the page is not ready, a sentence each; [] where it is. No sentence names a folder."""
    reasons = []
    if operations.closing:
        reasons.append("the page is closing")
    if operations.model:
        reasons.append(f"the model {operations.model}")
    if history is not None:
        try:
            history.check()
        except Refusal as error:
            cause = error.__cause__
            why = cause.strerror if isinstance(cause, OSError) else "it is not writable"
            reasons.append(f"the history cannot be written: {why}")
    return reasons


def health_routes(
    page: gr.Blocks, operations: Operations, history: RunStore | None, line: Line
) -> Sequence[BaseRoute]:
    """Return the routes; `line` is where runs wait for their turn."""

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    def refresh() -> list[str]:
        """Set the figures of this process, and return why it is not ready."""
        reasons = not_ready(operations, history)
        metrics.QUEUE_LENGTH.set(line.waiting)
        metrics.SESSIONS.set(session_count(page))
        metrics.READY.set(not reasons)
        metrics.MEMORY.set(metrics.resident_memory())
        return reasons

    def readyz(request: Request) -> Response:
        reasons = refresh()
        found = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        return JSONResponse(found | {"weights": operations.weights}, 503 if reasons else 200)

    def figures(request: Request) -> Response:
        refresh()
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    answers = zip(HEALTH_PATHS, (healthz, readyz, figures), strict=True)
    return [Route(path, answer, methods=["GET"]) for path, answer in answers]
