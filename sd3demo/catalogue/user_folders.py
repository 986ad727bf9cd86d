"""The folder in which the system keeps this user's data of sd3demo: runs, measured cells, known models."""

import os
from pathlib import Path

import platformdirs

APP = "sd3demo"


def user_data() -> Path:
    """Return the folder, which need not exist yet.

    Up to version 0.1 it was `$XDG_DATA_HOME` or `~/.local/share` on every system. Where such a folder is
    there it stays in use, so that no history is lost.
    """
    data = os.environ.get("XDG_DATA_HOME")
    first = (Path(data) if data else Path.home() / ".local" / "share") / APP
    return first if data or first.is_dir() else platformdirs.user_data_path(APP, appauthor=False)
