"""The Space's card: what it is built from, what the Hub would refuse, and that the real one is valid."""

import dataclasses
import re
from pathlib import Path

import pytest
from huggingface_hub import SpaceHardware
from packaging.requirements import Requirement
from packaging.version import Version

from sd3demo import deploy
from sd3demo.deploy.card import Project, parse_requirements, readme, sdk_requirements, split_readme
from sd3demo.errors import Refusal

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project() -> Project:
    return deploy.read_project()


def changed(project: Project, **card: object) -> Project:
    spacefile = project.spacefile.model_copy(update={"card": project.spacefile.card | card})
    return dataclasses.replace(project, spacefile=spacefile)


def test_the_projects_own_space_breaks_no_rule_of_the_hub(project: Project) -> None:
    assert deploy.findings(project) == ()


def test_the_spacefile_says_first_that_the_hub_does_not_read_it() -> None:
    first = (ROOT / "Spacefile").read_text().splitlines()[0]
    assert re.search(r"Hub does not read this file", first)


def test_the_front_matter_takes_the_versions_from_where_they_are_kept(project: Project) -> None:
    front = deploy.front_matter(project)
    constraints = (ROOT / "constraints.txt").read_text()
    assert f"\ngradio=={front['sdk_version']}\n" in constraints
    assert front["python_version"] == "3.11"
    assert front["license"] == "apache-2.0"


def test_front_matter_and_body_come_back_from_a_readme(project: Project) -> None:
    front = deploy.front_matter(project)
    assert split_readme(readme(front, "# A title\n\n---\n")) == (front, "# A title\n\n---\n")


def test_requirements_name_every_dependency_but_what_the_hub_brings(project: Project) -> None:
    names = {one.name for one in parse_requirements(deploy.requirements(project))}
    assert names == {one.name for one in project.dependencies} - {"gradio", "huggingface_hub"}


def test_every_requirement_is_pinned_unless_the_hubs_gradio_forbids_it(project: Project) -> None:
    floating = {
        one.name for one in parse_requirements(deploy.requirements(project)) if "==" not in str(one.specifier)
    }
    bounds = {one.name: one.specifier for one in sdk_requirements()}
    assert floating == {"pydantic"}
    assert project.pins["pydantic"] not in next(
        one.specifier for one in sdk_requirements() if one.name == "pydantic" and "2.12" in str(one.specifier)
    )
    assert project.pins["numpy"] in bounds["numpy"]


@pytest.mark.parametrize(("hardware", "wheels"), [("cpu-basic", True), ("zero-a10g", False)])
def test_a_space_without_a_gpu_does_not_fetch_gigabytes_for_one(
    hardware: str, wheels: bool, project: Project
) -> None:
    text = deploy.requirements(changed(project, suggested_hardware=hardware))
    assert ("--extra-index-url https://download.pytorch.org/whl/cpu\n" in text) is wheels


@pytest.mark.parametrize(
    ("card", "finding"),
    [
        ({"title": ""}, "title is missing"),
        ({"title": 3}, "title is 3; it must be a text"),
        ({"emoji": "ab"}, "emoji is 'ab'; it must be one emoji"),
        ({"emoji": "🌀🌀🌀🌀🌀🌀🌀🌀🌀"}, "it must be one emoji"),
        ({"colorFrom": "orange"}, "colorFrom is 'orange'; the Hub takes one of red, yellow"),
        ({"short_description": "a" * 61}, "short_description has 61 characters; the Hub shows at most 60"),
        ({"hardware": "a100-large"}, "hardware is ignored by the Hub"),
        ({"suggested_hardware": "a1000"}, "suggested_hardware is 'a1000'; the Hub takes one of cpu-basic"),
        ({"suggested_storage": "huge"}, "suggested_storage is 'huge'"),
        ({"colour": "red"}, "the Hub knows no 'colour'; it reads title, emoji"),
        ({"pinned": "no"}, "pinned is 'no'; it must be true or false"),
        ({"tags": "images"}, "tags is 'images'; it must be a list"),
        ({"tags": [1]}, "tags holds 1; it must look like"),
        ({"models": ["a/b/c"]}, "models holds 'a/b/c'; it must look like owner/name"),
        ({"startup_duration_timeout": "soon"}, "startup_duration_timeout is 'soon'; it must look like 30m"),
        ({"custom_headers": {"x-frame-options": "deny"}}, "custom_headers holds 'x-frame-options'"),
        ({"preload_from_hub": ["gpt2"]}, "preload_from_hub holds 'gpt2'; it must look like owner/name"),
        (
            {"preload_from_hub": ["stabilityai/stable-diffusion-3-medium-diffusers"]},
            "gated weights do not preload",
        ),
    ],
)
def test_what_the_hub_would_not_take_is_found(card: dict, finding: str, project: Project) -> None:
    (found,) = deploy.findings(changed(project, **card))
    assert finding in found


@pytest.mark.parametrize(
    "card",
    [
        {"short_description": "a" * 60},
        {"emoji": "🖼️"},
        {"emoji": "👩‍🔬"[0]},
        {"preload_from_hub": ["a/b", "a/b x.json,y.bin", f"a/b x.json {'0' * 40}"]},
        {"custom_headers": {"cross-origin-opener-policy": "same-origin"}},
        {"startup_duration_timeout": "1h"},
    ],
)
def test_what_the_hub_takes_is_no_finding(card: dict, project: Project) -> None:
    assert deploy.findings(changed(project, **card)) == ()


@pytest.mark.parametrize(
    ("front", "finding"),
    [
        ({"python_version": 3.1}, "python_version is the number 3.1; put it in quotes"),
        ({"python_version": "2.7"}, "it must be a version of Python 3"),
        ({"sdk": "streamlit"}, "sdk is 'streamlit'"),
        ({"sdk_version": "5.0.0"}, "sdk_version is 5.0.0 and constraints.txt has gradio"),
        ({"app_file": "main.py"}, "app_file is main.py, which does not exist"),
        ({"license": "Apache 2"}, "license is 'Apache 2'"),
    ],
)
def test_a_front_matter_that_was_edited_is_judged_as_it_stands(
    front: dict, finding: str, project: Project
) -> None:
    found = deploy.findings(project, deploy.front_matter(project) | front)
    assert finding in " ".join(found)


@pytest.mark.parametrize(
    ("edit", "finding"),
    [
        (lambda text: text + "gradio==6.31.0\n", "requirements.txt names gradio, which the Hub installs"),
        (lambda text: text + "spaces\n", "requirements.txt names spaces"),
        (lambda text: text + "huggingface_hub\n", "requirements.txt names huggingface-hub"),
        (lambda text: re.sub(r"scipy.*\n", "", text), "requirements.txt lacks scipy"),
        (lambda text: re.sub(r"torch==.*", "torch==2.6.0", text), "torch 2.6.0 and constraints.txt"),
        (
            lambda text: re.sub(r"pydantic.*", "pydantic==2.14.3", text),
            "cannot stand beside the Hub's gradio",
        ),
    ],
)
def test_requirements_that_were_edited_are_judged_as_they_stand(
    edit: object, finding: str, project: Project
) -> None:
    found = deploy.findings(project, None, edit(deploy.requirements(project)))  # type: ignore[operator]
    assert finding in " ".join(found)


def test_a_requirement_that_is_none_is_a_sentence() -> None:
    with pytest.raises(Refusal, match="holds 'torch = 2', which names no distribution"):
        parse_requirements("numpy\ntorch = 2\n")


def test_a_pin_that_the_hub_forbids_gives_way_to_the_bound_of_the_project(project: Project) -> None:
    old = dataclasses.replace(project, pins={**project.pins, "numpy": Version("99")})
    assert Requirement("numpy>=2") in parse_requirements(deploy.requirements(old))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("card: [", "the Spacefile is not YAML"),
        ("- a\n- b\n", "the Spacefile is not a mapping"),
        ("card: {}\n", "the Spacefile is not valid: files is missing"),
        ("card: {}\nfiles: []\n", "the Spacefile is not valid"),
        ("card: {}\nfiles: [a]\nlimits: {gpu_seconds: 1}\n", "the Spacefile is not valid"),
        ("card: {}\nfiles: [a]\nspace: 1\n", "unknown setting 'space'"),
    ],
)
def test_a_spacefile_that_is_none_is_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "Spacefile").write_text(text)
    with pytest.raises(Refusal) as error:
        deploy.read_project(tmp_path)
    assert sentence in str(error.value)


def test_outside_a_clone_there_is_no_space_to_build(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="a Space is built from a clone"):
        deploy.read_project(tmp_path)
    assert deploy.limits(tmp_path).gpu_seconds == 120


@pytest.mark.parametrize("hardware", [one.value for one in SpaceHardware])
def test_all_hardware_that_the_hubs_client_knows_may_be_suggested(hardware: str, project: Project) -> None:
    assert deploy.findings(changed(project, suggested_hardware=hardware)) == ()
