"""`sd3demo generate PROMPT`: a request through the engine, into the history and to a file."""

from collections.abc import Mapping
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
from sd3demo.history import Run, RunStore, user_store, write_whole
from sd3demo.history.store import picture_files, result_of
from sd3demo.settings import Request, Resolved, Settings, counted


class Where(Settings):
    """Where a run works and where its pictures go."""

    out: Path | None = Field(None, description="A PNG file for the picture; several are numbered.")
    runs: str | None = Field(
        None, description="The folder that keeps runs, or off; the user's data folder by default."
    )
    device: Device = Field("auto", description="What computes.")


def generate(request: Request, where: Where, report: Report) -> int:
    store = check_places(where)
    spec = find(request.model)
    made = plan(request, spec, budget(where.device))
    locate(spec)  # a model that is not here is refused before anything heavy is imported
    if not made.fits:
        report.progress(f"this may not succeed: {too_large(made)}")
    finished = run_to_end(made, report)

    pictures = picture_files(made.request, finished)
    images: list[Path] = []
    if where.out is not None:
        images = numbered(where.out, len(pictures))
        write_whole(dict(zip(images, pictures.values(), strict=True)))
    run = save_run(store, report, where, made.request, finished, pictures=pictures)
    images = images or [*run.images] if run else images
    values = {
        "images": [str(image) for image in images],
        **result_of(finished),
        "request": made.request.model_dump(mode="json"),
        "run": run.id if run else None,
    }
    report.result(values, "\n".join(str(image) for image in images))
    return 0


def check_places(where: Where) -> RunStore | None:
    """Return the history, None where it is off. Raises Refusal where nothing could be written.

    With a file for the pictures, a history that cannot be written is no reason to refuse.
    """
    store = user_store(where.runs)
    if where.out is not None:
        check_file(where.out)
    elif store is None:
        raise Refusal("the history is off and no file is named; give --out FILE.png, or a folder with --runs")
    else:
        store.check()
    return store


def save_run(
    store: RunStore | None,
    report: Report,
    where: Where,
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
        if where.out is None:
            raise
        report.progress(f"the pictures are written, but not the history: {error}")
        return None


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
