"""Fifty clients at once, a quarter of them hostile, for ten minutes on the real page.

A polite visitor asks for a picture, waits for it, looks at it, and asks for the next. They look about as long
as they waited: between half of it and one and a half times. So about half of them wait at any moment, on a
fast machine as on a slow one, and the queue is never empty: how long somebody waits then says how the turns
are shared, and not how rarely anybody came. All pictures cost the same. The time of a picture is from the
moment that it was accepted until its file is there; refusals are counted, and come again when they are told.
"""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.calls import Outcome, Visitor, visitors_of
from tests.soak.figures import Figure, Part, growth, percentile
from tests.soak.hostile import WAYS, Harm, until_cancelled
from tests.soak.page import ServedPage
from tests.soak.page_functions import page_functions
from tests.soak.pictures import Wish, draw_wish, remade, torn_runs, why_wrong

FIRST = 120.0  # seconds after which memory has to be flat, or a fifth of a shorter run
LAST = 120.0  # seconds that calls have to end after the load


@dataclass
class Polite:
    """A visitor who takes what is given; `wishes` and their outcomes in order."""

    visitor: Visitor
    random: random.Random
    outcomes: list[tuple[Wish, Outcome]] = field(default_factory=list)

    async def until(self, end: float) -> None:
        """Ask for pictures until the clock says so."""
        await asyncio.sleep(self.random.uniform(0, 2))
        wish = draw_wish(self.random)
        while time.monotonic() < end:
            outcome = await self.visitor.call("infer", wish.data)
            self.outcomes.append((wish, outcome))
            if outcome.kind == "refused":
                await asyncio.sleep(min(outcome.wait or 1, 10) * self.random.uniform(1, 1.5))
            else:
                await asyncio.sleep(outcome.seconds * self.random.uniform(0.5, 1.5))
                wish = draw_wish(self.random)

    @property
    def pictures(self) -> int:
        return sum(outcome.kind == "picture" for _, outcome in self.outcomes)


@dataclass
class Measured:
    """What a load left behind."""

    polite: list[Polite]
    harms: list[Harm]
    memory: list[tuple[float, float]]
    tracebacks: int
    unanswered: int
    queue: int
    torn: list[str]

    @property
    def outcomes(self) -> Iterator[Outcome]:
        """Of every call that was waited for."""
        for each in self.polite:
            yield from (outcome for _, outcome in each.outcomes)
        for harm in self.harms:
            yield from harm.outcomes


async def drive(page: ServedPage, seconds: float, clients: int, hostile: float, seed: int) -> Measured:
    """Put the load on a page that is ready."""
    functions = page_functions(page.address)
    many = round(clients * hostile)
    begun = time.monotonic()
    end = begun + seconds
    memory: list[tuple[float, float]] = []
    async with visitors_of(page.address) as http:
        polite = [
            Polite(Visitor(http, number), random.Random(f"{seed} {number}"))
            for number in range(clients - many)
        ]
        ways = list(WAYS)
        harms = [
            Harm(Visitor(http, 1000 + number), random.Random(f"{seed} harm {number}"), functions)
            for number in range(many)
        ]
        harming = [
            asyncio.create_task(until_cancelled(harm, ways[number % len(ways)]))
            for number, harm in enumerate(harms)
        ]

        async def watch() -> None:
            while page.alive:
                memory.append((time.monotonic() - begun, page.memory))
                await asyncio.sleep(1)

        watching = asyncio.create_task(watch())
        asking = [asyncio.create_task(each.until(end)) for each in polite]
        await asyncio.wait([*asking, *harming], timeout=seconds)
        watching.cancel()
        for task in harming:
            task.cancel()
        _, unanswered = await asyncio.wait(asking, timeout=LAST)
        for task in unanswered:
            task.cancel()
        await asyncio.gather(*asking, *harming, watching, return_exceptions=True)
    idle = await asyncio.to_thread(page.wait_idle, LAST)
    queue = 0 if idle else page.queue
    torn = torn_runs(page.runs)
    return Measured(polite, harms, memory, page.tracebacks, len(unanswered), queue, torn)


def measure(
    seconds: float = 600, clients: int = 50, hostile: float = 0.25, seed: int = 0, sample: int = 50
) -> Part:
    """The whole of it: a new page, the load, and every picture looked at."""
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        ServedPage(Path(folder) / "page") as page,
    ):
        found = asyncio.run(drive(page, seconds, clients, hostile, seed))
        page.stop()
        return report(found, Path(folder), seconds, random.Random(seed), sample)


def report(found: Measured, folder: Path, seconds: float, random: random.Random, sample: int) -> Part:
    """The figures of a load; a sample of the pictures is made again."""
    files: list[Path] = []
    wrong: list[str] = []
    for each in found.polite:
        for wish, outcome in each.outcomes:
            if outcome.kind == "picture":
                file = folder / f"{len(files)}.png"
                file.write_bytes(outcome.content)
                files.append(file)
                wrong += filter(None, [why_wrong(file, wish)])
    whole = [file for file in files if not any(file.name in each for each in wrong)]
    chosen = random.sample(whole, min(sample, len(whole)))
    differing = [f"{file.name} differs by {levels}/255" for file, levels in remade(chosen) if levels]
    outcomes = list(found.outcomes)
    lost = [outcome.text for outcome in outcomes if outcome.kind == "lost"]
    kinds = Counter(outcome.kind for outcome in outcomes)
    times = [
        outcome.seconds for each in found.polite for _, outcome in each.outcomes if outcome.kind == "picture"
    ]
    shares = [each.pictures for each in found.polite]
    middle, late = percentile(times, 50), percentile(times, 95)
    settled = min(FIRST, seconds / 5)
    passed = [text for harm in found.harms for text in harm.passed_by]
    traces = [text for harm in found.harms for text in harm.traces]
    attempts = sum((harm.attempts for harm in found.harms), Counter[str]())
    figures = (
        Figure("wrong pictures", len(wrong) + len(differing), 0),
        Figure("of so many pictures", len(files)),
        Figure("made again from their receipts, 0/255 each", len(chosen)),
        Figure("accepted jobs without a picture or a clear message", len(lost) + found.unanswered, 0),
        Figure("refusals with a sentence", kinds["refused"]),
        Figure("runs that passed the queue by", len(passed), 0),
        Figure("tracebacks, at a client or in the log", len(traces) + found.tracebacks, 0),
        Figure("torn runs in the history", len(found.torn), 0),
        Figure("runs that nobody waits for, left in the queue", found.queue, 0),
        Figure("memory at the end", found.memory[-1][1] if found.memory else 0, unit="MiB"),
        Figure(f"growth of memory after {settled:.0f} s", growth(found.memory, settled), 5, "%", quiet=True),
        Figure("time of a picture, p50", middle, unit="s"),
        Figure("time of a picture, p95", late, unit="s"),
        Figure("p95 over p50", late / middle if middle else 99, 2, quiet=True),
        Figure("largest share of a polite visitor over the smallest", _ratio(shares), 1.5, quiet=True),
    )
    many = len(found.harms)
    done = (
        f"{len(found.polite)} polite clients and {many} hostile ones for {seconds:.0f} s "
        f"({', '.join(f'{count} {way}' for way, count in attempts.items())})"
    )
    faults = [*wrong, *differing, *lost, *passed, *traces, *found.torn]
    return Part("load", done, figures, tuple(faults[:20]))


def _ratio(shares: list[int]) -> float:
    """The largest over the smallest; of nothing at all counts as a tenth of a picture."""
    return max(shares) / (min(shares) or 0.1)
