"""A picture against its receipt: the request to run again, and the comparison of the two pictures. Pure."""

from dataclasses import dataclass

import numpy as np

from sd3demo.engine.events import Finished, Pixels
from sd3demo.history.receipts import Receipt
from sd3demo.settings import Resolved

TOLERANCE = 1 / 255  # one level of eight bits: another machine may round the last digit otherwise


@dataclass(frozen=True)
class Verification:
    """The result of a rerun. `max_abs_diff` is over all bytes of the two pictures, in [0, 1]."""

    max_abs_diff: float
    noise_equal: bool
    weights_equal: bool
    sigmas_equal: bool

    @property
    def equal(self) -> bool:
        """Return whether this is the picture of the receipt; other weights may give the same one."""
        return self.max_abs_diff <= TOLERANCE + 1e-9 and self.noise_equal

    @property
    def differing(self) -> tuple[str, ...]:
        """Return what differs between the rerun and the receipt, beside the picture."""
        found = {"noise": self.noise_equal, "weights": self.weights_equal, "sigmas": self.sigmas_equal}
        return tuple(name for name, same in found.items() if not same)

    @property
    def verdict(self) -> str:
        """Return the result in words: `equal: the largest difference is 0/255`."""
        notes = (
            f"; the {' and the '.join(self.differing)} differ from the receipt's" if self.differing else ""
        )
        levels = round(self.max_abs_diff * 255)
        return f"{'equal' if self.equal else 'NOT equal'}: the largest difference is {levels}/255{notes}"


def single_request(receipt: Receipt, model: str = "") -> Resolved:
    """Return the request for the one picture of a receipt, with the model that was found for it.

    In a batch a picture's seed is the first one's plus its place.
    """
    request = receipt.request
    changed = {"seed": request.seed + receipt.picture, "count": 1, "model": model or request.model}
    return request.model_copy(update=changed)


def compare(receipt: Receipt, shown: Pixels, rerun: Finished) -> Verification:
    """Compare the picture of a file, (H, W, 3), with that of a run of `single_request(receipt)`."""
    return Verification(
        max_abs_diff=float(np.abs(rerun.pictures[0].astype(int) - shown).max()) / 255,
        noise_equal=rerun.noise_sha256[0] == receipt.noise_sha256,
        weights_equal=rerun.weights_sha256 == receipt.weights_sha256,
        sigmas_equal=len(rerun.sigmas) == len(receipt.sigmas)
        and bool(np.allclose(rerun.sigmas, receipt.sigmas, rtol=0, atol=1e-12)),
    )
