"""A tab's state in the address: there and back it is the same, and a bad link sets what it can."""

import re
from typing import Any

import gradio as gr
import pytest
from hypothesis import given
from hypothesis import strategies as some

from sd3demo.catalogue import find
from sd3demo.settings import FILES, OPTIONS, Request, SD3Options, choices_of
from sd3demo.ui import Core, build
from sd3demo.ui.app import STATIC
from sd3demo.ui.controls import deep_links as links
from sd3demo.ui.controls.deep_links import Link, read, split, written
from sd3demo.ui.controls.labels import label
from sd3demo.ui.generate.size import recommended_shift
from tests.ui.fake_page import Rehearsal, write_model


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    return Core((str(write_model(tmp_path_factory.mktemp("page") / "model")), "sd3-medium"), Rehearsal().run)


@pytest.fixture(scope="module")
def every(core: Core) -> dict[str, Link]:
    page = build(core)
    return {link.tab: link for link in links._LINKS[page]}


@pytest.fixture(scope="module")
def generate(every: dict[str, Link]) -> Link:
    return every["generate"]


def there_and_back(link: Link, values: dict[str, object]) -> dict[str, object]:
    tab, found = split(written(link.tab, values, link.start))
    assert tab == link.tab
    held, faults = read(link, found)
    assert faults == []
    return held


def folded(values: dict[str, object]) -> dict[str, str]:
    """As the texts that a link holds: a control's 3 may be "3"."""
    return {name: links._folded(value) for name, value in values.items()}


def other(link: Link, name: str) -> object:
    """A good value of a setting that is not the one at the start."""
    start, field = link.start({})[name], link.kind.model_fields[name]
    choices = [one for one in links_choices(link, name) if one != start]
    if choices:
        return choices[-1]
    if isinstance(start, bool):
        return not start
    if isinstance(start, tuple | list):
        return ("uniform",)
    if isinstance(start, str):
        texts = (
            *choices_of(field),
            "14,3,5,-1",
            'two "words" & more = 100%? #ü🐴,\nline',
            "typography",
            "all",
            "2",
            "without-guidance",
            "few-steps",
            "rings",
        )
        return next(text for text in texts if text != start and not read(link, {name: text})[1])
    bounds = {"width": 96, "height": 32, "max_sequence_length": 7, "steps": 5, "cfg": 7.5, "tail": 3}
    bounds["training_steps"] = 20
    if link.tab == "flow-lab" and name == "steps":
        return 700
    return bounds.get(name, 0.3 if "float" in str(field.annotation) else 3 if start == 2 else 2)


def links_choices(link: Link, name: str) -> list[object]:
    if name == "model":
        return ["sd3-medium"]
    control: Any = link.controls.get(name)
    if control is None:  # a tab that is built late
        return [*choices_of(link.kind.model_fields[name])]
    return [value for _, value in control.choices] if isinstance(control, gr.Radio | gr.Dropdown) else []


FOREIGN = {name for kind in OPTIONS.values() for name in kind.model_fields} - set(SD3Options.model_fields)
"""Options of other families, which the page's models of SD3 do not have."""


def cases(every: dict[str, Link]) -> list[tuple[Link, str]]:
    return [
        (link, name)
        for link in every.values()
        for name in set_by(link, dict(link.start({})))
        if name not in FOREIGN
    ]


def set_by(link: Link, values: dict[str, object]) -> dict[str, str]:
    """The settings that the controls hold once they are updated to values."""
    updates = [one["value"] if isinstance(one, dict) else one for one in link.fill(values)]
    return folded(dict(link.values_of(updates)))


def test_the_tabs_with_settings_have_addresses(every: dict[str, Link]) -> None:
    assert {"generate", "densities", "flow-lab"} <= set(every)
    settings = set(every["generate"].kind.model_fields) - set(FILES)  # no link names a file
    assert set(every["generate"].controls) == settings > set(Request.model_fields) - set(FILES)
    for tab in ("densities", "flow-lab"):
        assert set(every[tab].start({})) == set(every[tab].kind.model_fields)


def test_how_a_tab_opens_is_the_tab_alone(every: dict[str, Link]) -> None:
    for link in every.values():
        assert written(link.tab, link.start({}), link.start) == f"#/{link.tab}"


def test_every_setting_of_every_tab_goes_there_and_back(every: dict[str, Link]) -> None:
    for link, name in cases(every):
        if name in ("model", "skip_scale"):
            continue  # the one moves the others, the other asks for layers: see below
        values = dict(link.start({})) | {name: other(link, name)}
        fragment = written(link.tab, values, link.start)
        own = fragment.count("=") - fragment.count("grid_across") - fragment.count("grid_down")
        assert own + name.startswith(("grid_across", "grid_down")) == 1, (fragment, name)
        held = there_and_back(link, values)
        assert held == values, (link.tab, name)


def test_skip_layer_guidance_goes_there_and_back_with_its_layers(generate: Link) -> None:
    values = dict(generate.start({})) | {"skip_scale": 2.8, "skip_layers": "1"}
    assert there_and_back(generate, values) == values


def test_every_control_is_set_by_what_was_read(every: dict[str, Link]) -> None:
    for link, name in cases(every):
        if name in ("model", "skip_scale"):
            continue
        values = dict(link.start({})) | {name: other(link, name)}
        held = set_by(link, values)
        if name != "study":  # settings of a study open it
            held.pop("study", None)
        assert held.items() <= folded(values).items()
        assert name in held


def test_another_model_brings_its_own_values_and_they_are_not_written(generate: Link) -> None:
    values = dict(generate.start({"model": "sd3-medium"})) | {"prompt": "a horse", "model": "sd3-medium"}
    fragment = written("generate", values, generate.start)
    assert fragment == "#/generate?prompt=a+horse&model=sd3-medium"
    assert there_and_back(generate, values)["width"] == 1024


def test_a_value_is_judged_by_the_model_of_the_link_wherever_that_stands(generate: Link) -> None:
    values, faults = read(generate, {"width": "1536", "model": "sd3-medium"})
    assert (values["width"], faults) == (1536, [])
    assert "Width is 1536" in read(generate, {"width": "1536"})[1][0]


def test_a_side_of_the_grid_brings_its_usual_values(generate: Link) -> None:
    start = generate.start({"grid_x": "cfg_from", "grid_y": "nothing"})
    assert (start["grid_across"], start["grid_down"]) == ("0, 0.25, 0.5, 1", "")


def test_a_link_can_be_read() -> None:
    start = {"prompt": "", "steps": 28, "cfg": 5.0, "densities": ("mode",)}
    values = {"prompt": "a red circle, please", "steps": 28, "cfg": 4.5, "densities": ["mode", "uniform"]}
    assert (
        written("x", values, lambda _: start)
        == "#/x?prompt=a+red+circle,+please&cfg=4.5&densities=mode,uniform"
    )


@given(prompt=some.text(max_size=60), cfg=some.floats(1, 30), seed=some.integers(0, 2**32 - 1))
def test_any_text_and_number_come_back_exactly(prompt: str, cfg: float, seed: int) -> None:
    try:
        Request(prompt="-", negative=prompt)  # type: ignore[call-arg]
    except ValueError:
        return  # control characters, which no setting may hold
    start = {"negative": "", "cfg": -1.0, "seed": -1}
    values = {"negative": prompt, "cfg": cfg, "seed": seed}
    _, found = split(written("x", values, lambda _: start))
    link = Link("x", Request, {}, lambda _: start, lambda _: [], {}, {"prompt": "-"})
    assert read(link, found) == (values, [])


@pytest.mark.parametrize(
    ("fragment", "sentence", "kept"),
    [
        ("#/generate?cfg=99&steps=4", "CFG scale is 99; it must lie in [1, 30]", {"steps": 4}),
        ("#/generate?steps=many&cfg=2", "Steps is many; it must", {"cfg": 2.0}),
        ("#/generate?t5=half&seed=3", "Unknown t5 'half'; choose one of on", {"seed": 3}),
        ("#/generate?flavour=salt&seed=3", "Unknown setting 'flavour'", {"seed": 3}),
        ("#/generate?model=/etc&seed=3", "Unknown model '/etc'", {"seed": 3}),
        ("#/generate?cfg_from=0.9&cfg_to=0.1", "CFG from t is 0.9 and cfg_to 0.1", {"cfg_from": 0.9}),
        ("#/generate?prompt=%07&seed=3", "Prompt holds the control character U+0007", {"seed": 3}),
        ("#/generate?prompt=%3Cimg+src=x%3E&cfg=-1", "CFG scale is -1", {"prompt": "<img src=x>"}),
        ("#/generate?prompt=" + "a" * 100_000, "Prompt has 100,000 characters", {"prompt": ""}),
        ("#/generate?width=8192&seed=3", "Width is 8192; ", {"seed": 3, "width": 64}),
        ("#/generate?width=100&height=128", "divide by 8", {"height": 128, "width": 64}),
        ("#/generate?grid_x=flavour&grid=true", "Unknown setting 'flavour' for a side", {"grid": True}),
        ("#/generate?steps=nan&seed=3", "Steps is nan", {"seed": 3}),
        ("#/densities?densities=mode,sine&m=1", "Densities", {"m": 1.0}),
        ("#/flow-lab?data=horse&steps=200", "Unknown data 'horse'; choose one of moons", {"steps": 200}),
    ],
)
def test_a_bad_link_sets_what_it_can_and_gets_a_sentence(
    fragment: str, sentence: str, kept: dict[str, object], every: dict[str, Link]
) -> None:
    known = [*every, "about"]
    notice, _, *updates = links.opened(list(every.values()), known, fragment)
    assert sentence in re.sub("&#x27;", "'", str(notice))
    assert "everything else of this link is set" in str(notice)
    link, before = every[split(fragment)[0]], 0
    for one in every.values():
        if one is link:
            break
        before += len(one.controls)
    own = updates[before : before + len(link.controls)]
    got = folded(dict(link.values_of([one["value"] if isinstance(one, dict) else one for one in own])))
    assert folded(kept).items() <= got.items()


@pytest.mark.parametrize(
    ("fragment", "sentence"),
    [
        ("", ""),
        ("#", ""),
        ("#elsewhere", ""),
        ("#/", "names the tab ''"),
        ("#/nowhere?steps=4", "names the tab 'nowhere'; this page has generate"),
        ("#/<script>alert(1)</script>", "&lt;script&gt;"),
        ("#/generate?" + "&".join(f"a{k}=1" for k in range(100)), "more than 64 settings"),
    ],
)
def test_what_is_no_link_of_ours_changes_nothing(
    fragment: str, sentence: str, every: dict[str, Link]
) -> None:
    notice, tab, *updates = links.opened(list(every.values()), [*every, "about"], fragment)
    assert sentence in re.sub("&#x27;", "'", str(notice))
    assert bool(notice) is bool(sentence)
    assert all(update == gr.skip() for update in [tab, *updates])


def test_a_tab_is_told_of_each_link_with_settings_of_its_own_and_of_no_other(every: dict[str, Link]) -> None:
    def told(fragment: str) -> object:
        *_, stamp = links.opened(list(every.values()), [*every, "about"], fragment)
        return stamp

    assert [link.tab for link in every.values() if link.came is not None] == ["generate", "verify"]
    assert told("#/verify?run=a/0") != told("#/verify?run=a/0")
    for other in ("#/verify", "#/generate", "#/about", "#/nowhere", ""):
        assert told(other) == gr.skip()


def test_automatic_shift_becomes_the_number_that_it_stands_for(generate: Link, core: Core) -> None:
    held, faults = read(generate, split("#/generate?shift=auto&width=64&height=128")[1])
    assert faults == []
    shift = dict(zip(generate.controls, generate.fill(held), strict=True))["shift"]
    assert isinstance(shift, dict)
    assert shift["value"] == recommended_shift(find(core.models[0]), 64, 128)


def test_sentences_call_a_setting_what_the_page_calls_it(generate: Link) -> None:
    for name in Request.model_fields:
        assert generate.titles[name] == label(name).title


def test_a_value_that_no_link_can_hold_is_left_out(generate: Link) -> None:
    values = dict(generate.start({})) | {"prompt": "a" * 100_000, "seed": None, "steps": 4}
    assert written("generate", values, generate.start) == "#/generate?steps=4"


def test_every_script_of_the_page_is_a_function() -> None:
    scripts = list(STATIC.glob("*.js"))
    assert scripts
    for file in scripts:
        assert re.search(r"^\(\) => \{", file.read_text(), re.MULTILINE)
