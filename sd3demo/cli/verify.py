"""`sd3demo verify FILE.png`: makes the picture again from its receipt, and compares."""

from pathlib import Path

import numpy as np
from pydantic import Field

from sd3demo.catalogue import find
from sd3demo.cli.flags import Command
from sd3demo.cli.generate import run_to_end
from sd3demo.cli.report import Report
from sd3demo.engine import plan
from sd3demo.engine.machine import Device, budget
from sd3demo.history import read_pixels, read_receipt
from sd3demo.settings import Settings

TOLERANCE = 1 / 255  # one level of eight bits: another machine may round the last digit otherwise


class Check(Settings):
    """Which picture to check."""

    file: Path = Field(description="A PNG that sd3demo wrote.")
    device: Device = Field("auto", description="What computes.")


def verify(check: Check, report: Report) -> int:
    receipt = read_receipt(check.file)
    shown = read_pixels(check.file, receipt)
    request = receipt.request
    alone = request.model_copy(update={"seed": request.seed + receipt.picture, "count": 1})
    made = plan(alone, find(request.model), budget(check.device))
    finished = run_to_end(made, report)

    difference = float(np.abs(finished.pictures[0].astype(int) - shown).max()) / 255
    same = {
        "noise_equal": finished.noise_sha256[0] == receipt.noise_sha256,
        "weights_equal": finished.weights_sha256 == receipt.weights_sha256,
        "sigmas_equal": bool(np.allclose(finished.sigmas, receipt.sigmas, rtol=0, atol=1e-12)),
    }
    equal = difference <= TOLERANCE + 1e-9 and same["noise_equal"]
    values = {"max_abs_diff": difference, **same, "equal": equal, "request": request.model_dump(mode="json")}
    differing = [name.split("_")[0] for name, is_same in same.items() if not is_same]
    notes = f"; the {' and the '.join(differing)} differ from the receipt's" if differing else ""
    verdict = "equal" if equal else "NOT equal"
    report.result(
        values, f"{check.file} is {verdict}: the largest difference is {difference * 255:.0f}/255{notes}"
    )
    return 0 if equal else 1


COMMAND = Command(verify, (Check,), arguments=("file",))
