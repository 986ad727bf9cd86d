"""A shallower transformer out of a deeper one: what is refitted, what is left out, and that it serves."""

from pathlib import Path

import pytest
import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor

from sd3demo.errors import Refusal
from sd3demo.models.sd3.positions import read_table
from sd3demo.settings import parse
from sd3demo.training.checkpoint import read_autoencoder, read_encoders, read_transformer
from sd3demo.training.dataset import Feed
from sd3demo.training.pruning import IMAGE, Moments, Sample, blocks_to_keep, prune
from sd3demo.training.run import train
from sd3demo.training.settings import TrainSettings
from sd3demo.training.transformer import NATIVE, TABLE, mmdit
from sd3demo.world.scenes import MIX

CPU = torch.device("cpu")
TINY = Path("assets/tiny")


def stirred(depth: int) -> SD3Transformer2DModel:
    """A transformer of which every weight does something."""
    generator = torch.Generator().manual_seed(depth)
    model = mmdit(depth).eval()
    for weight in model.parameters():
        weight.data += 0.05 * torch.randn(weight.shape, generator=generator)
    return model


def asked(count: int = 24) -> Sample:
    """Noise in place of pictures and texts; one number of the context follows from two others."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    context = noise(12, 256)
    context[..., 255] = context[..., 0] - 2 * context[..., 1] + 0.5
    picture = (16, NATIVE, NATIVE)
    return Sample(
        noise(*picture), torch.rand(count, generator=generator), context, noise(224), noise(*picture)
    )


@pytest.fixture(scope="module")
def seen() -> list[Sample]:
    """Examples as training draws them."""
    torch.manual_seed(0)
    vae, encoders = read_autoencoder(TINY, CPU), read_encoders(TINY, CPU)
    feed = Feed(vae, encoders, device=CPU, seed=3, ring=128, uses=100, mix=MIX)
    made: list[Sample] = []
    for _ in range(3):
        x0, _, context, pooled = feed.next(32, unconditional=0.1, zeroed=(0.0, 0.0, 0.0))
        t, eps = torch.rand(32), torch.randn_like(x0)
        made.append(Sample(torch.lerp(x0, eps, t[:, None, None, None]), t, context, pooled, eps - x0))
    return made


@torch.no_grad()
def loss(model: SD3Transformer2DModel, samples: list[Sample]) -> float:
    errors = [
        model(one.z, one.context, one.pooled, one.t * 1000, return_dict=False)[0] - one.velocity
        for one in samples
    ]
    return float(torch.cat(errors).square().mean())


@pytest.mark.parametrize("name", ["context_embedder", "transformer_blocks.0.ff.net.0.proj"])
def test_a_layer_that_keeps_its_inputs_is_fitted_as_it_was(name: str) -> None:
    model = stirred(2)
    with torch.no_grad():
        moments = Moments(model, [asked()])
        layer = moments.layers[name]
        weight, bias = moments.refitted(name, torch.arange(layer.in_features))
        inputs = asked().context if name == "context_embedder" else torch.randn(64, layer.in_features)
        expected = layer(inputs)
    torch.testing.assert_close(inputs @ weight.float().T + bias.float(), expected, atol=2e-2, rtol=0)


def test_an_input_that_follows_from_others_is_not_missed() -> None:
    model, sample = stirred(2), asked()
    with torch.no_grad():
        moments = Moments(model, [sample])
        weight, bias = moments.refitted("context_embedder", torch.arange(255))
        expected = model.context_embedder(sample.context)
        without = expected - sample.context[..., 255:] * model.context_embedder.weight[:, 255]
    found = sample.context[..., :255] @ weight.float().T + bias.float()
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=0)
    assert (without - expected).abs().mean() > 0.05


def test_inputs_count_by_the_variance_that_they_bring() -> None:
    model, sample = stirred(2), asked()
    sample.context[..., 7] = 3.0  # it never changes
    sample.context[..., 8] *= 10
    with torch.no_grad():
        model.context_embedder.weight[:, 9] = 0
        importance = Moments(model, [sample]).importance(["context_embedder"])
    assert importance[7] == pytest.approx(0, abs=1e-9)
    assert importance[9] == 0
    assert importance.argmax() == 8


@pytest.mark.parametrize("idle", [0, 1])
def test_a_block_that_does_nothing_is_left_out(idle: int) -> None:
    model, sample = stirred(3), asked()
    with torch.no_grad():
        for norm in (model.transformer_blocks[idle].norm1, model.transformer_blocks[idle].norm1_context):
            norm.linear.weight.zero_()
            norm.linear.bias.zero_()
        answered = model(sample.z, sample.context, sample.pooled, sample.t * 1000, return_dict=False)[0]
    held = Sample(sample.z, sample.t, sample.context, sample.pooled, answered)
    assert blocks_to_keep(model, 2, [held]) == tuple(index for index in range(3) if index != idle)
    assert len(model.transformer_blocks) == 3


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_embedded_model_pruned_is_of_the_papers_sizes_and_keeps_whole_waves(
    depth: int, seen: list[Sample]
) -> None:
    deep = read_transformer(TINY, 4).eval()
    small = prune(deep, depth, seen[:1])
    assert {name: value.shape for name, value in small.state_dict().items()} == {
        name: value.shape for name, value in mmdit(depth).state_dict().items()
    }
    assert len(deep.transformer_blocks) == 4
    table, whole = (one.pos_embed.pos_embed.unflatten(2, (4, -1)) for one in (small, deep))
    kept = (table[0, :, :, :, None] == whole[0, :, :, None]).all(1).all(0).nonzero()
    assert kept[:, 0].tolist() == list(range(16 * depth))
    assert kept[:, 1].tolist() == sorted(set(kept[:, 1].tolist()))
    assert read_table(small).side == TABLE


def test_the_waves_that_are_read_are_those_that_stay() -> None:
    deep, read = stirred(2), torch.arange(32) % 2 == 1  # every second frequency
    with torch.no_grad():
        for name, layer in deep.named_modules():
            if name.endswith((*IMAGE, "proj_out")):
                layer.weight[:, ~read.repeat(4)] = 0
    table, whole = (
        one.pos_embed.pos_embed.unflatten(2, (4, -1)) for one in (prune(deep, 1, [asked()]), deep)
    )
    assert torch.equal(table, whole[..., read])


@pytest.mark.slow
def test_refitting_saves_much_of_what_leaving_out_costs(
    seen: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = read_transformer(TINY, 4).eval()
    refitted = loss(prune(deep, 3, seen[:2]).eval(), seen[2:])

    def cut(self: Moments, name: str, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return self.layers[name].weight[:, inputs], self.layers[name].bias

    monkeypatch.setattr(Moments, "refitted", cut)
    plain = loss(prune(deep, 3, seen[:2]).eval(), seen[2:])
    assert loss(deep, seen[2:]) < refitted < 0.8 * plain


def test_a_network_is_not_pruned_to_more_than_it_has() -> None:
    with pytest.raises(ValueError, match="depth is 2 and the transformer has 2 blocks"):
        prune(stirred(2), 2, [asked()])


@pytest.mark.slow
def test_a_run_from_a_pruned_model_trains_it_on(tmp_path: Path) -> None:
    asked_for = {"depth": 2, "prune_from": 4, "resume": TINY, "out": tmp_path, "minutes": 0.05}
    small = {"batch": 8, "ring": 256, "eager": True, "exam_prompts": 1, "device": "cpu"}
    reports = list(train(parse(TrainSettings, asked_for | small)))
    assert reports[-1].stage == "exam"
    assert read_transformer(tmp_path / "model", 2).config.num_attention_heads == 2
    assert reports[0].figures["loss"] < 4
    with pytest.raises(
        Refusal, match="holds a run that goes on with its own weights; leave --prune-from out"
    ):
        list(train(parse(TrainSettings, asked_for | small | {"prune_from": 3, "resume": tmp_path})))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"depth": 3, "prune_from": 3}, "prune_from is 3 and depth 3; give a smaller depth"),
        ({"depth": 3, "prune_from": 4}, "prune_from needs a model to prune"),
        (
            {"depth": 3, "prune_from": 5, "resume": "assets/tiny"},
            "prune_from is 5 and assets/tiny holds .*; give --prune-from 4",
        ),
    ],
)
def test_what_cannot_be_pruned_is_refused(given: dict[str, object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=sentence):
        list(train(parse(TrainSettings, {"out": tmp_path / "a", "minutes": 0.01, "device": "cpu"} | given)))
