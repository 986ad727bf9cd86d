"""The Hub's rules for a Space, as far as they can be checked without it: a finding is one sentence.

What huggingface_hub knows, names of repositories, hardware and storage, it decides. The rest is from the
Spaces configuration reference and the ZeroGPU pages (huggingface.co/docs/hub), and from what builds showed:
`hardware` in the front matter is ignored, a description beyond 60 characters is cut, and what the Hub
installs by itself must not be pinned.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import JsonValue

from sd3demo.catalogue import CATALOGUE
from sd3demo.deploy.card import (
    PREINSTALLED,
    Project,
    front_matter,
    parse_requirements,
    requirements,
    sdk_requirements,
)

COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
SDKS = ("gradio", "docker", "static")
HEADERS = (
    "cross-origin-embedder-policy", "cross-origin-opener-policy", "cross-origin-resource-policy"
)  # fmt: skip
DESCRIPTION_LENGTH = 60  # characters of short_description
REQUIRED_FIELDS = ("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "app_file")

Problems = Iterator[str]
Rule = Callable[[str, JsonValue], Problems]


def findings(
    project: Project, front: Mapping[str, JsonValue] | None = None, wants: str | None = None
) -> tuple[str, ...]:
    """Return what the Hub would refuse, ignore or cut, a sentence each; () when there is nothing.

    Checked are the front matter and requirements given, or those that would be built now.
    """
    front = front_matter(project) if front is None else front
    wants = requirements(project) if wants is None else wants
    return (*_card(project, front), *_requirements(project, wants))


def _card(project: Project, front: Mapping[str, JsonValue]) -> Problems:
    for name in REQUIRED_FIELDS:
        if front.get(name) in (None, ""):
            yield f"{name} is missing; the card of a Gradio Space needs it"
    for name, value in front.items():
        if name == "hardware":
            yield "hardware is ignored by the Hub; use suggested_hardware and choose it in the settings"
        elif name not in RULES:
            yield f"the Hub knows no {name!r}; it reads {', '.join(RULES)}"
        elif value is not None and value != "":
            yield from RULES[name](name, value)
    pin = project.pins.get("gradio")
    if pin is not None and front.get("sdk_version") not in (None, "", str(pin)):
        yield f"sdk_version is {front['sdk_version']} and constraints.txt has gradio {pin}; they must agree"
    app = str(front.get("app_file") or "app.py")
    if not (project.root / app).is_file():
        yield f"app_file is {app}, which does not exist"


def _requirements(project: Project, wants: str) -> Problems:
    listed = {canonicalize_name(one.name): one for one in parse_requirements(wants)}
    for name in sorted(PREINSTALLED & set(listed)):
        yield f"requirements.txt names {name}, which the Hub installs by itself; leave it out"
    for wanted in project.dependencies:
        name = canonicalize_name(wanted.name)
        if name not in PREINSTALLED and name not in listed:
            yield f"requirements.txt lacks {wanted.name}, which pyproject.toml asks for"
    for name, one in listed.items():
        pinned = [Version(part.version) for part in one.specifier if part.operator == "=="]
        tested = project.pins.get(name)
        if pinned and tested and pinned[0] != tested:
            yield f"requirements.txt has {name} {pinned[0]} and constraints.txt {tested}; they must agree"
        for other in sdk_requirements():
            if pinned and canonicalize_name(other.name) == name and pinned[0] not in other.specifier:
                yield f"{name} {pinned[0]} cannot stand beside the Hub's gradio: it needs {other.specifier}"


def _one_of(*names: str) -> Rule:
    def rule(name: str, value: JsonValue) -> Problems:
        if value not in names:
            yield f"{name} is {value!r}; the Hub takes one of {', '.join(names)}"

    return rule


def _hub_value(kind: str) -> Rule:
    """One of the values that huggingface_hub has of a kind, such as SpaceHardware."""

    def rule(name: str, value: JsonValue) -> Problems:
        import huggingface_hub  # here, since it takes half a second

        yield from _one_of(*(one.value for one in getattr(huggingface_hub, kind)))(name, value)

    return rule


def _repositories(name: str, value: JsonValue) -> Problems:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    if not isinstance(value, list):
        yield f"{name} is {value!r}; it must be a list of names such as owner/name"
        return
    for each in value:
        try:
            validate_repo_id(each if isinstance(each, str) else "")
        except HFValidationError:
            yield f"{name} holds {each!r}; it must look like owner/name"


def _matching(pattern: str, example: str) -> Rule:
    def rule(name: str, value: JsonValue) -> Problems:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            yield f"{name} is {value!r}; it must look like {example}"

    return rule


def _flag(name: str, value: JsonValue) -> Problems:
    if not isinstance(value, bool):
        yield f"{name} is {value!r}; it must be true or false"


def _text(name: str, value: JsonValue) -> Problems:
    if not isinstance(value, str):
        yield f"{name} is {value!r}; it must be a text"


def _list_of(pattern: str, example: str) -> Rule:
    def rule(name: str, value: JsonValue) -> Problems:
        if not isinstance(value, list):
            yield f"{name} is {value!r}; it must be a list of names such as {example}"
            return
        for each in value:
            if not isinstance(each, str) or not re.fullmatch(pattern, each):
                yield f"{name} holds {each!r}; it must look like {example}"

    return rule


def _emoji(name: str, value: JsonValue) -> Problems:
    signs = [unicodedata.category(sign) for sign in str(value)]
    if not signs or signs[0] != "So" or len(signs) > 8 or not set(signs) <= {"So", "Sk", "Mn", "Cf"}:
        yield f"{name} is {value!r}; it must be one emoji and nothing else"


def _description(name: str, value: JsonValue) -> Problems:
    if not isinstance(value, str):
        yield f"{name} is {value!r}; it must be a text"
    elif len(value) > DESCRIPTION_LENGTH:
        yield f"{name} has {len(value)} characters; the Hub shows at most {DESCRIPTION_LENGTH}"


def _version(name: str, value: JsonValue) -> Problems:
    try:
        Version(str(value))
    except InvalidVersion:
        yield f"{name} is {value!r}; it must be a version such as 6.31.0"


def _python(name: str, value: JsonValue) -> Problems:
    if not isinstance(value, str):  # YAML reads 3.10 as the number 3.1
        yield f"{name} is the number {value!r}; put it in quotes"
    elif not re.fullmatch(r"3\.\d+(\.\d+)?", value):
        yield f"{name} is {value!r}; it must be a version of Python 3, such as 3.11"


def _preload(name: str, value: JsonValue) -> Problems:
    pattern = r"[\w.-]+/[\w.-]+( [^\s,]+(,[^\s,]+)*( [0-9a-f]{40})?)?"
    yield from _list_of(pattern, "owner/name, owner/name file,file, or that and a commit")(name, value)
    gated = {spec.hub for spec in CATALOGUE.values() if spec.gated}
    for each in value if isinstance(value, list) else []:
        if str(each).split(" ")[0] in gated:
            yield f"{name} holds {each!r}, whose licence must be accepted first: gated weights do not preload"


def _custom_headers(name: str, value: JsonValue) -> Problems:
    for header in value if isinstance(value, dict) else ["a list"]:
        if header not in HEADERS:
            yield f"{name} holds {header!r}; the Hub lets through {', '.join(HEADERS)}"


RULES: Mapping[str, Rule] = {
    "title": _text,
    "emoji": _emoji,
    "colorFrom": _one_of(*COLOURS),
    "colorTo": _one_of(*COLOURS),
    "sdk": _one_of(*SDKS),
    "sdk_version": _version,
    "python_version": _python,
    "app_file": _matching(r"[\w./-]+\.py", "app.py"),
    "suggested_hardware": _hub_value("SpaceHardware"),
    "suggested_storage": _hub_value("SpaceStorage"),
    "fullWidth": _flag,
    "header": _one_of("mini", "default"),
    "short_description": _description,
    "models": _repositories,
    "datasets": _repositories,
    "tags": _list_of(r"[\w. :/+-]+", "text-to-image"),
    "thumbnail": _text,
    "pinned": _flag,
    "license": _matching(r"[a-z0-9.-]+", "apache-2.0"),
    "hf_oauth": _flag,
    "disable_embedding": _flag,
    "startup_duration_timeout": _matching(r"\d+\s?(m|h|min|minutes?|hours?)", "30m or 1h"),
    "custom_headers": _custom_headers,
    "preload_from_hub": _preload,
}
"""Each field of a Gradio Space's front matter that the Hub reads, with its rule."""
