"""The limits of a page: where they come from, and that all values are ones that they can have."""

import math
from collections.abc import Mapping

import pytest

from sd3demo.deploy import limits as space_limits
from sd3demo.errors import Refusal
from sd3demo.settings import bounds_of
from sd3demo.ui.server.limits import (
    AT_HOME,
    IN_PUBLIC,
    MEASURED,
    Limits,
    batch_limit,
    limits_of,
    table,
    variable,
)

SPACE = {"SPACE_ID": "me/mine"}
PROXY = {"SD3DEMO_PUBLIC": "true"}


def test_ones_own_machine_has_no_limit_of_time_or_studies() -> None:
    assert limits_of(environ={}) == AT_HOME
    assert AT_HOME.run_seconds == AT_HOME.visitor_seconds == AT_HOME.line_seconds == math.inf
    assert AT_HOME.studies
    assert AT_HOME.labs


@pytest.mark.parametrize(
    ("host", "environ"),
    [("0.0.0.0", {}), (None, SPACE), (None, {"GRADIO_SERVER_NAME": "0.0.0.0"}), ("127.0.0.1", PROXY)],
)
def test_where_others_come_everything_has_a_limit(host: str | None, environ: Mapping[str, str]) -> None:
    found = limits_of(host, environ=environ)
    for name, value in IN_PUBLIC.items():
        assert getattr(found, name) == value
    assert all(math.isfinite(value) for name, value in found.model_dump().items() if name != "batch")
    assert found.behind_proxy == (environ is SPACE)


@pytest.mark.parametrize("said", ["false", "0", "No"])
def test_who_knows_better_says_so(said: str) -> None:
    assert limits_of("0.0.0.0", environ={"SD3DEMO_PUBLIC": said}) == AT_HOME


@pytest.mark.parametrize("name", Limits.model_fields)
def test_every_limit_has_a_variable_and_words(name: str) -> None:
    value, bounds = getattr(AT_HOME, name), bounds_of(Limits.model_fields[name])
    given = bounds[0] if bounds else not value
    found = getattr(limits_of(environ={variable(name): f"{given:.12g}" if bounds else str(given)}), name)
    assert found == given != value
    assert f"| `{variable(name)}` | {Limits.model_fields[name].description} |" in table()


def test_the_environment_is_over_the_card_and_the_card_over_the_rest_on_a_space_alone() -> None:
    card = {"run_seconds": 30, "places": 7}
    environ = {"SD3DEMO_RUN_SECONDS": "12.5"}
    assert limits_of(card=card, environ=environ).places == AT_HOME.places
    found = limits_of(card=card, environ=environ | SPACE)
    assert (found.run_seconds, found.places, found.studies) == (12.5, 7, False)
    assert limits_of("0.0.0.0", environ={"SD3DEMO_RUN_SECONDS": "inf"}).run_seconds == math.inf


def test_the_spacefile_holds_limits_that_exist() -> None:
    card = space_limits().page
    assert card
    found = limits_of(card=card, environ=SPACE).model_dump()
    assert {name: found[name] for name in card} == card


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"SD3DEMO_RUN_SECONDS": "0"}, r"SD3DEMO_RUN_SECONDS is 0; it must lie in \[0.1, inf\]"),
        ({"SD3DEMO_PLACES": "many"}, r"SD3DEMO_PLACES is many; it must be a whole number in \[1, 1000\]"),
        ({"SD3DEMO_STUDIES": "perhaps"}, "SD3DEMO_STUDIES is 'perhaps'; "),
        ({"SD3DEMO_PUBLIC": "perhaps"}, "SD3DEMO_PUBLIC is 'perhaps'; it must be true or false"),
        ({"SD3DEMO_RUN_SECONDS": "nan"}, "SD3DEMO_RUN_SECONDS is "),
    ],
)
def test_what_is_no_limit_is_a_sentence(environ: Mapping[str, str], words: str) -> None:
    with pytest.raises(Refusal, match=words):
        limits_of(environ=environ)


@pytest.mark.parametrize(
    ("said", "device", "runs"), [("auto", "cpu", MEASURED["cpu"]), ("auto", "cuda", 1), ("5", "cuda", 5)]
)
def test_what_gains_from_batches_has_them_unless_it_is_told_otherwise(
    said: str, device: str, runs: int
) -> None:
    found = limits_of(environ={"SD3DEMO_BATCH": said})
    assert batch_limit(found, device) == runs


@pytest.mark.parametrize("said", ["0", "17", "many"])
def test_a_batch_has_a_largest_size(said: str) -> None:
    with pytest.raises(Refusal, match="SD3DEMO_BATCH"):
        limits_of(environ={"SD3DEMO_BATCH": said})
