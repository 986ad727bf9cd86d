"""Grids: which settings can vary, what is made once, and a sheet from which every cell comes back."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sd3demo.catalogue import find
from sd3demo.cli import main
from sd3demo.engine import Engine, Plan, plan
from sd3demo.errors import Refusal
from sd3demo.history import read_receipt
from sd3demo.history.receipts import SHEET_KEYWORD
from sd3demo.history.sheet_receipts import read_sheet, read_tiles, sheet_of, sheet_png
from sd3demo.models.exact import EXACT
from sd3demo.settings import Request, parse
from sd3demo.studies.grid import grid_plan as grids
from sd3demo.studies.grid.grid_plan import AXES, Grid, GridAxis, GridLoading, GridPicture, GridPlan, GridStep
from sd3demo.studies.grid.sheet import draw_sheet
from tests.engine.runs import HERE
from tests.ui.fake_page import Rehearsal, finished

BASE = {"prompt": "red", "model": "exact", "shift": 1, "steps": 3, "cfg": 1}


def prepare(values: Mapping[str, object]) -> Plan:
    return plan(parse(Request, values), EXACT, HERE)


def made(x: str, y: str = "", **base: object) -> GridPlan:
    return grids.plan_grid(Grid(grids.axis(x), grids.axis(y) if y else None), BASE | base, prepare)


def pictures(planned: GridPlan) -> dict[int, GridPicture]:
    found = {}
    for news in grids.run(planned, Engine().run_batch):
        if isinstance(news, GridPicture):
            found[planned.places[news.cells[0]]] = news
    return found


def write(planned: GridPlan, file: Path) -> tuple[int, ...]:
    done = pictures(planned)
    cells = {cell: done[place].finished.pictures[0] for cell, place in enumerate(planned.places)}
    drawn = draw_sheet(
        planned.grid, cells, "a prompt of several words, which is long enough to be wrapped twice"
    )
    x, y = planned.grid.x, planned.grid.y
    runs = [(planned.plans[place].request, done[place].finished) for place in range(len(planned.plans))]
    sides = (x.name, x.values), ((y.name, y.values) if y else None)
    where = {"places": planned.places, "corners": drawn.corners, "scale": drawn.scale}
    file.write_bytes(sheet_png(drawn.pixels, sheet_of(*sides, runs, **where)))
    return planned.places


def test_all_that_means_something_can_vary() -> None:
    assert {"t5", "shift", "cfg", "steps", "solver", "seed", "schedule", "model", "width"} <= set(AXES)
    assert {"replace", "prompt", "negative"} <= set(AXES)
    assert not {"placement", "prompt_2", "count", "init", "lora"} & set(AXES)


def prompts(planned: GridPlan) -> list[str]:
    return [planned.plans[place].request.prompt for place in planned.places]


def test_a_word_is_replaced_by_each_value_and_stays_in_the_first() -> None:
    found = made("replace=red,blue,dark green", prompt="a red circle, reddish and red")
    assert prompts(found) == [
        "a red circle, reddish and red",
        "a blue circle, reddish and blue",
        "a dark green circle, reddish and dark green",
    ]
    assert found.grid.x.values == ("red", "blue", "dark green")


def test_two_words_are_replaced_on_both_sides() -> None:
    found = made("replace=red,blue", "replace=circle,square", prompt="a red circle")
    assert prompts(found) == ["a red circle", "a blue circle", "a red square", "a blue square"]


@pytest.mark.parametrize("sides", [("prompt=red cat,red dog", "replace=red,blue")] * 2)
def test_a_word_is_replaced_in_every_prompt(sides: tuple[str, str]) -> None:
    found = made(*sides)
    assert prompts(found) == ["red cat", "red dog", "blue cat", "blue dog"]
    assert prompts(made(*sides[::-1])) == ["red cat", "blue cat", "red dog", "blue dog"]


def test_prompts_with_commas_stand_in_quotes_and_a_negative_one_may_be_empty() -> None:
    assert prompts(made('prompt="a cat, asleep", a dog')) == ["a cat, asleep", "a dog"]
    found = made("negative=,blurry", cfg=2)
    assert [found.plans[place].request.negative for place in found.places] == ["", "blurry"]
    assert grids.names(found.grid)[0] == ("negative empty", "negative blurry")


def test_long_prompts_are_short_headings() -> None:
    (heading, _), _ = grids.names(Grid(GridAxis("prompt", ("a" * 300, "b"))))
    assert len(heading) == grids.LONGEST_LABEL


def test_cells_stand_row_by_row_with_both_settings() -> None:
    planned = made("cfg=1,2", "steps=2,3,4")
    got = [(p.request.cfg, p.request.steps) for p in (planned.plans[place] for place in planned.places)]
    assert got == [(1, 2), (2, 2), (1, 3), (2, 3), (1, 4), (2, 4)]


def test_cells_that_come_to_the_same_are_made_once() -> None:
    planned = made("steps=3,03,4", "shift=1,1.0")
    assert len(planned.plans) == 2
    assert planned.places == (0, 0, 1, 0, 0, 1)
    assert planned.cells(1) == (2, 5)
    assert len(pictures(planned)) == 2


def test_pictures_form_step_by_step_and_each_ends_once() -> None:
    planned = made("cfg=1,2", "steps=2,5")
    news = list(grids.run(planned, Engine().run_batch))
    assert isinstance(news[0], GridLoading)
    done = [one for one in news if isinstance(one, GridPicture)]
    assert [one.done for one in done] == [1, 2, 3, 4]
    assert [one.plan.request.steps for one in done] == [2, 2, 5, 5]
    assert sum(isinstance(one, GridStep) for one in news) == 2 * (2 + 5)


def test_closing_a_grid_closes_its_runs() -> None:
    rehearsal = Rehearsal()
    news = grids.run(made("cfg=1,2"), grids.one_by_one(rehearsal.run))
    next(news)
    news.close()
    assert rehearsal.ended == ["closed"]


def test_models_and_precisions_are_run_one_after_another() -> None:
    assert grids.groups(made("precision=float32,bfloat16", "seed=0,1").plans) == [[0, 2], [1, 3]]


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        ("cfg", "", "'cfg' is no axis; give a setting and its values, such as cfg=1,2,4"),
        ("cfg=", "", "is no axis"),
        ("placement=resident,streamed", "", "unknown axis 'placement'; choose one of replace, prompt"),
        ("replace=blue,green", "", "replace looks for 'blue', which is not in the prompt 'red'; its first"),
        ("replace=re,green", "", "replace looks for 're', which is not in the prompt"),
        (
            "prompt=red,green",
            "replace=red,blue",
            "looks for 'red', which is not in the prompt 'green'",
        ),
        ("count=1,2", "", "unknown axis 'count'"),
        ("cfg=1,2,1", "", "cfg is 1 twice along its axis"),
        ("cfg=0.5", "", "cfg is 0.5; it must lie in"),
        ("solver=euler,rk5", "", "unknown solver 'rk5'"),
        ("cfg=1", "cfg=2", "cfg is on both sides of the grid"),
        ("seed=" + ",".join(map(str, range(65))), "", "seed has 65 values along its axis; at most 64"),
        (
            "seed=" + ",".join(map(str, range(9))),
            "steps=1,2,3,4,5,6,7,8",
            "the grid has 72 cells; at most 64",
        ),
    ],
)
def test_a_grid_that_cannot_be_made_is_a_sentence(x: str, y: str, sentence: str) -> None:
    with pytest.raises(Refusal) as error:
        made(x, y)
    assert sentence in str(error.value)


def test_a_grid_has_one_picture_a_cell() -> None:
    with pytest.raises(Refusal, match="count is 2; a grid has one picture a cell"):
        made("cfg=1,2", count=2)


def test_every_cell_comes_back_from_the_sheet(tmp_path: Path) -> None:
    planned = made("cfg=1,2,4", "steps=2,3", width=24)
    places = write(planned, tmp_path / "grid.png")
    found = read_sheet(tmp_path / "grid.png")
    assert found.places == places
    assert found.x.values == ("1", "2", "4")
    assert found.cell(2, 1).request == planned.plans[5].request
    tiles = read_tiles(tmp_path / "grid.png", found)
    for place, done in pictures(planned).items():
        for cell in planned.cells(place):
            assert np.abs(tiles[cell].astype(int) - done.finished.pictures[0]).max() <= 1


def test_a_sheet_shows_what_is_finished_and_leaves_the_rest_empty() -> None:
    grid = Grid(GridAxis("cfg", ("1", "2")), GridAxis("steps", ("4", "8")))
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    drawn = draw_sheet(grid, {3: red}, "a" * 3000)
    (left, top), (right, bottom) = drawn.corners[0], drawn.corners[3]
    assert drawn.scale * 8 >= 160
    assert tuple(drawn.pixels[bottom, right]) == (255, 0, 0)
    assert tuple(drawn.pixels[top, left]) != (255, 0, 0)
    assert left < right
    assert top < bottom


def test_the_largest_receipt_of_a_sheet_is_read_again(tmp_path: Path) -> None:
    """All texts at their longest, in letters that take the most room, at the most steps, in every cell."""
    texts = dict.fromkeys(("prompt", "negative", "prompt_2", "prompt_3"), "\N{LARGE RED CIRCLE}" * 2000)
    asked = {"model": "tiny", "steps": 100, "width": 8, "height": 8} | texts
    plans = [plan(parse(Request, asked | {"seed": 2**32 - 1 - k}), find("tiny"), HERE) for k in range(64)]
    runs = [(each.request, finished(each)) for each in plans]
    corners = tuple((8 * k, 0) for k in range(64))
    values = tuple(str(each.request.seed) for each in plans)
    found = sheet_of(("seed", values), None, runs, places=tuple(range(64)), corners=corners, scale=1)
    file = tmp_path / "grid.png"
    file.write_bytes(sheet_png(np.zeros((8, 512, 3), np.uint8), found))
    assert read_sheet(file) == found
    with pytest.raises(Refusal, match="is a grid of pictures"):
        read_receipt(file)


def test_a_sheet_is_no_picture_and_an_edited_one_is_found(tmp_path: Path) -> None:
    file = tmp_path / "grid.png"
    write(made("cfg=1,2"), file)
    with pytest.raises(Refusal, match=r"is a grid of pictures; `sd3demo grid --again .*` makes all of them"):
        read_receipt(file)
    file.write_bytes(file.read_bytes().replace(b"sd3demo-grid", b"sd3demo-gird"))
    with pytest.raises(Refusal, match="is a damaged PNG file"):
        read_sheet(file)
    write(made("cfg=1,2"), file)
    with Image.open(file) as image:
        forged = json.loads(image.info[SHEET_KEYWORD]) | {"scale": 2}
        texts = PngInfo()
        texts.add_text(SHEET_KEYWORD, json.dumps(forged))
        image.save(file, pnginfo=texts)
    with pytest.raises(Refusal, match="was edited: its digest does not match"):
        read_sheet(file)


def test_bad_words_on_the_command_line_are_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for words, sentence in (
        (["grid", "a", "--x", "cfg"], "is no axis"),
        (["grid", "a", "--x", "cfg=1", "--y", "cfg=2"], "is on both sides"),
        (["grid", "a", "--out", str(tmp_path / "a.jpg")], "give a name that ends in .png"),
        (["grid", "a", "--again", str(tmp_path / "none.png")], "cannot read"),
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert sentence in said
        assert len(said.splitlines()) == 1


def test_a_grid_from_the_command_line_is_made_again_from_its_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = str(tmp_path / "grid.png")
    words = ["grid", "a red circle", "--x", "cfg=1,4", "--y", "t5=on,zeros", "--steps", "2"]
    assert main([*words, "--out", file, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [cell["t5"] for cell in told["cells"]] == ["on", "on", "zeros", "zeros"]
    assert main(["grid", "--again", file, "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["equal"] is True
    assert len(again["differences"]) == 4
