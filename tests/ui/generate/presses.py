"""A press of Generate without a browser: the form's values are taken down, and their run goes on."""

from collections.abc import Iterator, Sequence

from sd3demo.ui.generate.handlers import GenerateHandlers, is_wanted
from sd3demo.ui.run.run_status import RunStatus
from sd3demo.ui.run.visit import Visit


def pressed(
    answers: GenerateHandlers, values: Sequence[object], *, reseed: bool = False, visit: Visit | None = None
) -> Iterator[tuple[RunStatus, list[object]]]:
    """The updates of a press: pictures, strip, story, and the seed and the prompt of the form."""
    visit = visit or Visit()
    answers.pressed(RunStatus(), visit, reseed, *values)
    assert is_wanted(visit)
    return answers.run(visit)
