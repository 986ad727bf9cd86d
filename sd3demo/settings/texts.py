"""Texts that a person writes: what can be read and stored."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator

LONGEST_PROMPT = 2000  # characters; T5 reads 512 tokens at most, which is less


def _readable(text: str) -> str:
    """A text that can be read and stored: no control characters but tabs and line ends, not too long."""
    if len(text) > LONGEST_PROMPT:
        raise ValueError(f"has {len(text):,} characters; at most {LONGEST_PROMPT:,} can be given")
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise ValueError(f"holds the control character U+{ord(character):04X}; give plain text")
    return text


def _described(text: str) -> str:
    if not text.strip():
        raise ValueError(f"is empty; describe a picture in up to {LONGEST_PROMPT:,} characters")
    return text


Text = Annotated[str, AfterValidator(_readable)]
Prompt = Annotated[Text, AfterValidator(_described)]
