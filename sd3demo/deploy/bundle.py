"""The bundle: the folder that is the Space, built whole or not at all, and its way up to the Hub."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from sd3demo.deploy.card import Project, front_matter, readme, requirements, split
from sd3demo.deploy.rules import findings
from sd3demo.errors import Failure, Refusal

LEFT_OUT = ("__pycache__", ".DS_Store")


class Hub(Protocol):
    """What of `huggingface_hub.HfApi` a push needs."""

    def create_repo(self, repo_id: str, *, repo_type: str, space_sdk: str, exist_ok: bool) -> object: ...

    def upload_folder(
        self,
        *,
        repo_id: str,
        folder_path: Path,
        repo_type: str,
        commit_message: str,
        delete_patterns: list[str],
    ) -> object: ...


def bundle(project: Project) -> dict[str, Path | str]:
    """What the Space holds, by its path there: files of the project, and the two texts that are made.

    Raises Refusal for a file that the Spacefile names and that is not there, and for too much of it.
    """
    made: dict[str, Path | str] = {}
    for name in project.spacefile.files:
        place = (project.root / name).resolve()
        if not place.is_relative_to(project.root.resolve()) or not place.exists():
            raise Refusal(f"the Spacefile names {name}, which is not in {project.root}")
        for file in _files(place):
            made[file.relative_to(project.root.resolve()).as_posix()] = file
    body = (project.root / "README.md").read_text(encoding="utf-8")
    made["README.md"] = readme(front_matter(project), body)
    made["requirements.txt"] = requirements(project)
    size = sum(len(_bytes(part)) for part in made.values())
    most = project.spacefile.limits.megabytes
    if size > most * 10**6:
        raise Refusal(f"the bundle has {size / 1e6:.0f} MB and the Spacefile allows {most}; leave files out")
    return made


def build(project: Project, folder: Path) -> int:
    """Writes the bundle and answers with the number of its files; the folder appears whole or not at all.

    Raises Refusal where the folder is in use, where it cannot be written, and for anything that the Hub would
    not take.
    """
    found = findings(project)
    if found:
        raise Refusal(f"the Space cannot be built: {'; '.join(found)}")
    made = bundle(project)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refusal(f"{folder} is not empty; give a new folder")
    target = folder.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".space-", dir=target.parent))
        try:
            _write(made, aside)
            aside.chmod(0o755)
            os.rename(aside, target)  # takes the place of an empty folder as well
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except OSError as error:
        raise Refusal(f"cannot write {folder}: {error.strerror}; choose another folder") from error
    return len(made)


def checked(project: Project, folder: Path) -> tuple[str, ...]:
    """What is wrong with a bundle that was built: the Hub's rules on its texts, and what changed since.

    Raises Refusal for a folder that is no bundle.
    """
    texts = {}
    for name in ("README.md", "requirements.txt"):
        try:
            texts[name] = (folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(f"{folder} holds no {name} that can be read; it is no bundle of a Space") from error
    front, _ = split(texts["README.md"])
    made = bundle(project)
    there = {file.relative_to(folder).as_posix(): file for file in _files(folder)}
    found = list(findings(project, front, texts["requirements.txt"]))
    found += [f"{name} is missing from {folder}; build it again" for name in made if name not in there]
    found += [
        f"{name} in {folder} is not what would be built now; build it again"
        for name in made
        if name in there and there[name].read_bytes() != _bytes(made[name])
    ]
    found += [f"{folder} holds {name}, which no Space needs" for name in there if name not in made]
    return tuple(found)


def push(project: Project, repo: str, hub: Hub | None = None) -> str:
    """Builds the bundle and uploads it as the Space `owner/name`; answers with its address.

    What the Space held before and the bundle does not is deleted there. Raises Refusal for a name that is
    none, and Failure where the Hub says no.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise Refusal(f"repo is {repo!r}, which the Hub does not take; give owner/name") from error
    if repo.count("/") != 1:
        raise Refusal(f"repo is {repo!r}; give owner/name")
    hub = hub or HfApi()
    with tempfile.TemporaryDirectory(prefix="sd3demo-space-") as place:
        folder = Path(place) / "bundle"
        build(project, folder)
        try:
            hub.create_repo(repo, repo_type="space", space_sdk="gradio", exist_ok=True)
            hub.upload_folder(
                repo_id=repo,
                folder_path=folder,
                repo_type="space",
                commit_message="The app as it stands",
                delete_patterns=["*"],
            )
        except LocalTokenNotFoundError as error:
            raise Failure("the Hub asks who you are; run `hf auth login` first") from error
        except (HfHubHTTPError, OSError) as error:
            said = " ".join(str(error).split())[:300]
            raise Failure(f"the Hub did not take {repo}: {said or type(error).__name__}") from error
    return f"https://huggingface.co/spaces/{repo}"


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for inner in sorted(place.iterdir()):
        if inner.name not in LEFT_OUT:
            yield from _files(inner)


def _write(made: Mapping[str, Path | str], folder: Path) -> None:
    for name, part in made.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_bytes(part))


def _bytes(part: Path | str) -> bytes:
    return part.read_bytes() if isinstance(part, Path) else part.encode()
