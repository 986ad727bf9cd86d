"""A visitor's calls over HTTP, as gradio_client and the page's own script make them."""

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import httpx

from sd3demo.ui.run.errors import UNEXPECTED

API = "/gradio_api"
Kind: TypeAlias = Literal["picture", "message", "refused", "lost"]
PATIENCE = 600.0  # seconds after which a call that said nothing is lost


@dataclass(frozen=True)
class Outcome:
    """How a call ended. `refused` was never accepted; `lost` is neither a result nor a clear sentence."""

    kind: Kind
    text: str = ""
    seconds: float = 0.0
    content: bytes = b""
    wait: float = 0.0
    """Seconds after which a refusal says to come again."""


@dataclass(frozen=True)
class Visitor:
    """Somebody with an address of their own, which a proxy would tell the page."""

    http: httpx.AsyncClient
    number: int

    @property
    def headers(self) -> Mapping[str, str]:
        return {"X-Forwarded-For": f"8.{self.number // 200 % 200}.{self.number % 200}.8"}

    async def post(self, path: str, values: object, **more: object) -> httpx.Response:
        """Send JSON."""
        return await self.http.post(f"{API}{path}", json=values, headers=self.headers, **more)  # type: ignore[arg-type]

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(path, headers=self.headers)

    async def start(self, name: str, data: Sequence[object]) -> httpx.Response:
        """Ask for a run by its name."""
        return await self.post(f"/call/{name}", {"data": list(data)})

    @asynccontextmanager
    async def events(self, path: str) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of a stream of events; leaving the block closes the connection."""
        async with self.http.stream("GET", f"{API}{path}", headers=self.headers) as stream:
            yield stream.aiter_lines()

    async def call(self, name: str, data: Sequence[object]) -> Outcome:
        """Make a call and wait for its end; a picture comes with its file."""
        begun = time.monotonic()
        try:
            reply = await self.start(name, data)
            if reply.status_code != 200:
                return refusal(reply)
            event, text = "", ""
            async with self.events(f"/call/{name}/{reply.json()['event_id']}") as lines:
                async for line in lines:
                    if line.startswith("event: "):
                        event = line.removeprefix("event: ")
                    elif line.startswith("data: ") and event in ("complete", "error"):
                        text = line.removeprefix("data: ")
                        break
            seconds = time.monotonic() - begun
            if event != "complete":
                return Outcome("message" if is_clear(text) else "lost", text, seconds)
            first = json.loads(text)[0]
            if not (isinstance(first, dict) and "path" in first):
                return Outcome("message", text[:200], seconds)
            file = await self.get(f"{API}/file={first['path']}")
            if file.status_code != 200:
                return Outcome("lost", f"the file answers {file.status_code}", seconds)
            return Outcome("picture", first["path"], time.monotonic() - begun, file.content)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            return Outcome("lost", f"{type(error).__name__}: {error}", time.monotonic() - begun)

    async def page_event(
        self, index: int, data: Sequence[object], session: str, **more: object
    ) -> tuple[int, str]:
        """A function of the page by its number, as its script calls it: the status, and all that was said."""
        asked = {"data": list(data), "fn_index": index, "session_hash": session, **more}
        reply = await self.post("/queue/join", asked)
        if reply.status_code != 200:
            return reply.status_code, reply.text
        said = []
        async with self.events(f"/queue/data?session_hash={session}") as lines:
            async for line in lines:
                said.append(line)
                if '"msg":"process_completed"' in line or '"msg":"close_stream"' in line:
                    break
        return 200, "\n".join(said)


def refusal(reply: httpx.Response) -> Outcome:
    """What a call ended in that was not accepted."""
    try:
        text = str(reply.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return Outcome("lost", f"{reply.status_code}: {reply.text[:200]}")
    wait = float(reply.headers.get("Retry-After", 0))
    return Outcome("refused" if is_clear(text) else "lost", text, wait=wait)


def is_clear(text: str) -> bool:
    """Whether an answer is words for a person, and no accident."""
    said = text.strip().strip('"')
    return bool(said) and said != "null" and "Traceback" not in text and UNEXPECTED not in text


def visitors_of(address: str) -> httpx.AsyncClient:
    """The connections of all visitors."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    return httpx.AsyncClient(base_url=address, timeout=httpx.Timeout(PATIENCE), limits=limits)
