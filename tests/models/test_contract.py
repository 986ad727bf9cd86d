"""What every model family promises the engine, on a small random checkpoint of each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import FluxPipeline
from diffusers.models.embeddings import get_2d_rotary_pos_embed_lumina
from torch import Tensor

from sd3demo.catalogue import ModelSpec, read_folder
from sd3demo.catalogue.spec import COMPONENTS
from sd3demo.flow.exact import Gaussian
from sd3demo.flow.solvers import At
from sd3demo.models import FAMILIES, load
from sd3demo.models.exact import COLOURS, EXACT, SPREAD
from sd3demo.models.protocol import Conditioning, Dials, FlowModel
from tests.models.inputs import inputs

TEXT, OTHER = "a red circle", "a blue square"
TIMES = (0.9, 0.5, 0.1)

Checkpoint = Callable[..., Path]
Network = Callable[[FlowModel, Tensor, float, str], Tensor]


@dataclass(frozen=True)
class Case:
    """A family's checkpoint, and what its network and autoencoder are compared with."""

    spec: Callable[[Checkpoint], ModelSpec]
    reference: Network
    """The velocity, in our sign and time, by other code."""
    identity: Callable[[FlowModel, pytest.MonkeyPatch], None]
    """Put the identity in the place of the autoencoder's network, so that its scaling is left."""


def _sd3_velocity(model: FlowModel, x: Tensor, t: float, text: str) -> Tensor:
    told = model.encode(inputs(model.spec, text))
    rows = len(x)
    found: Tensor = model.parts["flow"](
        hidden_states=x,
        timestep=torch.full((rows,), 1000 * t),
        encoder_hidden_states=told.tokens.expand(rows, -1, -1),
        pooled_projections=told.pooled.expand(rows, -1),
        return_dict=False,
    )[0]
    return found


def _vae_identity(model: FlowModel, patch: pytest.MonkeyPatch) -> None:
    vae = model.parts["vae"]
    patch.setattr(vae, "encode", lambda x: SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: x)))
    patch.setattr(vae, "decode", lambda z, return_dict: (z,))


def _flux_velocity(model: FlowModel, x: Tensor, t: float, text: str) -> Tensor:
    told = model.encode(inputs(model.spec, text))
    batch, _, height, width = x.shape
    pipe = FluxPipeline
    ids = pipe._prepare_latent_image_ids(batch, height // 2, width // 2, "cpu", torch.float32)
    guidance = model.spec.defaults.guidance
    found: Tensor = model.parts["flow"](
        hidden_states=pipe._pack_latents(x, *x.shape),
        timestep=torch.full((batch,), t),
        guidance=None if guidance is None else torch.full((batch,), guidance),
        encoder_hidden_states=told.tokens.expand(batch, -1, -1),
        pooled_projections=told.pooled.expand(batch, -1),
        img_ids=ids,
        txt_ids=torch.zeros(told.length, 3),
        return_dict=False,
    )[0]
    return pipe._unpack_latents(found, 8 * height, 8 * width, 8)


def _exact_velocity(model: FlowModel, x: Tensor, t: float, text: str) -> Tensor:
    colour = next(colour for name, colour in COLOURS.items() if name in text)
    mean = torch.tensor(colour)[:, None, None].expand(x.shape[1:])
    return Gaussian(mean, SPREAD).velocity(x, At(t, 0, 1))


def _lumina_next_velocity(model: FlowModel, x: Tensor, t: float, text: str) -> Tensor:
    told = model.encode(inputs(model.spec, text))
    batch, network = len(x), model.parts["flow"]
    found: Tensor = network(
        hidden_states=x,
        timestep=torch.full((batch,), 1 - t),
        encoder_hidden_states=told.tokens.expand(batch, -1, -1),
        encoder_mask=(torch.arange(told.length) < told.words).expand(batch, -1),
        image_rotary_emb=get_2d_rotary_pos_embed_lumina(network.head_dim, 384, 384),
        cross_attention_kwargs={},
        return_dict=False,
    )[0]
    return -found[:, : x.shape[1]]


def _lumina2_velocity(model: FlowModel, x: Tensor, t: float, text: str) -> Tensor:
    told = model.encode(inputs(model.spec, text))
    batch = len(x)
    found: Tensor = model.parts["flow"](
        hidden_states=x,
        timestep=torch.full((batch,), 1 - t),
        encoder_hidden_states=told.tokens.expand(batch, -1, -1),
        encoder_attention_mask=(torch.arange(told.length) < told.words).expand(batch, -1),
        return_dict=False,
    )[0]
    return -found


CASES = {
    "sd3": Case(lambda checkpoint: read_folder(checkpoint("sd3.5-medium")), _sd3_velocity, _vae_identity),
    "flux": Case(lambda checkpoint: read_folder(checkpoint("flux-dev")), _flux_velocity, _vae_identity),
    "lumina-next": Case(
        lambda checkpoint: read_folder(checkpoint("lumina-next")), _lumina_next_velocity, _vae_identity
    ),
    "lumina2": Case(lambda checkpoint: read_folder(checkpoint("lumina2")), _lumina2_velocity, _vae_identity),
    "exact": Case(lambda checkpoint: EXACT, _exact_velocity, lambda model, patch: None),
}


def test_every_family_is_held_to_the_contract() -> None:
    assert CASES.keys() == FAMILIES.keys()


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=CASES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def spec(family: str, checkpoint: Checkpoint) -> ModelSpec:
    return CASES[family].spec(checkpoint)


@pytest.fixture(scope="module")
def model(spec: ModelSpec) -> FlowModel:
    return load(spec, torch.float32)


def latents(spec: ModelSpec, count: int) -> Tensor:
    """Not square, and of the size of a picture that the spec allows."""
    shape = spec.latent.shape(6 * spec.latent.multiple, 4 * spec.latent.multiple)
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(7))


def conditionings(model: FlowModel) -> list[Conditioning]:
    return [model.encode(inputs(model.spec, text)) for text in (TEXT, OTHER)]


@pytest.mark.parametrize("t", TIMES)
def test_the_velocity_is_the_families_own_in_our_sign_and_time(
    family: str, model: FlowModel, t: float
) -> None:
    x = latents(model.spec, 2)
    found = model.network(conditionings(model), Dials(TIMES))(x, [At(t, 0, 1)] * 2, [0, 1])
    for row, text in enumerate((TEXT, OTHER)):
        expected = CASES[family].reference(model, x[row : row + 1], t, text)
        torch.testing.assert_close(found[row : row + 1], expected, rtol=0, atol=1e-5)


def test_the_velocity_points_from_the_data_to_the_noise() -> None:
    """Where the data are known: at t = 1 it is the noise minus the mean of the data."""
    exact = load(EXACT, torch.float32)
    noise = latents(EXACT, 1)
    v = exact.network([exact.encode(inputs(EXACT, "red"))], Dials())(noise, [At(1.0, 0, 1)], [0])
    mean = torch.tensor(COLOURS["red"])[None, :, None, None]
    torch.testing.assert_close(v, noise - mean, rtol=0, atol=1e-5)


@pytest.mark.parametrize("skip", [False, True])
def test_rows_of_one_call_are_those_of_single_calls(model: FlowModel, skip: bool) -> None:
    rows = model.network(conditionings(model), Dials(TIMES))
    x, texts = latents(model.spec, 4), [0, 1, 1, 0]
    for times in ((0.5, 0.5, 0.5, 0.5), (0.9, 0.1, 0.5, 0.3)):
        at = [At(t, place, 4) for place, t in enumerate(times)]
        together = rows(x, at, texts, skip=skip)
        for row in range(4):
            alone = rows(x[row : row + 1], at[row : row + 1], texts[row : row + 1])
            torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-5)
    assert not torch.allclose(rows(x, at, texts), rows(x, at, [1, 0, 0, 1]), atol=1e-3)


def test_a_time_that_was_announced_is_answered_as_one_that_was_not(model: FlowModel) -> None:
    x, at = latents(model.spec, 2), [At(0.5, 0, 1)] * 2
    announced = model.network(conditionings(model), Dials(TIMES))(x, at, [0, 1])
    surprise = model.network(conditionings(model), Dials())(x, at, [0, 1])
    torch.testing.assert_close(announced, surprise, rtol=0, atol=1e-5)


def test_the_autoencoders_scaling_goes_there_and_back(
    family: str, model: FlowModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    CASES[family].identity(model, monkeypatch)
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(model.to_image(model.to_latent(image)), image)


def test_latents_have_the_shape_that_the_spec_says(model: FlowModel) -> None:
    latent = model.spec.latent
    width, height = 2 * latent.multiple, 4 * latent.multiple
    found = model.to_latent(torch.zeros(1, 3, height, width))
    assert tuple(found.shape[1:]) == latent.shape(width, height)
    assert model.to_image(found).shape == (1, 3, height, width)


def test_the_length_of_a_text_and_its_encoder_calls_are_what_its_inputs_say(model: FlowModel) -> None:
    spec = model.spec
    every = [inputs(spec, TEXT, modes={each.name: mode}) for each in spec.encoders for mode in each.modes]
    for given in [*every, inputs(spec, TEXT, tokens={spec.encoders[-1].name: 1})]:
        told = model.encode(given)
        assert told.length == spec.text_length(given)
        assert told.encoder_calls == sum(each.runs for each in given)


def test_a_cached_conditioning_is_the_same_text_that_ran_no_encoder(model: FlowModel) -> None:
    told = model.encode(inputs(model.spec, TEXT))
    cached = told.cached()
    assert (told.encoder_calls > 0, cached.encoder_calls, cached.length) == (True, 0, told.length)
    x, at = latents(model.spec, 1), [At(0.5, 0, 1)]
    assert torch.equal(
        model.network([told], Dials())(x, at, [0]), model.network([cached], Dials())(x, at, [0])
    )


def test_texts_of_two_lengths_are_no_call(model: FlowModel) -> None:
    last = model.spec.encoders[-1]
    texts = [model.encode(inputs(model.spec, TEXT, tokens={last.name: n})) for n in (last.limit, 1)]
    if texts[0].length == texts[1].length:
        pytest.skip("this family has one length of text")
    with pytest.raises(ValueError, match="rows of one length go into one call"):
        model.network(texts, Dials())(latents(model.spec, 2), [At(0.5, 0, 1)] * 2, [0, 1])


def test_an_encoder_that_is_not_loaded_gives_the_zeros_of_its_mode(model: FlowModel) -> None:
    for each in model.spec.encoders:
        if "zeros" not in each.modes:
            continue
        without = load(model.spec, torch.float32, model.components - {each.folder})
        assert without.components == model.components - {each.folder}
        given = inputs(model.spec, TEXT, modes={each.name: "zeros"})
        same_texts(without.encode(given), model.encode(given))


def test_an_encoder_that_has_to_run_is_loaded_first_and_then_runs(model: FlowModel) -> None:
    folders = [each.folder for each in model.spec.encoders if each.folder in model.spec.components]
    later = load(model.spec, torch.float32, model.components - set(folders))
    given = inputs(model.spec, TEXT)
    for folder in folders:
        with pytest.raises(ValueError, match=r"is not loaded; call load\("):
            later.encode(given)
        added = later.load([folder])
        assert list(added) == [folder]
        assert not any(weight.requires_grad for weight in added[folder].parameters())
        tensors = [*added[folder].parameters(), *added[folder].buffers()]
        assert not any(tensor.is_inference() for tensor in tensors)
    assert later.load(folders) == {}
    assert later.components == model.components == frozenset(model.spec.components)
    same_texts(later.encode(given), model.encode(given))


def test_a_component_that_the_model_does_not_have_cannot_be_loaded(model: FlowModel) -> None:
    with pytest.raises(ValueError, match="text_encoder_9 is no component of"):
        model.load(["text_encoder_9"])


def test_the_parts_hold_the_parameters_that_the_spec_counts(model: FlowModel) -> None:
    for part in sorted(set(COMPONENTS.values())):
        module = model.parts.get(part)
        counted = 0 if module is None else sum(weight.numel() for weight in module.parameters())
        buffers = 0 if module is None else _saved_buffers(module)
        assert counted + buffers == model.spec.size(part).parameters


def _saved_buffers(module: torch.nn.Module) -> int:
    """Numbers that the files hold beside parameters, such as a table of positions."""
    saved = module.state_dict().keys()
    return sum(value.numel() for name, value in module.named_buffers() if name in saved)


def same_texts(one: Conditioning, other: Conditioning) -> None:
    """Equal to the last bit in all that they hold."""
    assert vars(one).keys() == vars(other).keys()
    for name, value in vars(one).items():
        same = getattr(other, name)
        assert torch.equal(value, same) if isinstance(value, Tensor) else value == same
