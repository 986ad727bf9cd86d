"""`sd3demo verify FILE.png`: makes the picture again from its receipt, and compares."""

from pathlib import Path

from pydantic import Field

from sd3demo.catalogue import find
from sd3demo.cli.flags import Command
from sd3demo.cli.generate import run_to_end
from sd3demo.cli.report import Report
from sd3demo.engine import plan
from sd3demo.engine.input_image import check_own, read_own
from sd3demo.engine.plan.device import Device, budget
from sd3demo.history import alone, compare, read_pixels, read_receipt
from sd3demo.settings import Settings


class Check(Settings):
    """Which picture to check."""

    file: Path = Field(description="A PNG that sd3demo wrote.")
    device: Device = Field("auto", description="What computes.")
    own: Path | None = Field(
        None, description="The picture of your own that the file was made larger from, if it was."
    )


def verify(check: Check, report: Report) -> int:
    receipt = read_receipt(check.file)
    shown = read_pixels(check.file, receipt)
    made = plan(alone(receipt), find(receipt.request.model), budget(check.device))
    own = None if check.own is None else read_own(check.own)
    check_own(made.own_picture, own)
    found = compare(receipt, shown, run_to_end(made, report, own))
    values = {
        "max_abs_diff": found.max_abs_diff,
        "noise_equal": found.noise_equal,
        "weights_equal": found.weights_equal,
        "sigmas_equal": found.sigmas_equal,
        "equal": found.equal,
        "request": receipt.request.model_dump(mode="json"),
    }
    report.result(values, f"{check.file} is {found.verdict}")
    return 0 if found.equal else 1


COMMAND = Command(verify, (Check,), arguments=("file",))
