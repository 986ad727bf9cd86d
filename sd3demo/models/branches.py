"""The branches of guidance from a network call: the conditional and the unconditional one in one batch."""

from collections.abc import Mapping

from torch import Tensor

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
