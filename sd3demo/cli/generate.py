"""`sd3demo generate PROMPT`: run a request, save it in the history, and write the pictures to a file."""

from pathlib import Path

from pydantic import Field

from sd3demo.catalogue import find, locate
from sd3demo.cli.flags import Command
from sd3demo.cli.output_files import check_file, numbered
from sd3demo.cli.report import Report
from sd3demo.engine import Plan, plan
from sd3demo.engine.events import Encoded, Finished, Loading, Pixels, StepDone
from sd3demo.engine.plan.device import Device, budget
from sd3demo.engine.plan.plan import too_large
from sd3demo.errors import Failure, Refusal
from sd3demo.history import own, write_whole
from sd3demo.history.store import result_of
from sd3demo.settings import Request, Settings, counted


class OutputOptions(Settings):
    """The device of a run, and where its pictures go."""

    out: Path | None = Field(None, description="A PNG file for the picture; several are numbered.")
    runs: Path | None = Field(
        None, description="The folder that keeps runs; the user's data folder by default."
    )
    device: Device = Field("auto", description="The device to compute on.")


def generate(request: Request, output: OutputOptions, report: Report) -> int:
    if output.out is not None:
        check_file(output.out)
    spec = find(request.model)
    run_plan = plan(request, spec, budget(output.device))
    locate(spec)  # a model that is not here is refused before anything heavy is imported
    if not run_plan.fits:
        report.note(f"this may not succeed: {too_large(run_plan)}")
    for note in run_plan.notes:
        report.note(note)
    finished = run_to_end(run_plan, report)

    store = own(output.runs)
    run = store.save(run_plan.request, finished)
    images = list(run.images)
    if output.out is not None:
        images = numbered(output.out, len(run.images))
        try:
            write_whole({path: saved.read_bytes() for path, saved in zip(images, run.images, strict=True)})
        except Refusal:
            store.discard(run)
            raise
    values = {
        "images": [str(image) for image in images],
        **result_of(finished),
        "notes": list(run_plan.notes),
        "request": run_plan.request.model_dump(mode="json"),
        "run": run.id,
    }
    report.result(values, "\n".join(str(image) for image in images))
    return 0


def run_to_end(run_plan: Plan, report: Report, own: Pixels | None = None) -> Finished:
    """Run a plan, report its progress, and return the result."""
    from sd3demo.engine.run.engine import Engine

    for event in Engine().run(run_plan, own=own):
        match event:
            case Loading(model=model):
                report.progress(f"loading {model}")
            case Encoded(calls=calls):
                report.progress(f"encoded the text with {counted(calls, 'encoder call')}")
            case StepDone(index=index, count=count):
                report.progress(f"step {index + 1} of {count}")
            case Finished():
                return event
    raise Failure("the run stopped before it was finished")


COMMAND = Command(generate, (Request, OutputOptions), arguments=("prompt",))
