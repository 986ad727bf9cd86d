"""Texts as the encoders of a model are given them."""

from sd3demo.catalogue import EncoderInput, ModelSpec


def inputs(
    spec: ModelSpec,
    text: str,
    *,
    texts: dict[str, str] | None = None,
    modes: dict[str, str] | None = None,
    tokens: dict[str, int] | None = None,
) -> tuple[EncoderInput, ...]:
    """One text for all encoders; some may have a text, a mode or a number of tokens that is another."""
    return tuple(
        EncoderInput(
            each.name,
            (texts or {}).get(each.name, text),
            (modes or {}).get(each.name, "on"),
            (tokens or {}).get(each.name, each.tokens),
        )
        for each in spec.encoders
    )
