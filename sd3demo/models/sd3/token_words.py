"""Which word of a text each token of the network belongs to: the tokenizers know where each one stood.

CLIP's two encoders share a row of tokens and T5's tokens follow. A word may be several tokens, and a token
that is no part of the text is named for what it is: a start, an end, padding, or zeros in an encoder's place.
"""

import re
from collections.abc import Sequence
from typing import TypeAlias

import torch
from transformers import CLIPTokenizer, T5Tokenizer

from sd3demo.models.protocol import TokenWords

START, END, PADDING, ZEROS = "⟨start⟩", "⟨end⟩", "⟨padding⟩", "⟨zeros⟩"
WORDS = re.compile(r"\w+|[^\w\s]")


Token: TypeAlias = tuple[int, str]
"""Its word's place in the sentence and the word itself; tokens of one word share both."""


def reading(clips: Sequence[Sequence[Token]], t5: Sequence[Token]) -> TokenWords:
    """The words of a row of tokens that CLIPs share, followed by T5's.

    Tokens of one encoder and one place are one word. Where the CLIPs read texts of their own, a token of both
    is named after both.
    """
    row = (
        clips[0] if len(set(map(tuple, clips))) == 1 else [_both(*pair) for pair in zip(*clips, strict=True)]
    )
    tokens = [("CLIP", *token) for token in row] + [("T5", *token) for token in t5]
    words = list(dict.fromkeys(tokens))
    groups = torch.zeros(len(tokens), len(words))
    groups[range(len(tokens)), [words.index(token) for token in tokens]] = 1
    return TokenWords(tuple((encoder, word) for encoder, _, word in words), groups)


def zeros(tokens: int) -> list[Token]:
    """What stands there for an encoder that is off."""
    return [(-5, ZEROS)] * tokens


def read(tokenizer: CLIPTokenizer | T5Tokenizer, text: str, tokens: int) -> list[Token]:
    """For each token of a text, cut and padded to that number, its place in the sentence and its word.

    Tokens of one word share a place; special tokens of a kind share one as well.
    """
    encoded = tokenizer(
        [text],
        padding="max_length",
        max_length=tokens,
        truncation=True,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    words = [(match.start(), match.end(), match.group()) for match in WORDS.finditer(text)]
    found: list[Token] = []
    for index, ((start, end), special, is_used) in enumerate(
        zip(
            encoded["offset_mapping"][0],
            encoded["special_tokens_mask"][0],
            encoded["attention_mask"][0],
            strict=True,
        )
    ):
        if not is_used:
            found.append((-1, PADDING))
        elif special or start == end:
            starts = index == 0 and tokenizer.bos_token_id is not None
            found.append((-2, START) if starts else (-3, END))
        else:
            found.append(_word_at(words, start, end))
    return found


def _both(left: Token, right: Token) -> Token:
    return left if left == right else (1000 * (left[0] + 10) + right[0], f"{left[1]} | {right[1]}")


def _word_at(words: list[tuple[int, int, str]], start: int, end: int) -> Token:
    """The first word that a stretch of the text touches; a stretch of none, such as a space, is its own."""
    for place, (first, last, word) in enumerate(words):
        if first < end and start < last:
            return place, word
    return -4, "⟨space⟩"
