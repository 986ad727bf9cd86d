"""`sd3demo trace PROMPT --out FILE`: record a run for the Trajectories tab, which needs no weights."""

from pathlib import Path

from pydantic import Field

from sd3demo.catalogue import find, locate
from sd3demo.cli.flags import Command
from sd3demo.cli.generate import run_to_end
from sd3demo.cli.output_files import check_file, numbered
from sd3demo.cli.report import Report
from sd3demo.engine import plan
from sd3demo.engine.plan.device import Device, budget
from sd3demo.engine.record.traces import recorded, traces_of
from sd3demo.history import write_whole
from sd3demo.history.traces import SUFFIX, to_file
from sd3demo.settings import Request, Settings


class TraceOptions(Settings):
    """The device of a run, and where its trace goes."""

    out: Path = Field(description=f"A {SUFFIX} file for the trace; several pictures' are numbered.")
    device: Device = Field("auto", description="The device to compute on.")


def trace(request: Request, output: TraceOptions, report: Report) -> int:
    check_file(output.out, SUFFIX, "a trace is a safetensors file")
    spec = find(request.model)
    run_plan = recorded(plan(request, spec, budget(output.device)))
    locate(spec)  # a model that is not here is refused before anything heavy is imported
    for note in run_plan.notes:
        report.note(note)
    finished = run_to_end(run_plan, report)
    traces = traces_of(run_plan, finished)
    files = dict(zip(numbered(output.out, len(traces)), map(to_file, traces), strict=True))
    write_whole(files)
    values = {
        "traces": [str(path) for path in files],
        "bytes": [len(content) for content in files.values()],
        "path_length": [each.shape.length for each in traces],
        "chord": [each.shape.chord for each in traces],
        "straightness": [each.shape.straightness for each in traces],
        "sigmas": list(finished.sigmas),
        "calls": finished.calls,
        "request": run_plan.request.model_dump(mode="json"),
    }
    report.result(values, "\n".join(map(str, files)))
    return 0


COMMAND = Command(trace, (Request, TraceOptions), arguments=("prompt",))
