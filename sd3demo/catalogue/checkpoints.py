"""The checkpoints that are known by name, as data.

Sizes are counted on the published configurations in half precision. Each revision is a commit of the model's
Hub repository, so that a name means the same weights for everybody.
"""

from collections.abc import Mapping
from dataclasses import replace

from sd3demo.catalogue.flux import (
    FLUX_DEV_DEFAULTS,
    FLUX_SCHNELL_DEFAULTS,
    flux_capabilities,
    flux_encoders,
)
from sd3demo.catalogue.lumina import (
    LUMINA2_DEFAULTS,
    LUMINA_NEXT_DEFAULTS,
    NETA_PROMPT,
    gemma_encoders,
    lumina2_capabilities,
    lumina_next_capabilities,
)
from sd3demo.catalogue.networks import FluxShape, Lumina2Shape, LuminaNextShape, MMDiTShape
from sd3demo.catalogue.sd3 import sd3_capabilities, sd3_encoders
from sd3demo.catalogue.shifts import ConstantShift, LinearMuShift
from sd3demo.catalogue.spec import Defaults, Latent, ModelSpec, Size

_COMMUNITY = "Stability AI Community License"


def _half(parameters: int) -> Size:
    return Size(parameters, 2 * parameters)


def _stability(transformer: int) -> Mapping[str, Size]:
    """The text encoders and the autoencoder are the same in all of SD3 and SD3.5."""
    return {
        "text_encoder": _half(123_650_304),  # CLIP ViT-L/14
        "text_encoder_2": _half(694_659_840),  # OpenCLIP ViT-bigG/14
        "text_encoder_3": _half(4_762_310_656),  # T5 v1.1 XXL, encoder
        "transformer": _half(transformer),
        "vae": _half(83_819_683),
    }


_TINY_LATENT = Latent(factor=4)
_TINY_NETWORK = MMDiTShape(
    depth=4, hidden=256, heads=4, joint_dim=256, pooled_dim=224, table=40, qk_norm=True
)
_TINY = ModelSpec(
    name="tiny",
    family="sd3",
    licence="Apache-2.0",
    native=64,
    latent=_TINY_LATENT,
    network=_TINY_NETWORK,
    encoders=sd3_encoders(clip=20, t5=20, longest=20, words=178),
    components={},
    can=sd3_capabilities(_TINY_NETWORK, _TINY_LATENT),
    shift=ConstantShift(1.0),
    defaults=Defaults(steps=28, cfg=4.0, schedule="uniform"),
    draws="circles, squares, triangles, diamonds, stars, hearts, rings and crosses in ten colours, one to "
    "five of a kind, left of, right of, above or below each other, and a word in quotation marks",
    judged=True,
)


def _shallower(depth: int, note: str) -> ModelSpec:
    """The embedded model at another depth, by SD3's rule (end of section 4); all else is shared."""
    network = replace(_TINY_NETWORK, depth=depth, hidden=64 * depth, heads=depth)
    folder = f"transformer_depth_{depth}"
    return replace(_TINY, name=f"tiny-{depth}", network=network, transformer=folder, note=note)


DEPTHS = (
    _TINY,
    _shallower(3, "It errs far more often than tiny: to compare depths with."),
    _shallower(2, "Backgrounds and colours come right, few shapes come whole: to compare depths with."),
)
EMBEDDED = (
    *DEPTHS,
    replace(
        _TINY,
        name="tiny-sizes",
        transformer="transformer_sizes",
        note="tiny, trained on at 48 to 128 px and in other proportions: for larger pictures.",
    ),
)

_LATENT = Latent()
_MEDIUM = MMDiTShape(depth=24, hidden=1536, heads=24, joint_dim=4096, pooled_dim=2048, table=192)
_MEDIUM_3_5 = replace(_MEDIUM, table=384, dual=13, qk_norm=True)
_LARGE = MMDiTShape(depth=38, hidden=2432, heads=38, joint_dim=4096, pooled_dim=2048, table=192, qk_norm=True)

# The repositories also hold the weights as single files and at a second precision.
_SD3_NOT_FETCHED = ("sd3*.safetensors", "text_encoders/*", "*fp16*")

_SD3_MEDIUM = ModelSpec(
    name="sd3-medium",
    family="sd3",
    licence=_COMMUNITY,
    gated=True,
    hub="stabilityai/stable-diffusion-3-medium-diffusers",
    revision="ea42f8cef0f178587cf766dc8129abd379c90671",
    native=1024,
    latent=_LATENT,
    network=_MEDIUM,
    encoders=sd3_encoders(),
    components=_stability(2_028_328_000),
    can=sd3_capabilities(_MEDIUM, _LATENT),
    shift=ConstantShift(3.0),
    defaults=Defaults(steps=28, cfg=5.0),
    not_fetched=_SD3_NOT_FETCHED,
)

_FLUX = FluxShape()
_FLUX_SCHNELL = FluxShape(guidance=False)


def _flux(transformer: int) -> Mapping[str, Size]:
    """The text encoders and the autoencoder are the same in all of FLUX.1."""
    return {
        "text_encoder": _half(123_060_480),  # CLIP ViT-L/14 without its projection
        "text_encoder_2": _half(4_762_310_656),  # T5 v1.1 XXL, encoder
        "transformer": _half(transformer),
        "vae": _half(83_819_683),
    }


_FLUX_DEV = ModelSpec(
    name="flux-dev",
    family="flux",
    licence="FLUX.1 [dev] Non-Commercial License",
    gated=True,
    hub="black-forest-labs/FLUX.1-dev",
    revision="3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
    native=1024,
    latent=_LATENT,
    network=_FLUX,
    encoders=flux_encoders(),
    components=_flux(11_901_408_320),
    can=flux_capabilities(_FLUX),
    shift=LinearMuShift(),
    defaults=FLUX_DEV_DEFAULTS,
    not_fetched=("flux1-*.safetensors", "ae.safetensors"),
)

_GEMMA_LICENCE = "Apache-2.0; Gemma, its text encoder, under the Gemma Terms of Use"
_UNPINNED = "Its repository is not pinned to a commit: the newest is taken."

_LUMINA_NEXT = ModelSpec(
    name="lumina-next",
    family="lumina-next",
    licence=_GEMMA_LICENCE,
    hub="Alpha-VLLM/Lumina-Next-SFT-diffusers",
    revision="0ee5ec90043acf5cb41fe96274af36eb7fad8d95",
    native=1024,
    latent=Latent(channels=4),
    network=LuminaNextShape(),
    encoders=gemma_encoders(),
    components={
        "text_encoder": _half(2_506_172_416),  # Gemma 2B
        "transformer": _half(1_754_898_976),
        "vae": _half(83_653_863),  # SDXL's
    },
    can=lumina_next_capabilities(),
    shift=ConstantShift(1.0),
    defaults=LUMINA_NEXT_DEFAULTS,
    note="The checkpoint of the I-Max paper, at 2048 px, was never published; this is the 1024 px one.",
)

_LUMINA_2 = ModelSpec(
    name="lumina-image-2",
    family="lumina2",
    licence=_GEMMA_LICENCE,
    hub="Alpha-VLLM/Lumina-Image-2.0",
    revision="cf8a782c5be9bc864310a5c7881510104472923c",
    native=1024,
    latent=_LATENT,
    network=Lumina2Shape(),
    encoders=gemma_encoders(),
    components={
        "text_encoder": Size(2_614_341_888, 4 * 2_614_341_888),  # Gemma 2 2B, stored in float32
        "transformer": Size(2_609_769_152, 4 * 2_609_769_152),
        "vae": _half(83_819_683),  # FLUX.1's
    },
    can=lumina2_capabilities(),
    shift=ConstantShift(6.0),
    defaults=LUMINA2_DEFAULTS,
    not_fetched=("*.pth",),
)

CATALOGUE: Mapping[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        *EMBEDDED,
        _SD3_MEDIUM,
        replace(
            _SD3_MEDIUM,
            name="sd3.5-medium",
            hub="stabilityai/stable-diffusion-3.5-medium",
            revision="b940f670f0eda2d07fbb75229e779da1ad11eb80",
            network=_MEDIUM_3_5,
            can=sd3_capabilities(_MEDIUM_3_5, _LATENT, skip=(7, 8, 9)),
            components=_stability(2_243_171_520),
            defaults=Defaults(steps=40, cfg=4.5),
        ),
        replace(
            _SD3_MEDIUM,
            name="sd3.5-large",
            hub="stabilityai/stable-diffusion-3.5-large",
            revision="ceddf0a7fdf2064ea28e2213e3b84e4afa170a0f",
            network=_LARGE,
            can=sd3_capabilities(_LARGE, _LATENT),
            components=_stability(8_056_627_520),
            defaults=Defaults(steps=28, cfg=3.5),
        ),
        replace(
            _SD3_MEDIUM,
            name="sd3.5-large-turbo",
            hub="stabilityai/stable-diffusion-3.5-large-turbo",
            revision="ec07796fc06b096cc56de9762974a28f4c632eda",
            network=_LARGE,
            can=sd3_capabilities(_LARGE, _LATENT),
            components=_stability(8_056_627_520),
            defaults=Defaults(steps=4, cfg=1.0),  # distilled to do without guidance
        ),
        _FLUX_DEV,
        replace(
            _FLUX_DEV,
            name="flux-schnell",
            licence="Apache-2.0",
            hub="black-forest-labs/FLUX.1-schnell",
            revision="741f7c3ce8b383c54771c7003378a50191e9efe9",
            network=_FLUX_SCHNELL,
            encoders=flux_encoders(t5=256, longest=256),
            components=_flux(11_891_178_560),
            can=flux_capabilities(_FLUX_SCHNELL),
            shift=ConstantShift(1.0),
            defaults=FLUX_SCHNELL_DEFAULTS,
            note="Distilled to four steps.",
        ),
        replace(
            _FLUX_DEV,
            name="flux-krea",
            hub="black-forest-labs/FLUX.1-Krea-dev",
            revision="8162a9c7b05a641be098422bf2fcf335615c2f28",
            defaults=replace(FLUX_DEV_DEFAULTS, guidance=4.5),
        ),
        _LUMINA_NEXT,
        _LUMINA_2,
        replace(
            _LUMINA_2,
            name="neta-lumina",
            hub="neta-art/Neta-Lumina-diffusers",
            revision="main",
            licence="CreativeML Open RAIL-M; Gemma, its text encoder, under the Gemma Terms of Use",
            defaults=replace(LUMINA2_DEFAULTS, steps=30, cfg=4.5, system_prompt=NETA_PROMPT),
            note=_UNPINNED,
        ),
        replace(
            _LUMINA_2,
            name="netayume-lumina",
            hub="duongve/NetaYume-Lumina-Image-2.0-Diffusers-v40",
            revision="main",
            components=dict(_LUMINA_2.components, transformer=_half(2_609_769_152)),
            defaults=replace(LUMINA2_DEFAULTS, system_prompt=NETA_PROMPT),
            note=_UNPINNED,
        ),
    )
}
