"""Errors as one sentence for a person: the one place of the page that turns them into words."""

import logging
from collections.abc import Mapping

from sd3demo.errors import Failure, Refusal

log = logging.getLogger(__name__)

UNEXPECTED = "something went wrong that should not have; the details are in the log of whoever runs this page"


def sentence(error: Exception, titles: Mapping[str, str]) -> str:
    """What to tell a person. A traceback goes to the log, for those who run the page.

    A sentence begins with the setting at fault; `titles` are what the settings are called where it is read.
    """
    if isinstance(error, Refusal | Failure):
        first, _, rest = " ".join(str(error).split()).partition(" ")
        return f"{titles.get(first, first)} {rest}"
    log.error("a run failed", exc_info=error)
    return UNEXPECTED
