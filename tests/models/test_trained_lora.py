"""A LoRA that means something: trained on the embedded model in a minute, it draws blue for red."""

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch.nn.functional import mse_loss

from sd3demo.catalogue import find
from sd3demo.engine import Budget, plan
from sd3demo.engine.events import Pixels
from sd3demo.models import load
from sd3demo.settings import Request, text_inputs
from tests.engine.runs import run
from tests.loras import write_lora

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find("tiny").folder, reason="the embedded model is not here"),
]

RED, BLUE = (f"a {colour} circle on a black background" for colour in ("red", "blue"))
STEPS, BATCH, RANK = 80, 8, 8


def trained(file: Path) -> Path:
    """A LoRA under which the prompt for red has the velocity that the model gives for blue."""
    spec = find("tiny")
    model = load(spec, torch.float32)
    texts = {}
    for prompt in (RED, BLUE):
        request = plan(Request(prompt=prompt, model="tiny"), spec, Budget()).request
        texts[prompt] = model.encode(text_inputs(request, spec))
    network = model.parts["flow"].requires_grad_(False)

    def velocity(prompt: str, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        text = texts[prompt]
        return network(
            hidden_states=x,
            timestep=1000 * t,
            encoder_hidden_states=text.tokens.expand(len(x), -1, -1),
            pooled_projections=text.pooled.expand(len(x), -1),
            return_dict=False,
        )[0]

    random = torch.Generator().manual_seed(0)
    shape = spec.latent.shape(spec.native, spec.native)
    pairs = []
    with torch.no_grad():  # states on the way to a picture of either colour, with the velocity towards blue
        for prompt in (RED, BLUE):
            x = torch.randn((16, *shape), generator=random)
            for step in range(8):
                t = torch.full((len(x),), 1 - step / 8)
                pairs.append((x, t, velocity(BLUE, x, t)))
                x = x - velocity(prompt, x, t) / 8
    states, times, wanted = (torch.cat(each) for each in zip(*pairs, strict=True))
    config = LoraConfig(
        r=RANK, lora_alpha=RANK, target_modules=["to_q", "to_k", "to_v", "add_k_proj", "add_v_proj"]
    )
    inject_adapter_in_model(config, network, adapter_name="blue")
    weights = {name: weight for name, weight in network.named_parameters() if ".lora_" in name}
    optimiser = torch.optim.Adam(weights.values(), lr=3e-3)
    for _ in range(STEPS):
        chosen = torch.randint(len(states), (BATCH,), generator=random)
        optimiser.zero_grad()
        mse_loss(velocity(RED, states[chosen], times[chosen]), wanted[chosen]).backward()
        optimiser.step()
    factors = {
        name.removesuffix(".lora_A.blue.weight"): (weight, weights[name.replace("lora_A", "lora_B")])
        for name, weight in weights.items()
        if ".lora_A." in name
    }
    return write_lora(file, {name: tuple(each.detach() for each in pair) for name, pair in factors.items()})


def redness(picture: Pixels) -> float:
    """How much more red than blue a picture is, in 255ths."""
    return float(picture[..., 0].astype(int).mean() - picture[..., 2].astype(int).mean())


def test_a_trained_lora_changes_what_is_drawn_by_its_weight(tmp_path: Path) -> None:
    with torch.inference_mode(False), torch.enable_grad():
        file = trained(tmp_path / "blue.safetensors")
    found = []
    for lora in ("", f"{file}:0.5", str(file)):
        request = Request(prompt=RED, model="tiny", steps=12, seed=5, count=4, lora=lora)
        found.append(np.mean([redness(picture) for picture in run(request).finished.pictures]))
    without, half, whole = found
    assert without > 5, "a red circle"
    assert whole < -5, "drawn blue"
    assert whole < half < without
