"""The race: ranks within one data set and one seed, and a study that asks no model."""

import pytest

from sd3demo.errors import Refusal
from sd3demo.settings import parse
from sd3demo.studies.race import ENTRANTS, STUDY, Race, cells, table
from sd3demo.studies.results import recorded
from sd3demo.studies.study import Measured, Table, keys_of

LITTLE = {"formulations": "densities", "n": 2, "plane_data": "moons, rings", "budgets": "5, 50"}


def measured(settings: Race) -> list[Measured]:
    """As if each formulation had a distance of its own place, and 1 more at five steps."""
    found = []
    for cell in cells(settings):
        place = ENTRANTS[settings.formulations].index(str(cell.arm["formulation"])) + 0.01 * len(found)
        raw = {"distances": {"5": place + 1, "50": place}, "floor": 0.5}
        found.append(Measured(cell, raw, 1, 1, True, 0.0, 0.0))
    return found


def by_place(made: Table) -> dict[tuple[object, object], dict[str, object]]:
    names = [column.name for column in made.columns]
    return {(row.values[0], row.values[1]): dict(zip(names, row.values, strict=True)) for row in made.rows}


def test_ranks_and_what_is_lost_are_those_of_the_distances() -> None:
    settings = parse(Race, LITTLE)
    rows = by_place(table(settings, measured(settings)))
    for place, name in enumerate(ENTRANTS["densities"], 1):
        for steps in (5, 50, "all"):
            assert rows[name, steps]["rank"] == place
            assert rows[name, steps]["rank error"] == 0
        assert rows[name, 5]["lost"] == pytest.approx(1)
        assert rows[name, 50]["lost"] == 0
        assert rows[name, "all"]["distance"] == pytest.approx(
            (rows[name, 5]["distance"] + rows[name, 50]["distance"]) / 2  # type: ignore[operator]
        )
        assert (rows[name, 5]["n"], rows[name, 5]["floor"]) == (4, 0.5)


def test_errors_are_over_seeds_and_not_over_data() -> None:
    """Two data sets that differ, each with equal seeds: nothing is uncertain."""
    settings = parse(Race, LITTLE)
    found = []
    for cell in cells(settings):
        value = 1.0 if cell.arm["data"] == "moons" else 7.0
        found.append(Measured(cell, {"distances": {"5": value, "50": value}, "floor": 0}, 1, 1, True, 0, 0))
    row = by_place(table(settings, found))["rf", 5]
    assert (row["distance"], row["distance error"]) == (4, 0)
    assert row["rank"] == (1 + len(ENTRANTS["densities"])) / 2  # all are level


def test_nobody_is_ranked_before_all_of_a_seed_are_known() -> None:
    settings = parse(Race, LITTLE)
    found = measured(settings)
    rows = by_place(table(settings, found[:3]))
    assert len(rows) == 9
    assert all(row["rank"] is None and row["distance error"] is None for row in rows.values())
    first = by_place(table(settings, found[: len(ENTRANTS["densities"]) + 1]))
    assert first["rf", 5]["rank"] == 1
    assert first["rf", 5]["rank error"] is None


def test_a_cell_that_asks_no_model_is_known_without_weights() -> None:
    settings = parse(Race, LITTLE)
    assert STUDY.models(settings) == ()
    keys = keys_of(cells(settings))
    assert len(set(keys)) == len(keys)
    more = keys_of(cells(parse(Race, {**LITTLE, "n": 3})))
    assert set(keys) < set(more)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"plane_data": "horse"}, "plane_data holds 'horse'; choose one or several of moons"),
        ({"budgets": "0"}, "budgets holds '0'; give whole numbers"),
        ({"formulations": "best"}, "unknown formulations 'best'; choose one of all, densities, paths"),
        ({"n": 0}, "n is 0; it must lie in"),
    ],
)
def test_what_cannot_race_is_refused(given: dict, sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        parse(Race, given)


def test_the_recorded_race_has_every_formulation_and_several_seeds() -> None:
    found = recorded("race")
    assert found is not None
    assert set(found.table.column("formulation")) == set(ENTRANTS["all"])
    assert all(error is not None for error in found.table.column("rank error"))
    assert found.weights == {}
