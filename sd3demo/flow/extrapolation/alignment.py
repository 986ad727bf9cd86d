"""Spatial position alignment, SPA (Xue et al., 2026: HRDiT, eq. 6): bundles of patches share a position.

Along each side N neighbouring patches are one bundle, whose number stands in the place of their own, so that
positions stay within those of training. N borders are possible; attention is averaged over them, which gives
patches of one bundle back what sets them apart. No torch.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bundling:
    """Bundles of `size` patches down and across, the first of which holds `first`."""

    first: tuple[int, int]
    size: tuple[int, int]

    def along(self, axis: int, count: int, *, shifted: bool = False) -> tuple[float, ...]:
        """Return the position of each of `count` patches along the rows, axis 0, or the columns, 1.

        Shifted by half a patch there is one more, half a patch before the others.
        """
        first, size = self.first[axis], self.size[axis]
        return tuple(bundle(place, first, size) - shifted / (2 * size) for place in range(count + shifted))


def bundle(place: int, first: int, size: int) -> int:
    """phi_n(p) = 0 for p < n, else ceil((p + 1 - n) / N): the bundle of a patch."""
    return 0 if place < first else -(-(place + 1 - first) // size)


def bundlings(size: tuple[int, int], native: tuple[int, int]) -> tuple[Bundling, ...]:
    """Return the bundlings that attention is averaged over, for a picture of so many patches a side.

    As in HRDiT's release the borders slide along one side while those of the other stay. N is the scale,
    rounded up; where it is 1 there is one bundling, of each patch for itself. A native side of 0 is the
    picture's own.
    """
    down, across = (-(-count // (own or count)) for count, own in zip(size, native, strict=True))
    firsts = [(down, across)]
    firsts += [(first, across) for first in range(1, down)]
    firsts += [(down, first) for first in range(1, across)]
    return tuple(Bundling(first, (down, across)) for first in firsts)
