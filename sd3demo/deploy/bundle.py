"""The bundle: the folder that is the Space, built atomically, checked, and uploaded to the Hub."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from sd3demo.deploy.card import Project, front_matter, readme, requirements, split_readme
from sd3demo.deploy.rules import findings
from sd3demo.errors import Failure, Refusal

IGNORED = ("__pycache__", ".DS_Store")


class HubApi(Protocol):
    """The part of `huggingface_hub.HfApi` that a push needs."""

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
    """Return the contents of the Space by path: files of the project, and the two generated texts.

    Raises Refusal for a file of the Spacefile that is missing, and for a bundle that is too large.
    """
    contents: dict[str, Path | str] = {}
    for name in project.spacefile.files:
        place = (project.root / name).resolve()
        if not place.is_relative_to(project.root.resolve()) or not place.exists():
            raise Refusal(f"the Spacefile names {name}, which is not in {project.root}")
        for file in _files(place):
            contents[file.relative_to(project.root.resolve()).as_posix()] = file
    body = (project.root / "README.md").read_text(encoding="utf-8")
    contents["README.md"] = readme(front_matter(project), body)
    contents["requirements.txt"] = requirements(project)
    size = sum(len(_bytes(part)) for part in contents.values())
    most = project.spacefile.limits.megabytes
    if size > most * 10**6:
        raise Refusal(f"the bundle has {size / 1e6:.0f} MB and the Spacefile allows {most}; leave files out")
    return contents


def build(project: Project, folder: Path) -> int:
    """Write the bundle and return the number of its files; the folder appears complete or not at all.

    Raises Refusal where the folder is in use, where it cannot be written, and for anything that the Hub would
    not take.
    """
    problems = findings(project)
    if problems:
        raise Refusal(f"the Space cannot be built: {'; '.join(problems)}")
    contents = bundle(project)
    target = folder.absolute()
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Refusal(f"{folder} is not empty; give a new folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".space-", dir=target.parent))
        try:
            _write(contents, temporary)
            temporary.chmod(0o755)
            os.rename(temporary, target)  # takes the place of an empty folder as well
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise Refusal(f"cannot write {folder}: {error.strerror}; choose another folder") from error
    return len(contents)


def check(project: Project, folder: Path) -> tuple[str, ...]:
    """Return what is wrong with a built bundle: by the Hub's rules on its texts, and what changed since.

    Raises Refusal for a folder that is no bundle.
    """
    texts = {}
    for name in ("README.md", "requirements.txt"):
        try:
            texts[name] = (folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(f"{folder} holds no {name} that can be read; it is no bundle of a Space") from error
    front, _ = split_readme(texts["README.md"])
    contents = bundle(project)
    present = {file.relative_to(folder).as_posix(): file for file in _files(folder)}
    problems = list(findings(project, front, texts["requirements.txt"]))
    problems += [
        f"{name} is missing from {folder}; build it again" for name in contents if name not in present
    ]
    problems += [
        f"{name} in {folder} differs from what would be built now; build it again"
        for name in contents
        if name in present and present[name].read_bytes() != _bytes(contents[name])
    ]
    problems += [f"{folder} holds {name}, which no Space needs" for name in present if name not in contents]
    return tuple(problems)


def push(project: Project, repo: str, hub: HubApi | None = None) -> str:
    """Build the bundle, upload it as the Space `owner/name`, and return its address.

    Files of the Space that the bundle lacks are deleted there. Raises Refusal for a bad name, and Failure
    where the Hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise Refusal(f"repo is {repo!r}, which is no name of a repository; give owner/name") from error
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
            raise Failure("the Hub needs a token; run `hf auth login` first") from error
        except (HfHubHTTPError, OSError) as error:
            reason = " ".join(str(error).split())[:300]
            raise Failure(f"the Hub refused {repo}: {reason or type(error).__name__}") from error
    return f"https://huggingface.co/spaces/{repo}"


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for inner in sorted(place.iterdir()):
        if inner.name not in IGNORED:
            yield from _files(inner)


def _write(contents: Mapping[str, Path | str], folder: Path) -> None:
    for name, part in contents.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_bytes(part))


def _bytes(part: Path | str) -> bytes:
    return part.read_bytes() if isinstance(part, Path) else part.encode()
