"""`sd3demo trace PROMPT --out FILE`: a run kept small, which the Trajectories tab opens without weights."""

from pathlib import Path

from pydantic import Field

from sd3demo.catalogue import find, locate
from sd3demo.cli.flags import Command
from sd3demo.cli.generate import numbered, run_to_end
from sd3demo.cli.report import Report
from sd3demo.engine import plan
from sd3demo.engine.plan.device import Device, budget
from sd3demo.engine.record.traces import recorded, traces_of
from sd3demo.errors import Refusal
from sd3demo.history import write_whole
from sd3demo.history.traces import SUFFIX, to_file
from sd3demo.settings import Request, Settings


class Out(Settings):
    """Where the trace goes."""

    out: Path = Field(description=f"A {SUFFIX} file for the trace; several pictures' are numbered.")
    device: Device = Field("auto", description="What computes.")


def trace(request: Request, where: Out, report: Report) -> int:
    if where.out.suffix != SUFFIX:
        raise Refusal(
            f"out is {where.out}; a trace is a safetensors file, so give a name that ends in {SUFFIX}"
        )
    if not where.out.parent.is_dir() or where.out.is_dir():
        raise Refusal(f"out is {where.out}; it must be a file in a folder that exists")
    spec = find(request.model)
    made = recorded(plan(request, spec, budget(where.device)))
    locate(spec)  # a model that is not here is refused before anything heavy is imported
    finished = run_to_end(made, report)
    traces = traces_of(made, finished)
    files = dict(zip(numbered(where.out, len(traces)), map(to_file, traces), strict=True))
    write_whole(files)
    values = {
        "traces": [str(path) for path in files],
        "bytes": [len(content) for content in files.values()],
        "path_length": [each.shape.length for each in traces],
        "chord": [each.shape.chord for each in traces],
        "straightness": [each.shape.straightness for each in traces],
        "sigmas": list(finished.sigmas),
        "calls": finished.calls,
        "request": made.request.model_dump(mode="json"),
    }
    report.result(values, "\n".join(map(str, files)))
    return 0


COMMAND = Command(trace, (Request, Out), arguments=("prompt",))
