"""How a command speaks: its result on stdout, as JSON or for people, and its progress on stderr."""

import json
import sys
from collections.abc import Mapping


class Report:
    """Where a command's words go."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._open = False  # whether a line of progress stands unfinished on the terminal

    def progress(self, text: str) -> None:
        """News of the work: one line that renews itself on a terminal, a line each elsewhere."""
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._open = True
        else:
            print(text, file=sys.stderr, flush=True)

    def result(self, values: Mapping[str, object], text: str) -> None:
        """The one result: `values` as a JSON object in one line, or `text` for people."""
        if self._open:
            print(file=sys.stderr)
        print(json.dumps(values, ensure_ascii=True) if self._json else text, flush=True)
