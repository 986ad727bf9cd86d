"""Every endpoint as a program calls it: typed and told, good values answered, bad ones in one sentence."""

import json
import math
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sd3demo.history import read_receipt
from sd3demo.history.sheet_receipts import read_sheet
from sd3demo.settings import Request, choices_of
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.ui import Core, build
from sd3demo.ui.api.parameters import NAMES, SERVER_FILES
from sd3demo.ui.controls.labels import label
from tests.ui.fake_page import Rehearsal, serving, write_model

PUBLIC = ("/infer", "/extrapolate", "/grid", "/plan", "/study", "/schedule", "/densities")
FIRST: dict[str, tuple[str, ...]] = {
    "/infer": (
        "prompt",
        "negative_prompt",
        "seed",
        "randomize_seed",
        "width",
        "height",
        "guidance_scale",
        "num_inference_steps",
        "shift",
        "t5",
    ),
    "/extrapolate": (
        "prompt",
        "scale",
        "method",
        "negative_prompt",
        "seed",
        "randomize_seed",
        "guidance_scale",
        "num_inference_steps",
        "low_pass",
        "strength",
    ),
    "/plan": (
        "prompt",
        "width",
        "height",
        "guidance_scale",
        "num_inference_steps",
        "shift",
        "schedule",
        "solver",
        "t5",
        "count",
        "scale",
        "method",
        "model",
        "vram",
    ),
    "/grid": ("prompt", "x", "y", "negative_prompt", "seed", "model"),
    "/study": ("name", "settings"),
    "/schedule": ("steps", "shift", "schedule", "width", "height", "model"),
    "/densities": ("density", "m", "s", "alpha", "points"),
}
"""The parameters of each endpoint that are written into other people's programs."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("page")
    core = Core((str(write_model(folder / "model")),), Rehearsal().run)
    with serving(core) as address:
        yield Client(address, verbose=False, download_files=str(folder / "got"))


def posted(client: Client, name: str, values: list[object]) -> str:
    """What the server answers to raw JSON, which may hold what gradio_client would not send."""
    address = f"{client.src}gradio_api/call/{name}"
    body = json.dumps({"data": values}).encode()
    asked = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=300) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{address}/{event}", timeout=300) as answer:
        return answer.read().decode()


def test_all_endpoints_are_there_in_order_with_names_types_and_words(client: Client) -> None:
    """What the API page shows: gradio's own names for parameters are "1st", "2nd" and so on."""
    with urllib.request.urlopen(f"{client.src}gradio_api/info", timeout=60) as answer:
        told = json.load(answer)["named_endpoints"]
    assert tuple(told) == PUBLIC
    for name in PUBLIC:
        assert len(told[name]["description"]) > 40
        for value in (*told[name]["parameters"], *told[name]["returns"]):
            assert value["python_type"]["type"]
            assert not re.match(r"\d+(st|nd|rd|th)$|parameter_", value["label"])
        for parameter in told[name]["parameters"]:
            assert len(parameter["python_type"]["description"]) > 3, parameter["parameter_name"]


def names_of(client: Client, name: str) -> list[str]:
    told = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    return [parameter["parameter_name"] for parameter in told[name]["parameters"]]


@pytest.mark.parametrize(("name", "first"), FIRST.items())
def test_the_parameters_that_clients_know_come_first_in_their_order(
    name: str, first: tuple[str, ...], client: Client
) -> None:
    assert tuple(names_of(client, name)[: len(first)]) == first


@pytest.mark.parametrize(
    ("name", "kind", "without"),
    [
        ("/infer", Request, {"count"}),
        ("/extrapolate", Extrapolation, {"count", "upscaler"}),
        ("/plan", Extrapolation, {"upscaler"}),
    ],
)
def test_every_setting_is_a_parameter(name: str, kind: type[Request], without: set, client: Client) -> None:
    assert {NAMES.get(one, one) for one in set(kind.model_fields) - without} <= set(names_of(client, name))
    assert not without & set(names_of(client, name))


def test_no_client_names_a_file_of_the_server() -> None:
    """A new setting that is free text is listed here, or among SERVER_FILES when it names a file."""
    free = {
        name
        for name, field in Extrapolation.model_fields.items()
        if field.annotation is str and not choices_of(field) and name not in SERVER_FILES
    }
    known = {"prompt", "negative", "prompt_2", "prompt_3", "model", "cascade", "skip_layers", "system_prompt"}
    known |= {"lora"}  # which names what is on offer, as the model does
    assert free == known, "does this name a file? then it belongs into SERVER_FILES"


@pytest.mark.parametrize(("name", "first"), FIRST.items())
def test_a_client_that_knows_fewer_parameters_still_gets_an_answer(
    name: str, first: tuple[str, ...], client: Client
) -> None:
    given: dict[str, object] = {"prompt": "a red circle", "name": "none", "scale": 2}
    given |= {"density": "mode", "m": 0, "alpha": 1, "points": 3, "x": "replace=red,blue"}
    told = posted(client, name.removeprefix("/"), [given.get(one) for one in first])
    assert ("unknown study" in told) if name == "/study" else ("event: complete" in told), told


def test_a_plan_says_what_a_request_takes(client: Client) -> None:
    plain = client.predict(num_inference_steps=4, guidance_scale=1, api_name="/plan")
    assert len(plain["sigmas"]) == 5
    assert plain["calls"] == 4
    assert plain["fits"] is True
    assert plain["request"]["steps"] == 4
    assert set(plain["memory"]) == {"encode", "flow", "decode"}
    guided = client.predict(num_inference_steps=4, guidance_scale=4, api_name="/plan")
    assert guided["calls"] == 8
    elsewhere = client.predict(vram=1000, api_name="/plan")
    assert elsewhere["device"] == {"kind": "cuda", "memory": 1000 * 2**30}


def test_a_plan_of_a_larger_picture_has_its_stages(client: Client) -> None:
    made = client.predict(scale=2, method="projected", api_name="/plan")
    assert made["stages"][0]["kind"] == "flow"
    assert made["stages"][-1]["width"] == 2 * made["stages"][0]["width"]


def test_the_endpoints_plan_is_the_commands(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    from sd3demo.cli import main

    there = client.predict(num_inference_steps=7, shift="auto", api_name="/plan")
    model = there["request"]["model"]
    assert main(["plan", "--model", model, "--steps", "7", "--shift", "auto", "--json"]) == 0
    here = json.loads(capsys.readouterr().out.splitlines()[-1])
    for name in ("sigmas", "calls", "flops", "placement", "request", "notes"):
        assert here[name] == there[name]


BAD = [
    ("/plan", {"width": 0}, "width is 0; it must lie in [8, 8192]"),
    ("/plan", {"width": 8200}, "width is 8200; it must lie in [8, 8192]"),
    ("/plan", {"guidance_scale": 31}, "guidance_scale is 31; it must lie in [1, 30]"),
    ("/plan", {"num_inference_steps": 101}, "num_inference_steps is 101; it must lie in [1, 100]"),
    ("/plan", {"shift": 0}, "shift is 0; it must lie in [0.1, 100] or be auto"),
    ("/plan", {"schedule": "karras"}, "unknown schedule 'karras'"),
    ("/plan", {"solver": "rk5"}, "unknown solver 'rk5'"),
    ("/plan", {"t5": "off"}, "unknown t5 'off'"),
    ("/plan", {"count": 17}, "count is 17; it must lie in [1, 16]"),
    ("/plan", {"scale": 17}, "scale is 17; it must lie in [1, 16]"),
    ("/plan", {"method": "magic"}, "unknown method 'magic'"),
    ("/plan", {"model": "/etc"}, "unknown model '/etc'"),
    ("/plan", {"vram": 0}, "vram is 0; it must lie in [0.1, 10000]"),
    ("/plan", {"prompt": ""}, "prompt is empty"),
    ("/plan", {"prompt_2": "a\x00"}, "prompt_2 holds the control character"),
    ("/plan", {"level": 9}, "level is 9; it must lie in [0, 6] or be auto"),
    ("/extrapolate", {"prompt": "a", "scale": 0.5}, "scale is 0.5; it must lie in [1, 16]"),
    ("/extrapolate", {"prompt": "a", "method": "magic"}, "unknown method 'magic'"),
    ("/extrapolate", {"prompt": "a", "low_pass": "high"}, "unknown low_pass 'high'"),
    ("/extrapolate", {"prompt": " "}, "prompt is empty"),
    ("/grid", {"prompt": "red", "x": "cfg"}, "'cfg' is no axis; give a setting and its values"),
    (
        "/grid",
        {"prompt": "red", "x": "placement=resident"},
        "unknown axis 'placement'; choose one of replace",
    ),
    (
        "/grid",
        {"prompt": "red", "x": "replace=blue,red"},
        "replace looks for 'blue', which is not in the prompt",
    ),
    ("/grid", {"prompt": "red", "x": "guidance_scale=1,31"}, "guidance_scale is 31; it must lie in [1, 30]"),
    ("/grid", {"prompt": "red", "x": "seed=1", "y": "seed=2"}, "seed is on both sides of the grid"),
    ("/study", {"name": "none"}, "unknown study 'none'; choose one of path-length"),
    ("/study", {"name": "path-length", "settings": {"m": 1}}, "unknown setting 'm'; choose one of"),
    ("/study", {"name": "path-length", "settings": {"n": 201}}, "n is 201; on the page it must lie in"),
    ("/study", {"name": "path-length", "settings": {"n": "many"}}, "n is many"),
    ("/densities", {"points": 0}, "points is 0; it must lie in [1, 10000]"),
    ("/densities", {"points": "many"}, "points is many; it must be a whole number in [1, 10000]"),
    ("/densities", {"points": None}, "points is empty; it must be a whole number in [1, 10000]"),
    ("/densities", {"points": [1]}, "points is a list; give a single value"),
    ("/densities", {"density": ["mode"]}, "unknown density ['mode']; choose one of uniform"),
    ("/densities", {"density": {"name": "mode"}}, "unknown density {'name': 'mode'}; choose one of uniform"),
    ("/densities", {"alpha": 0}, "alpha is 0; it must lie in [0.1, 100]"),
    ("/schedule", {"steps": 0}, "steps is 0; it must lie in [1, 100]"),
]


@pytest.mark.parametrize(("name", "values", "sentence"), BAD)
def test_what_cannot_be_is_one_sentence(name: str, values: dict, sentence: str, client: Client) -> None:
    with pytest.raises(AppError) as error:
        client.predict(**values, api_name=name)
    said = str(error.value)
    assert sentence in said
    assert "Traceback" not in said
    assert "\n" not in said


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=12),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
ARGUMENTS = {name.removeprefix("/"): len(first) for name, first in FIRST.items() if name != "/infer"}


@pytest.mark.parametrize("name", ARGUMENTS)
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
def test_whatever_is_sent_is_answered_with_a_value_or_one_sentence(
    name: str, data: st.DataObject, client: Client
) -> None:
    values: list[object] = [None] * ARGUMENTS[name]
    if name == "densities":
        values = ["logit-normal", 0.0, None, 1.0, 3]
    values[data.draw(st.integers(0, len(values) - 1))] = data.draw(ODD)
    if name in ("extrapolate", "study") and not values[0]:
        values[0] = ""  # nothing is to be run here: what is wrong is told before
    told = posted(client, name, values)
    assert re.match(r"event: (complete|error)\n", told.replace("event: heartbeat\ndata: null\n\n", ""))
    assert "Traceback" not in told
    assert "went wrong that should not have" not in told


def test_a_grid_comes_with_the_receipt_of_every_cell(client: Client) -> None:
    axes = {"x": "replace=red,blue", "y": "num_inference_steps=2,3"}
    sheet = read_sheet(Path(client.predict("a red circle", **axes, api_name="/grid")))
    cells = [sheet.cell(column, row).request for row in (0, 1) for column in (0, 1)]
    assert [(cell.prompt, cell.steps) for cell in cells] == [
        ("a red circle", 2),
        ("a blue circle", 2),
        ("a red circle", 3),
        ("a blue circle", 3),
    ]


@pytest.mark.parametrize("name", ["/infer", "/extrapolate", "/grid", "/plan", "/schedule"])
def test_parameters_are_called_and_described_as_their_settings(name: str, client: Client) -> None:
    """Those that are settings; what an endpoint says in other words of its own is listed here."""
    own = {"model", "init", "mask", "vram", "x", "y", "randomize_seed"}
    own |= {"/plan": {"prompt"}, "/extrapolate": {"scale"}}.get(name, set())
    with urllib.request.urlopen(f"{client.src}gradio_api/info", timeout=60) as answer:
        told = json.load(answer)["named_endpoints"][name]["parameters"]
    settings_of = {NAMES.get(one, one): one for one in Extrapolation.model_fields}
    for parameter in told:
        if (called := parameter["parameter_name"]) not in own:
            setting = called if name == "/schedule" else settings_of[called]
            assert parameter["label"] == label(setting).title
            assert parameter["python_type"]["description"] == Extrapolation.model_fields[setting].description


def test_a_larger_picture_comes_with_its_receipt(client: Client) -> None:
    picture, seed = client.predict("a red circle", scale=2, seed=4, method="direct", api_name="/extrapolate")
    receipt = read_receipt(Path(picture))
    assert receipt.request.seed == seed == 4
    assert receipt.request.width == 2 * 64
    assert receipt.request.method == "direct"


def test_the_readmes_example_runs(client: Client, tmp_path: Path) -> None:
    """The block of README.md that shows the client, with this server's address in place of the usual one."""
    text = (Path(__file__).resolve().parents[3] / "README.md").read_text()
    (example,) = re.findall(r"```python\n(from gradio_client.*?)```", text, re.DOTALL)
    assert "http://127.0.0.1:7860" in example
    found: dict[str, object] = {}
    exec(example.replace("http://127.0.0.1:7860", str(client.src)), found)
    assert read_receipt(Path(str(found["picture"]))).request.seed == found["seed"]
    plan = found["plan"]
    assert isinstance(plan, dict)
    assert math.isfinite(plan["seconds"])


def test_every_argument_is_told_of_as_a_tool_tells_it() -> None:
    """What `gradio[mcp]` makes its tools from: the docstring, with a sentence for each argument."""
    from gradio.utils import get_function_description

    page = build(Core(("tiny",), Rehearsal().run))
    told = page.get_api_info()["named_endpoints"]
    public = [fn for fn in page.fns.values() if f"/{fn.api_name}" in PUBLIC and fn.fn is not None]
    assert len(public) == len(PUBLIC)
    for fn in public:
        description, arguments, _ = get_function_description(fn.fn)
        names = [one["parameter_name"] for one in told[f"/{fn.api_name}"]["parameters"]]
        assert description
        assert list(arguments) == names
        assert all(len(sentence) > 3 for sentence in arguments.values())
