"""What the engine keeps, and where: remembered texts, the preview's map, placements, the machine."""

import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from sd3demo.catalogue import EncoderInput
from sd3demo.engine import Budget, Engine
from sd3demo.engine.plan import device as machine
from sd3demo.engine.plan.memory import Placement
from sd3demo.engine.run.previews import fit
from sd3demo.engine.run.prompts import TextCache, TextKey
from sd3demo.errors import Refusal
from sd3demo.models.exact import Exact
from sd3demo.settings import Request
from tests.engine.runs import run

CIRCLE, SQUARE = "a red circle", "a blue square"


def asked(folder: Path, prompt: str = CIRCLE, **settings: object) -> Request:
    return Request.model_validate({"prompt": prompt, "model": str(folder), "steps": 3, **settings})


def test_a_prompt_that_comes_again_runs_no_encoder_and_gives_the_same_picture(
    checkpoint: Callable[..., Path],
) -> None:
    engine, folder = Engine(), checkpoint("sd3.5-medium")
    first, again = (run(asked(folder), engine=engine).finished for _ in range(2))
    assert (first.encoder_calls, again.encoder_calls) == (6, 0)
    assert np.array_equal(first.pictures[0], again.pictures[0])


@pytest.mark.parametrize(
    ("change", "calls"),
    [
        ({"prompt": SQUARE}, 3),  # the negative text is remembered
        ({"negative": SQUARE}, 3),
        ({"prompt_3": SQUARE}, 3),
        ({"t5": "zeros"}, 4),
        ({"max_sequence_length": 5}, 6),
        ({"seed": 4, "steps": 2, "cfg": 3, "width": 48}, 0),
    ],
)
def test_only_what_an_embedding_depends_on_encodes_it_anew(
    checkpoint: Callable[..., Path], change: dict[str, object], calls: int
) -> None:
    engine, folder = Engine(), checkpoint("sd3.5-medium")
    run(asked(folder), engine=engine)
    prompt = str(change.pop("prompt", CIRCLE))
    assert run(asked(folder, prompt, **change), engine=engine).finished.encoder_calls == calls


def test_another_models_embeddings_are_never_taken(checkpoint: Callable[..., Path]) -> None:
    engine = Engine()
    run(asked(checkpoint("sd3.5-medium")), engine=engine)
    assert run(asked(checkpoint("sd3.5-large")), engine=engine).finished.encoder_calls == 6


def test_the_texts_used_longest_ago_are_forgotten_first() -> None:
    cache, model = TextCache(size=2), Exact()
    keys = [
        TextKey("weights", "float32", (EncoderInput("words", word, "on", 1),))
        for word in ("red", "green", "blue")
    ]

    def calls(index: int) -> int:
        return cache.encode(model, keys[index]).encoder_calls

    assert [calls(0), calls(1), calls(0), calls(2)] == [1, 1, 0, 1]
    assert (calls(0), calls(1)) == (0, 1)


class Coloured(Exact):
    """A model whose latents are a linear map of its pictures, so that a preview can be exact."""

    matrix = torch.tensor([[2.0, 0.5, 0.0], [0.0, -1.0, 0.3], [0.4, 0.0, 3.0]])
    offset = torch.tensor([0.3, -0.2, 0.1])[:, None, None]

    def to_latent(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        return torch.einsum("dc,bchw->bdhw", self.matrix, image) + self.offset


def test_a_preview_undoes_a_linear_autoencoder_exactly() -> None:
    model = Coloured()
    picture = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(3)) * 2 - 1
    previews = fit(model, torch.device("cpu"))(model.to_latent(picture))
    expected = ((picture + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(np.stack(previews) - expected).max() <= 1


def test_a_preview_of_a_broken_latent_is_a_picture_all_the_same() -> None:
    (preview,) = fit(Exact(), torch.device("cpu"))(torch.full((1, 3, 4, 4), float("nan")))
    assert preview.shape == (4, 4, 3)


@pytest.mark.parametrize("kind", ["sd3.5-medium", "sd3-medium"])
@pytest.mark.parametrize("placement", get_args(Placement))
def test_every_placement_gives_the_same_latents(
    checkpoint: Callable[..., Path], kind: str, placement: str
) -> None:
    folder, engine = checkpoint(kind), Engine()
    expected = run(asked(folder)).latents
    for prompt, latents in ((CIRCLE, expected), (SQUARE, None), (CIRCLE, expected)):
        ran = run(asked(folder, prompt, placement=placement), engine=engine)
        assert ran.plan.placement == placement
        if latents is not None:
            torch.testing.assert_close(ran.latents, latents, rtol=0, atol=1e-4)


@pytest.mark.cuda
@pytest.mark.parametrize("placement", get_args(Placement))
def test_every_placement_gives_on_a_gpu_what_the_cpu_gives(
    checkpoint: Callable[..., Path], placement: str
) -> None:
    folder, engine = checkpoint("sd3.5-medium"), Engine()
    expected = run(asked(folder)).latents
    for _ in range(2):
        request = asked(folder, placement=placement, precision="float32")
        latents = run(request, engine=engine, budget=Budget("cuda")).latents
        torch.testing.assert_close(latents.cpu(), expected, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_bfloat16_is_near_float32(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("sd3.5-large")
    exact = run(asked(folder)).latents
    rough = run(asked(folder, precision="bfloat16")).latents
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().mean() < 0.1


@pytest.mark.skipif(not version("torch").endswith("+cpu"), reason="torch is built with CUDA")
def test_a_build_without_cuda_has_no_gpu() -> None:
    assert machine.budget().device == "cpu"
    with pytest.raises(Refusal, match="try --device cpu"):
        machine.budget("cuda")


@pytest.mark.parametrize(
    ("answer", "memory"),
    [("0, GPU-a, 81000\n1, GPU-b, 79000\n", 81000 * 2**20), ("", None), ("0, GPU-a, N/A", None)],
)
def test_the_memory_of_the_first_gpu_is_what_nvidia_smi_says(
    answer: str, memory: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "version", lambda name: "2.13.0")
    monkeypatch.setattr(machine.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    done = subprocess.CompletedProcess([], 0, stdout=answer, stderr="")
    monkeypatch.setattr(machine.subprocess, "run", lambda *words, **settings: done)
    found = machine.budget("auto")
    assert (found.device == "cuda") == (memory is not None)
    assert memory is None or found.memory == memory


def test_a_picture_of_sd3s_batch_is_the_single_picture_of_its_seed(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("sd3.5-medium")
    batch = run(asked(folder, count=3, seed=7)).latents
    for index in range(3):
        alone = run(asked(folder, seed=7 + index)).latents
        torch.testing.assert_close(batch[index : index + 1], alone, rtol=0, atol=1e-4)
