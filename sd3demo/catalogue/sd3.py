"""What SD3 and SD3.5 have in common, as data."""

from sd3demo.catalogue.networks import MMDiTShape
from sd3demo.catalogue.spec import Capabilities, Latent, TextEncoder

PIPELINE_T5_TOKENS = 256  # StableDiffusion3Pipeline's own default, where the tokenizer does not ask for fewer
LONGEST_T5 = 512  # tokens that T5 is asked for at most
T5_WORDS = 32_128  # tokens that T5 knows


def sd3_encoders(
    *, clip: int = 77, t5: int = PIPELINE_T5_TOKENS, longest: int = LONGEST_T5, words: int = T5_WORDS
) -> tuple[TextEncoder, ...]:
    """The three text encoders. The CLIPs stand side by side in one row of tokens, T5's tokens follow.

    Nothing masks T5's padding, so the number of its tokens changes the picture.
    """
    return (
        TextEncoder("clip_l", "CLIP-L", "text_encoder", clip, clip),
        TextEncoder("clip_g", "CLIP-G", "text_encoder_2", clip, clip, beside="clip_l"),
        TextEncoder(
            *("t5", "T5", "text_encoder_3", t5, longest),
            modes=("on", "zeros", "omit", "empty"),
            vocabulary=words,
        ),
    )


def sd3_capabilities(network: MMDiTShape, latent: Latent, *, skip: tuple[int, ...] = ()) -> Capabilities:
    """Positions come from a table, whose side bounds the picture's."""
    return Capabilities(max_side=network.table * latent.multiple, context_parallel=True, skip_layers=skip)
