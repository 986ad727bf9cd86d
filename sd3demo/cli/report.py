"""Output of a command: its result on stdout, as JSON or text, and its progress on stderr.

Of several processes that torchrun started the first alone says anything.
"""

import json
import sys
from collections.abc import Mapping

from sd3demo.engine.plan.ranks import leads


class Report:
    """The output streams of a command."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._silent = not leads()
        self._open = False  # whether the cursor stands at the end of a progress line

    def progress(self, text: str) -> None:
        """Print progress: one line that is overwritten on a terminal, a line each elsewhere."""
        if self._silent:
            return
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._open = True
        else:
            print(text, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Print a remark on a line of its own, which later progress does not overwrite."""
        if self._silent:
            return
        self._end_line()
        print(text, file=sys.stderr, flush=True)

    def result(self, values: Mapping[str, object], text: str) -> None:
        """Print the result: `values` as a JSON object in one line with --json, else `text`."""
        self._end_line()
        print(json.dumps(values, ensure_ascii=True) if self._json else text, flush=True)

    def _end_line(self) -> None:
        if self._open:
            print(file=sys.stderr)
            self._open = False
