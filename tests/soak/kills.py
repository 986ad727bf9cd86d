"""A page that is killed at random moments of serving, and started again on what it left."""

import asyncio
import os
import random
import tempfile
from pathlib import Path

import httpx

from tests.soak.calls import Visitor, visitors_of
from tests.soak.figures import Figure, Part, percentile
from tests.soak.page import ServedPage
from tests.soak.pictures import draw_wish, torn_runs

CLIENTS, STEPS = 3, 2  # short runs, so that a kill often falls on a save
LONGEST = 3.0  # seconds of serving before a kill, after the first picture


async def serve_until_killed(page: ServedPage, random: random.Random) -> int:
    """Ask for pictures, and kill the page at a random moment after the first; return how many came."""
    came, first = 0, asyncio.Event()

    async def ask(visitor: Visitor) -> None:
        nonlocal came
        while page.alive:
            outcome = await visitor.call("infer", draw_wish(random, STEPS).data)
            if outcome.kind == "picture":
                came += 1
                first.set()

    async with visitors_of(page.address) as http:
        asking = [asyncio.create_task(ask(Visitor(http, number))) for number in range(CLIENTS)]
        await asyncio.wait_for(first.wait(), 300)
        await asyncio.sleep(random.uniform(0, LONGEST))
        page.kill()
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return came


def measure(count: int = 100, seed: int = 0) -> Part:
    random_moments = random.Random(seed)
    started, faults, pictures, lost = [], list[str](), 0, 0
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        limits = {"visitor_seconds": "inf"}
        page = ServedPage(Path(folder) / "page", limits=limits)
        try:
            page.start()
            for _ in range(count):
                page.wait_ready()
                before = len(kept(page))
                came = asyncio.run(serve_until_killed(page, random_moments))
                pictures += came
                lost += max(before + came - len(kept(page)), 0)
                faults += torn_runs(page.runs)
                started.append(page.start())
            page.wait_ready()
            asyncio.run(one_picture(page))
            faults += torn_runs(page.runs) + leftovers(page)
            traces = page.tracebacks
            page.stop()
        finally:
            page.kill()
    figures = (
        Figure("torn runs and files in the history", len(faults), 0),
        Figure("pictures that came and are not in the history", lost, 0),
        Figure("of so many pictures", pictures),
        Figure("restart until it answers, p50", percentile(started, 50), unit="s"),
        Figure("restart until it answers, the longest", max(started), 5, "s", quiet=True),
        Figure("tracebacks in the log", traces, 0),
    )
    return Part("kills", f"kill -9 at {count} random moments of serving", figures, tuple(faults[:20]))


async def one_picture(page: ServedPage) -> None:
    """The save after which what the dead left is swept."""
    async with visitors_of(page.address) as http:
        outcome = await Visitor(http, 9).call("infer", draw_wish(random.Random(9), STEPS).data)
    if outcome.kind != "picture":
        raise httpx.HTTPError(f"no picture after the last restart: {outcome.text}")


def kept(page: ServedPage) -> list[str]:
    """The runs of a history by their folders' names."""
    return [name for name in os.listdir(page.runs) if not name.startswith(".")] if page.runs.is_dir() else []


def leftovers(page: ServedPage) -> list[str]:
    """What is in a history beside its runs."""
    return [f"{name} was left" for name in os.listdir(page.runs) if name.startswith((".new-", ".old-"))]
