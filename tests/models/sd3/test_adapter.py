"""What SD3's adapter promises the engine: texts, branches, the VAE's scale, and refusals."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sd3demo.catalogue import find
from sd3demo.errors import Refusal
from sd3demo.flow.guidance import Branch
from sd3demo.flow.solvers import At
from sd3demo.models import load
from sd3demo.models.protocol import Conditioning, Dials, EncoderModes, Texts
from sd3demo.models.sd3.adapter import SD3
from sd3demo.models.sd3.modulation import WINDOW

CIRCLE = Texts(*["a red circle"] * 3)
SQUARE = Texts(*["a blue square"] * 3)
TOKENS = 9


@pytest.fixture(scope="module")
def model(checkpoint: Callable[..., Path]) -> SD3:
    made = load(find(str(checkpoint("sd3.5-medium"))), torch.float32)
    assert isinstance(made, SD3)
    return made


def encoded(model: SD3, texts: Texts = CIRCLE, **modes: str) -> Conditioning:
    return model.encode(texts, EncoderModes(t5_tokens=TOKENS, **modes))  # type: ignore[arg-type]


@torch.inference_mode()
def test_zeros_keep_t5s_tokens_and_omitting_leaves_them_out(model: SD3) -> None:
    on, zeros, omitted = (encoded(model, t5=mode).tokens for mode in ("on", "zeros", "omit"))
    assert on.shape == zeros.shape == (1, 2 * TOKENS, 48)
    assert torch.equal(zeros[:, TOKENS:], torch.zeros(1, TOKENS, 48))
    assert torch.equal(on[:, :TOKENS], zeros[:, :TOKENS])
    assert torch.equal(omitted, on[:, :TOKENS])


@torch.inference_mode()
def test_empty_is_what_t5_makes_of_an_empty_text(model: SD3) -> None:
    empty = encoded(model, t5="empty").tokens
    assert torch.equal(empty, encoded(model, Texts("a red circle", "a red circle", "")).tokens)
    assert not torch.equal(empty, encoded(model).tokens)


@pytest.mark.parametrize(
    ("clip", "columns", "pooled"), [("clip_l", (0, 16), (0, 12)), ("clip_g", (16, 40), (12, 24))]
)
@torch.inference_mode()
def test_a_clip_that_is_zeroed_loses_its_tokens_and_its_pooled_vector(
    model: SD3, clip: str, columns: tuple[int, int], pooled: tuple[int, int]
) -> None:
    on, off = encoded(model), encoded(model, **{clip: "zeros"})
    assert not off.tokens[:, :TOKENS, slice(*columns)].any()
    assert not off.pooled[:, slice(*pooled)].any()
    assert on.tokens[:, :TOKENS, slice(*columns)].any()
    assert int((off.pooled != 0).sum()) == 12
    assert off.encoder_calls == on.encoder_calls - 1


@torch.inference_mode()
def test_each_encoder_reads_its_own_text(model: SD3) -> None:
    base = encoded(model, CIRCLE)
    for index, (rows, columns) in enumerate([((0, 9), (0, 16)), ((0, 9), (16, 40)), ((9, 18), (0, 48))]):
        words = ["a red circle"] * 3
        words[index] = "a blue square"
        changed = encoded(model, Texts(*words)).tokens != base.tokens
        assert changed[:, slice(*rows), slice(*columns)].any()
        changed[:, slice(*rows), slice(*columns)] = False
        assert not changed.any()


@torch.inference_mode()
def test_branches_asked_together_are_those_asked_alone(model: SD3) -> None:
    conditionings: dict[Branch, Conditioning] = {
        "conditional": encoded(model),
        "unconditional": encoded(model, SQUARE),
    }
    branches = model.branches(conditionings, Dials((0.5,)))
    x, at = torch.randn(2, 16, 16, 16), At(0.5, 0, 1)
    both = branches(x, at, ("conditional", "unconditional"))
    for name, velocity in zip(conditionings, both, strict=True):
        (alone,) = branches(x, at, (name,))
        torch.testing.assert_close(velocity, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-3)


@torch.inference_mode()
def test_a_time_that_was_not_announced_is_answered_too(model: SD3) -> None:
    conditionings: dict[Branch, Conditioning] = {"conditional": encoded(model)}
    x, at = torch.randn(1, 16, 16, 16), At(0.123, 0, 1)
    (announced,) = model.branches(conditionings, Dials((0.5, 0.123)))(x, at, ("conditional",))
    (surprise,) = model.branches(conditionings, Dials())(x, at, ("conditional",))
    torch.testing.assert_close(announced, surprise, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_times_beyond_one_window_are_answered_alike(model: SD3) -> None:
    conditionings: dict[Branch, Conditioning] = {"conditional": encoded(model)}
    times = tuple(1 - i / (2 * WINDOW + 3) for i in range(2 * WINDOW + 2))
    ahead, alone = model.branches(conditionings, Dials(times)), model.branches(conditionings, Dials())
    x = torch.randn(1, 16, 8, 8)
    for t in (times[0], times[WINDOW - 1], times[WINDOW], times[-1], times[0]):
        (one,), (other,) = (branches(x, At(t, 0, 1), ("conditional",)) for branches in (ahead, alone))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_latents_carry_the_vaes_scale_and_shift(model: SD3) -> None:
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    raw = model.vae.encode(image).latent_dist.mode()
    torch.testing.assert_close(model.to_latent(image), (raw - 0.0609) * 1.5305)
    torch.testing.assert_close(model.to_image(model.to_latent(image)), model.vae.decode(raw).sample)


@pytest.fixture
def folder(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint("sd3.5-medium"), tmp_path / "model"))


@pytest.mark.parametrize("component", ["transformer", "vae", "text_encoder", "text_encoder_3"])
def test_a_file_that_lacks_a_weight_is_refused_and_not_filled_with_noise(
    folder: Path, component: str
) -> None:
    (file,) = (folder / component).glob("*.safetensors")
    weights = load_file(file)
    del weights[sorted(name for name in weights if weights[name].dim() == 2 or component == "vae")[0]]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(Refusal, match=f"{component} (lacks the weights|cannot be read)"):
        load(find(str(folder)), torch.float32)


@pytest.mark.parametrize("component", ["transformer", "text_encoder_2"])
def test_a_weight_of_the_wrong_shape_is_refused(folder: Path, component: str) -> None:
    (file,) = (folder / component).glob("*.safetensors")
    weights = load_file(file)
    name = sorted(name for name in weights if weights[name].dim() == 2)[0]
    weights[name] = torch.zeros(3, 3)
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(Refusal, match=component):
        load(find(str(folder)), torch.float32)


def test_a_folder_without_its_tokenizer_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer_2")
    with pytest.raises(Refusal, match="tokenizer_2"):
        load(find(str(folder)), torch.float32)


def test_weights_in_half_precision_load_as_they_are_asked_for(folder: Path) -> None:
    for file in folder.glob("*/*.safetensors"):
        save_file(
            {name: weight.half() for name, weight in load_file(file).items()}, file, metadata={"format": "pt"}
        )
    model = load(find(str(folder)), torch.float32)
    assert {weight.dtype for part in model.parts.values() for weight in part.parameters()} == {torch.float32}
