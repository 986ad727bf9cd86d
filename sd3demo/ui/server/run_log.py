"""The operator's log: one line of JSON for each run and for each refusal, on stderr.

A line has no prompt and no address in it; `visitor` is a salted hash.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from sd3demo.engine import Plan
from sd3demo.settings.extrapolation import ResolvedExtrapolation
from sd3demo.ui.server import metrics
from sd3demo.ui.server.visitor_hash import visitor_hash

log = logging.getLogger(__name__)


def to_stderr() -> None:
    """Write the lines to stderr as they are; without this the program's own logging has them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def write_line(event: str, **values: object) -> None:
    """Write a line: the time in UTC, the kind of event, and what is known of it."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    log.info(json.dumps({"time": moment, "event": event, **values}, ensure_ascii=False, default=str))


def write_refusal(reason: str, text: str, where: str = "") -> None:
    """Count a refusal, and write its line."""
    metrics.REFUSALS.labels(reason).inc()
    at = {"where": where} if where else {}
    write_line("refusal", visitor=visitor_hash(), reason=reason, sentence=text, **at)


def about_plan(plan: Plan) -> Mapping[str, object]:
    """What a line says of a plan."""
    request = plan.request
    large = isinstance(request, ResolvedExtrapolation)
    return {
        "model": plan.spec.name.rpartition("/")[2],
        "kind": "extrapolation" if large else "picture",
        "width": request.width,
        "height": request.height,
        "steps": request.steps,
        "count": request.count,
        "plan_seconds": round(plan.seconds, 3),
    }
