"""How fast the exact field answers to a move of its point or its time: `python -m tests.bench.field`."""

from statistics import median
from time import perf_counter

import torch

from sd3demo.ui.flow_lab.field import NAMES, FieldSettings, figures_and_field

MOVES = 60


def main() -> None:
    """Prints the milliseconds of an answer over moves of t and z, with one thread."""
    torch.set_num_threads(1)
    start = FieldSettings()
    seconds = []
    for k in range(MOVES + 1):
        moved = start.model_copy(update={"field_t": k / MOVES, "field_x": 3 - 6 * k / MOVES})
        begun = perf_counter()
        figures_and_field(*(getattr(moved, name) for name in NAMES))
        seconds.append(perf_counter() - begun)
    first, *others = (1000 * one for one in seconds)
    print(
        f"first {first:.0f} ms; then median {median(others):.1f}, worst {max(others):.1f} ms of {MOVES} moves"
    )


if __name__ == "__main__":
    main()
