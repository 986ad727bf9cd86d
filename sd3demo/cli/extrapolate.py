"""`sd3demo extrapolate PROMPT --scale S`: the native picture and a larger one, by one method or several."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from sd3demo.catalogue import find, locate
from sd3demo.cli.flags import Command
from sd3demo.cli.generate import Where, check_places, save_run
from sd3demo.cli.report import Report
from sd3demo.engine import Plan, plan
from sd3demo.engine.events import ArmFinished, Encoded, Finished, Loading, Pixels, StepDone
from sd3demo.engine.input_image import own_of, read_own
from sd3demo.engine.plan.advice import refuse_unless_it_fits
from sd3demo.engine.plan.device import budget
from sd3demo.errors import Failure
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.history import Run, RunStore, write_whole
from sd3demo.history.store import picture_files, result_of
from sd3demo.settings import Settings, counted
from sd3demo.settings.extrapolation import COMPARED, Extrapolation, method_arms, with_preset


class Comparison(Settings):
    """What is shown beside the one picture that was asked for."""

    compare: bool = Field(
        False,
        description="Also make it by upsampling and directly, and by projected flow, from the same noise.",
    )
    methods: str = Field(
        "", description="Several methods, such as direct,sdedit,hiflow, or all that need no file."
    )
    own: Path | None = Field(
        None, description="A picture of your own, PNG, JPEG or WebP, in place of the native one."
    )
    preset: Literal["paper", "release", "ours"] = Field(
        "ours",
        description="What applies where no flag says otherwise: the paper's, its release's or our choice.",
    )


def extrapolate(request: Extrapolation, comparison: Comparison, where: Where, report: Report) -> int:
    store = check_places(where)
    spec = find(request.model)
    request = with_preset(request, comparison.preset)
    arms = method_arms(request, _methods(comparison, request))
    own_pixels = None if comparison.own is None else read_own(comparison.own)
    known = None if own_pixels is None else own_of(own_pixels)
    made = plan(arms[request.method], spec, budget(where.device), arms=arms, own=known)
    locate(spec)  # a model that is not here is refused before anything heavy is imported
    refuse_unless_it_fits(made)
    for note in made.notes:
        report.progress(note)
    finished = _to_end(made, store, where, report, own_pixels)
    run, images = _keep(made, finished, store, where, report)
    values = {
        "images": images,
        **result_of(finished),
        "arms": {
            name: {
                "calls": arm.calls,
                "seconds": arm.seconds,
                "sigmas": list(arm.sigmas),
                "path_length": list(arm.path_length),
                "chord": list(arm.chord),
                "noise_sha256": list(arm.noise_sha256),
            }
            for name, arm in finished.arms.items()
        },
        "stages": [stage.key for stage in made.stages],
        "request": made.request.model_dump(mode="json"),
        "run": run.id if run else None,
    }
    lines = [f"{name}: {_said(files)}" for name, files in images.items()]
    report.result(values, "\n".join(lines))
    return 0


def _methods(comparison: Comparison, request: Extrapolation) -> tuple[str, ...]:
    names: tuple[str, ...] = (*COMPARED,) if comparison.compare else ()
    if comparison.methods == "all":
        fits = [
            name for name, method in METHODS.items() if not method.solvers or request.solver in method.solvers
        ]
        return tuple(name for name in fits if name != "super-resolution" or request.upscaler)
    if comparison.methods:
        names += tuple(name.strip() for name in comparison.methods.split(","))
    return names


def _to_end(
    made: Plan, store: RunStore | None, where: Where, report: Report, own_pixels: Pixels | None
) -> Finished:
    """The result; where a stage fails, what was finished before it is kept all the same."""
    from sd3demo.engine.run.engine import Engine

    pictures: dict[str, ArmFinished] = {}
    try:
        for event in Engine().run(made, own=own_pixels):
            match event:
                case Loading(model=model):
                    report.progress(f"loading {model}")
                case Encoded(calls=calls):
                    report.progress(f"encoded the text with {counted(calls, 'encoder call')}")
                case StepDone(stage=stage, index=index, count=count):
                    report.progress(f"{stage}: step {index + 1} of {count}")
                case ArmFinished(arm=arm):
                    pictures[arm] = event
                case Finished():
                    return event
    except Failure as error:
        if not pictures:
            raise
        run, images = _keep(made, _so_far(pictures), store, where, report)
        place = run.folder if run else _said([file for files in images.values() for file in _listed(files)])
        raise Failure(f"{error}; what was finished, {', '.join(pictures)}, is kept in {place}") from error
    raise Failure("the run stopped before it was finished")


def _so_far(pictures: dict[str, ArmFinished]) -> Finished:
    """A run that ended early, as if it had ended with the last of its pictures."""
    *_, last = pictures.values()
    return Finished(
        pictures=last.pictures,
        sigmas=last.sigmas,
        calls=sum(each.calls for each in pictures.values()),
        encoder_calls=0,
        path_length=last.path_length,
        chord=last.chord,
        noise_sha256=last.noise_sha256,
        weights_sha256=last.weights_sha256,
        seconds={"flow": sum(each.seconds for each in pictures.values())},
        arms=pictures,
    )


def _keep(
    made: Plan, finished: Finished, store: RunStore | None, where: Where, report: Report
) -> tuple[Run | None, dict[str, str | list[str]]]:
    """Write the pictures where the user wants them, and the run in the history; return files by method."""
    kept = {name: arm for name, arm in finished.arms.items() if arm.noise_sha256}
    requests = {arm.name: arm.request for arm in made.arms if arm.name in kept}
    request = requests[next(reversed(requests))]
    pictures = picture_files(request, finished, requests)
    files: dict[str, Path] = {}
    if where.out is not None:
        out = where.out
        files = {name: out.with_name(f"{out.stem}-{name}") for name in pictures}
        write_whole({files[name]: content for name, content in pictures.items()})
    run = save_run(store, report, where, request, finished, requests, pictures=pictures)
    if not files and run:
        files = {image.name: image for image in run.images}
    images: dict[str, str | list[str]] = {}
    for name, arm in kept.items():
        count = len(arm.pictures)
        names = [f"{name}.png"] if count == 1 else [f"{name}-{k}.png" for k in range(1, count + 1)]
        paths = [str(files[each]) for each in names]
        images[name] = paths[0] if count == 1 else paths
    return run, images


def _listed(files: str | list[str]) -> list[str]:
    return [files] if isinstance(files, str) else files


def _said(files: str | list[str]) -> str:
    return files if isinstance(files, str) else ", ".join(files)


COMMAND = Command(extrapolate, (Extrapolation, Comparison, Where), arguments=("prompt",))
