"""Memory that runs out, full disks, and folders that go, at each phase of a run of the real page.

Whatever happens, a visitor gets the picture or one sentence; a picture that was finished is in their hands or
in the history; and the next run is right, to the last bit.
"""

import asyncio
import io
import itertools
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from sd3demo.catalogue.entries import assets
from sd3demo.settings import Request
from tests.soak.calls import API, Outcome, Visitor, is_clear, refusal, visitors_of
from tests.soak.faulty_serve import PHASES, Phase
from tests.soak.figures import Figure, Part
from tests.soak.kills import kept
from tests.soak.page import ServedPage
from tests.soak.page_functions import PageFunction, page_functions, parameters_of
from tests.soak.pictures import torn_runs

PROMPT, STEPS = "a red circle above a blue square", 4
MODEL = "copy-of-tiny"
BEFORE_END: tuple[Phase, ...] = ("load", "encode", "denoise", "decode")
WRITING: tuple[Phase, ...] = ("serve", "save")
LONGEST = 400  # signs of a sentence


@dataclass(frozen=True)
class Fault:
    """What goes wrong, at which phase, and how often."""

    phase: Phase
    action: str
    times: int

    def __str__(self) -> str:
        return f"{self.action} at {self.phase}, {self.times} times"


def every_fault() -> Iterator[Fault]:
    """Memory at each phase of a run, once and for good; disks at both writes; folders at all phases."""
    for phase, action, times in itertools.product(
        BEFORE_END, ("cuda-memory", "cpu-memory", "python-memory"), (1, 9)
    ):
        yield Fault(phase, action, times)
    for phase in WRITING:
        yield Fault(phase, "full-disk", 9)
    for phase, action in itertools.product(PHASES, ("runs-gone", "served-gone", "model-gone")):
        yield Fault(phase, action, 1)


ROUTES = ("infer", "extrapolate", "page")
"""Ways to a picture: both endpoints, and the Generate tab's button."""


@dataclass
class Tried:
    """One page under faults, and what was wrong, a sentence each."""

    page: ServedPage
    functions: Sequence[PageFunction]
    parameters: Mapping[str, Any]
    number: int = 0
    unclear: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def fault_file(self) -> Path:
        return self.page.folder / "fault"

    async def try_all(self, faults: Sequence[Fault], routes: Sequence[str]) -> None:
        async with visitors_of(self.page.address) as http:
            wanted = {route: (await self.ask(http, route)).content for route in routes}
            for fault, route in itertools.product(faults, routes):
                if fault.phase == "load":  # a run without memory lets the model go
                    self.fault_file.write_text(f"denoise python-memory 9 {self.number}")
                    await self.ask(http, "infer")
                await self.one(http, fault, route)
                restore_model(self.page.folder)
                self.fault_file.write_text("")
                again = await self.ask(http, route)
                if not same_picture(again.content, wanted[route]):
                    self.wrong.append(f"after {fault}, by {route}: {again.kind} {again.text[-200:]}")

    async def one(self, http: httpx.AsyncClient, fault: Fault, route: str) -> None:
        """A run with a fault: what its visitor is told, and whether a finished picture is anywhere."""
        before = set(kept(self.page))
        self.fault_file.write_text(f"{fault.phase} {fault.action} {fault.times} {self.number}")
        outcome = await self.ask(http, route)
        if outcome.kind not in ("picture", "message") or len(outcome.text) > LONGEST:
            self.unclear.append(f"{fault}, by {route}: {outcome.kind} {outcome.text[-300:]}")
        new = set(kept(self.page)) - before
        if fault.phase in WRITING and outcome.kind != "picture" and not new:
            self.lost.append(f"{fault}, by {route}: {outcome.text[-200:]}")

    async def ask(self, http: httpx.AsyncClient, route: str) -> Outcome:
        """The same picture each time, by a way of its own and from a visitor of its own."""
        self.number += 1
        visitor = Visitor(http, self.number)
        if route == "page":
            return await generate_on_page(visitor, self.functions)
        values = {"prompt": PROMPT, "num_inference_steps": STEPS, "seed": 7}
        names = [each["parameter_name"] for each in self.parameters[f"/{route}"]["parameters"]]
        data = [each["parameter_default"] for each in self.parameters[f"/{route}"]["parameters"]]
        for name, value in values.items():
            data[names.index(name)] = value
        return await visitor.call(route, data)


async def generate_on_page(visitor: Visitor, functions: Sequence[PageFunction]) -> Outcome:
    """A picture by the Generate tab's button, as the page's script asks for it."""
    fields = list(Request.model_fields)
    (press,) = [each for each in functions if not each.queued and len(each.components) == 3 + len(fields)]
    (run,) = [each for each in functions if each.queued and each.after == press.index]
    data = [*press.defaults]
    data[:3] = [None, None, False]  # what the session holds, and the seed that is given
    for name, value in {"prompt": PROMPT, "seed": 7, "steps": STEPS}.items():
        data[3 + fields.index(name)] = value
    session = f"page-{visitor.number}"
    pressed = {"fn_index": press.index, "data": data, "session_hash": session}
    reply = await visitor.post("/run/predict", pressed)
    if reply.status_code != 200:
        return refusal(reply)
    _, said = await visitor.page_event(run.index, [None for _ in run.components], session)
    if found := re.findall(r"gradio_api/file=([^\"&\\\\]+\.png)", said):
        file = await visitor.get(f"{API}/file={found[-1]}")
        if file.status_code == 200:
            return Outcome("picture", found[-1], content=file.content)
    told = re.findall(r'role=\\?"alert\\?">([^<]+)', said)
    text = told[-1] if told else said[-300:]
    return Outcome("message" if told and is_clear(text) else "lost", text)


def pixels_of(content: bytes) -> np.ndarray | None:
    """The decoded picture, None of what is none."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.array(image)
    except OSError:
        return None


def same_picture(content: bytes, wanted: bytes) -> bool:
    """Whether two files hold one picture, to the last bit; each run has an id of its own beside it."""
    found, expected = pixels_of(content), pixels_of(wanted)
    return found is not None and expected is not None and np.array_equal(found, expected)


def restore_model(folder: Path) -> None:
    """The files of the model that the page serves, where a fault took them."""
    if not (folder / MODEL).is_dir():
        shutil.copytree(assets() / "tiny", folder / MODEL)


def measure(faults: Sequence[Fault] = tuple(every_fault()), routes: Sequence[str] = ROUTES) -> Part:
    """Every fault by every way, one after another on one page."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name) / "page"
        folder.mkdir()
        restore_model(folder)
        env = {
            "SOAK_FAULT": str(folder / "fault"),
            "SOAK_RUNS": str(folder / "runs"),
            "SOAK_MODEL": str(folder / MODEL),
        }
        words = ("--model", str(folder / MODEL))
        with ServedPage(folder, module="tests.soak.faulty_serve", words=words, env=env) as page:
            tried = Tried(page, page_functions(page.address), parameters_of(page.address))
            asyncio.run(tried.try_all(faults, routes))
            figures = (
                Figure("answers that are neither a picture nor one sentence", len(tried.unclear), 0),
                Figure("finished pictures lost", len(tried.lost), 0),
                Figure("next pictures that were not right, to 0/255", len(tried.wrong), 0),
                Figure("torn runs in the history", len(torn_runs(page.runs)), 0),
                Figure("tracebacks in the log", page.tracebacks, 0),
            )
    done = f"{len(faults)} faults at {', '.join(PHASES)}, by {', '.join(routes)}"
    return Part("faults", done, figures, tuple(tried.unclear + tried.lost + tried.wrong))
