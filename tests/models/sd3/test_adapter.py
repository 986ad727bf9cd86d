"""What SD3's adapter makes of texts and latents, and which checkpoints it refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers.hooks import apply_group_offloading
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from sd3demo.catalogue import find
from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.tuning import Toolkit
from sd3demo.flow.solvers import At
from sd3demo.models import load
from sd3demo.models.protocol import Dials
from sd3demo.models.sd3.adapter import SD3
from sd3demo.models.sd3.text_encoders import SD3Text
from tests.models.inputs import inputs

CIRCLE, SQUARE = "a red circle", "a blue square"
TOKENS = 9


@pytest.fixture(scope="module")
def model(checkpoint: Callable[..., Path]) -> SD3:
    loaded = load(find(str(checkpoint("sd3.5-medium"))), torch.float32)
    assert isinstance(loaded, SD3)
    return loaded


def encoded(model: SD3, texts: dict[str, str] | None = None, **modes: str) -> SD3Text:
    return model.encode(inputs(model.spec, CIRCLE, texts=texts, modes=modes, tokens={"t5": TOKENS}))


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
    assert torch.equal(empty, encoded(model, {"t5": ""}).tokens)
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
    base = encoded(model)
    places = {"clip_l": ((0, 9), (0, 16)), "clip_g": ((0, 9), (16, 40)), "t5": ((9, 18), (0, 48))}
    for encoder, (rows, columns) in places.items():
        changed = encoded(model, {encoder: SQUARE}).tokens != base.tokens
        assert changed[:, slice(*rows), slice(*columns)].any()
        changed[:, slice(*rows), slice(*columns)] = False
        assert not changed.any()


@torch.inference_mode()
def test_a_clip_that_is_given_nothing_has_zeros_and_t5_is_left_out(model: SD3) -> None:
    (clip_g,) = (each for each in inputs(model.spec, CIRCLE) if each.encoder == "clip_g")
    alone, named = model.encode((clip_g,)), encoded(model, clip_l="zeros", t5="omit")
    assert torch.equal(alone.tokens, named.tokens)
    assert torch.equal(alone.pooled, named.pooled)


@torch.inference_mode()
def test_a_checkpoint_without_t5_has_zeros_in_its_place(checkpoint: Callable[..., Path]) -> None:
    model = load(find(str(checkpoint("sd3-medium", with_t5=False))), torch.float32)
    assert isinstance(model, SD3)
    on, zeros = encoded(model), encoded(model, t5="zeros")
    assert torch.equal(on.tokens, zeros.tokens)
    assert on.encoder_calls == 2


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


@torch.inference_mode()
def test_an_adapter_is_heard_at_the_next_network_call(checkpoint: Callable[..., Path]) -> None:
    """The layers that were laid out before it are not used again."""
    model = load(find(str(checkpoint("sd3.5-medium"))), torch.float32)
    assert isinstance(model, SD3)
    texts, x = [encoded(model)], torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))

    def velocity() -> torch.Tensor:
        return model.network(texts, Dials())(x, [At(0.5, 0, 1)], [0])

    plain = velocity()
    model.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    adapted = velocity()
    model.transformer.disable_adapters()
    assert torch.equal(velocity(), plain)
    assert not torch.allclose(adapted, plain, atol=1e-4)


@torch.inference_mode()
def test_a_model_whose_parts_are_offloaded_in_groups_answers_as_a_resident_one(
    checkpoint: Callable[..., Path],
) -> None:
    folder = str(checkpoint("sd3.5-large"))
    answers, calls = [], []
    for streams in (False, True):
        model = load(find(folder), torch.float32)
        assert isinstance(model, SD3)
        if streams:
            cpu = torch.device("cpu")
            apply_group_offloading(model.transformer, cpu, cpu, num_blocks_per_group=1)
            for module in model.parts["text"].children():
                apply_group_offloading(module, cpu, cpu, offload_type="leaf_level")
        called: list[bool] = []
        for block in model.transformer.transformer_blocks:
            block.register_forward_pre_hook(lambda block, args, called=called: called.append(True))
        text = encoded(model)
        dials = Dials((), Toolkit("interpolate", (8, 8), text_copies=3.0), skip_layers=(1,))
        x = torch.randn(2, 16, 16, 12, generator=torch.Generator().manual_seed(0))
        at = [At(0.5, 0, 1)] * 2
        rows = model.network([text], dials)
        groups = model.words(inputs(model.spec, CIRCLE, tokens={"t5": TOKENS})).groups
        maps = list(model.attention(x, 0.5, text, groups, (0, 2)))
        answers.append([text.tokens, rows(x, at, [0, 0]), rows(x, at, [0, 0], skip=True), *maps])
        calls.append(len(called))
    assert calls == [
        0,
        3 * 4 - 1,
    ]  # blocks are called as modules, so that their hooks run; one is skipped once
    for found, expected in zip(*answers, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
