"""`sd3demo models`: the catalogue, and which of its models are installed."""

from dataclasses import asdict

from sd3demo.catalogue import CATALOGUE, ModelSpec, find, how_to_get, locate
from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.errors import Refusal


def models(report: Report) -> int:
    specs = [find(name) for name in CATALOGUE]
    rows = [asdict(spec) | {"here": _is_here(spec), "how_to_get": how_to_get(spec)} for spec in specs]
    report.result({"models": rows}, "\n".join(_line(spec) for spec in specs))
    return 0


def _is_here(spec: ModelSpec) -> bool:
    try:
        locate(spec)
    except Refusal:
        return False
    return True


def _line(spec: ModelSpec) -> str:
    gigabytes = sum(size.bytes for size in spec.components.values()) / 1e9
    here = "here" if _is_here(spec) else how_to_get(spec)
    return f"{spec.name:<18} {spec.native:>5} px {gigabytes:7.2f} GB  {spec.licence:<31} {here}"


COMMAND = Command(models)
