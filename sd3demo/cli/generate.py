"""`sd3demo generate PROMPT`: a request through the engine, into the history and to a file."""

from pathlib import Path

from pydantic import Field

from sd3demo.catalogue import find, locate
from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.engine import Plan, plan
from sd3demo.engine.events import Encoded, Finished, Loading, Pixels, StepDone
from sd3demo.engine.plan.advice import too_large
from sd3demo.engine.plan.device import Device, budget
from sd3demo.errors import Failure, Refusal
from sd3demo.history import own, write_whole
from sd3demo.history.store import result_of
from sd3demo.settings import Request, Settings, counted


class Where(Settings):
    """Where a run works and where its pictures go."""

    out: Path | None = Field(None, description="A PNG file for the picture; several are numbered.")
    runs: Path | None = Field(
        None, description="The folder that keeps runs; the user's data folder by default."
    )
    device: Device = Field("auto", description="What computes.")


def generate(request: Request, where: Where, report: Report) -> int:
    if where.out is not None:
        check_file(where.out)
    spec = find(request.model)
    made = plan(request, spec, budget(where.device))
    locate(spec)  # a model that is not here is refused before anything heavy is imported
    if not made.fits:
        report.progress(f"this may not succeed: {too_large(made)}")
    finished = run_to_end(made, report)

    store = own(where.runs)
    run = store.save(made.request, finished)
    images = list(run.images)
    if where.out is not None:
        images = numbered(where.out, len(run.images))
        try:
            write_whole({path: kept.read_bytes() for path, kept in zip(images, run.images, strict=True)})
        except Refusal:
            store.discard(run)
            raise
    values = {
        "images": [str(image) for image in images],
        **result_of(finished),
        "request": made.request.model_dump(mode="json"),
        "run": run.id,
    }
    report.result(values, "\n".join(str(image) for image in images))
    return 0


def run_to_end(made: Plan, report: Report, own: Pixels | None = None) -> Finished:
    """The result of a plan, its progress told on the way."""
    from sd3demo.engine.run.engine import Engine

    for event in Engine().run(made, own=own):
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


def numbered(path: Path, count: int) -> list[Path]:
    """`path` for one picture, `name-1.png`, `name-2.png`, ... for several."""
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{index}{path.suffix}") for index in range(1, count + 1)]


def check_file(path: Path) -> None:
    """A file that cannot be written is refused before the work and not after it."""
    if path.suffix.lower() != ".png":
        raise Refusal(f"out is {path}; pictures are PNG files, so give a name that ends in .png")
    if not path.parent.is_dir() or path.is_dir():
        raise Refusal(f"out is {path}; it must be a file in a folder that exists")


COMMAND = Command(generate, (Request, Where), arguments=("prompt",))
