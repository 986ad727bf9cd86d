"""What the Space is: the Spacefile, and what follows from it with pyproject.toml and constraints.txt.

The Hub builds a Space from a README's front matter and a requirements.txt. It installs gradio, spaces and
huggingface_hub by itself, in one resolution with the requirements and with gradio's extras `oauth` and `mcp`:
a pin that those do not allow would end the build.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Annotated

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pydantic import Field, JsonValue

from sd3demo.errors import Refusal
from sd3demo.settings import Settings, parse

ROOT = Path(__file__).resolve().parents[2]
BROUGHT = frozenset({"gradio", "spaces", "huggingface-hub"})
"""What the Hub installs by itself; it does not belong in requirements.txt."""
SDK_EXTRAS = ("oauth", "mcp")  # with which the Hub installs gradio
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"


class Limits(Settings):
    """What a run and a bundle may take on a Space."""

    gpu_seconds: Annotated[int, Field(ge=10, le=3600)] = 120
    megabytes: Annotated[int, Field(ge=1, le=50_000)] = 1000


class Spacefile(Settings):
    """The file as it stands: the card is free here, since the Hub's rules judge it whole."""

    card: dict[str, JsonValue]
    limits: Limits = Limits()
    files: tuple[str, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Project:
    """What the Space is made from."""

    root: Path
    spacefile: Spacefile
    licence: str
    python: str
    dependencies: tuple[Requirement, ...]
    pins: Mapping[str, Version]
    """The versions of constraints.txt, by canonical name."""


def read_project(root: Path = ROOT) -> Project:
    """The Spacefile with pyproject.toml and constraints.txt. Raises Refusal where one is missing or wrong."""
    text = _text(root / "Spacefile")
    pyproject = _toml(root / "pyproject.toml")["project"]
    lowest = re.search(r">=\s*(\d+\.\d+)", str(pyproject["requires-python"]))
    return Project(
        root=root,
        spacefile=_spacefile(text),
        licence=str(pyproject["license"]).lower(),
        python=lowest[1] if lowest else "3.11",
        dependencies=tuple(Requirement(line) for line in pyproject["dependencies"]),
        pins=_pins(_text(root / "constraints.txt")),
    )


def limits(root: Path = ROOT) -> Limits:
    """The limits of a Space, from the Spacefile that its bundle carries; the usual ones without."""
    file = root / "Spacefile"
    return _spacefile(_text(file)).limits if file.is_file() else Limits()


def front_matter(project: Project) -> dict[str, JsonValue]:
    """What stands at the head of the Space's README: the card, and what the project knows by itself."""
    gradio = project.pins.get("gradio")
    own: dict[str, JsonValue] = {
        "sdk": "gradio",
        "sdk_version": str(gradio) if gradio else "",
        "python_version": project.python,
        "app_file": "app.py",
        "license": project.licence,
    }
    return {**project.spacefile.card, **own}


def requirements(project: Project) -> str:
    """The Space's requirements.txt: the project's dependencies at the versions that were tested.

    Where the Hub's own gradio would not allow that version the bound of pyproject.toml stands instead.
    """
    lines = [
        "# Made by `sd3demo space build` from pyproject.toml and constraints.txt.",
        "# gradio, spaces and huggingface_hub come with the Space.",
    ]
    if str(project.spacefile.card.get("suggested_hardware", "")).startswith("cpu-"):
        lines.append(f"--extra-index-url {CPU_WHEELS}")  # in place of several GB for a GPU
    allowed = sdk_requirements()
    for wanted in project.dependencies:
        name = canonicalize_name(wanted.name)
        if name in BROUGHT:
            continue
        pin = project.pins.get(name)
        fits = pin is not None and all(pin in other.specifier for other in allowed if _names(other, name))
        lines.append(f"{wanted.name}=={pin}" if fits else str(wanted))
    return "\n".join(lines) + "\n"


def required(text: str) -> tuple[Requirement, ...]:
    """The requirements of a requirements.txt, its options and comments left out. Raises Refusal."""
    found = []
    for line in text.splitlines():
        stripped = line.partition(" #")[0].strip()
        if stripped and not stripped.startswith(("#", "-")):
            try:
                found.append(Requirement(stripped))
            except InvalidRequirement as error:
                raise Refusal(
                    f"requirements.txt holds {stripped!r}, which names no distribution: {error}"
                ) from error
    return tuple(found)


def sdk_requirements() -> tuple[Requirement, ...]:
    """What gradio asks for as the Hub installs it, from the metadata of the gradio that is installed here."""
    try:
        lines = requires("gradio") or []
    except PackageNotFoundError:
        return ()
    wanted = [Requirement(line) for line in lines]
    return tuple(
        one
        for one in wanted
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *SDK_EXTRAS))
    )


def readme(front: Mapping[str, JsonValue], body: str) -> str:
    """A README with its front matter."""
    head = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{head}---\n\n{body}"


def split(text: str) -> tuple[dict[str, JsonValue], str]:
    """The front matter of a README and its body. Raises Refusal where there is none."""
    found = re.match(r"---\n(.*?\n)---\n\n?", text, re.DOTALL)
    if found is None:
        raise Refusal("README.md has no front matter; the Hub reads what stands between two lines of ---")
    return _yaml(found[1], "the front matter of README.md"), text[found.end() :]


def _spacefile(text: str) -> Spacefile:
    try:
        return parse(Spacefile, _yaml(text, "the Spacefile"))
    except Refusal as error:
        raise Refusal(f"the Spacefile does not hold what it should: {error}") from error


def _names(requirement: Requirement, name: str) -> bool:
    return canonicalize_name(requirement.name) == name


def _pins(text: str) -> dict[str, Version]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s#;]+)", text, re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def _yaml(text: str, what: str) -> dict[str, JsonValue]:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Refusal(f"{what} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise Refusal(f"{what} is not a mapping; give names and values, one a line")
    return values


def _toml(file: Path) -> dict[str, dict]:
    try:
        return tomllib.loads(_text(file))
    except tomllib.TOMLDecodeError as error:
        raise Refusal(f"{file} is not TOML: {error}") from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"cannot read {file}; a Space is built from a clone of the project") from error
