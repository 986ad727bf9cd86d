"""What an earlier version did, this one does: pictures to the last bit, receipts, traces, plans and links.

Pictures hang on the order of sums, which is the processor's and the libraries'. Where those are the ones that
were recorded, nothing may differ; elsewhere pixels may by `elsewhere` of the run, in 255ths, which was
measured. One thread of torch is used, as then.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recorded import cases
from tests.recorded.links import opened, study_opened
from tests.recorded.outcomes import (
    HERE,
    Pixels,
    Values,
    answer,
    arrays_of,
    cells_of,
    difference,
    digest,
    machine,
    missing,
    planned,
    receipt_of,
    run,
    sample,
    threads,
    words_of,
)

RECORDED: Values = json.loads((HERE / "runs.json").read_text(encoding="utf-8"))
PLANS: Values = json.loads((HERE / "plans.json").read_text(encoding="utf-8"))
LINKS: Values = json.loads((HERE / "links.json").read_text(encoding="utf-8"))
STUDIES, MODELS = LINKS.pop("studies"), LINKS.pop("models")
QUICK = frozenset(
    {
        *cases.GENERATED,
        "method-projected",
        "method-direct",
        "compare",
        "preset-paper",
        "cascade",
        "own-picture",
    }
) - {"bfloat16", "bfloat16-batch"}
"""The runs of `make test`; the others, a second or ten each, are slow: there are many."""
MACHINES_OWN = ("noise_sha256", "path_length", "chord", "pictures")
"""What else may differ elsewhere: another kernel draws and sums with another last bit."""


pytestmark = pytest.mark.usefixtures("shared_weights")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(RECORDED["threads"]):
        yield


@cache
def exact() -> bool:
    return machine() == RECORDED["machine"]


@cache
def kept() -> dict[str, Pixels]:
    with np.load(HERE / "pictures.npz") as file:
        return {name: file[name] for name in file.files}


def check_pixels(found: Pixels, sha256: str, elsewhere: int, what: str) -> None:
    apart = difference(sample(found), kept()[sha256])
    if exact():
        assert digest(found) == sha256, f"{what} differs, by {apart}/255 where its pixels are kept"
    elif apart:
        print(f"{what} differs by {apart}/255, as it may by {elsewhere}/255 on another machine")
        assert apart <= elsewhere


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in RECORDED["runs"]],
)
def test_a_run_gives_what_it_gave(name: str, tmp_path: Path) -> None:
    then = {key: value for key, value in RECORDED["runs"][name].items() if key not in ("argv", "elsewhere")}
    now, pictures, _ = run(RECORDED["runs"][name]["argv"], tmp_path)
    assert now["weights_sha256"] == then["weights_sha256"], "other weights: record anew, on purpose"
    assert pictures.keys() == then["pictures"].keys()
    for key, pixels in pictures.items():
        said = then["pictures"][key]
        check_pixels(pixels, said["sha256"], RECORDED["runs"][name]["elsewhere"], f"{name}, {key}")
        assert now["pictures"][key]["sigmas"] == pytest.approx(said["sigmas"], rel=1e-12)
        assert missing(said["receipt"], now["pictures"][key]["receipt"]) == []
    for key in ("path_length", "chord"):
        assert now[key] == pytest.approx(then[key], rel=2e-6 if exact() else 0.05)
    if exact():
        assert now["noise_sha256"] == then["noise_sha256"]
        noises = [{key: one["noise_sha256"] for key, one in run["pictures"].items()} for run in (now, then)]
        assert noises[0] == noises[1]
    rest = {key: value for key, value in then.items() if key not in MACHINES_OWN}
    assert missing(rest, now) == []


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name == "bfloat16" else name for name in cases.KEPT],
)
def test_a_picture_of_then_is_verified_now(name: str) -> None:
    which, picture = cases.KEPT[name]
    file = HERE / "png" / f"{name}.png"
    own = ["--own", str(HERE / "own.png")] if name == "own-picture" else []
    code, said = answer(["verify", str(file), *own, "--device", "cpu", "--json"])
    elsewhere = RECORDED["runs"][which]["elsewhere"]
    assert round(255 * said["max_abs_diff"]) <= (0 if exact() else elsewhere)
    assert said["weights_equal"] is True
    if exact():
        assert (code, said["max_abs_diff"], said["noise_equal"]) == (0, 0, True)
    receipt = receipt_of(file)
    assert missing(receipt["request"], said["request"]) == []
    assert receipt["noise_sha256"] == RECORDED["runs"][which]["pictures"][picture]["noise_sha256"]


def test_a_grid_gives_what_it_gave(tmp_path: Path) -> None:
    then = RECORDED["grid"]
    code, said = answer(words_of(then["argv"], tmp_path))
    cells = cells_of(Path(said["images"][0]))
    assert (code, said["calls"], len(cells)) == (0, then["calls"], len(then["cells"]))
    for place, (pixels, sha256) in enumerate(zip(cells, then["cells"], strict=True)):
        check_pixels(pixels, sha256, 5, f"cell {place}")


def test_a_grid_of_then_is_made_again_now() -> None:
    code, said = answer(["grid", "--again", str(HERE / "png" / "grid.png"), "--device", "cpu", "--json"])
    assert round(255 * said["max_abs_diff"]) <= (0 if exact() else 5)
    if exact():
        assert (code, said["max_abs_diff"]) == (0, 0)


@pytest.mark.parametrize("name", RECORDED["traces"])
def test_a_trace_gives_what_it_gave(name: str, tmp_path: Path) -> None:
    then = RECORDED["traces"][name]
    code, said = answer(words_of(then["argv"], tmp_path))
    assert code == 0
    assert missing({key: then[key] for key in ("sigmas", "calls", "request")}, said) == []
    old, new = arrays_of(HERE / "traces" / f"{name}.safetensors"), arrays_of(Path(said["traces"][0]))
    assert {key: digest(array) for key, array in old.items()} == then["arrays"]
    assert old.keys() <= new.keys()
    for key, array in old.items():
        assert (new[key].shape, new[key].dtype) == (array.shape, array.dtype)
        if exact():
            np.testing.assert_array_equal(new[key], array, err_msg=key)
        elif array.dtype == np.uint8:
            assert difference(new[key], array) <= 8
        else:
            np.testing.assert_allclose(new[key], array, rtol=0.05, atol=1e-2, err_msg=key)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_says_what_it_said(name: str) -> None:
    then = {key: value for key, value in PLANS[name].items() if key != "argv"}
    assert missing(then, planned(PLANS[name]["argv"])) == []


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link[:60] or "empty")
def test_a_link_opens_what_it_opened(link: str) -> None:
    tab = link.partition("?")[0]
    start: dict[str, Any] = LINKS[tab]["settings"] if tab in LINKS else {}
    then = LINKS[link] | {"settings": start | LINKS[link]["settings"]}
    assert missing(then, opened(link)) == []


@pytest.mark.parametrize("text", STUDIES)
def test_a_link_says_of_a_study_what_it_said(text: str) -> None:
    name, _, settings = text.partition("?")
    assert missing(STUDIES[text], study_opened(name, settings)) == []


def test_every_model_is_still_known_by_its_name() -> None:
    _, said = answer(["models", "--json"])
    assert set(MODELS) <= {each["name"] for each in said["models"]}


def test_everything_that_is_to_be_recorded_is() -> None:
    assert {name: each["argv"] for name, each in RECORDED["runs"].items()} == dict(cases.RUNS)
    assert {name: each["argv"] for name, each in PLANS.items()} == dict(cases.PLANS)
    assert list(LINKS) == list(cases.LINKS)
    assert len(RECORDED["runs"]) >= 40
