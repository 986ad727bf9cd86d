"""A run as code: what is said again comes to the same settings, on the command line, in Python, by HTTP."""

import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from sd3demo.catalogue import find
from sd3demo.cli import extrapolate as extrapolate_command
from sd3demo.cli import generate as generate_command
from sd3demo.cli import main
from sd3demo.cli import study as study_group
from sd3demo.engine import Budget, Plan, plan
from sd3demo.history import read_pixels, read_receipt
from sd3demo.settings import Request, Resolved, non_default_values, parse
from sd3demo.settings.extrapolation import PRESETS, Extrapolation, with_preset
from sd3demo.snippets.fewest_settings import fewest_settings
from sd3demo.snippets.run_code import command_line, grid_code, grid_command, python_code, study_command
from sd3demo.studies.grid import grid_plan
from sd3demo.studies.grid.grid_plan import Grid
from sd3demo.studies.study import STUDIES, find_study
from sd3demo.ui.api.client_code import client_code, grid_client_code
from sd3demo.ui.api.parameters import NAMES

PLAIN: list[dict[str, object]] = [
    {},
    {"seed": 7, "steps": 4, "cfg": 1},
    {"width": 96, "height": 48, "shift": "auto", "schedule": "diffusers"},
    {"width": 96, "height": 96, "shift": 1.25},
    {"schedule": "linear", "solver": "heun", "t5": "zeros", "prompt_2": "a star"},
    {"negative": "it's \"dark\""},
    {"count": 3, "cfg_from": 0.125, "cfg_to": 0.75, "precision": "bfloat16", "max_sequence_length": 16},
    {"prompt": "-v; rm $HOME `x` \\ 'quoted' 圆", "clip_l": "zeros", "uncond": "zeros"},
]  # fmt: skip
LARGE: list[dict[str, object]] = [
    {"scale": 2},
    {"scale": 3, "method": "direct", "seed": 9},
    {"scale": 2, "half_patch": True, "low_pass": "radial", "cutoff": 0.25, "tail": 1},
    *({"scale": 2, "preset": preset} for preset in PRESETS),
    {"scale": 2, "width": 192, "height": 128, "steps": 5, "large_steps": 3, "strength": "1:1.5,0:0.5"},
    {"scale": 4, "cascade": "2,4", "attention": "log", "text_copies": 2},
]


def resolved(settings: Mapping[str, object], kind: type[Request] = Request) -> Resolved:
    given = {"prompt": "a red circle", "model": "tiny", **settings}
    preset = given.pop("preset", "")
    asked = parse(kind, given)
    if isinstance(asked, Extrapolation) and preset:
        asked = with_preset(asked, str(preset), "sd3")
    return plan(asked, find("tiny"), Budget()).request


RESOLVED = [*map(resolved, PLAIN), *(resolved(one, Extrapolation) for one in LARGE)]


class AskedError(Exception):
    """What a command was given, in place of running it."""


def asked_by(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Request:
    """The request that a command line comes to, a preset in it."""
    found: list[Request] = []

    def caught(request: Request, *_: object) -> Request:
        found.append(request)
        raise AskedError

    monkeypatch.setattr(extrapolate_command, "method_arms", caught)
    monkeypatch.setattr(generate_command, "plan", caught)
    with pytest.raises(AskedError):
        main(words)
    return found[0]


@pytest.mark.parametrize("request_", RESOLVED, ids=range(len(RESOLVED)))
def test_a_command_asks_for_the_same_run(request_: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command_line(request_))
    assert words[0] == "sd3demo"
    asked = asked_by(words[1:], monkeypatch)
    assert plan(asked, find("tiny"), Budget()).request == request_


@pytest.mark.parametrize("request_", RESOLVED, ids=range(len(RESOLVED)))
def test_python_asks_for_the_same_run(request_: Resolved) -> None:
    before, _, _ = python_code(request_).partition("run = plan(")
    found: dict[str, object] = {}
    exec(before, found)
    assert plan(found["request"], find("tiny"), Budget()).request == request_  # type: ignore[arg-type]


@pytest.mark.parametrize("request_", RESOLVED, ids=range(len(RESOLVED)))
def test_a_client_asks_for_the_same_run_or_for_its_first_picture(request_: Resolved) -> None:
    _, call = client_code(request_).split("client.predict(\n")
    given: dict[str, object] = {}
    exec("given.update(dict(" + call.partition("\n)\n")[0] + "))", {"given": given})
    large = isinstance(request_, Extrapolation)
    assert given.pop("api_name") == ("/extrapolate" if large else "/infer")
    own = {there: here for here, there in NAMES.items()}
    settings = {own.get(name, name): value for name, value in given.items()}
    again = plan(parse(Extrapolation if large else Request, settings), find("tiny"), Budget()).request
    assert again == request_.model_copy(update={"count": 1})


def test_only_what_is_not_the_models_own_is_said() -> None:
    assert fewest_settings(resolved({})).settings == {"prompt": "a red circle"}
    assert dict(fewest_settings(resolved({"steps": 4, "seed": 2})).settings) == {
        "prompt": "a red circle",
        "seed": 2,
        "steps": 4,
    }
    assert command_line(resolved({"cfg": 1})) == "sd3demo generate 'a red circle' --cfg 1 --out picture.png"


def test_files_are_named_and_those_that_a_page_cannot_take_are_said() -> None:
    hashed = resolved({}).model_copy(update={"init_sha256": "0" * 64, "image_strength": 0.4})
    assert "--image-strength 0.4 --init init.png" in command_line(hashed)
    assert "init='init.png'" in python_code(hashed)
    assert 'init=base64.b64encode(Path("init.png").read_bytes()).decode(),' in client_code(hashed)
    own = resolved({"scale": 2}, Extrapolation).model_copy(update={"own_picture": "0" * 64})
    assert "--own picture-of-your-own.png" in command_line(own)
    assert "# It needs a file of yours that only the command line takes." in client_code(own)


def test_a_run_of_a_model_that_is_gone_is_code_all_the_same() -> None:
    gone = resolved({"steps": 4}).model_copy(update={"model": "no-such-model"})
    assert "--model no-such-model" in command_line(gone)
    assert "steps=4" in python_code(gone)


def test_the_command_and_the_program_make_the_picture_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "a red circle", "--steps", "2", "--seed", "4", "--out", "first.png"]) == 0
    receipt = read_receipt(tmp_path / "first.png")
    assert main(shlex.split(command_line(receipt.request, "again.png"))[1:]) == 0
    exec(python_code(receipt.request), {})
    first, *others = (
        read_pixels(tmp_path / name, read_receipt(tmp_path / name))
        for name in ("first.png", "again.png", "picture-0.png")
    )
    assert all((first == other).all() for other in others)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_a_command_with_what_is_not_its_default(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = find_study(name).settings
    count = next(one for one in ("n", "scenes") if one in kind.model_fields)
    settings = parse(kind, {count: 3})
    found: list[object] = []

    def caught(name: str, settings: object, *_: object) -> int:
        found.extend((name, settings))
        raise AskedError

    monkeypatch.setattr(study_group, "_events", caught)
    words = shlex.split(study_command(name, non_default_values(settings)))
    assert words[1:] == ["study", name, f"--{count}", "3"]
    with pytest.raises(AskedError):
        main(words[1:])
    assert found == [name, settings]


@pytest.mark.parametrize(
    ("x", "y", "settings"),
    [
        ("cfg=1,4", "", {"steps": 3, "seed": 2}),
        ("prompt=\"a cat, 'asleep'\",a dog", "negative=,blurry", {"cfg": 3}),
        ("replace=red,dark blue", "replace=circle,square", {}),
        ("width=64,96", "solver=euler,heun", {"shift": 3, "prompt": "-v"}),
        ("model=tiny", "steps=2,3", {"cfg": 2, "shift": 2}),
    ],
)
def test_a_grid_is_a_command_a_program_and_a_call_that_make_the_same_cells(
    x: str, y: str, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def prepare(values: Mapping[str, object]) -> Plan:
        request = parse(Request, values)
        return plan(request, find(request.model), Budget())

    found: list[list[Resolved]] = []

    def caught(axes: Grid, base: Mapping[str, object], make: object) -> object:
        found.append([each.request for each in plan_grid(axes, base, prepare).plans])
        raise AskedError

    plan_grid = grid_plan.plan_grid
    common = resolved(settings)
    axes = Grid(grid_plan.axis(x), grid_plan.axis(y) if y else None)
    form = {name: getattr(common, name) for name in Request.model_fields if name not in ("placement", "lora")}
    wanted = [each.request for each in plan_grid(axes, form, prepare).plans]
    monkeypatch.setattr(grid_plan, "plan_grid", caught)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AskedError):
        main(shlex.split(grid_command(common, axes))[1:])
    with pytest.raises(AskedError):
        exec(grid_code(common, axes), {})
    assert found == [wanted] * 2

    _, call = grid_client_code(common, axes).split("client.predict(\n")
    given: dict[str, object] = {}
    exec("given.update(dict(" + call.partition("\n)\n")[0] + "))", {"given": given})
    assert given.pop("api_name") == "/grid"
    sides = [grid_plan.axis(str(given.pop(side))) for side in ("x", "y") if side in given]
    own = {there: here for here, there in NAMES.items()}
    base = {own.get(name, name): value for name, value in given.items()}
    assert [each.request for each in plan_grid(Grid(*sides), base, prepare).plans] == wanted


def test_the_program_of_a_grid_draws_its_picture() -> None:
    axes = Grid(grid_plan.axis("cfg=1,2"), grid_plan.axis("seed=3,4"))
    drawn: dict[str, Image.Image] = {}
    exec(grid_code(resolved({"steps": 1}), axes), drawn)
    assert min(drawn["sheet"].size) > 2 * 64
    assert len(drawn["pictures"]) == 4  # type: ignore[arg-type]
