"""I-Max's changes to a network beyond its native size (section 2.3), as numbers. No torch.

They apply to the larger stages; `NEUTRAL` is the network as it was trained. The paper's positions are for
rotary embeddings, whose phases are relative: NTK-aware scaling keeps what a patch sees of its neighbours.
SD3's table is absolute, added to the input once, and a phase beyond it is one that the network never saw. SD3
itself spaces a larger grid by 256 / S (SD3, section 5.3.2), which is `interpolate` here.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sd3demo.flow.extrapolation.alignment import Bundling, bundlings
from sd3demo.flow.solvers import At

Exponent: TypeAlias = Callable[[float, float], float]
"""How much of the scale s a position's spacing gives up: it is s^-e, for e at (t, rank) in [0, 1].

rank orders frequencies: 0 is the highest, 1 the lowest, evenly in the logarithm. Of a table the lowest is its
own last one; of RoPE, with theta^(-2k/d), the rank is 2k/d, so that the last one falls a little short of 1.
"""

CopiesAt = Literal["origin", "grid"]
"""Where copies of the text stand: all at the text's own position, which is a bias, or one in each window."""

TIME_AWARE_UNTIL = 0.3  # of the way from noise to data (Lumina-Next, section 3.2)


@dataclass(frozen=True)
class Toolkit:
    """The changes to a network at a size other than its native one.

    `positions` names one of POSITIONS, of a picture whose native size is `native` = (rows, columns) of the
    latent. Attention logits are multiplied by `attention_scale`, and each token of the text counts as
    `text_copies` tokens, any real number above 0; where text has positions, `copies_at` grid puts whole
    copies at the corners of the windows of native size that fit into the picture. `ntk` widens the base of
    RoPE beside the scale. With `half_patch` the borders between patches move by half a patch at every second
    step. In the first `aligned_steps` steps attention is averaged over bundles of positions (alignment.py).
    """

    positions: str = "extend"
    native: tuple[int, int] = (0, 0)
    attention_scale: float = 1.0
    text_copies: float = 1.0
    half_patch: bool = False
    ntk: float = 1.0
    copies_at: CopiesAt = "origin"
    aligned_steps: int = 0

    @property
    def neutral(self) -> bool:
        """Whether this is the network as it was trained."""
        plain = (self.positions, self.attention_scale, self.text_copies, self.half_patch, self.aligned_steps)
        return plain == ("extend", 1.0, 1.0, False, 0)

    @property
    def text_repeats(self) -> int:
        """How many times the text's tokens are in the sequence; copies that are a bias are not."""
        return round(self.text_copies) if self.copies_at == "grid" else 1

    def shifted(self, at: At) -> bool:
        """Whether patches are moved in a step: in every second one, and never in the last."""
        return self.half_patch and (at.count - 1 - at.index) % 2 == 1

    def aligned(self, at: At) -> bool:
        """Whether attention is averaged over bundles of positions in a step."""
        return at.index < self.aligned_steps

    def bundlings(self, size: tuple[int, int], patch: int, at: At) -> tuple[Bundling, ...]:
        """Return what attention is averaged over in a step, for a picture of `size` patches; () for nothing.

        A single bundling is that of each patch for itself, and nothing to average over.
        """
        if not self.aligned(at):
            return ()
        found = bundlings(size, (self.native[0] // patch, self.native[1] // patch))
        return found if len(found) > 1 else ()


NEUTRAL = Toolkit()


def attention_scale(policy: str, native_keys: float, keys: float, scale: float) -> float:
    """Return the factor of the attention logits under one of ATTENTION's policies.

    `log` is sqrt(log_T L) for T native keys and L present ones, the factor of Jin et al. (2024) and of
    I-Max's release; `paper` the s that the I-Max paper prints in its place while it cites them.
    """
    return {
        "off": 1.0,
        "log": math.sqrt(math.log(keys) / math.log(native_keys)) if native_keys > 1 else 1.0,
        "paper": scale,
    }[policy]


def grid_copies(size: tuple[int, int], native: tuple[int, int]) -> tuple[int, int]:
    """Return how many windows of native size fit into a picture, down and across, at least one each."""
    down, across = (max(side // own, 1) for side, own in zip(size, native, strict=True))
    return down, across


def widened_rank(rank: float, scale: float, ntk: float) -> float:
    """Return the rank under a base of RoPE that is multiplied by ntk s in place of s (I-Max, section 2.3).

    (b ntk s)^(-r) = b^(-r) s^(-r (1 + ln ntk / ln s)). Interpolation, 1, is the most: a frequency below it
    would turn less than was ever trained.
    """
    return min(1.0, rank * (1 + math.log(ntk) / math.log(scale)))


def _interpolate(t: float, rank: float) -> float:
    """All positions within the native window, 1/s apart."""
    return 1.0


def _per_frequency(t: float, rank: float) -> float:
    """NTK-aware scaling, base b' = b s: the highest frequency as it is, the lowest interpolated.

    On a table as SD3's it is nearly as far from training as `extend`.
    """
    return rank


def _scheduled(t: float, rank: float) -> float:
    """From interpolated at noise, where the composition is decided, to the table's own spacing at data."""
    return t


def _time_aware(t: float, rank: float) -> float:
    """Interpolated first, then by frequency."""
    return 1.0 if 1 - t < TIME_AWARE_UNTIL else rank


def _extend(t: float, rank: float) -> float:
    """The table's own spacing, from its middle outwards."""
    return 0.0


POSITIONS: Mapping[str, Exponent] = {
    "extend": _extend,
    "interpolate": _interpolate,
    "per-frequency": _per_frequency,
    "per-frequency-2.5": _per_frequency,
    "scheduled": _scheduled,
    "time-aware": _time_aware,
}
BASES: Mapping[str, float] = {"per-frequency-2.5": 2.5}
"""What the base is multiplied by beside the scale, b' = 2.5 b s for Flux (I-Max, section 2.3); else 1."""
ATTENTION = ("off", "log", "paper")
VARYING = ("scheduled", "time-aware")
"""The policies of positions that change with t."""
