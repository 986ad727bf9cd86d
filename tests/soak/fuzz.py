"""Calls with values that fit nothing, of every function of the real page and of gradio's own routes.

Every answer is read: none may hold a traceback, take longer than a few seconds without news, or anything of
a file that is no visitor's business. Python's audit events tell what the page does outside of its store.
"""

import asyncio
import contextlib
import http.server
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from sd3demo.ui.run.errors import UNEXPECTED
from tests.soak.calls import API, Visitor, visitors_of
from tests.soak.drawn_calls import FuzzedCall, odd_values, requests
from tests.soak.figures import Figure, Part
from tests.soak.page import ServedPage
from tests.soak.page_functions import page_functions, parameters_of

AT_ONCE = 4
PATIENCE = 5.0  # seconds without an answer or news
LONG = 4 * PATIENCE  # seconds after which a run that still sends news is left
SECRET = "what only the operator knows"
LIMITS = {"run_seconds": "1", "visitor_seconds": "inf", "places": "100"}


@dataclass
class Found:
    """What came of all requests."""

    count: Counter[str] = field(default_factory=Counter)
    traces: list[str] = field(default_factory=list)
    accidents: list[str] = field(default_factory=list)
    """Answers that say that something went wrong which should not have."""
    hangs: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    """Connections that the page closed without an answer."""

    def read(self, request: FuzzedCall, text: str) -> None:
        """Look at an answer."""
        what = f"{request.method} {request.path} {json.dumps(request.body)[:300]}"
        if "Traceback (most" in text:
            self.traces.append(f"{what}: {text[-500:]}")
        if UNEXPECTED in text:
            self.accidents.append(what)
        if SECRET in text:
            self.leaks.append(what)


async def send(
    visitor: Visitor, request: FuzzedCall, found: Found, page: ServedPage, patience: float
) -> None:
    """Send a request, read all of its answer, and note what should not be."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(patience) as clock:
            content = json.dumps(request.body).encode() if request.method == "POST" else None
            headers = {**visitor.headers, "Content-Type": "application/json"}
            reply = await visitor.http.request(request.method, request.path, content=content, headers=headers)
            found.count[str(reply.status_code)] += 1
            found.read(request, reply.text)
            if reply.status_code != 200 or not request.news:
                return
            id = reply.json()["event_id"]
            path = f"{request.path.removeprefix(API)}/{id}"
            if request.news == "session":
                path = f"/queue/data?session_hash={request.session}"
            async with visitor.events(path) as lines:
                async for line in lines:
                    found.read(request, line)
                    if line.startswith(("event: complete", "event: error")) or "process_completed" in line:
                        return
                    if time.monotonic() - begun > 4 * patience:
                        return
                    clock.reschedule(asyncio.get_running_loop().time() + patience)
    except TimeoutError:
        # A call by name has no news of its place: it may have waited for others.
        if request.news != "call" or not await asyncio.to_thread(page.wait_idle, patience):
            found.hangs.append(f"{request.path} {json.dumps(request.body)[:500]}")
    except (httpx.HTTPError, ValueError, KeyError) as error:
        found.dropped.append(
            f"{type(error).__name__} {error} {request.path} {json.dumps(request.body)[:300]}"
        )


@contextlib.contextmanager
def canary() -> Iterator[tuple[str, list[str]]]:
    """A server that no page has a reason to visit, and who came all the same."""
    visits: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/a.png", visits
        finally:
            server.shutdown()


def measure(count: int = 5000, number: int = 0, patience: float = PATIENCE) -> Part:
    with tempfile.TemporaryDirectory(prefix="soak-") as name, canary() as (address, visits):
        folder = Path(name) / "page"
        folder.mkdir()
        secret = Path(name) / "secret.txt"
        secret.write_text(SECRET)
        env = {"SOAK_WATCH": str(folder / "watched"), "SOAK_STORE": str(folder)}
        with ServedPage(folder, limits=LIMITS, module="tests.soak.faulty_serve", env=env) as page:
            found = fuzz(page, count, number, patience, secret, address)
            idle = page.wait_idle(LONG)
            logged = page.tracebacks
            log = page.said()
            outside = (folder / "watched").read_text().splitlines()
            left = [each for each in os.listdir(name) if each not in ("page", secret.name)]
            alive = page.alive
    figures = (
        Figure("tracebacks at a client", len(found.traces), 0),
        Figure("tracebacks in the log", logged, 0),
        Figure("answers that call themselves an accident", len(found.accidents), 0),
        Figure(
            f"calls without an answer or news for {patience:g} s",
            len(found.hangs) + (not idle),
            0,
            quiet=True,
        ),
        Figure("connections closed without an answer", len(found.dropped) + (not alive), 0),
        Figure("files written, programs started, connections made outside", len(outside) + len(left), 0),
        Figure("files read or addresses visited for a visitor", len(found.leaks) + len(visits), 0),
    )
    answers = ", ".join(f"{many} of {status}" for status, many in sorted(found.count.items()))
    done = f"{count} calls of functions by number and by name, and of gradio's routes (answers: {answers})"
    kinds = (
        found.traces,
        log.split("Traceback (most recent call last)")[1:],
        found.accidents,
        found.hangs,
        found.dropped,
        outside,
        found.leaks,
        visits,
    )
    return Part("fuzz", done, figures, tuple(text[:1000] for faults in kinds for text in faults[:5]))


def fuzz(page: ServedPage, count: int, number: int, patience: float, secret: Path, address: str) -> Found:
    """Send so many requests, a few at a time; the same ones for the same number."""
    functions, parameters = page_functions(page.address), parameters_of(page.address)
    found, sent = Found(), 0
    drawn = requests(functions, parameters, odd_values(secret, address), secret)
    with asyncio.Runner() as runner:
        http_client = visitors_of(page.address)

        async def together(batch: Sequence[FuzzedCall]) -> None:
            nonlocal sent
            visitors = [Visitor(http_client, (sent + k) % 40_000) for k in range(len(batch))]
            sent += len(batch)
            pairs = zip(visitors, batch, strict=True)
            await asyncio.gather(*(send(each, one, found, page, patience) for each, one in pairs))

        @seed(number)
        @settings(
            max_examples=-(-count // AT_ONCE),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(drawn, min_size=AT_ONCE, max_size=AT_ONCE))
        def send_batches(batch: list[FuzzedCall]) -> None:
            runner.run(together(batch))

        send_batches()
        runner.run(http_client.aclose())
    return found
