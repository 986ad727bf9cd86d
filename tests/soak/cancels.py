"""Runs that are cancelled, in each of the three ways that clients have."""

import asyncio
import random
import tempfile
import time
from pathlib import Path

from tests.soak.calls import Visitor, visitors_of
from tests.soak.figures import Figure, Part, percentile
from tests.soak.page import ServedPage
from tests.soak.page_functions import page_functions
from tests.soak.pictures import draw_wish, why_wrong

WARM = 30
STEPS = 60
IDLE = 60.0  # seconds in which a run has to have ended


async def cancel_one(page: ServedPage, visitor: Visitor, random: random.Random, index: int, way: int) -> None:
    """Start a run, cancel it at a random moment, and wait until it is over."""
    wish, session = draw_wish(random, STEPS), f"cancel-{visitor.number}"
    pause = random.uniform(0, 0.6)
    if way == 0:  # the stream of a call is closed
        reply = await visitor.start("infer", wish.data)
        async with visitor.events(f"/call/infer/{reply.json()['event_id']}"):
            await asyncio.sleep(pause)
        return
    asked = {"fn_index": index, "data": wish.data, "session_hash": session}
    reply = await visitor.post("/queue/join", asked)
    id = reply.json()["event_id"]
    async with visitor.events(f"/queue/data?session_hash={session}") as lines:
        await asyncio.sleep(pause)
        if way == 1:  # as gradio_client cancels
            await visitor.post("/cancel", {"session_hash": session, "fn_index": index, "event_id": id})
            async for line in lines:
                if "process_completed" in line or "close_stream" in line:
                    break
        # else the tab is closed


async def cancel_many(page: ServedPage, first: int, count: int, seed: int) -> list[float]:
    """Cancel so many runs, one after another; return how long the page took to be idle after each."""
    (index,) = [each.index for each in page_functions(page.address) if each.name == "infer"]
    took = []
    async with visitors_of(page.address) as http:
        for number in range(first, first + count):
            visitor = Visitor(http, number)
            await cancel_one(page, visitor, random.Random(f"{seed} {number}"), index, number % 3)
            begun = time.monotonic()
            if not await asyncio.to_thread(page.wait_idle, IDLE):
                return [*took, IDLE]
            took.append(time.monotonic() - begun)
    return took


async def picture_is_right(page: ServedPage, number: int, folder: Path) -> str:
    """What is wrong with the next picture; empty where nothing is."""
    wish = draw_wish(random.Random(number))
    async with visitors_of(page.address) as http:
        outcome = await Visitor(http, number).call("infer", wish.data)
    if outcome.kind != "picture":
        return f"{outcome.kind}: {outcome.text}"
    file = folder / "next.png"
    file.write_bytes(outcome.content)
    return why_wrong(file, wish)


def measure(count: int = 200, seed: int = 0, warm: int = WARM) -> Part:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, ServedPage(Path(folder) / "page") as page:
        return measured_on(page, Path(folder), count, seed, warm)


def measured_on(page: ServedPage, folder: Path, count: int, seed: int, warm: int) -> Part:
    """The same on a page that is ready."""
    asyncio.run(cancel_many(page, 0, warm, seed))
    asyncio.run(picture_is_right(page, 199, folder))
    before = page.memory, page.threads, page.descriptors
    took = asyncio.run(cancel_many(page, warm, count, seed))
    fault = asyncio.run(picture_is_right(page, 198, folder))
    figures = (
        Figure("growth of memory", 100 * (page.memory / before[0] - 1), 2, "%", quiet=True),
        Figure("more threads", page.threads - before[1], 0, quiet=True),
        Figure("more descriptors", page.descriptors - before[2], 0, quiet=True),
        Figure("runs that did not end", sum(each >= IDLE for each in took), 0),
        Figure("seconds until the page is idle, p95", percentile(took, 95), unit="s"),
        Figure("wrong pictures afterwards", bool(fault), 0),
        Figure("tracebacks in the log", page.tracebacks, 0),
    )
    return Part("cancels", f"{count} runs cancelled in three ways", figures, tuple(filter(None, [fault])))
