"""What each process of the test of context parallelism does: velocities of a checkpoint, saved by the first.

`python -m torch.distributed.run --nproc-per-node 2 -m tests.models.context_parallel_worker FOLDER OUT`
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from sd3demo.catalogue import find
from sd3demo.engine.plan.ranks import leads, world_size
from sd3demo.engine.run.process_group import join_process_group
from sd3demo.flow.extrapolation.tuning import Toolkit
from sd3demo.flow.solvers import At
from sd3demo.models import load
from sd3demo.models.context_parallel import parallelise
from sd3demo.models.protocol import Dials
from tests.models.inputs import inputs

NATIVE = (16, 16)
TOOLKITS: Mapping[str, Toolkit] = {
    "neutral": Toolkit(),
    "scaled": Toolkit(native=NATIVE, attention_scale=1.2),
    "copies": Toolkit(native=NATIVE, text_copies=4.0),
    "all": Toolkit("interpolate", NATIVE, 1.1, 2.5, half_patch=True),
    "aligned": Toolkit(native=NATIVE, aligned_steps=3),
}
SIZES = ((24, 20), (22, 18))  # the second has an odd number of patches


def velocities(folder: str) -> Iterator[tuple[str, Tensor]]:
    """The velocity of each toolkit and size, on however many processes there are."""
    model = load(find(folder), torch.float32)
    if world_size() > 1:
        join_process_group(torch.device("cpu"))
        parallelise(model.parts["flow"], world_size())
    texts = [model.encode(inputs(model.spec, text)) for text in ("a red circle", "")]
    for name, toolkit in TOOLKITS.items():
        for size in SIZES:
            shape = (2, model.spec.latent.channels, *size)
            x = torch.randn(shape, generator=torch.Generator().manual_seed(5))
            rows = model.network(texts, Dials((0.9,), toolkit))
            yield f"{name} {size[0]}", rows(x, [At(0.9, 0, 4)] * 2, [0, 1])


if __name__ == "__main__":
    with torch.inference_mode():
        found = dict(velocities(sys.argv[1]))
    if leads():
        torch.save(found, Path(sys.argv[2]))
