"""Where runs are kept: in a folder that was named, in the user's own, or, where people share a page, nowhere.

The environment decides what no flag does: `SD3DEMO_RUNS` is a folder or `off`, `SD3DEMO_RUNS_GIB` the size
that all runs together may have, and `SPACE_ID` says that this is a Space of the Hub.
"""

import os
from pathlib import Path

from sd3demo.errors import Refusal
from sd3demo.history.store import LIMIT, RunStore

FOLDER, SIZE, SPACE, HOST = "SD3DEMO_RUNS", "SD3DEMO_RUNS_GIB", "SPACE_ID", "GRADIO_SERVER_NAME"
OFF = "off"
ALONE = ("127.0.0.1", "localhost", "::1")


def own(folder: Path | None = None, gib: float | None = None) -> RunStore:
    """The store of one person: the command line's."""
    named = os.environ.get(FOLDER, "")
    place = folder or (Path(named) if named and named != OFF else _home())
    return RunStore(place.expanduser(), _limit(gib))


def of_page(runs: str | None = None, gib: float | None = None, host: str | None = None) -> RunStore | None:
    """The store of a page, None where it keeps no history.

    Whoever opens a page sees all of its history. So it keeps one by itself only where nobody else can come:
    not on a Space, and not on an address that other machines reach. A folder that is named is a wish for it.
    """
    named = runs or os.environ.get(FOLDER, "")
    if named == OFF:
        return None
    if not named and (os.environ.get(SPACE) or (host or os.environ.get(HOST, ALONE[0])) not in ALONE):
        return None
    return own(Path(named) if named else None, gib)


def _home() -> Path:
    """`sd3demo/runs` where the system keeps programs' data."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "sd3demo" / "runs"


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
