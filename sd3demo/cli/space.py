"""`sd3demo space check|build DIR|push REPO`: the Hugging Face Space."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.errors import Refusal
from sd3demo.settings import Settings


class Errand(Settings):
    """What to do with the Space."""

    action: Literal["check", "build", "push"] = Field(
        description="check compares with the Hub's rules, build writes the Space's folder, push uploads it."
    )
    target: str = Field("", description="Of check and build a folder, of push a repository owner/name.")


def space(errand: Errand, report: Report) -> int:
    from sd3demo import deploy

    project = deploy.read_project()
    if errand.action == "check":
        return _check(errand.target, report)
    if not errand.target:
        what = "a new folder" if errand.action == "build" else "a repository, owner/name"
        raise Refusal(f"target is missing; give {what}")
    if errand.action == "push":
        address = deploy.push(project, errand.target)
        report.result({"findings": [], "address": address}, f"{address} is up")
        return 0
    files = deploy.build(project, Path(errand.target))
    values = {"findings": [], "folder": errand.target, "files": files}
    report.result(values, f"{errand.target} holds the Space, {files} files; `sd3demo space push` uploads it")
    return 0


def _check(folder: str, report: Report) -> int:
    """What is wrong: of what would be built now, or of a folder that was built before."""
    from sd3demo import deploy

    project = deploy.read_project()
    found = deploy.checked(project, Path(folder)) if folder else deploy.findings(project)
    files = len(deploy.bundle(project))
    text = "\n".join(found) if found else f"nothing to say against the Space: {files} files"
    report.result({"findings": list(found), "front_matter": deploy.front_matter(project)}, text)
    return 1 if found else 0


COMMAND = Command(space, (Errand,), arguments=("action", "target"))
