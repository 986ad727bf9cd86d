"""Visitors who mean harm, each in a way of their own, again and again until they are cancelled.

What they send is bounded, so that it is the page that is measured and not the network: each waits a little
between two attempts, as one whose line is no faster does.
"""

import asyncio
import io
import random
import struct
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import httpx
from PIL import Image

from tests.soak.calls import API, Outcome, Visitor, is_clear
from tests.soak.page_functions import PageFunction
from tests.soak.pictures import SIZE, draw_wish

BOMB_SIDE, BOMB_CHUNKS = 8192, 100_000


@dataclass
class Harm:
    """A hostile visitor: who, what they know of the page, and what came of it."""

    visitor: Visitor
    random: random.Random
    functions: tuple[PageFunction, ...]
    attempts: Counter[str] = field(default_factory=Counter)
    outcomes: list[Outcome] = field(default_factory=list)
    """Of the calls that they waited for."""
    passed_by: list[str] = field(default_factory=list)
    """Runs that were answered without the queue."""
    traces: list[str] = field(default_factory=list)
    """Answers with a traceback."""

    async def pause(self, most: float) -> None:
        await asyncio.sleep(self.random.uniform(0, most))

    def saw(self, text: str) -> None:
        if "Traceback" in text:
            self.traces.append(text[:500])


async def huge_plans(harm: Harm) -> None:
    """Runs as large as the settings allow, and the largest that pass."""
    asked: tuple[tuple[str, list[object]], ...] = (
        ("infer", ["a red circle", "", 1, False, 8192, 8192, 7, 100]),
        ("infer", ["a red circle", "", 1, False, 320, 320, 7, 100]),
        ("extrapolate", ["a red circle", 16]),
        ("extrapolate", ["a red circle", 4]),
        ("study", ["score", {"n": 200}]),
        ("infer", ["a red circle", "", 1, False, SIZE, SIZE, 7, 100]),
    )
    for name, data in asked:
        harm.attempts["huge plans"] += 1
        outcome = await harm.visitor.call(name, data)
        harm.outcomes.append(outcome)
        harm.saw(outcome.text)
        await asyncio.sleep(min(outcome.wait, 10) + harm.random.uniform(0, 2))


async def cancels(harm: Harm) -> None:
    """A run whose stream is closed at a random moment."""
    wish = draw_wish(harm.random, steps=50)
    harm.attempts["cancels"] += 1
    reply = await harm.visitor.start("infer", wish.data)
    if reply.status_code == 200:
        path = f"/call/infer/{reply.json()['event_id']}"
        async with harm.visitor.events(path):
            await harm.pause(3)
    await harm.pause(3)


async def half_read(harm: Harm) -> None:
    """A run whose stream is opened, read for a few bytes and then held without being read."""
    harm.attempts["half-read streams"] += 1
    reply = await harm.visitor.start("infer", draw_wish(harm.random, steps=20).data)
    if reply.status_code == 200:
        path = f"{API}/call/infer/{reply.json()['event_id']}"
        async with harm.visitor.http.stream("GET", path, headers=harm.visitor.headers) as stream:
            try:
                async with asyncio.timeout(harm.random.uniform(0.5, 10)):
                    async for _ in stream.aiter_raw(8):
                        await asyncio.sleep(5)
            except TimeoutError:
                pass
    await harm.pause(2)


async def sessions(harm: Harm) -> None:
    """Visits that are opened and left, one after another."""
    for _ in range(5):
        harm.attempts["sessions"] += 1
        await visit(harm.visitor, f"flood-{harm.visitor.number}-{harm.attempts['sessions']}")
    await harm.pause(2)


async def bombs(harm: Harm) -> None:
    """Small files that are large once they are decoded, for every function that takes a file."""
    name, content = harm.random.choice([("wide.png", wide_picture()), ("chunks.png", many_chunks())])
    function = harm.random.choice([each for each in harm.functions if each.files])
    harm.attempts["bombs"] += 1
    files = {"files": (name, content, "image/png")}
    sent = await harm.visitor.http.post(f"{API}/upload", files=files, headers=harm.visitor.headers)
    harm.saw(sent.text)
    if sent.status_code == 200:
        given = {"path": sent.json()[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}
        session = f"bomb-{harm.visitor.number}-{harm.attempts['bombs']}"
        status, said = await harm.visitor.page_event(function.index, function.with_file(given), session)
        harm.saw(said)
        if status == 200:
            harm.outcomes.append(Outcome("message" if is_clear(said) else "lost", said[-300:]))
    await harm.pause(3)


async def direct_posts(harm: Harm) -> None:
    """Runs that are asked for without the queue, and requests that are too large."""
    for path in ("run", "api"):
        harm.attempts["direct posts"] += 1
        reply = await harm.visitor.post(f"/{path}/infer", {"data": draw_wish(harm.random).data})
        harm.saw(reply.text)
        if reply.status_code == 200:
            harm.passed_by.append(f"/{path}/infer")
    for function in [each for each in harm.functions if each.queued][:3]:
        harm.attempts["direct posts"] += 1
        asked = {"fn_index": function.index, "data": list(function.defaults), "session_hash": "direct"}
        reply = await harm.visitor.post("/run/predict", asked)
        harm.saw(reply.text)
        if reply.status_code == 200:
            harm.passed_by.append(f"function {function.index}")
    harm.attempts["direct posts"] += 1
    reply = await harm.visitor.post("/call/plan", {"data": ["x" * 3_000_000]})
    harm.saw(reply.text)
    await harm.pause(3)


WAYS: Mapping[str, Callable[[Harm], Awaitable[None]]] = {
    "huge plans": huge_plans,
    "cancels": cancels,
    "half-read streams": half_read,
    "sessions": sessions,
    "bombs": bombs,
    "direct posts": direct_posts,
}


async def until_cancelled(harm: Harm, way: str) -> None:
    """One way of harm, again and again."""
    while True:
        try:
            await WAYS[way](harm)
        except (httpx.HTTPError, ValueError):
            await asyncio.sleep(1)


async def visit(visitor: Visitor, session: str) -> None:
    """Open the page as a browser does, and leave it."""
    await visitor.get("/")
    async with visitor.events(f"/heartbeat/{session}"):
        await visitor.page_event(0, [], session)


@cache
def wide_picture() -> bytes:
    """A PNG of 8192 x 8192 in some kilobytes."""
    content = io.BytesIO()
    Image.new("L", (BOMB_SIDE, BOMB_SIDE)).save(content, "PNG", optimize=True)
    return content.getvalue()


@cache
def many_chunks() -> bytes:
    """A small PNG with a hundred thousand chunks of text."""
    content = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE)).save(content, "PNG")
    whole = content.getvalue()
    text = b"tEXta\0b"
    chunk = struct.pack(">I", 3) + text + struct.pack(">I", zlib.crc32(text))
    return whole[:33] + chunk * BOMB_CHUNKS + whole[33:]  # after the header
