"""What recorders may look at beside the steps: the preview, and what the patches attend to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from sd3demo.engine.plan.plan import Plan
from sd3demo.engine.run.previews import PreviewMap
from sd3demo.models.protocol import AttentionModel, Conditioning, FlowModel
from sd3demo.settings import text_inputs


def _nothing(x: Tensor, t: float, blocks: Sequence[int]) -> Iterator[Tensor]:
    return iter(())


@dataclass(frozen=True, eq=False)
class RecorderContext:
    """`attention(x, t, blocks)` gives, for each block, each patch's share of attention on each of the words.

    Those are (B, N, U); where there are no words there is none to be had.
    """

    preview: PreviewMap
    words: tuple[tuple[str, str], ...] = ()
    depth: int = 0
    attention: Callable[[Tensor, float, Sequence[int]], Iterator[Tensor]] = _nothing


def recorder_context(
    plan: Plan, model: FlowModel, preview: PreviewMap, conditioning: Conditioning
) -> RecorderContext:
    """The context of a run. Words are read only where somebody records the attention on them.

    The attention is that of the prompt's own branch.
    """
    if "attention" not in plan.recorders or not isinstance(model, AttentionModel):
        return RecorderContext(preview)
    words = model.words(text_inputs(plan.request, plan.spec))

    def attention(x: Tensor, t: float, blocks: Sequence[int]) -> Iterator[Tensor]:
        return model.attention(x, t, conditioning, words.groups, blocks)

    return RecorderContext(preview, words.words, plan.spec.network.depth, attention)
