"""The studies of extrapolation on a model with a closed form: what is shared, compared and taken away."""

from collections.abc import Mapping
from typing import Any

import pytest

from sd3demo.engine import Engine
from sd3demo.engine.events import ArmFinished, Finished
from sd3demo.errors import Refusal
from sd3demo.flow.grids import shift
from sd3demo.settings import parse
from sd3demo.settings.extrapolation import PLAIN, PRESETS
from sd3demo.studies.imax import larger_pictures as imax
from sd3demo.studies.imax.ablation import ALL, PARTS, ImaxAblation, arms_of, cells, parts_of, table
from sd3demo.studies.imax.larger_pictures import preset_title, steps_note
from sd3demo.studies.imax.methods import HERE, ImaxMethods
from sd3demo.studies.imax.methods import arms_of as methods_of
from sd3demo.studies.imax.table import table_of
from sd3demo.studies.study import Column, Measured, Table

LITTLE = {
    "model": "exact",
    "n": 2,
    "categories": "colours",
    "scales": "2",
    "steps": 3,
    "large_steps": 2,
}


def settings(**changed: object) -> ImaxAblation:
    return parse(ImaxAblation, {**LITTLE, **changed})


def measured(engine: Engine, **changed: object) -> list[Measured]:
    asked = cells(settings(**changed))
    return [
        Measured(cell, cell.measurement.take(cell, engine), k + 1, len(asked), True, 0.0, 0.0)
        for k, cell in enumerate(asked)
    ]


def rows(found: Table) -> dict[object, dict[str, Any]]:
    names = [column.name for column in found.columns]
    return {row.values[1]: dict(zip(names, row.values, strict=True)) for row in found.rows}


@pytest.mark.parametrize("preset", PRESETS)
def test_each_part_of_a_preset_is_taken_away_alone_and_one_after_another(preset: str) -> None:
    asked = settings(preset=preset)
    arms, parts = arms_of(asked), parts_of(asked)
    whole = arms[ALL]
    assert parts
    for name, (field, off) in parts.items():
        assert whole[field] != off
        alone = arms[f"without {name}"]
        assert {key for key in alone if alone[key] != whole[key]} == {field}
    nothing = list(arms.values())[1 + len(parts)]  # upsampled, all parts, then one less each
    assert {key: nothing[key] for key in PLAIN} == dict(PLAIN)
    assert nothing["method"] == "direct"


def test_the_papers_preset_has_every_part_that_the_paper_names() -> None:
    ours = ("half-patch shift", "noised start")  # the paper begins at t = 1
    assert list(parts_of(settings(preset="paper-flux"))) == [name for name in PARTS if name not in ours]
    lumina = (*ours, "text duplication")  # its text is not in the sequence
    assert list(parts_of(settings(preset="paper-lumina"))) == [name for name in PARTS if name not in lumina]
    assert list(parts_of(settings(preset="release"))) == [name for name in PARTS if name != "noised start"]


def test_the_caption_says_how_many_steps_the_larger_stage_has_and_where_the_last_one_starts() -> None:
    """From t = .22 at 2x and .36 at 4x with 8 steps, which is S(1/8) of eq. 23."""
    asked = settings(model="tiny", scales="2, 4", large_steps=8, steps=28, n=1, preset="paper-lumina")
    found = [Measured(cell, {}, 1, 1, True, 0.0, 0.0) for cell in cells(asked)]
    starts = [shift(1 / 8, scale) for scale in (2, 4)]
    assert starts == pytest.approx([0.22, 0.36], abs=5e-3)
    said = f"has 8 steps; the last one starts at t = {starts[0]:.2f} (2x) and {starts[1]:.2f} (4x)."
    assert said in steps_note(found)


def test_a_caption_ends_with_the_steps_of_the_larger_stage(engine: Engine) -> None:
    caption = table(settings(), measured(engine)).caption
    assert "The larger stage has 4 steps" in caption  # two from the start on, and a tail of two


def test_the_former_papers_preset_says_what_it_was() -> None:
    assert preset_title(settings(preset="paper")).startswith("paper, which is neither of the paper's two")
    assert preset_title(settings(preset="ours")) == "tuned"


def test_the_tuned_preset_has_the_parts_that_were_measured_better_with() -> None:
    assert settings().preset == "tuned"
    assert list(parts_of(settings())) == ["projected flow", "noised start", "half-patch shift", "positions"]


def test_a_drawn_native_picture_is_the_scene_of_the_first_render(engine: Engine) -> None:
    """Each native pixel is the mean of the larger picture's pixels over it, but along edges."""
    for cell in cells(settings()):
        native = imax.drawn_of(cell)
        assert native is not None
        render, other = list(imax._renders(imax.exam_of(cell.given), imax.plan_of(cell), 2))
        gaps = []
        for picture in (render, other):
            small = picture.reshape(native.shape[0], 2, native.shape[1], 2, 3).mean((1, 3))
            gaps.append(float(abs(small - native / 255).mean()))
        assert gaps[0] < 0.02 < gaps[1]


def test_the_larger_pictures_are_made_from_the_drawn_one(engine: Engine) -> None:
    cell = cells(settings())[0]
    drawn = imax.drawn_of(cell)
    finished = imax.run_to_end(engine, imax.plan_of(cell), own=drawn)
    assert abs(finished.arms["native"].pictures[0].astype(int) - drawn).max() <= 1
    assert rows(table(settings(), measured(engine)))["upsampled"]["drift"] < 2


def test_the_same_scene_is_a_pair_and_other_scenes_are_not(engine: Engine) -> None:
    found = rows(table(settings(), measured(engine)))
    assert found["renders"]["paired patches"] == 0
    assert found["renders"]["paired wins"] == 1
    assert found["renders"]["patches"] > 0
    assert found["upsampled"]["paired patches"] > 0
    assert found["upsampled"]["paired patches error"] > 0


def test_a_picture_that_the_model_makes_has_no_pair(engine: Engine) -> None:
    asked = settings(native="made")
    found = rows(table(asked, measured(engine, native="made")))
    for row in found.values():
        assert {row[name] for name in row if name.startswith("paired")} == {None}
    assert found["upsampled"]["wins"] is not None
    assert "the same scene" not in table(asked, measured(engine, native="made")).caption
    assert "the same scene" in table(settings(), measured(engine)).caption


def test_what_follows_the_native_run_needs_one() -> None:
    imax.cells_of(settings(native="made"), lambda scale: {"hiflow": {"method": "hiflow"}})
    with pytest.raises(Refusal, match="method is hiflow, which follows the native run step by step"):
        imax.cells_of(settings(), lambda scale: {"hiflow": {"method": "hiflow"}})


def test_a_prompt_has_one_native_stage_for_all_of_its_arms(engine: Engine) -> None:
    cell = cells(settings(native="made"))[0]
    made = imax.plan_of(cell)
    assert [stage.key for stage in made.stages].count("native") == 1
    assert [arm.name for arm in made.arms] == ["native", *arms_of(settings())]
    events = list(engine.run(made))
    assert isinstance(events[-1], Finished)
    assert (
        len({event.noise_sha256 for event in events if isinstance(event, ArmFinished)}) == 2
    )  # native's and larger


def test_methods_differ_in_nothing_but_their_name() -> None:
    arms = methods_of(parse(ImaxMethods, {**LITTLE, "preset": "release"}))
    assert set(arms) == set(HERE) - {"hiflow"}
    for name, arm in arms.items():
        assert arm == {**arms["projected"], "method": name}


def test_an_autoencoder_that_changes_nothing_gives_the_renders_back(engine: Engine) -> None:
    found = rows(table(settings(), measured(engine)))
    same = ("obeyed", "parts", "spectrum", "patches", "excess")
    renders, again = found["renders"], found["autoencoder"]
    assert {name: renders[name] for name in same} == {name: again[name] for name in same}
    assert renders["parts"] > 0.9  # the judge reads what was drawn, even at 32 px
    assert renders["drift"] is None
    assert renders["operations"] is None


def test_noise_in_flat_areas_stands_beside_the_excess(engine: Engine) -> None:
    """The colours are drawn with noise of a known deviation; enlarged it is smoothed."""
    found = rows(table(settings(), measured(engine)))
    assert list(found["renders"]).index("noise") == list(found["renders"]).index("excess error") + 1
    assert found["renders"]["noise"] < 1
    assert found["upsampled"]["noise"] < found["without projected flow"]["noise"]
    made = rows(table(settings(native="made"), measured(engine, native="made")))
    assert all(row["noise"] is not None for row in made.values())


def test_an_arm_made_twice_has_equal_rows_and_ties_with_itself(engine: Engine) -> None:
    asked = settings(preset="ours")
    twin = imax.cells_of(asked, lambda scale: {"one": imax.full(asked), "two": imax.full(asked)})
    found = [Measured(cell, cell.measurement.take(cell, engine), 1, 1, True, 0.0, 0.0) for cell in twin]
    one, two = (
        rows(table_of("imax-methods", asked, found, compared=name, caption="", named=Column("arm")))
        for name in ("one", "two")
    )
    assert one["two"]["wins"] == two["one"]["wins"] == 0.5
    assert one["one"]["wins"] is None
    assert one["two"]["patches"] == one["one"]["patches"]


def test_a_picture_that_is_the_native_one_drifts_least(engine: Engine) -> None:
    found = rows(table(settings(), measured(engine)))
    assert found["upsampled"]["drift"] < 2
    assert found["upsampled"]["drift"] < found["without projected flow"]["drift"] + 1e-9
    assert found["upsampled"]["operations"] == 0
    assert found[ALL]["wins"] is None


def test_wins_are_counted_by_prompt(engine: Engine) -> None:
    found = measured(engine)
    for one in found:  # renders are replaced by what they are compared with: nothing can be nearer
        raw: Mapping[str, Any] = one.raw
        raw["arms"]["renders"]["patches"] = raw["real"]["patches"]
    assert rows(table(settings(), found))["renders"]["wins"] == 1
    assert rows(table(settings(), found))["renders"]["patches"] == 0


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"scales": "1.3"}, "scale is 1.3"),
        ({"scales": "0.5"}, r"give numbers in \[1, 16\]"),
        ({"large_steps": 0}, "large_steps is 0"),
        ({"preset": "mine"}, "unknown preset 'mine'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(changed: dict[str, object], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        cells(settings(**changed))
