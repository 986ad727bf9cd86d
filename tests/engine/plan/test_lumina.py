"""Lumina-Next and Lumina-Image 2.0 as plans: defaults, guidance, presets, and what is refused."""

import math
import re
import shlex

import pytest

from sd3demo.catalogue import CATALOGUE, ModelSpec, find, how_to_get
from sd3demo.engine import Budget, plan
from sd3demo.errors import Refusal
from sd3demo.flow.extrapolation.methods import METHODS
from sd3demo.settings import Request
from sd3demo.settings.extrapolation import Extrapolation, with_preset

CARD = Budget(device="cuda", memory=80 * 2**30)
NEXT, TWO = find("lumina-next"), find("lumina-image-2")
LUMINA = tuple(spec for spec in CATALOGUE.values() if spec.family in ("lumina-next", "lumina2"))


def asked(spec: ModelSpec, **settings: object) -> Request:
    return Request.model_validate({"prompt": "A cat", "model": spec.name, **settings})


def larger(spec: ModelSpec, **settings: object) -> Extrapolation:
    return Extrapolation.model_validate({"prompt": "A cat", "model": spec.name, "scale": 2, **settings})


@pytest.mark.parametrize("spec", LUMINA, ids=lambda spec: spec.name)
def test_the_defaults_are_the_models_own(spec: ModelSpec) -> None:
    planned = plan(asked(spec), spec, CARD)
    request, (stage,) = planned.request, planned.flow_stages
    assert (request.width, request.schedule, request.max_sequence_length) == (1024, "uniform", 256)
    assert request.renorm == spec.defaults.renorm
    assert (stage.guidance.channels, stage.guidance.interval) == (0, (0.0, 1.0))
    assert stage.calls == 2 * spec.defaults.steps
    assert stage.flops == stage.calls * spec.network.flops(4096, 256)
    assert planned.encoder_calls == 2
    if spec.family == "lumina2":
        assert request.system_prompt == spec.defaults.system_prompt
        assert request.shift == 6.0


@pytest.mark.parametrize(
    ("truncation", "steps", "guided"), [(0.25, 50, 12), (0.5, 4, 2), (1.0, 7, 7), (0.0, 4, 0), (0.1, 4, 0)]
)
def test_truncated_guidance_is_an_interval_of_the_first_steps(
    truncation: float, steps: int, guided: int
) -> None:
    (stage,) = plan(asked(TWO, steps=steps, cfg_truncation=truncation), TWO, CARD).flow_stages
    assert stage.calls == steps + guided
    if 0 < guided < steps:
        assert stage.guidance.interval == (stage.sigmas[guided - 1], 1.0)


def test_a_larger_stage_truncates_its_own_steps() -> None:
    planned = plan(larger(TWO, cfg_truncation=0.25, steps=8, large_steps=4), TWO, CARD)
    assert [stage.calls for stage in planned.flow_stages] == [8 + 2, 4 + 1]


@pytest.mark.parametrize(
    ("spec", "settings", "sentence"),
    [
        (NEXT, {"system_prompt": "b"}, "system_prompt is 'b'; lumina-next has no such setting"),
        (TWO, {"guided_channels": "three"}, "guided_channels is 'three'; lumina-image-2 has no such setting"),
        (TWO, {"t5": "zeros"}, "t5 is 'zeros'; lumina-image-2 has no such setting"),
        (TWO, {"guidance": 3.5}, "guidance is 3.5; lumina-image-2 has no such setting"),
        (find("flux-dev"), {"renorm": "rows"}, "renorm is 'rows'; flux-dev has no such setting"),
        (find("tiny"), {"cfg_truncation": 0.5}, "cfg_truncation is 0.5; tiny has no such setting"),
        (TWO, {"max_sequence_length": 400}, "max_sequence_length is 400; it must lie in [1, 256]"),
    ],
)
def test_settings_that_a_family_lacks_are_refused(
    spec: ModelSpec, settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(Refusal) as caught:
        plan(asked(spec, **settings), spec, CARD)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "settings", "sentence"),
    [
        (NEXT, {"text_copies": "auto"}, "copies of every key cancel; leave it at 1.0"),
        (NEXT, {"copies_at": "grid", "text_copies": "auto"}, "text_copies is auto, which means nothing"),
        (TWO, {"copies_at": "grid", "text_copies": "auto"}, "stand in a row before the picture"),
        (TWO, {"large_guidance": 7}, "it reads no guidance scale"),
    ],
)
def test_changes_that_a_network_lacks_are_refused(
    spec: ModelSpec, settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(Refusal) as caught:
        plan(larger(spec, **settings), spec, CARD)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("spec", LUMINA, ids=lambda spec: spec.name)
@pytest.mark.parametrize("scale", [2, 4])
def test_the_papers_configuration_for_lumina(spec: ModelSpec, scale: int) -> None:
    """Base b s, shift s over the native one, no copies, sqrt(log_T L) of the keys that patches have."""
    request = with_preset(larger(spec, scale=scale, steps=28), "paper-lumina", spec.family)
    large = plan(request, spec, CARD).flow_stages[-1]
    shift, t = scale * spec.shift.default(1, 1), 27 / 28
    assert large.sigmas[1] == pytest.approx(shift * t / (1 + (shift - 1) * t))
    toolkit = large.toolkit
    assert (toolkit.positions, toolkit.ntk, toolkit.text_copies) == ("per-frequency", 1.0, 1.0)
    text = 0 if spec.family == "lumina-next" else 256
    keys = 4096 * scale**2 + text
    assert toolkit.attention_scale == pytest.approx(math.sqrt(math.log(keys) / math.log(4096 + text)))


@pytest.mark.parametrize("spec", [NEXT, TWO], ids=lambda spec: spec.name)
@pytest.mark.parametrize("method", [name for name in METHODS if name != "super-resolution"])
def test_every_method_can_be_planned(spec: ModelSpec, method: str) -> None:
    assert plan(larger(spec, method=method), spec, CARD).arms[-1].name == method


@pytest.mark.parametrize("spec", LUMINA, ids=lambda spec: spec.name)
def test_the_download_command_is_one_that_a_shell_takes(spec: ModelSpec) -> None:
    (command,) = re.findall(r"`(hf download .*?)`", how_to_get(spec))
    assert shlex.split(command)[:5] == ["hf", "download", spec.hub, "--revision", spec.revision]
    assert "licence" not in how_to_get(spec)
    assert "Gemma Terms of Use" in spec.licence
