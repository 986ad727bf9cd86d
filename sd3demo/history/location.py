"""Where runs are saved: in a folder that was named, in the user's own, or nowhere.

The environment decides what no flag does: `SD3DEMO_RUNS` is a folder or `off`, `SD3DEMO_RUNS_GIB` the size
that all runs together may have, and `SPACE_ID` says that this is a Space of the Hub.
"""

import os
from pathlib import Path

from sd3demo.catalogue.user_folders import user_data
from sd3demo.errors import Refusal
from sd3demo.history.store import LIMIT, RunStore

FOLDER, SIZE, SPACE, HOST = "SD3DEMO_RUNS", "SD3DEMO_RUNS_GIB", "SPACE_ID", "GRADIO_SERVER_NAME"
OFF = "off"
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def user_store(runs: str | Path | None = None, gib: float | None = None) -> RunStore | None:
    """Return the store of one person, the command line's; None where the history is off."""
    named = str(runs or os.environ.get(FOLDER, ""))
    if named == OFF:
        return None
    return RunStore(Path(named).expanduser() if named else user_data() / "runs", _limit(gib))


def page_store(runs: str | None = None, gib: float | None = None, host: str | None = None) -> RunStore | None:
    """Return the store of a page, None where it keeps no history.

    Whoever opens a page sees all of its history. So it keeps one by itself only where nobody else can come:
    not on a Space, and not on an address that other machines reach. A folder that is named is a wish for it.
    """
    named = runs or os.environ.get(FOLDER, "")
    if not named and is_public(host):
        return None
    return user_store(runs, gib)


def is_public(host: str | None = None) -> bool:
    """Return whether other people reach a page: one on a Space, or on an address that is not local."""
    return bool(os.environ.get(SPACE)) or (host or os.environ.get(HOST, LOCAL_HOSTS[0])) not in LOCAL_HOSTS


def _limit(gib: float | None) -> int:
    given = os.environ.get(SIZE, "")
    try:
        size = float(given) if gib is None and given else gib
    except ValueError:
        size = -1.0
    if size is None:
        return LIMIT
    if not 0 < size < 2**20:
        raise Refusal(f"{SIZE} is {given!r}; it must be a number of GiB above 0, such as 4")
    return int(size * 2**30)
