"""The two ways in which a job ends without its result, each carrying one sentence for a person.

A sentence says what was given, what is allowed and what to try. Nothing below the command line and the page
catches these; those two show the sentence and nothing else. `reason` is one word for whoever counts them.
"""

from typing import ClassVar


class Refusal(ValueError):  # noqa: N818
    """Bad input: nothing was started and nothing is left behind (exit code 2)."""

    reason: ClassVar[str] = "input"


class Failure(RuntimeError):  # noqa: N818
    """The input was good and the work went wrong all the same (exit code 1)."""

    reason: ClassVar[str] = "failure"


class OutOfMemory(Failure):
    """The memory ran out, also with one level less of it in use."""

    reason: ClassVar[str] = "memory"
