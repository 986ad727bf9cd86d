"""`/study`, the endpoint that runs an experiment to its table."""

from collections.abc import Mapping
from contextlib import closing

from pydantic import JsonValue

from sd3demo.errors import Failure, Refusal
from sd3demo.studies.study import STUDIES, Table, find_study
from sd3demo.ui.api.endpoint import ApiEndpoint
from sd3demo.ui.api.parameters import ApiParameter
from sd3demo.ui.context import Core
from sd3demo.ui.studies.handlers import MOST, allowed_settings
from sd3demo.ui.studies.in_turn import refuse_where_off, study_in_turn

PARAMETERS = (
    ApiParameter("name", str, "Study", f"One of {', '.join(STUDIES)}.", required=True),
    ApiParameter(
        "settings",
        dict[str, object] | None,
        "Settings",
        f"Of the study, by name; what is left out has its default. `n` is at most {MOST} here.",
    ),
)


def study(core: Core) -> ApiEndpoint:
    """The endpoint of studies."""

    def answer(values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        found = find_study(str(values["name"]))
        refuse_where_off(core)
        given = values["settings"] or {}
        if not isinstance(given, dict):
            raise Refusal(f"settings is a {type(given).__name__}; give names and values")
        settings = allowed_settings(core, found, given)
        with closing(study_in_turn(core, found, settings)) as news:
            for one in news:
                if isinstance(one, Table):
                    return _table_json(one)
        raise Failure("the study ended without a table")

    return ApiEndpoint(
        "study",
        "Runs an experiment to its table; what a page with a history measured before is not measured again. "
        "It stops within a step of being cancelled, or of its client going away.",
        PARAMETERS,
        {"Table": dict[str, object]},
        answer,
        queued=True,
    )


def _table_json(table: Table) -> dict[str, JsonValue]:
    return {
        "study": table.study,
        "columns": [column.name for column in table.columns],
        "units": {column.name: column.unit for column in table.columns if column.unit},
        "rows": [list(row.values) for row in table.rows],
        "caption": table.caption,
    }
