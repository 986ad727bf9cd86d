"""T5 and Gemma in fewer bits or on the CPU: what a plan says of memory, and what it refuses."""

from dataclasses import replace
from importlib.machinery import ModuleSpec

import pytest

from sd3demo.catalogue import CATALOGUE, LargeEncoder, ModelSpec
from sd3demo.engine import Budget, plan
from sd3demo.engine.plan import encoder_bits
from sd3demo.engine.plan.memory import GIB
from sd3demo.engine.plan.plan import Plan
from sd3demo.errors import Refusal
from sd3demo.settings import Request, identity
from sd3demo.settings.large_encoder import LARGE_ENCODERS, LargeEncoderName

GPU, CPU = Budget("cuda", 80 * GIB, 1e14), Budget("cpu", 80 * GIB, 1e11)
NAMES = ("sd3-medium", "flux-dev", "lumina-next", "lumina-image-2")
EMBEDDING = {
    "sd3-medium": 32_128 * 4096,
    "flux-dev": 32_128 * 4096,
    "lumina-next": 256_000 * 2048,
    "lumina-image-2": 256_000 * 2304,
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The libraries that this machine seems to have."""
    found = {"torchao", "bitsandbytes"}
    monkeypatch.setattr(
        encoder_bits, "find_spec", lambda name: ModuleSpec(name, None) if name in found else None
    )
    return found


def made(name: str, encoder: str, budget: Budget = GPU, **settings: object) -> Plan:
    values = {"prompt": "a", "model": name, "large_encoder": encoder, "placement": "by-model", **settings}
    return plan(Request.model_validate(values), CATALOGUE[name], budget)


def text_weights(found: Plan) -> int:
    """Bytes of the text encoders' weights, wherever they are."""
    return found.bytes_of(frozenset(each.folder for each in found.spec.encoders) & found.components)


def large(spec: ModelSpec) -> int:
    """Parameters of the large encoder."""
    (folder,) = (each.folder for each in spec.encoders if each.large)
    return spec.components[folder].parameters


def test_every_choice_has_its_meaning() -> None:
    assert set(LARGE_ENCODERS) == set(LargeEncoderName.__args__)  # type: ignore[attr-defined]
    assert len(set(LARGE_ENCODERS.values())) == len(LARGE_ENCODERS)


@pytest.mark.parametrize("name", NAMES)
def test_the_embedding_stays_and_the_products_take_their_bits(name: str) -> None:
    spec, embedding = CATALOGUE[name], EMBEDDING[name]
    now = text_weights(made(name, "auto"))
    rest = large(spec) - embedding
    assert text_weights(made(name, "int8")) == now - rest
    assert text_weights(made(name, "int4")) == pytest.approx(now - rest * (2 - 4.5 / 8), abs=2)
    assert text_weights(made(name, "bfloat16")) == now  # a GPU has bfloat16 already
    wide = text_weights(made(name, "auto", precision="float32"))
    assert text_weights(made(name, "bfloat16", precision="float32")) == wide - 2 * large(spec)
    assert made(name, "int8").memory["encode"] < made(name, "auto").memory["encode"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("placement", ["resident", "by-model", "streamed"])
def test_what_runs_on_the_cpu_takes_nothing_of_the_gpu(name: str, placement: str) -> None:
    here = made(name, "auto", placement=placement)
    there = made(name, "cpu", placement=placement)
    share = {"resident": 1.0, "by-model": 1.0, "streamed": 0.08}[placement]
    gone = here.memory["encode"] - there.memory["encode"]
    assert gone == pytest.approx(1.1 * share * 2 * large(CATALOGUE[name]), rel=1e-6)
    assert made(name, "cpu-int8").memory == made(name, "cpu").memory
    assert (there.memory["flow"] < here.memory["flow"]) == (placement == "resident")


def test_on_a_cpu_it_is_said_that_all_runs_there() -> None:
    found = made("sd3-medium", "cpu", CPU)
    assert "large_encoder is cpu, and the whole run is on the CPU" in found.notes
    assert found.memory == made("sd3-medium", "auto", CPU).memory
    assert found.spec.large_encoder == LargeEncoder()
    assert made("sd3-medium", "cpu-int8", CPU).spec.large_encoder == LargeEncoder("int8")


@pytest.mark.parametrize(
    ("encoder", "budget", "gone", "sentence"),
    [
        ("int8", GPU, "torchao", "large_encoder is int8, which needs the library torchao: run"),
        ("cpu-int8", CPU, "torchao", "large_encoder is cpu-int8, which needs the library torchao"),
        ("int4", GPU, "bitsandbytes", "large_encoder is int4, which needs the library bitsandbytes"),
        ("int4", CPU, "", "large_encoder is int4, which runs on a CUDA device alone; choose int8"),
    ],
)
def test_what_is_missing_is_one_sentence(
    encoder: str, budget: Budget, gone: str, sentence: str, installed: set[str]
) -> None:
    installed.discard(gone)
    with pytest.raises(Refusal, match=sentence) as caught:
        made("sd3-medium", encoder, budget)
    assert "\n" not in str(caught.value)
    assert made("sd3-medium", "bfloat16", budget)


def test_four_bits_are_not_read_out_of_a_file_that_holds_several_parts() -> None:
    spec = replace(CATALOGUE["sd3-medium"], file="/models/sd3.safetensors", in_file=("text_encoder_3",))
    with pytest.raises(Refusal, match=r"T5 lies in /models/sd3\.safetensors, which is not read in 4 bits"):
        plan(Request(prompt="a", model="sd3-medium", large_encoder="int4"), spec, GPU)


def test_a_model_without_such_an_encoder_says_so() -> None:
    found = plan(Request(prompt="a", model="exact", large_encoder="bfloat16"), _exact(), CPU)
    assert "large_encoder changes nothing here: This model has neither T5 nor Gemma" in found.notes
    zeros = made("sd3-medium", "int8", t5="zeros")
    assert "large_encoder changes nothing here: T5 does not run" in zeros.notes


def _exact() -> ModelSpec:
    from sd3demo.models.exact import EXACT

    return EXACT


def test_a_model_that_is_held_serves_its_own_encoder_alone() -> None:
    auto, int8 = made("sd3-medium", "auto"), made("sd3-medium", "int8")
    assert auto.model_key != int8.model_key
    assert auto.model_key.serves(auto.spec, "bfloat16", "cuda")
    assert not auto.model_key.serves(int8.spec, "bfloat16", "cuda")


def test_old_requests_keep_their_names() -> None:
    before = Request(prompt="a")
    assert identity(before) == identity(Request(prompt="a", large_encoder="auto"))
    assert identity(before) != identity(Request(prompt="a", large_encoder="int8"))
