"""`sd3demo verify FILE.png`: make the picture again from its receipt, and compare."""

from pathlib import Path

from pydantic import Field

from sd3demo.catalogue import find, locate
from sd3demo.cli.flags import Command
from sd3demo.cli.generate import run_to_end
from sd3demo.cli.report import Report
from sd3demo.engine import plan
from sd3demo.engine.input_image import check_own, read_own
from sd3demo.engine.plan.device import Device, budget
from sd3demo.history import compare, model_for, read_pixels, read_receipt, single_request, user_store
from sd3demo.history.input_pictures import with_inputs
from sd3demo.history.lora_lookup import with_lora_files
from sd3demo.settings import Settings


class VerifyOptions(Settings):
    """Which picture to verify."""

    file: Path = Field(description="A PNG that sd3demo wrote.")
    model: str = Field(
        "",
        description="The model that it was made with, a folder or a name; without it the weights are looked "
        "for by their hash.",
    )
    device: Device = Field("auto", description="What computes.")
    own: Path | None = Field(
        None, description="The picture of your own that the file was made larger from, if it was."
    )
    init: Path | None = Field(
        None,
        description="The picture that the file's run started from, if it did; it is looked for in the "
        "history otherwise.",
    )
    mask: Path | None = Field(None, description="The mask of what was repainted in it, if there was one.")
    lora: str = Field(
        "",
        description="The file of a LoRA that it was made with, again for more; it is looked for by its hash "
        "otherwise.",
    )
    upscaler: str = Field(
        "", description="The file of the super-resolution model that made the file larger, if one did."
    )


def verify(options: VerifyOptions, report: Report) -> int:
    receipt = read_receipt(options.file)
    shown = read_pixels(options.file, receipt)
    if options.model:
        locate(find(options.model))  # refuses what is no model, before others are looked for
    found = model_for(receipt, [options.model] if options.model else [])
    if found.note:
        report.progress(found.note)
    request = single_request(receipt, found.model)
    if options.upscaler:
        request = request.model_copy(update={"upscaler": options.upscaler})
    request = with_lora_files(request, [file for file in options.lora.split(",") if file])
    request = with_inputs(request, user_store(), {"init": options.init, "mask": options.mask})
    rerun = plan(request, found.spec, budget(options.device))
    own = None if options.own is None else read_own(options.own)
    check_own(rerun.own_picture, own)
    result = compare(receipt, shown, run_to_end(rerun, report, own))
    values = {
        "max_abs_diff": result.max_abs_diff,
        "noise_equal": result.noise_equal,
        "weights_equal": result.weights_equal,
        "sigmas_equal": result.sigmas_equal,
        "equal": result.equal,
        "model": found.model,
        "request": receipt.request.model_dump(mode="json"),
    }
    report.result(values, f"{options.file} is {result.verdict}")
    return 0 if result.equal else 1


COMMAND = Command(verify, (VerifyOptions,), arguments=("file",))
