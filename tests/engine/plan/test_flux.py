"""What a plan says of FLUX.1, and what it refuses in one sentence."""

import math

import pytest

from sd3demo.catalogue import CATALOGUE, ModelSpec
from sd3demo.engine import Budget, plan
from sd3demo.engine.plan.memory import GIB
from sd3demo.errors import Refusal
from sd3demo.settings import Request
from sd3demo.settings.extrapolation import Extrapolation, with_preset

DEV, SCHNELL, KREA = (CATALOGUE[f"flux-{name}"] for name in ("dev", "schnell", "krea"))
MEDIUM = CATALOGUE["sd3-medium"]
CARD = Budget("cuda", 24 * GIB, 2e14)


def asked(spec: ModelSpec, **settings: object) -> Request:
    return Request.model_validate({"prompt": "a", "model": spec.name, **settings})


def larger(spec: ModelSpec, **settings: object) -> Extrapolation:
    return Extrapolation.model_validate({"prompt": "a", "model": spec.name, **settings})


def refusal(request: Request, spec: ModelSpec) -> str:
    with pytest.raises(Refusal) as caught:
        plan(request, spec, CARD)
    return str(caught.value)


@pytest.mark.parametrize(
    ("spec", "steps", "guidance", "tokens", "shift"),
    [
        (DEV, 28, 3.5, 512, math.exp(1.15)),
        (SCHNELL, 4, "auto", 256, 1.0),
        (KREA, 28, 4.5, 512, math.exp(1.15)),
    ],
)
def test_open_settings_take_the_models_values(
    spec: ModelSpec, steps: int, guidance: object, tokens: int, shift: float
) -> None:
    request = plan(asked(spec), spec, CARD).request
    found = (request.steps, request.cfg, request.guidance, request.max_sequence_length, request.schedule)
    assert found == (steps, 1.0, guidance, tokens, "uniform")
    assert request.shift == pytest.approx(shift)


def test_operations_are_those_that_were_counted_and_true_cfg_doubles_them() -> None:
    (stage,) = plan(asked(DEV), DEV, CARD).flow_stages
    assert stage.flops / stage.calls == pytest.approx(74e12, rel=0.01)
    assert (stage.calls, stage.embedded) == (28, 3.5)
    (guided,) = plan(asked(DEV, cfg=2, negative="b"), DEV, CARD).flow_stages
    assert guided.flops == 2 * stage.flops


def test_the_largest_part_alone_fits_a_card_of_24_gib() -> None:
    """Without its modulations, which wait on the CPU; with them it would take 24 GiB alone."""
    planned = plan(asked(DEV), DEV, CARD)
    assert (planned.placement, planned.fits) == ("by-model", True)
    smaller = plan(asked(DEV), DEV, Budget("cuda", 16 * GIB, 2e14))
    assert (smaller.placement, smaller.fits) == ("streamed", True)


@pytest.mark.parametrize(
    ("spec", "settings", "sentence"),
    [
        (DEV, {"skip_scale": 2.8}, "skip_scale is 2.8; flux-dev has no such setting"),
        (DEV, {"clip_g": "zeros"}, "clip_g is 'zeros'; flux-dev has no such setting"),
        (DEV, {"t5": "omit"}, "t5 is omit; the text of flux-dev is T5's tokens alone"),
        (DEV, {"width": 1000}, "width is 1000; flux-dev makes sides that divide by 16"),
        (SCHNELL, {"guidance": 3.5}, "guidance is 3.5; flux-schnell was distilled to need none"),
        (SCHNELL, {"max_sequence_length": 400}, "it must lie in [1, 256] for flux-schnell"),
        (MEDIUM, {"guidance": 3.5}, "guidance is 3.5; sd3-medium has no such setting"),
    ],
)
def test_what_a_family_does_not_have_is_refused(
    spec: ModelSpec, settings: dict[str, object], sentence: str
) -> None:
    assert sentence in refusal(asked(spec, **settings), spec)


@pytest.mark.parametrize(
    ("spec", "settings", "sentence"),
    [
        (
            MEDIUM,
            {"rope_base": 10},
            "rope_base is 10.0, which means nothing for sd3-medium: its positions",
        ),
        (
            MEDIUM,
            {"copies_at": "grid"},
            "copies_at is grid, which means nothing for sd3-medium: its text",
        ),
        (
            MEDIUM,
            {"large_guidance": 7},
            "large_guidance is 7.0, which means nothing for sd3-medium: it",
        ),
        (
            SCHNELL,
            {"large_guidance": 7},
            "large_guidance is 7.0, which means nothing for flux-schnell: it",
        ),
        (DEV, {"copies_at": "grid"}, "copies_at is grid and text_copies is 1; a grid has one copy"),
    ],
)
def test_what_a_network_cannot_be_asked_for_is_refused(
    spec: ModelSpec, settings: dict[str, object], sentence: str
) -> None:
    assert sentence in refusal(larger(spec, **settings), spec)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_release_has_its_own_shifts_base_copies_and_guidance(scale: int) -> None:
    planned = plan(with_preset(larger(DEV, scale=scale), "release", "flux"), DEV, CARD)
    native, large = planned.flow_stages
    times = [1 - k / 28 for k in range(29)]
    for stage, shift in ((native, 3.0), (large, 6.0)):
        assert stage.sigmas == pytest.approx([shift * t / (1 + (shift - 1) * t) for t in times])
    assert (native.embedded, large.embedded) == (3.5, 7.0)
    toolkit = large.toolkit
    assert (toolkit.text_copies, toolkit.copies_at, toolkit.text_repeats) == (scale**2, "grid", scale**2)
    assert toolkit.ntk * scale == pytest.approx(10.0)
    keys = (64 * scale) ** 2 + scale**2 * 512
    assert toolkit.attention_scale == pytest.approx(math.sqrt(math.log(keys) / math.log(64**2 + 512)))
    assert large.flops == 28 * DEV.network.flops((64 * scale) ** 2, scale**2 * 512)


def test_the_papers_shift_for_flux_is_one_and_a_half_times_the_scale() -> None:
    planned = plan(with_preset(larger(DEV, scale=4), "paper-flux", "flux"), DEV, CARD)
    large = planned.flow_stages[-1]
    assert large.sigmas[1] == pytest.approx(6 * (27 / 28) / (1 + 5 * 27 / 28))
    assert large.toolkit.ntk == 2.5


def test_a_larger_stage_has_the_native_guidance_unless_it_is_given_its_own() -> None:
    assert plan(larger(DEV, guidance=2), DEV, CARD).flow_stages[-1].embedded == 2.0
    other = plan(larger(DEV, method="upsample-guidance", guidance=2, large_guidance=5), DEV, CARD)
    large = other.flow_stages[-1]
    assert (large.embedded, large.native_embedded) == (5.0, 2.0)


@pytest.mark.parametrize("spec", [DEV, SCHNELL, KREA])
def test_the_download_command_is_one_that_a_shell_takes(spec: ModelSpec) -> None:
    import re
    import shlex

    from sd3demo.catalogue import how_to_get

    (command,) = re.findall(r"`(hf download .*?)`", how_to_get(spec))
    words = shlex.split(command)
    assert words[:5] == ["hf", "download", spec.hub, "--revision", spec.revision]
    assert words[5:] == ["--exclude", "flux1-*.safetensors", "--exclude", "ae.safetensors"]
