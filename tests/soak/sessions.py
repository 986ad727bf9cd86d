"""Sessions that are opened and left: what the page remembers of them is bounded."""

import asyncio
import tempfile
from pathlib import Path

from tests.soak.calls import Visitor, visitors_of
from tests.soak.figures import Figure, Part
from tests.soak.hostile import visit
from tests.soak.page import ServedPage

WARM, AT_ONCE = 20, 4


async def open_and_leave(page: ServedPage, first: int, count: int) -> None:
    """So many visits, a few of them at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            await visit(Visitor(http, number), f"session-{number}")

    async with visitors_of(page.address) as http:
        await asyncio.gather(*map(one, range(first, first + count)))


def measure(count: int = 600) -> Part:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, ServedPage(Path(folder) / "page") as page:
        return measured_on(page, count)


def measured_on(page: ServedPage, count: int) -> Part:
    """The same on a page that is ready."""
    asyncio.run(open_and_leave(page, 0, WARM))
    before = page.memory, page.descriptors
    asyncio.run(open_and_leave(page, WARM, count))
    figures = (
        Figure("more memory", page.memory - before[0], 100, "MiB"),
        Figure("more descriptors", page.descriptors - before[1], 5, quiet=True),
        Figure("tracebacks in the log", page.tracebacks, 0),
    )
    return Part("sessions", f"{count} sessions opened and left", figures)
