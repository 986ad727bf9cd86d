"""`sd3demo space check|build DIR|push REPO`: the Hugging Face Space."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from sd3demo.cli.flags import Command
from sd3demo.cli.report import Report
from sd3demo.errors import Refusal
from sd3demo.settings import Settings


class SpaceArguments(Settings):
    """What to do with the Space."""

    action: Literal["check", "build", "push"] = Field(
        description="check compares with the Hub's rules, build writes the Space's folder, push uploads it."
    )
    target: str = Field("", description="A folder for check and build; a repository, owner/name, for push.")


def space(arguments: SpaceArguments, report: Report) -> int:
    from sd3demo import deploy

    project = deploy.read_project()
    if arguments.action == "check":
        return _check(arguments.target, report)
    if not arguments.target:
        what = "a new folder" if arguments.action == "build" else "a repository, owner/name"
        raise Refusal(f"target is missing; give {what}")
    if arguments.action == "push":
        address = deploy.push(project, arguments.target)
        report.result({"findings": [], "address": address}, f"uploaded to {address}")
        return 0
    files = deploy.build(project, Path(arguments.target))
    values = {"findings": [], "folder": arguments.target, "files": files}
    report.result(
        values, f"{arguments.target} holds the Space, {files} files; `sd3demo space push` uploads it"
    )
    return 0


def _check(folder: str, report: Report) -> int:
    """Report what is wrong with the Space that would be built now, or with a folder that was built before."""
    from sd3demo import deploy

    project = deploy.read_project()
    problems = deploy.check(project, Path(folder)) if folder else deploy.findings(project)
    files = len(deploy.bundle(project))
    text = "\n".join(problems) if problems else f"the Space is ready: {files} files"
    report.result({"findings": list(problems), "front_matter": deploy.front_matter(project)}, text)
    return 1 if problems else 0


COMMAND = Command(space, (SpaceArguments,), arguments=("action", "target"))
