"""SD3's one network call: to the last bit what its parts give, and the same where hooks bring the weights."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from diffusers import SD3Transformer2DModel
from diffusers.hooks import apply_group_offloading
from torch import Tensor, nn

from sd3demo.flow.extrapolation.tuning import NEUTRAL, Toolkit
from sd3demo.flow.solvers import At
from sd3demo.models.branches import branches_of
from sd3demo.models.offloading import streaming_hook
from sd3demo.models.protocol import Dials, Rows
from sd3demo.models.sd3.modulation import TIME_SCALE, WINDOW, modulation_of_rows, modulations
from sd3demo.models.sd3.network_call import ModulationWindow, Resident, network_call
from sd3demo.models.sd3.streamed import Streamed
from sd3demo.models.sd3.text_encoders import SD3Text
from sd3demo.models.sd3.transformer import forward, lay_out, positions_of
from tests.checkpoints import KINDS, pipeline

TIMES = tuple(1 - place / (2 * WINDOW) for place in range(2 * WINDOW))
SIZE = (16, 12)
TOOLKITS = {
    "neutral": NEUTRAL,
    "interpolate": Toolkit("interpolate", native=(8, 8)),
    "varying with t": Toolkit("scheduled", native=(8, 12)),
    "attention": Toolkit(native=(8, 8), attention_scale=1.2, text_copies=2.5),
    "half patch": Toolkit(native=SIZE, half_patch=True),
    "all": Toolkit("time-aware", (8, 8), attention_scale=1.1, text_copies=4.0, half_patch=True),
}


def random_network(kind: str) -> SD3Transformer2DModel:
    """With norms and adaLNs that are not those of a new network, which would hide one that is left out."""
    network: SD3Transformer2DModel = pipeline(KINDS[kind]).transformer
    random = torch.Generator().manual_seed(5)
    for name, weight in network.named_parameters():
        if "norm_" in name and weight.dim() == 1:
            weight.data.add_(0.3 * torch.randn(weight.shape, generator=random))
    return network.requires_grad_(False)


@pytest.fixture(scope="module", params=KINDS)
def network(request: pytest.FixtureRequest) -> SD3Transformer2DModel:
    return random_network(request.param)


@pytest.fixture(scope="module")
def texts() -> list[SD3Text]:
    random = torch.Generator().manual_seed(1)
    return [
        SD3Text(torch.randn(1, 18, 48, generator=random), torch.randn(1, 24, generator=random))
        for _ in range(3)
    ]


def latents(count: int, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.randn((count, 16, *size), generator=torch.Generator().manual_seed(2))


def resident(network: SD3Transformer2DModel, texts: list[SD3Text], dials: Dials) -> Rows:
    return network_call(network, Resident(network, lay_out(network), texts, dials), texts, dials)


def streamed(network: SD3Transformer2DModel, texts: list[SD3Text], dials: Dials) -> Rows:
    return network_call(network, Streamed(network, texts, dials), texts, dials)


@pytest.mark.parametrize("batch", [1, 2, 3])
@torch.inference_mode()
def test_a_call_at_one_time_computes_its_modulations_for_a_window_of_times(
    network: SD3Transformer2DModel, texts: list[SD3Text], batch: int
) -> None:
    """To the last bit: how many rows a product has decides in which order it is summed."""
    place = 3
    rows = resident(network, texts, Dials(TIMES))
    x = latents(2 * batch)
    found = rows(x, [At(TIMES[place], place, 64)] * 2 * batch, [2] * batch + [0] * batch)

    pooled = torch.cat((texts[2].pooled, texts[0].pooled))
    modulation = modulations(network, TIMES[place : place + WINDOW], pooled)[0]
    per_row = replace(
        modulation,
        blocks=tuple(
            replace(
                block,
                image=tuple(each.repeat_interleave(batch, 0) for each in block.image),
                text=tuple(each.repeat_interleave(batch, 0) for each in block.text),
            )
            for block in modulation.blocks
        ),
        out=tuple(each.repeat_interleave(batch, 0) for each in modulation.out),
    )
    context = [network.context_embedder(text.tokens).expand(batch, -1, -1) for text in (texts[2], texts[0])]
    positions = positions_of(network, *SIZE)
    assert torch.equal(found, forward(lay_out(network), x, torch.cat(context), positions, per_row))


@pytest.mark.parametrize("times", [(0.9, 0.1, 0.5), (0.3, 0.3, 0.3)])
@torch.inference_mode()
def test_rows_of_times_that_were_not_announced_are_modulated_row_by_row(
    network: SD3Transformer2DModel, texts: list[SD3Text], times: tuple[float, ...]
) -> None:
    x, numbers = latents(3), [1, 1, 0]
    found = resident(network, texts, Dials())(x, [At(t, 0, 1) for t in times], numbers)
    modulation = modulation_of_rows(network, times, torch.cat([texts[number].pooled for number in numbers]))
    context = torch.cat([network.context_embedder(texts[number].tokens) for number in numbers])
    positions = positions_of(network, *SIZE)
    assert torch.equal(found, forward(lay_out(network), x, context, positions, modulation))


@torch.inference_mode()
def test_a_window_is_computed_once_for_its_times_and_anew_for_other_texts(
    network: SD3Transformer2DModel, texts: list[SD3Text], monkeypatch: pytest.MonkeyPatch
) -> None:
    stretches: list[int] = []

    def counted(network, times, pooled):
        stretches.append(len(times))
        return modulations(network, times, pooled)

    monkeypatch.setattr("sd3demo.models.sd3.network_call.modulations", counted)
    window = ModulationWindow(network, torch.cat([text.pooled for text in texts]), TIMES[: WINDOW + 2])
    for place in (0, 1, WINDOW - 1):
        window(TIMES[place], (0, 1))
    assert stretches == [WINDOW]
    window(TIMES[WINDOW], (0, 1))
    window(TIMES[WINDOW + 1], (0,))
    assert stretches == [WINDOW, 2, 1]


@torch.inference_mode()
def test_calls_with_and_without_skipped_blocks_keep_windows_of_their_own(
    network: SD3Transformer2DModel, texts: list[SD3Text], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counted(network, times, pooled):
        calls.append(len(pooled))
        return modulations(network, times, pooled)

    monkeypatch.setattr("sd3demo.models.sd3.network_call.modulations", counted)
    rows = resident(network, texts, Dials(TIMES[:4], skip_layers=(1,)))
    branches = branches_of(rows, {"conditional": 0, "unconditional": 1})
    for place, t in enumerate(TIMES[:4]):
        branches(latents(1), At(t, place, 4), ("conditional", "unconditional", "skipped"))
    assert calls == [2, 1]


@pytest.mark.parametrize("make", [resident, streamed])
@torch.inference_mode()
def test_a_skipped_branch_is_diffusers_forward_without_those_blocks(
    network: SD3Transformer2DModel, texts: list[SD3Text], make: Callable[..., Rows]
) -> None:
    branches = branches_of(
        make(network, texts, Dials(TIMES, skip_layers=(0, 2))), {"conditional": 1, "unconditional": 0}
    )
    x, t = latents(2), TIMES[5]
    wanted = ("conditional", "unconditional", "skipped")
    found = dict(zip(wanted, branches(x, At(t, 5, 64), wanted), strict=True))

    def stock(number: int, skip: list[int]) -> Tensor:
        velocity: Tensor = network(
            x,
            texts[number].tokens.expand(2, -1, -1),
            texts[number].pooled.expand(2, -1),
            torch.full((2,), t * TIME_SCALE),
            skip_layers=skip,
            return_dict=False,
        )[0]
        return velocity

    for name, expected in (
        ("conditional", stock(1, [])),
        ("unconditional", stock(0, [])),
        ("skipped", stock(1, [0, 2])),
    ):
        torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-5)
    assert (found["skipped"] - found["conditional"]).abs().max() > 1e-3
    (alone,) = branches(x, At(t, 5, 64), ("skipped",))
    assert torch.equal(alone, found["skipped"])


@pytest.mark.parametrize("positions", ["scheduled", "time-aware"])
@torch.inference_mode()
def test_rows_of_several_times_have_the_positions_of_their_own_time(
    network: SD3Transformer2DModel, texts: list[SD3Text], positions: str
) -> None:
    rows = resident(network, texts, Dials((), Toolkit(positions, native=(8, 8))))
    x, at = latents(3, (24, 16)), [At(t, 0, 1) for t in (0.9, 0.1, 0.6)]
    together = rows(x, at, [0, 0, 0])
    for row in range(3):
        alone = rows(x[row : row + 1], at[row : row + 1], [0])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-5)


def test_rows_that_are_shifted_and_rows_that_are_not_are_no_call(
    network: SD3Transformer2DModel, texts: list[SD3Text]
) -> None:
    rows = resident(network, texts, Dials((), TOOLKITS["half patch"]))
    with pytest.raises(ValueError, match="ask for them in two calls"):
        rows(latents(2), [At(0.5, 0, 2), At(0.5, 1, 2)], [0, 0])


class Offloaded:
    """A network under group offloading on the CPU, which tells where its weights were when they were used."""

    def __init__(self, kind: str) -> None:
        self.network = random_network(kind)
        self.away: list[str] = []
        self.calls = 0
        for name, module in self.network.named_modules():
            if isinstance(module, nn.Linear):
                module.register_forward_pre_hook(lambda module, args, name=name: self._look(module, name))
        # The device of the weights between calls; a use of them there gives no numbers.
        apply_group_offloading(
            self.network,
            onload_device=torch.device("cpu"),
            offload_device=torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
        )
        for module in self.network.modules():
            registry = getattr(module, "_diffusers_hook", None)
            hook = registry.get_hook("group_offloading") if registry is not None else None
            if hook is not None:
                self._track(hook.group)

    def _track(self, group) -> None:
        inside = {id(weight) for module in group.modules for weight in module.parameters()}
        onload, offload = group.onload_, group.offload_
        self._here = getattr(self, "_here", set())

        def coming() -> None:
            onload()
            self._here |= inside

        def going() -> None:
            offload()
            self._here -= inside

        group.onload_, group.offload_ = coming, going

    def _look(self, module: nn.Linear, name: str) -> None:
        self.calls += 1
        if id(module.weight) not in self._here:
            self.away.append(name)


@pytest.mark.parametrize("toolkit", TOOLKITS)
@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_a_streamed_network_answers_the_whole_toolkit_as_a_resident_one(
    kind: str, toolkit: str, texts: list[SD3Text]
) -> None:
    dials = Dials(TIMES, TOOLKITS[toolkit], skip_layers=(1,))
    offloaded = Offloaded(kind)
    assert streaming_hook(offloaded.network) is not None
    one, other = resident(random_network(kind), texts, dials), streamed(offloaded.network, texts, dials)
    x, numbers = latents(4), [0, 2, 2, 1]
    for places in ((3, 3, 3, 3), (1, 9, 9, 61)):
        at = [At(TIMES[place], place, 64) for place in places]
        for skip in (False, True):
            found = other(x, at, numbers, skip=skip)
            torch.testing.assert_close(found, one(x, at, numbers, skip=skip), rtol=0, atol=1e-5)
    assert offloaded.calls > 0
    assert offloaded.away == []


@torch.inference_mode()
def test_a_streamed_network_is_diffusers_own_once_more_after_a_call(
    network: SD3Transformer2DModel, texts: list[SD3Text]
) -> None:
    x, time = latents(1), torch.tensor([500.0])
    stock = network(x, texts[0].tokens, texts[0].pooled, time, return_dict=False)[0]
    dials = Dials((), TOOLKITS["all"])
    tuned = streamed(network, texts, dials)(x, [At(0.5, 0, 1)], [0])
    again = network(x, texts[0].tokens, texts[0].pooled, time, return_dict=False)[0]
    torch.testing.assert_close(again, stock, rtol=0, atol=1e-5)
    assert not torch.allclose(tuned, stock, atol=1e-3)
