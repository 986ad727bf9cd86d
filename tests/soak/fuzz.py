"""Calls with values that fit nothing, of every function of the real page and of gradio's own routes.

The values are drawn by hypothesis from what the controls hold, what they may hold and what nothing may.
Every answer is read: none may hold a traceback, take longer than a few seconds without news, or anything of
a file that is no visitor's business. Python's audit events tell what the page does outside of its store.
"""

import asyncio
import contextlib
import functools
import http.server
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sd3demo.ui.run.errors import UNEXPECTED
from tests.soak.calls import API, Visitor, visitors_of
from tests.soak.figures import Figure, Part
from tests.soak.page import ServedPage
from tests.soak.page_functions import PageFunction, page_functions, parameters_of

AT_ONCE = 4
PATIENCE = 5.0  # seconds without an answer or news
LONG = 4 * PATIENCE  # seconds after which a run that still sends news is left
SECRET = "what only the operator knows"
LIMITS = {"run_seconds": "1", "visitor_seconds": "inf", "places": "100"}


@dataclass(frozen=True)
class Request:
    """A request as it is sent: the method, the path, the body, and where its news come from."""

    method: str
    path: str
    body: Any = None
    news: str = ""
    """`call` of an endpoint by its name, `session` of a page's session, nothing for an answer at once."""
    session: str = ""


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

    def read(self, request: Request, text: str) -> None:
        """Look at an answer."""
        what = f"{request.method} {request.path} {json.dumps(request.body)[:300]}"
        if "Traceback (most" in text:
            self.traces.append(f"{what}: {text[-500:]}")
        if UNEXPECTED in text:
            self.accidents.append(what)
        if SECRET in text:
            self.leaks.append(what)


def odd_values(secret: Path, canary: str) -> SearchStrategy[Any]:
    """What no control holds: numbers without bounds, signs, nesting, and files that are not the visitor's."""
    paths = st.sampled_from(
        [
            str(secret), f"../{secret.name}", "/etc/passwd", "/proc/self/environ", "file:///etc/passwd",
            canary, "http://169.254.169.254/latest/meta-data", "\\\\host\\share", "\0", "",
        ]
    )  # fmt: skip
    file = st.builds(
        lambda path, more: {"path": path, "orig_name": path, "meta": {"_type": "gradio.FileData"}, **more},
        paths,
        st.sampled_from([{}, {"url": canary}, {"is_stream": True}, {"size": -1}, {"mime_type": "image/png"}]),
    )
    plain = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["x" * 20_000, "\ud800", "<script>alert(1)</script>", "{{7*7}}", "%s%n", "'; --"]),
        paths,
        file,
        st.just({"__type__": "update", "value": "x", "visible": False}),
    )
    return st.one_of(
        plain,
        st.lists(plain, max_size=4),
        st.dictionaries(st.sampled_from(["value", "path", "layers", "background", "a"]), plain, max_size=3),
        st.builds(
            lambda depth: functools.reduce(lambda inner, _: [inner], range(depth), 0), st.integers(1, 300)
        ),
    )


def fitting_values(kind: str, known: Mapping[str, Any]) -> SearchStrategy[Any]:
    """What a control may hold, and what lies just beyond."""
    held = [st.just(known.get("value"))]
    if choices := known.get("choices"):
        held.append(st.sampled_from([each[-1] if isinstance(each, list) else each for each in choices]))
    least, most = known.get("minimum"), known.get("maximum")
    if isinstance(least, int | float) and isinstance(most, int | float):
        held.append(st.sampled_from([least, most, least - 1, most + 1, (least + most) / 2, -0.0]))
    if kind == "textbox":
        held.append(st.sampled_from(["a red circle", "", " ", "réd 円", "a\nb", "1e999", "nan", "auto"]))
    return st.one_of(held)


@st.composite
def values_of(
    draw: st.DrawFn, components: Sequence[tuple[str, Mapping[str, Any]]], odd: SearchStrategy[Any]
) -> list[Any]:
    """Values for a function: most as they are at first, a few drawn, and rarely too many or too few."""
    values = [known.get("value") for _, known in components]
    for _ in range(draw(st.integers(0, 3))):
        if values:
            place = draw(st.integers(0, len(values) - 1))
            values[place] = draw(st.one_of(fitting_values(*components[place]), odd))
    match draw(st.integers(0, 19)):
        case 0:
            return values[: draw(st.integers(0, len(values)))]
        case 1:
            return [*values, draw(odd)]
    return values


def requests(
    functions: Sequence[PageFunction], parameters: Mapping[str, Any], odd: SearchStrategy[Any], secret: Path
) -> SearchStrategy[Request]:
    """Requests of every kind, functions by number and by name the most."""
    by_name = {name.removeprefix("/"): _components(each["parameters"]) for name, each in parameters.items()}
    sessions = st.one_of(st.uuids().map(str), st.sampled_from(["", "a", "../x", "é", "s" * 500]))

    @st.composite
    def by_number(draw: st.DrawFn) -> Request:
        function = draw(st.sampled_from(list(functions)))
        session = draw(sessions)
        body: dict[str, Any] = {
            "fn_index": function.index,
            "data": draw(values_of(function.components, odd)),
            "session_hash": session,
        }
        if draw(st.integers(0, 3)) == 0:
            body["event_data"] = draw(odd)
        if draw(st.integers(0, 19)) == 0:
            body[draw(st.sampled_from(["fn_index", "data", "session_hash", "trigger_id"]))] = draw(odd)
        if draw(st.booleans()) and not function.queued:
            return Request("POST", f"{API}/run/predict", body)
        return Request("POST", f"{API}/queue/join", body, "session", session)

    @st.composite
    def named(draw: st.DrawFn) -> Request:
        name = draw(st.sampled_from(sorted(by_name)))
        data: Any = draw(values_of(by_name[name], odd))
        if draw(st.integers(0, 19)) == 0:
            data = draw(odd)
        path = draw(st.sampled_from(["call", "call", "call", "call/v2", "run", "api"]))
        return Request("POST", f"{API}/{path}/{name}", {"data": data}, "call" if path == "call" else "")

    names = st.sampled_from(["cancel", "reset", "component_server", "queue/join", "run/predict", "upload"])
    route = st.builds(
        lambda name, body: Request("POST", f"{API}/{name}", body),
        names,
        st.one_of(
            odd,
            st.dictionaries(
                st.sampled_from(["session_hash", "fn_index", "event_id", "data", "component_id", "fn_name"]),
                odd,
                max_size=4,
            ),
        ),
    )
    files = st.sampled_from(
        [
            str(secret),
            "/etc/passwd",
            "../" * 8 + "etc/passwd",
            "%2e%2e/%2e%2e/etc/passwd",
            "http://127.0.0.1:1/",
        ]
    )
    prefix = st.sampled_from(
        [f"{API}/file=", f"{API}/proxy=", "/static/", "/assets/", f"{API}/stream/", f"{API}/info?x="]
    )
    get = st.builds(lambda start, rest: Request("GET", start + rest.replace("\0", "")), prefix, files)
    return st.one_of(by_number(), by_number(), by_number(), named(), named(), st.one_of(route, get))


def _components(parameters: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    found = []
    for each in parameters:
        schema = each.get("type") or {}
        known = {"value": each.get("parameter_default"), "choices": schema.get("enum")}
        kind = "textbox" if schema.get("type") == "string" else "api"
        found.append((kind, known))
    return found


async def send(visitor: Visitor, request: Request, found: Found, page: ServedPage, patience: float) -> None:
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

        async def together(batch: Sequence[Request]) -> None:
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
        def send_batches(batch: list[Request]) -> None:
            runner.run(together(batch))

        send_batches()
        runner.run(http_client.aclose())
    return found
