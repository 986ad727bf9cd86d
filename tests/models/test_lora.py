"""A LoRA changes the velocity in every layout of the layers, by what PEFT's own forward says."""

import pytest
import torch
from diffusers import SD3Transformer2DModel
from peft import LoraConfig
from torch import Tensor, nn
from torch.nn.functional import linear

from sd3demo.flow.solvers import At
from sd3demo.models.linear import AdaptedLinear, PackedLinear, PlainLinear, can_pack, joined
from sd3demo.models.lora import fused_weight, fusible, lora_state
from sd3demo.models.protocol import Dials
from sd3demo.models.sd3 import transformer
from sd3demo.models.sd3.network_call import Resident, network_call
from sd3demo.models.sd3.streamed import Streamed
from sd3demo.models.sd3.text_encoders import SD3Text
from sd3demo.models.sd3.transformer import lay_out
from tests.checkpoints import KINDS, pipeline

pytestmark = pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"]
EVERYWHERE = [*ATTENTION, "net.0.proj", "net.2", "linear", "proj_out", "context_embedder", "linear_1"]
TARGETS = {"attention": ATTENTION, "everywhere": EVERYWHERE}


def adapted_network(targets: list[str], *, names: tuple[str, ...] = ("style",), **config: object):
    """SD3.5-medium's kind, with random LoRAs that matter."""
    network: SD3Transformer2DModel = pipeline(KINDS["sd3.5-medium"]).transformer
    random = torch.Generator().manual_seed(3)
    for name in names:
        settings = LoraConfig(r=4, lora_alpha=6, target_modules=targets, **config)
        network.add_adapter(settings, adapter_name=name)
    network.set_adapters(list(names), [0.8, -0.5][: len(names)])
    for name, weight in network.named_parameters():
        if "lora_" in name:
            weight.data = 0.3 * torch.randn(weight.shape, generator=random)
    return network.requires_grad_(False).eval()


def asked() -> tuple[SD3Text, Tensor, Dials]:
    random = torch.Generator().manual_seed(1)
    tokens, pooled = torch.randn(1, 18, 48, generator=random), torch.randn(1, 24, generator=random)
    return SD3Text(tokens, pooled), torch.randn(2, 16, 16, 12, generator=random), Dials((0.6,))


def stock(network: SD3Transformer2DModel) -> Tensor:
    text, x, _ = asked()
    tokens, pooled = text.tokens.expand(2, -1, -1), text.pooled.expand(2, -1)
    found: Tensor = network(x, tokens, pooled, torch.full((2,), 600.0), return_dict=False)[0]
    return found


def ours(network: SD3Transformer2DModel, *, streamed: bool = False) -> Tensor:
    text, x, dials = asked()
    evaluate = (
        Streamed(network, [text], dials) if streamed else Resident(network, lay_out(network), [text], dials)
    )
    return network_call(network, evaluate, [text], dials)(x, [At(0.6, 0, 1)] * 2, [0, 0])


@pytest.fixture(params=["packed", "plain", "streamed"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "packed" and not can_pack(nn.Linear(8, 8)):
        pytest.skip("this processor has no packed layers")
    if request.param == "plain":
        monkeypatch.setattr(transformer, "can_pack", lambda network: False)
    return str(request.param)


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("names", [("style",), ("style", "other")])
@torch.inference_mode()
def test_the_velocity_under_a_lora_is_pefts(targets: str, names: tuple[str, ...], layout: str) -> None:
    network = adapted_network(TARGETS[targets], names=names)
    expected = stock(network)
    torch.testing.assert_close(ours(network, streamed=layout == "streamed"), expected, rtol=0, atol=2e-5)
    network.disable_adapters()
    plain = stock(network)
    torch.testing.assert_close(ours(network, streamed=layout == "streamed"), plain, rtol=0, atol=2e-5)
    assert (expected - plain).abs().max() > 0.01


@pytest.mark.parametrize("config", [{"use_dora": True}, {"lora_bias": True}], ids=["dora", "bias"])
@torch.inference_mode()
def test_what_is_no_sum_on_the_weight_is_called_and_not_packed(
    config: dict[str, object], layout: str
) -> None:
    network = adapted_network(ATTENTION, **config)
    for name, weight in network.named_parameters():
        if "lora_B" in name and name.endswith("bias"):
            weight.data.fill_(0.2)
    assert not fusible(network)
    assert not can_pack(network)
    found = ours(network, streamed=layout == "streamed")
    torch.testing.assert_close(found, stock(network), rtol=0, atol=2e-5)


@torch.inference_mode()
def test_a_lora_that_peft_has_merged_is_counted_once(layout: str) -> None:
    network = adapted_network(ATTENTION)
    expected = stock(network)
    network.fuse_lora()
    torch.testing.assert_close(ours(network, streamed=layout == "streamed"), expected, rtol=0, atol=2e-5)


@torch.inference_mode()
def test_the_layers_know_of_a_lora_that_is_turned_up_later() -> None:
    network = adapted_network(ATTENTION)
    assert lora_state(network) == lora_state(network) != ()
    states = [lora_state(network)]
    network.set_adapters(["style"], [0.1])
    states.append(lora_state(network))
    network.disable_adapters()
    states.append(lora_state(network))
    assert len(set(states)) == 3
    assert lora_state(pipeline(KINDS["sd3.5-medium"]).transformer) == ()


def test_a_layer_without_a_lora_keeps_its_own_parameter() -> None:
    layer = nn.Linear(4, 3)
    assert fused_weight(layer) is layer.weight
    assert [type(each) for each in joined((layer,), pack=False)] == [PlainLinear]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_a_fused_weight_is_rounded_once(dtype: torch.dtype) -> None:
    network = adapted_network(["to_q"], names=("style", "other")).to(dtype)
    layer = network.transformer_blocks[0].attn.to_q
    deltas = [layer.get_delta_weight(name).double() for name in ("style", "other")]
    exact = layer.base_layer.weight.double() + sum(deltas)
    torch.testing.assert_close(fused_weight(layer).double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-7)
    assert [type(each) for each in joined((layer,), pack=False)] == [AdaptedLinear]
    if dtype == torch.float32 and can_pack(network):
        (packed,) = joined((layer,), pack=True)
        assert isinstance(packed, PackedLinear)
        x = torch.randn(2, 5, layer.in_features)
        expected = linear(x, fused_weight(layer), layer.base_layer.bias)
        torch.testing.assert_close(packed(x), expected, rtol=1e-5, atol=1e-5)
