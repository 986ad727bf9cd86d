"""A picture against its receipt: what to run again, and what the two pictures say of each other. Pure."""

from dataclasses import dataclass

import numpy as np

from sd3demo.engine.events import Finished, Pixels
from sd3demo.history.receipts import Receipt
from sd3demo.settings import Resolved

TOLERANCE = 1 / 255  # one level of eight bits: another machine may round the last digit otherwise


@dataclass(frozen=True)
class Verification:
    """What a rerun found. `max_abs_diff` is of all bytes of the two pictures, in [0, 1]."""

    max_abs_diff: float
    noise_equal: bool
    weights_equal: bool
    sigmas_equal: bool

    @property
    def equal(self) -> bool:
        """Whether this is the picture of the receipt. Other weights that give the same picture are no lie."""
        return self.max_abs_diff <= TOLERANCE + 1e-9 and self.noise_equal

    @property
    def differing(self) -> tuple[str, ...]:
        """What the rerun has otherwise than the receipt says."""
        found = {"noise": self.noise_equal, "weights": self.weights_equal, "sigmas": self.sigmas_equal}
        return tuple(name for name, same in found.items() if not same)

    @property
    def verdict(self) -> str:
        """In words: `equal: the largest difference is 0/255`."""
        notes = (
            f"; the {' and the '.join(self.differing)} differ from the receipt's" if self.differing else ""
        )
        levels = round(self.max_abs_diff * 255)
        return f"{'equal' if self.equal else 'NOT equal'}: the largest difference is {levels}/255{notes}"


def alone(receipt: Receipt) -> Resolved:
    """The request for the one picture of a receipt: in a batch its seed is the first one's plus its place."""
    request = receipt.request
    return request.model_copy(update={"seed": request.seed + receipt.picture, "count": 1})


def compare(receipt: Receipt, shown: Pixels, rerun: Finished) -> Verification:
    """The picture of a file, (H, W, 3), with what a run of `alone(receipt)` has made."""
    return Verification(
        max_abs_diff=float(np.abs(rerun.pictures[0].astype(int) - shown).max()) / 255,
        noise_equal=rerun.noise_sha256[0] == receipt.noise_sha256,
        weights_equal=rerun.weights_sha256 == receipt.weights_sha256,
        sigmas_equal=len(rerun.sigmas) == len(receipt.sigmas)
        and bool(np.allclose(rerun.sigmas, receipt.sigmas, rtol=0, atol=1e-12)),
    )
