"""`python -m tests.soak`: the real page under load, kills, nonsense, cancels, faults and many sessions.

It prints a table and ends with 1 where a figure is missed; `--json FILE` writes the same for programs.
`--record` writes tests/soak/results.json, from which `python -m tests.test_readme` makes the README's table.
Without a name all parts run, one after another.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.soak import cancels, faults, fuzz, kills, load, sessions
from tests.soak.figures import Part, record, table, to_json

PARTS: Mapping[str, tuple[int, Callable[[argparse.Namespace, int], Part]]] = {
    "load": (0, lambda words, count: load.measure(words.seconds, words.clients, words.hostile, words.seed)),
    "kills": (100, lambda words, count: kills.measure(count, words.seed)),
    "fuzz": (5000, lambda words, count: fuzz.measure(count, words.seed)),
    "cancels": (200, lambda words, count: cancels.measure(count, words.seed)),
    "faults": (0, lambda words, count: faults.measure()),
    "sessions": (600, lambda words, count: sessions.measure(count)),
}
"""Each part with how often it does what it does, where that is a number."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--seconds", type=float, default=600, help="of the load")
    parser.add_argument("--clients", type=int, default=50, help="of the load")
    parser.add_argument("--hostile", type=float, default=0.25, help="share of its clients")
    parser.add_argument("--count", type=int, help="of kills, calls, cancels or sessions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--record", action="store_true", help="write the results that the README shows")
    words = parser.parse_args()
    if unknown := [name for name in words.parts if name not in PARTS]:
        parser.error(f"unknown part {unknown[0]!r}; choose of {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # the page ends with it
    found: list[Part] = []
    for name in words.parts or PARTS:
        count, measure = PARTS[name]
        part = measure(words, words.count or count)
        found.append(part)
        print(f"{table([part])}\n", flush=True)
        for fault in part.faults:
            print(f"  {fault}", file=sys.stderr, flush=True)
        if words.record:
            record([part])
    if words.json:
        words.json.write_text(json.dumps(to_json(found), indent=1) + "\n")
    return 0 if all(part.holds for part in found) else 1


if __name__ == "__main__":
    sys.exit(main())
