"""The branches of guidance from a network call: the conditional and the unconditional one in one batch."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from sd3demo.flow.extrapolation.tuning import Toolkit
from sd3demo.flow.guidance import Branch, Branches
from sd3demo.flow.solvers import At
from sd3demo.models.protocol import Rows


def branches_of(rows: Rows, texts: Mapping[Branch, int]) -> Branches:
    """Branches whose texts are these among the network call's.

    The skipped branch reads the conditional text and is a call of its own, since other blocks are run for it.
    """

    def branches(x: Tensor, at: At, wanted: tuple[Branch, ...]) -> tuple[Tensor, ...]:
        batched = [branch for branch in wanted if branch != "skipped"]
        answers: dict[Branch, Tensor] = {}
        if batched:
            numbers = [texts[branch] for branch in batched for _ in range(len(x))]
            v = rows(x.repeat(len(batched), 1, 1, 1), [at] * len(numbers), numbers)
            answers = dict(zip(batched, v.chunk(len(batched)), strict=True))
        if "skipped" in wanted:
            answers["skipped"] = rows(x, [at] * len(x), [texts["conditional"]] * len(x), skip=True)
        return tuple(answers[branch] for branch in wanted)

    return branches


def check_rows(toolkit: Toolkit, at: Sequence[At], lengths: Sequence[int]) -> int:
    """Return the text length of a call's rows. Raises ValueError for rows that cannot go into one call."""
    if len(set(lengths)) > 1:
        raise ValueError(
            f"the rows have texts of {', '.join(map(str, sorted(set(lengths))))} tokens; rows of one length "
            "go into one call: ask for the others in another"
        )
    if len({toolkit.shifted(each) for each in at}) > 1:
        raise ValueError(
            "some rows are shifted by half a patch and others are not; ask for them in two calls"
        )
    if len({toolkit.aligned(each) for each in at}) > 1:
        raise ValueError(
            "attention of some rows is averaged over positions and of others not; ask for them in two calls"
        )
    return lengths[0]
