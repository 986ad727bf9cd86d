"""`sd3demo inspect PATH`: what a file or folder is, what is in it, what runs it, and on which GPUs."""

import shlex

from pydantic import Field

from sd3demo.catalogue import Size
from sd3demo.catalogue.inspection import Inspection, inspect_path
from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.engine import Budget, plan
from sd3demo.engine.plan.device import GPU_FLOPS
from sd3demo.engine.plan.memory import GIB
from sd3demo.errors import Refusal
from sd3demo.settings import Request, Settings, parse

GPU_SIZES = (8, 12, 16, 24)
"""GiB of the GPUs that a model is planned for."""


class InspectArguments(Settings):
    """What to look at."""

    path: str = Field(description="A file or a folder; FILE+FOLDER for a file with the rest of a folder.")


def inspect(arguments: InspectArguments, report: Report) -> int:
    found = inspect_path(arguments.path)
    fits = _fits(found)
    contents = _contents(found)
    command = f'sd3demo generate "a picture" --model {shlex.quote(found.path)}' if found.spec else ""
    values = {
        "path": found.path,
        "kind": found.kind,
        "family": found.family,
        "runs": found.spec is not None,
        "reason": found.reason,
        "command": command,
        "contents": {
            name: {"parameters": size.parameters, "bytes": size.bytes} for name, size in contents.items()
        },
        "dtypes": dict(found.file.dtypes) if found.file else {},
        "holds": list(found.holds),
        "fits": {str(gib): placement for gib, placement in fits.items()},
    }
    lines = [f"{found.kind}{f' ({found.family})' if found.family else ''}: {found.reason}"]
    lines += [
        f"  {name:<16} {size.parameters / 1e6:10.1f} M parameters {size.bytes / 1e9:8.2f} GB"
        for name, size in contents.items()
    ]
    lines += [
        f"  on {gib} GiB: {f'placement {placement}' if placement else 'does NOT fit'}"
        for gib, placement in fits.items()
    ]
    report.result(values, "\n".join([*lines, *([f"run it: {command}"] if command else [])]))
    return 0


def _contents(found: Inspection) -> dict[str, Size]:
    """The components by name: those of the model that runs, else those of the file."""
    if found.spec is not None:
        return dict(found.spec.components)
    return dict(found.file.parts) if found.file else {}


def _fits(found: Inspection) -> dict[int, str | None]:
    """The placement on each size of GPU, None where a picture of the native size does not fit."""
    if found.spec is None:
        return {}
    request = parse(Request, {"prompt": "a picture", "model": found.path})
    fits: dict[int, str | None] = {}
    for gib in GPU_SIZES:
        try:
            planned = plan(request, found.spec, Budget("cuda", gib * GIB, GPU_FLOPS))
        except Refusal:
            fits[gib] = None
            continue
        fits[gib] = planned.placement if planned.fits else None
    return fits


COMMAND = Command(inspect, (InspectArguments,), arguments=("path",))
