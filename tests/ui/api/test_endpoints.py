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
from sd3demo.ui import Core, build
from tests.ui.fake_page import Rehearsal, serving, write_model

PUBLIC = ("/infer", "/extrapolate", "/densities", "/schedule", "/plan", "/study")


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


def test_all_endpoints_are_there_with_types_and_words(client: Client) -> None:
    told = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(told) == set(PUBLIC)
    for name in PUBLIC:
        assert len(told[name]["description"]) > 40
        for parameter in told[name]["parameters"]:
            assert parameter["python_type"]["type"]
            assert parameter["parameter_name"]


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
    ("/extrapolate", {"prompt": "a", "scale": 0.5}, "scale is 0.5; it must lie in [1, 16]"),
    ("/extrapolate", {"prompt": "a", "method": "magic"}, "unknown method 'magic'"),
    ("/extrapolate", {"prompt": "a", "low_pass": "high"}, "unknown low_pass 'high'"),
    ("/extrapolate", {"prompt": " "}, "prompt is empty"),
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
ARGUMENTS = {"plan": 14, "schedule": 6, "densities": 5, "extrapolate": 10, "study": 2}


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
