"""What the models of FLUX.1 have in common, as data."""

from sd3demo.catalogue.networks import FluxShape
from sd3demo.catalogue.sd3 import T5_WORDS
from sd3demo.catalogue.spec import Capabilities, Defaults, TextEncoder

FLUX_DEV_DEFAULTS = Defaults(steps=28, cfg=1.0, schedule="uniform", guidance=3.5)
FLUX_SCHNELL_DEFAULTS = Defaults(steps=4, cfg=1.0, schedule="uniform")
FLUX_NATIVE_LATENT = 128
"""Entries along the native side: configs say nothing of it, and 1024 px is what I-Max takes for native."""

LONGEST_SIDE = 8192
"""Pixels; RoPE has no table that could end. It is the longest side that any setting takes."""


def flux_encoders(
    *, clip: int = 77, t5: int = 512, longest: int = 512, words: int = T5_WORDS
) -> tuple[TextEncoder, ...]:
    """CLIP-L, of which the pooled vector alone is read, and T5, whose padding is attended to."""
    return (
        TextEncoder("clip_l", "CLIP-L", "text_encoder", clip, clip, pooled_only=True),
        TextEncoder(
            *("t5", "T5", "text_encoder_2", t5, longest), modes=("on", "zeros", "empty"), vocabulary=words
        ),
    )


def flux_capabilities(network: FluxShape) -> Capabilities:
    """Text tokens all stand at position 0, so that copies of them can stand elsewhere."""
    return Capabilities(
        max_side=LONGEST_SIDE,
        guidance="embedded" if network.guidance else "none",
        positions="rope",
        grid_copies=True,
        attention_maps=False,
        context_parallel=True,
        reasons={"large_guidance": "it was distilled to need none and reads no scale"},
    )
