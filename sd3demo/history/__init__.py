"""Finished runs on the disk, and pictures whose receipts say how to make them again."""

from sd3demo.history.atomic_write import write_whole
from sd3demo.history.location import page_store, user_store
from sd3demo.history.model_lookup import FoundModel, model_for, model_on_offer
from sd3demo.history.receipts import Receipt, read_pixels, read_receipt, receipts_of, to_png
from sd3demo.history.store import Run, RunStore
from sd3demo.history.verifying import Verification, compare, single_request

__all__ = [
    "FoundModel",
    "Receipt",
    "Run",
    "RunStore",
    "Verification",
    "compare",
    "model_for",
    "model_on_offer",
    "page_store",
    "read_pixels",
    "read_receipt",
    "receipts_of",
    "single_request",
    "to_png",
    "user_store",
    "write_whole",
]
