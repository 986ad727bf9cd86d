"""The true render of a run: the scene that its native picture shows, drawn at the larger size, and who is
nearest to it.

Only the world that the embedded models draw is known by formula, so that other models have none. Distances
are those of the studies: of 7 x 7 patches, in steps of a byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape

from sd3demo.engine import Plan
from sd3demo.engine.events import Finished, Pixels
from sd3demo.ui.server.gradio_internals import ServedFile

TRUE = "true"
TITLE = "True render"
ABOUT: Mapping[str, str] = {
    "native": "What the model makes at the size that it was trained for.",
    "upsample": "Keeps every shape, but cannot know what lies between two pixels: edges are soft.",
    "direct": "The network never saw so many patches: it repeats things, or loses them.",
    "projected": "Keeps the layout of the native picture and draws its edges anew at the larger size.",
    TRUE: "The scene of the native picture, drawn by formula at the larger size.",
}
"""What each picture shows, in a sentence, by its card's key."""


@dataclass(frozen=True, eq=False)
class TrueRender:
    """A true render with its file, and by method how far the picture is from it."""

    file: ServedFile
    size: tuple[int, int]
    distances: Mapping[str, float]


def true_render_of(plan: Plan, result: Finished, write: Callable[[Pixels], ServedFile]) -> TrueRender | None:
    """The true render of a run that has ended; None where it is not known."""
    request = plan.request
    if not plan.spec.draws or request.width != request.height:
        return None
    pixels = true_pixels(result.arms["native"].pictures[0], request.width)
    if pixels is None:
        return None
    large = {name: arm.pictures[0] for name, arm in result.arms.items() if name != "native"}
    side = request.width
    return TrueRender(write(pixels), (side, side), distances(large, pixels))


def true_pixels(native: Pixels, side: int) -> Pixels | None:
    """The scene that a native picture shows, drawn at a size; None for a picture of something else."""
    import numpy as np

    from sd3demo.world.scene_fit import drawn, fitted_scene

    scene = fitted_scene(native / 255)
    return None if scene is None else np.rint(drawn(scene, side) * 255).astype(np.uint8)


def distances(pictures: Mapping[str, Pixels], true: Pixels) -> dict[str, float]:
    """How far each picture's patches are from those of the true render, of 255; lower is truer."""
    from sd3demo.studies.imax.measures import patch_distance, patches

    known = patches(true / 255)
    return {name: patch_distance(patches(picture / 255), known) for name, picture in pictures.items()}


def nearest_html(found: Mapping[str, float], titles: Mapping[str, str]) -> str:
    """Who is nearest to the true render; that upsampling is, where it is, in so many words."""
    ordered = sorted(found, key=lambda name: found[name])
    if len(ordered) < 2:
        return ""
    first, *others = ordered
    behind = ", ".join(f"{escape(titles[name])} {found[name]:.2f}" for name in others[:3])
    text = f"<b>{escape(titles[first])}</b> is nearest to the true render: {found[first]:.2f} of 255"
    text += f", then {behind}."
    if first == "upsample":
        text += " Here the network adds nothing that is true: plain upsampling is enough."
    return f'<p class="verdict">{text} Distance of 7 × 7 patches; lower is truer.</p>'
