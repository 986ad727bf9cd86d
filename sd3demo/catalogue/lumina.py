"""What the models of Lumina-Next and of Lumina-Image 2.0 have in common, as data."""

from sd3demo.catalogue.spec import Capabilities, Defaults, TextEncoder

GEMMA_TOKENS = 256
"""Of both pipelines. Lumina-Image 2.0's own positions of the text end at 300."""

GEMMA_WORDS = 256_000  # tokens that Gemma and Gemma 2 know

LUMINA_SIDE = 8192
"""Pixels; RoPE has no table that could end. diffusers' tables end at 384 and at 512 patches."""

LUMINA_NEXT_DEFAULTS = Defaults(steps=30, cfg=4.0, schedule="uniform")
LUMINA2_DEFAULTS = Defaults(
    steps=50,
    cfg=4.0,
    schedule="uniform",
    renorm="whole",
    system_prompt="You are an assistant designed to generate superior images with the superior degree of "
    "image-text alignment based on textual prompts or user prompts.",
)
"""Those of the model's card, but for its truncation of guidance, which stays off until it is asked for."""

NETA_PROMPT = "You are an assistant designed to generate anime images based on textual prompts."


def gemma_encoders(*, tokens: int = GEMMA_TOKENS, words: int = GEMMA_WORDS) -> tuple[TextEncoder, ...]:
    """Gemma's tokens of the last layer but one; padding is masked, so that their number changes nothing."""
    return (
        TextEncoder(
            *("gemma", "Gemma", "text_encoder", tokens, tokens),
            modes=("on",),
            masked=True,
            vocabulary=words,
        ),
    )


def lumina_next_capabilities() -> Capabilities:
    """The picture asks the text in attention of its own, where copies of a key cancel."""
    return Capabilities(
        max_side=LUMINA_SIDE,
        positions="rope",
        joint_text=False,
        text_copies=False,
        attention_maps=False,
        lora=False,
        reasons={
            "text_copies": "its text is read by an attention of its own, where copies of every key cancel",
        },
    )


def lumina2_capabilities() -> Capabilities:
    """Each text token has its own position, and the picture's follows from their number."""
    return Capabilities(
        max_side=LUMINA_SIDE,
        positions="rope",
        attention_maps=False,
        reasons={"copies_at": "its text tokens stand in a row before the picture, and not in its plane"},
    )
