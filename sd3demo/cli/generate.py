"""`sd3demo generate PROMPT`: run a request, save it in the history, and write the pictures to a file."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from sd3demo.catalogue import find, locate
from sd3demo.cli.flags import Command
from sd3demo.cli.output_files import check_file, numbered
from sd3demo.cli.report import Report
from sd3demo.engine import Plan, plan
from sd3demo.engine.events import Encoded, Finished, Loading, Pixels, StepDone
from sd3demo.engine.plan.advice import too_large
from sd3demo.engine.plan.device import Device, budget
from sd3demo.engine.plan.ranks import leads
from sd3demo.errors import Failure, Refusal
from sd3demo.history import Run, RunStore, user_store, write_whole
from sd3demo.history.lora_lookup import remember_loras
from sd3demo.history.store import picture_files, result_of
from sd3demo.settings import Request, Resolved, Settings, counted


class OutputOptions(Settings):
    """The device of a run, and where its pictures go."""

    out: Path | None = Field(None, description="A PNG file for the picture; several are numbered.")
    runs: str | None = Field(
        None, description="The folder that keeps runs, or off; the user's data folder by default."
    )
    device: Device = Field("auto", description="The device to compute on.")


def generate(request: Request, output: OutputOptions, report: Report) -> int:
    store = check_places(output)
    spec = find(request.model)
    run_plan = plan(request, spec, budget(output.device))
    locate(spec)  # a model that is not here is refused before anything heavy is imported
    if not run_plan.fits:
        report.note(f"this may not succeed: {too_large(run_plan)}")
    for note in run_plan.notes:
        report.note(note)
    remember_loras(run_plan.spec.adapters)
    finished = run_to_end(run_plan, report)
    if not leads():
        return 0  # torchrun's first process writes what all have made

    pictures = picture_files(run_plan.request, finished)
    images: list[Path] = []
    if output.out is not None:
        images = numbered(output.out, len(pictures))
        write_whole(dict(zip(images, pictures.values(), strict=True)))
    run = save_run(store, report, output, run_plan.request, finished, pictures=pictures)
    images = images or [*run.images] if run else images
    values = {
        "images": [str(image) for image in images],
        **result_of(finished),
        "notes": list(run_plan.notes),
        "request": run_plan.request.model_dump(mode="json"),
        "run": run.id if run else None,
    }
    report.result(values, "\n".join(str(image) for image in images))
    return 0


def check_places(output: OutputOptions) -> RunStore | None:
    """Return the history, None where it is off. Raises Refusal where nothing could be written.

    With a file for the pictures, a history that cannot be written is no reason to refuse.
    """
    store = user_store(output.runs)
    if output.out is not None:
        check_file(output.out)
    elif store is None:
        raise Refusal("the history is off and no file is named; give --out FILE.png, or a folder with --runs")
    else:
        store.check()
    return store


def save_run(
    store: RunStore | None,
    report: Report,
    output: OutputOptions,
    request: Resolved,
    finished: Finished,
    arms: Mapping[str, Resolved] | None = None,
    *,
    pictures: Mapping[str, bytes],
) -> Run | None:
    """Save a run in the history, None where it is off.

    Where the pictures are in a file already, a history that cannot be written is said and costs nothing else.
    """
    if store is None:
        return None
    try:
        return store.save(request, finished, arms, pictures=pictures)
    except Refusal as error:
        if output.out is None:
            raise
        report.progress(f"the pictures are written, but not the history: {error}")
        return None


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
