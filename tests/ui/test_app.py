"""The page as a program: light until it is asked, one run at a time, nothing sent elsewhere."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sd3demo.errors import Refusal
from sd3demo.ui import build, core, launch
from sd3demo.ui.app import STATIC

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "diffusers", "transformers", "plotly", "pandas", "scipy")


def test_the_page_listens_before_anything_heavy_is_loaded() -> None:
    code = (
        "import sys, urllib.request; from sd3demo.ui import build, launch\n"
        "address = launch(build(), wait=False)\n"
        "assert urllib.request.urlopen(address).status == 200\n"
        f"print(*set({HEAVY}) & set(sys.modules), sep=',')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""


def test_the_page_is_light_for_browsers_and_for_each_session() -> None:
    """gradio copies the components into every session, and the browser builds them before it shows any."""
    assert len(build(core()).config["components"]) < 450


def test_the_entry_of_the_space_is_short() -> None:
    assert len((ROOT / "app.py").read_text().splitlines()) < 20


def test_nothing_of_a_visit_is_sent_elsewhere_or_kept_for_ever() -> None:
    page = build(core())
    assert page.analytics_enabled is False
    frequency, age = page.delete_cache
    assert 0 < frequency <= age <= 24 * 3600
    assert page.config["analytics_enabled"] is False


def test_all_work_on_the_model_stands_in_one_line() -> None:
    functions = build(core()).fns.values()
    runs = [fn for fn in functions if fn.concurrency_id == "model"]
    assert len(runs) >= 3  # the runs of Generate and of Trajectories, and the endpoint's
    # gradio holds none of them up, nor lets anybody pass by: they wait in the page's own line.
    assert all(fn.queue is not False and fn.concurrency_limit is None for fn in runs)


def test_programs_see_the_endpoints_and_not_the_buttons() -> None:
    api = build(core()).get_api_info()
    assert set(api["named_endpoints"]) == {
        "/infer", "/extrapolate", "/grid", "/densities", "/schedule", "/plan", "/study"
    }  # fmt: skip
    parameters = api["named_endpoints"]["/infer"]["parameters"]
    assert [parameter["parameter_name"] for parameter in parameters][:10] == [
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
    ]
    assert {parameter["parameter_has_default"] for parameter in parameters[1:]} == {True}
    assert not parameters[0]["parameter_has_default"]


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Refusal, match="it is taken; try another --port"):
            launch(build(core()), port=taken.getsockname()[1], wait=False)


def test_the_style_sheets_and_scripts_stay_light() -> None:
    """Whoever adds a rule looks first for one to share; what overrides the library's own is counted too."""
    sheets, scripts = ([*STATIC.glob(f"*.{kind}")] for kind in ("css", "js"))
    assert sum(file.stat().st_size for file in sheets) < 51_000
    assert (STATIC / "style.css").stat().st_size < 35_000
    assert sum(file.stat().st_size for file in scripts) < 56_000
    assert sum(file.read_text(encoding="utf-8").count("!important") for file in sheets) < 40
