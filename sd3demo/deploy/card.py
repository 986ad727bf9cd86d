"""The Space's card and requirements, from the Spacefile, pyproject.toml and constraints.txt.

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
PREINSTALLED = frozenset({"gradio", "spaces", "huggingface-hub"})
"""Packages that the Hub installs by itself; they must not stand in requirements.txt."""
SDK_EXTRAS = ("oauth", "mcp")  # with which the Hub installs gradio
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"


class SpaceLimits(Settings):
    """The most that a run and a bundle may take on a Space."""

    gpu_seconds: Annotated[int, Field(ge=10, le=3600)] = 120
    megabytes: Annotated[int, Field(ge=1, le=50_000)] = 1000
    page: dict[str, JsonValue] = Field(default_factory=dict)
    """What differs from the page's own limits in public: `ui.server.limits`, which checks it."""


class Spacefile(Settings):
    """The Spacefile as parsed; `deploy.rules` checks the card against the Hub's rules."""

    card: dict[str, JsonValue]
    limits: SpaceLimits = SpaceLimits()
    files: tuple[str, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Project:
    """The files that the Space is built from, parsed."""

    root: Path
    spacefile: Spacefile
    licence: str
    python: str
    dependencies: tuple[Requirement, ...]
    pins: Mapping[str, Version]
    """The versions of constraints.txt, by canonical name."""


def read_project(root: Path = ROOT) -> Project:
    """Read the Spacefile, pyproject.toml and constraints.txt. Raises Refusal where one is missing or bad."""
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


def limits(root: Path = ROOT) -> SpaceLimits:
    """Return the limits of the Spacefile in this folder, or the defaults where there is none."""
    file = root / "Spacefile"
    return _spacefile(_text(file)).limits if file.is_file() else SpaceLimits()


def front_matter(project: Project) -> dict[str, JsonValue]:
    """Return the front matter of the Space's README: the card, and the fields derived from the project."""
    gradio = project.pins.get("gradio")
    derived: dict[str, JsonValue] = {
        "sdk": "gradio",
        "sdk_version": str(gradio) if gradio else "",
        "python_version": project.python,
        "app_file": "app.py",
        "license": project.licence,
    }
    return {**project.spacefile.card, **derived}


def requirements(project: Project) -> str:
    """Return the Space's requirements.txt: the project's dependencies at the tested versions.

    Where the Hub's own gradio does not allow that version, the bound of pyproject.toml is used instead.
    """
    lines = [
        "# Written by `sd3demo space build` from pyproject.toml and constraints.txt.",
        "# gradio, spaces and huggingface_hub come with the Space.",
    ]
    if str(project.spacefile.card.get("suggested_hardware", "")).startswith("cpu-"):
        lines.append(f"--extra-index-url {CPU_WHEELS}")  # in place of several GB for a GPU
    allowed = sdk_requirements()
    for wanted in project.dependencies:
        name = canonicalize_name(wanted.name)
        if name in PREINSTALLED:
            continue
        pin = project.pins.get(name)
        fits = pin is not None and all(pin in other.specifier for other in allowed if _names(other, name))
        lines.append(f"{wanted.name}=={pin}" if fits else str(wanted))
    return "\n".join(lines) + "\n"


def parse_requirements(text: str) -> tuple[Requirement, ...]:
    """Parse a requirements.txt without its options and comments. Raises Refusal."""
    parsed = []
    for line in text.splitlines():
        stripped = line.partition(" #")[0].strip()
        if stripped and not stripped.startswith(("#", "-")):
            try:
                parsed.append(Requirement(stripped))
            except InvalidRequirement as error:
                raise Refusal(
                    f"requirements.txt holds {stripped!r}, which names no distribution: {error}"
                ) from error
    return tuple(parsed)


def sdk_requirements() -> tuple[Requirement, ...]:
    """Return the requirements of gradio as the Hub installs it, from the metadata of the installed gradio."""
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
    """Return a README with its front matter."""
    head = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{head}---\n\n{body}"


def split_readme(text: str) -> tuple[dict[str, JsonValue], str]:
    """Return the front matter of a README and its body. Raises Refusal where there is none."""
    match = re.match(r"---\n(.*?\n)---\n\n?", text, re.DOTALL)
    if match is None:
        raise Refusal("README.md has no front matter; write it between two lines of ---")
    return _yaml(match[1], "the front matter of README.md"), text[match.end() :]


def _spacefile(text: str) -> Spacefile:
    try:
        return parse(Spacefile, _yaml(text, "the Spacefile"))
    except Refusal as error:
        raise Refusal(f"the Spacefile is not valid: {error}") from error


def _names(requirement: Requirement, name: str) -> bool:
    return canonicalize_name(requirement.name) == name


def _pins(text: str) -> dict[str, Version]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s#;]+)", text, re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in pins}


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
