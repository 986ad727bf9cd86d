"""`sd3demo extrapolate PROMPT --scale S`: the native picture and a larger one, by one method or several."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

from sd3demo.catalogue import find, locate
from sd3demo.cli.flags import Command
from sd3demo.cli.generate import OutputOptions, check_places, save_run
from sd3demo.cli.output_files import numbered
from sd3demo.cli.report import Report
from sd3demo.engine import Plan, plan
from sd3demo.engine.events import ArmFinished, Encoded, Finished, Loading, Pixels, StepDone
from sd3demo.engine.input_image import own_of, read_own
from sd3demo.engine.plan.advice import refuse_unless_it_fits
from sd3demo.engine.plan.device import budget
from sd3demo.engine.plan.ranks import leads
from sd3demo.engine.plan.resolve import NATIVE
from sd3demo.errors import Failure, Refusal
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.history import Run, RunStore, write_whole
from sd3demo.history.lora_lookup import remember_loras
from sd3demo.history.store import picture_files, result_of
from sd3demo.settings import Settings, counted
from sd3demo.settings.extrapolation import COMPARED, Extrapolation, PresetName, method_arms, with_preset
from sd3demo.studies.imax.measures import flat_noise


class ComparisonOptions(Settings):
    """What is shown beside the one picture that was asked for."""

    compare: bool = Field(
        False,
        description="Also make it by upsampling and directly, and by projected flow, from the same noise.",
    )
    methods: str = Field(
        "", description="Several methods, such as direct,sdedit,hiflow, or all that need no file."
    )
    own: Path | None = Field(
        None, description="Use your own picture, a PNG, JPEG or WebP file, instead of a native one."
    )
    preset: PresetName = Field(
        "tuned",
        description="What applies where no flag says otherwise: the I-Max paper's settings for Lumina or for "
        "Flux, its release's, or those tuned for the embedded model.",
    )


def extrapolate(
    request: Extrapolation, comparison: ComparisonOptions, output: OutputOptions, report: Report
) -> int:
    store = check_places(output)
    spec = find(request.model)
    request = with_preset(request, comparison.preset, spec.family)
    arms = method_arms(request, _methods(comparison, request))
    own_pixels = None if comparison.own is None else read_own(comparison.own)
    own_image = None if own_pixels is None else own_of(own_pixels)
    run_plan = plan(arms[request.method], spec, budget(output.device), arms=arms, own=own_image)
    locate(spec)  # a model that is not here is refused before anything heavy is imported
    refuse_unless_it_fits(run_plan)
    if output.out is None and not _is_any_generated(run_plan):
        raise Refusal(
            f"out is missing: {request.method} resamples your own picture without the model, and the history "
            "keeps what the model made; give a name that ends in .png"
        )
    for note in run_plan.notes:
        report.note(note)
    remember_loras(run_plan.spec.adapters)
    finished = _run_to_end(run_plan, store, output, report, own_pixels)
    if not leads():
        return 0  # torchrun's first process writes what all have made
    run, images = _save(run_plan, finished, store, output, report)
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
                "flat_noise": [
                    round(flat_noise(picture / 255, native / 255), 4)
                    for picture, native in zip(arm.pictures, finished.arms[NATIVE].pictures, strict=True)
                ],
            }
            for name, arm in finished.arms.items()
        },
        "stages": [stage.key for stage in run_plan.stages],
        "notes": list(run_plan.notes),
        "request": run_plan.request.model_dump(mode="json"),
        "run": None if run is None else run.id,
    }
    lines = [f"{name}: {_joined(files)}" for name, files in images.items()]
    report.result(values, "\n".join(lines))
    return 0


def _methods(comparison: ComparisonOptions, request: Extrapolation) -> tuple[str, ...]:
    names: tuple[str, ...] = (*COMPARED,) if comparison.compare else ()
    if comparison.methods == "all":
        fits = [
            name for name, method in METHODS.items() if not method.solvers or request.solver in method.solvers
        ]
        return tuple(name for name in fits if name != "super-resolution" or request.upscaler)
    if comparison.methods:
        names += tuple(name.strip() for name in comparison.methods.split(","))
    return names


def _is_any_generated(run_plan: Plan) -> bool:
    """Whether a picture comes from the model: one of a person's own has no receipt, nor has it resampled."""
    return any(run_plan.flow_of(run_plan.stage(arm.stage)).kind == "flow" for arm in run_plan.arms)


def _run_to_end(
    run_plan: Plan, store: RunStore | None, output: OutputOptions, report: Report, own_pixels: Pixels | None
) -> Finished:
    """Run a plan and return the result; where a stage fails, save the pictures that were finished before."""
    from sd3demo.engine.run.engine import Engine

    arms: dict[str, ArmFinished] = {}
    try:
        for event in Engine().run(run_plan, own=own_pixels):
            match event:
                case Loading(model=model):
                    report.progress(f"loading {model}")
                case Encoded(calls=calls):
                    report.progress(f"encoded the text with {counted(calls, 'encoder call')}")
                case StepDone(stage=stage, index=index, count=count):
                    report.progress(f"{stage}: step {index + 1} of {count}")
                case ArmFinished(arm=name):
                    arms[name] = event
                case Finished():
                    return event
    except Failure as error:
        if not any(arm.noise_sha256 for arm in arms.values()):
            raise
        run, images = _save(run_plan, _partial_result(arms), store, output, report)
        place = run.folder if run else "; ".join(_joined(files) for files in images.values())
        raise Failure(f"{error}; what was finished, {', '.join(images)}, is kept in {place}") from error
    raise Failure("the run stopped before it was finished")


def _partial_result(arms: Mapping[str, ArmFinished]) -> Finished:
    """The result of a run that ended early, as if the last finished picture had been the last planned."""
    *_, last = arms.values()
    return Finished(
        pictures=last.pictures,
        sigmas=last.sigmas,
        calls=sum(arm.calls for arm in arms.values()),
        encoder_calls=0,
        path_length=last.path_length,
        chord=last.chord,
        noise_sha256=last.noise_sha256,
        weights_sha256=last.weights_sha256,
        seconds={"flow": sum(arm.seconds for arm in arms.values())},
        unread=last.unread,
        arms=arms,
    )


def _save(
    run_plan: Plan, finished: Finished, store: RunStore | None, output: OutputOptions, report: Report
) -> tuple[Run | None, dict[str, str | list[str]]]:
    """Save what the model made in the history, and every picture under --out; return the files by method.

    A picture of a person's own is not written again. Resampled it goes to --out, as a PNG without a receipt.
    """
    generated = {name: arm for name, arm in finished.arms.items() if arm.noise_sha256}
    resampled = {
        name: arm for name, arm in finished.arms.items() if name not in generated and name in METHODS
    }
    requests = {arm.name: arm.request for arm in run_plan.arms if arm.name in generated}
    request = requests[next(reversed(requests))] if requests else None
    pictures = picture_files(request, finished, requests) if request else {}
    files: dict[str, Path] = {}
    if output.out is not None:
        contents = pictures | {name: _png(pixels) for name, pixels in _named(resampled)}
        files = {name: output.out.with_name(f"{output.out.stem}-{name}") for name in contents}
        write_whole({files[name]: content for name, content in contents.items()})
    run = None
    if request is not None:
        run = save_run(store, report, output, request, finished, requests, pictures=pictures)
    if not files and run:
        files = {image.name: image for image in run.images}
    images: dict[str, str | list[str]] = {}
    for name in finished.arms:
        paths = [str(files[each]) for each, _ in _named({name: finished.arms[name]}) if each in files]
        if paths:
            images[name] = paths[0] if len(paths) == 1 else paths
    return run, images


def _named(arms: Mapping[str, ArmFinished]) -> Iterator[tuple[str, Pixels]]:
    """Every picture with the name of its file."""
    for name, arm in arms.items():
        paths = numbered(Path(f"{name}.png"), len(arm.pictures))
        yield from zip([path.name for path in paths], arm.pictures, strict=True)


def _png(pixels: Pixels) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def _joined(files: str | list[str]) -> str:
    return files if isinstance(files, str) else ", ".join(files)


COMMAND = Command(extrapolate, (Extrapolation, ComparisonOptions, OutputOptions), arguments=("prompt",))
