"""What stays of a run: a folder, whole or not there at all, and pictures that tell how they were made."""

from sd3demo.history.atomic_write import write_whole
from sd3demo.history.location import of_page, own
from sd3demo.history.receipts import Receipt, read_pixels, read_receipt, receipts_of, to_png
from sd3demo.history.store import Run, RunStore
from sd3demo.history.verifying import Verification, alone, compare

__all__ = [
    "Receipt",
    "Run",
    "RunStore",
    "Verification",
    "alone",
    "compare",
    "of_page",
    "own",
    "read_pixels",
    "read_receipt",
    "receipts_of",
    "to_png",
    "write_whole",
]
