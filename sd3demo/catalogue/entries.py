"""The checkpoints that are known by name, how one is found, and what to do about one that is not here.

Sizes are counted on the published configurations in half precision. Each revision is a commit of the model's
Hub repository, so that a name means the same weights for everybody.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sd3demo.catalogue.folders import read_folder
from sd3demo.catalogue.networks import MMDiTShape
from sd3demo.catalogue.sd3 import sd3_capabilities, sd3_encoders
from sd3demo.catalogue.shifts import ConstantShift
from sd3demo.catalogue.spec import Defaults, Latent, ModelSpec, Size
from sd3demo.catalogue.weight_files import weights_hash
from sd3demo.errors import Refusal

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
    encoders=sd3_encoders(clip=20, t5=20, longest=20),
    components={},
    can=sd3_capabilities(_TINY_NETWORK, _TINY_LATENT),
    shift=ConstantShift(1.0),
    defaults=Defaults(steps=28, cfg=4.0, schedule="uniform"),
)


def _shallower(depth: int, note: str) -> ModelSpec:
    """The embedded model at another depth, by SD3's rule (end of section 4); all else is shared."""
    network = replace(_TINY_NETWORK, depth=depth, hidden=64 * depth, heads=depth)
    folder = f"transformer_depth_{depth}"
    return replace(_TINY, name=f"tiny-{depth}", network=network, transformer=folder, note=note)


_DEPTHS = (
    _TINY,
    _shallower(3, "It errs far more often than tiny: to compare depths with."),
    _shallower(2, "Backgrounds and colours come right, few shapes come whole: to compare depths with."),
)
_EMBEDDED = (
    *_DEPTHS,
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
)

CATALOGUE: Mapping[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        *_EMBEDDED,
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
    )
}


def find(name: str) -> ModelSpec:
    """The spec of a catalogue name, a hub id or a folder. Raises Refusal with what exists."""
    by_hub = {spec.hub: spec for spec in CATALOGUE.values() if spec.hub}
    spec = CATALOGUE.get(name) or by_hub.get(name)
    if spec is not None:
        return _embedded(spec) if spec in _EMBEDDED else spec
    if name and os.path.isdir(os.path.expanduser(name)):  # False too for a name that no file system takes
        return read_folder(Path(name))
    raise Refusal(
        f"unknown model {name!r}; choose one of {', '.join(CATALOGUE)}, or give a folder in diffusers format"
    )


def locate(spec: ModelSpec) -> Path:
    """Where a model's files are on this disk; nothing is fetched. Raises Refusal with what to do."""
    if spec.folder:
        return Path(spec.folder)
    if spec.hub:
        from huggingface_hub import try_to_load_from_cache  # here, since it takes half a second to import

        index = try_to_load_from_cache(spec.hub, "model_index.json", revision=spec.revision)
        if isinstance(index, str):
            return Path(index).parent
    raise Refusal(how_to_get(spec))


def fingerprint(spec: ModelSpec) -> str:
    """The hash of a model's weights, by which they are known again. Raises Refusal where they are absent.

    Adapters count: with them it is another model, whose pictures, texts and receipts are its own.
    """
    folders = [spec.folder_of(component) for component in spec.components]
    weights = weights_hash(locate(spec) if folders else Path(), folders)
    if not spec.adapters:
        return weights
    applied = "".join(f"{each.sha256} {each.weight!r}\n" for each in spec.adapters)
    return hashlib.sha256(f"{weights}\n{applied}".encode()).hexdigest()


def how_to_get(spec: ModelSpec) -> str:
    """The sentence for a model whose files are not here."""
    if not spec.hub:
        return (
            f"the embedded model is not at {assets() / 'tiny'}; install the package with its assets, "
            "train one with `sd3demo train`, or choose another with --model"
        )
    accept = (
        f"accept its licence at https://huggingface.co/{spec.hub}, run `hf auth login`, then "
        if spec.gated
        else ""
    )
    # The repositories also hold the weights as single files and at a second precision, which are not read
    # here.
    unread = " ".join(
        f'--exclude "{pattern}"' for pattern in ("sd3*.safetensors", "text_encoders/*", "*fp16*")
    )
    return (
        f"{spec.name} is not on this disk: {accept}run "
        f"`hf download {spec.hub} --revision {spec.revision} {unread}`"
    )


def _embedded(spec: ModelSpec) -> ModelSpec:
    """The model inside: its folder's own figures, or its entry above while it is absent."""
    folder = assets() / "tiny"
    if not (folder / spec.transformer / "config.json").is_file():
        return spec
    read = read_folder(folder, spec.transformer)
    encoders = tuple(
        replace(each, tokens=min(each.limit, own.limit), limit=min(each.limit, own.limit))
        for each, own in zip(read.encoders, spec.encoders, strict=True)
    )
    return replace(
        read,
        name=spec.name,
        licence=spec.licence,
        encoders=encoders,
        shift=spec.shift,
        defaults=spec.defaults,
        note=spec.note,
    )


def depths() -> tuple[str, ...]:
    """The names of the embedded model's depths that are here, the shallowest first."""
    found = [find(spec.name) for spec in _DEPTHS]
    return tuple(spec.name for spec in sorted(found, key=lambda spec: spec.network.depth) if spec.folder)


def assets() -> Path:
    """`sd3demo/_assets` in an installed package, `assets` beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_assets"
    return installed if installed.is_dir() else package.parent / "assets"
