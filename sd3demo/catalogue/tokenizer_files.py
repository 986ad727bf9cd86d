"""The tokenizers in a checkpoint's folder, read without torch: what of a text an encoder is given.

`tokenizer.json` is read as it is. A CLIP that comes as `vocab.json` and `merges.txt`, as those of SD3 do, is
put together from its parts as transformers puts it together.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WORD_START = "\u2581"
"""Marks the first piece of a word in T5's vocabulary."""
CLOSED = 2_000
"""A vocabulary of fewer pieces spells what is not in it; T5 has 32,100 pieces and CLIP 49,408."""
CLIP_PATTERN = (
    r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
)


@dataclass(frozen=True)
class CutText:
    """What an encoder does not read: the text from the first word beyond its tokens, and unknown words."""

    cut: str
    unknown: tuple[str, ...]


def folder_of_tokenizer(encoder_folder: str) -> str:
    """Return the tokenizer's folder of a text encoder: `tokenizer_3` of `text_encoder_3`."""
    return encoder_folder.replace("text_encoder", "tokenizer")


def cut_text(folder: Path, text: str, tokens: int) -> CutText | None:
    """Return what an encoder with so many tokens does not read of a text; None without a usable tokenizer."""
    stamp = _stamp(folder)
    return _cut_text(folder, stamp, text, tokens) if stamp else None


@lru_cache(maxsize=1024)
def _cut_text(folder: Path, stamp: float, text: str, tokens: int) -> CutText | None:
    tokenizer = _tokenizer(folder, stamp)
    if tokenizer is None:
        return None
    encoding = tokenizer.encode(text)
    ids, offsets = encoding.ids, encoding.offsets  # each is built anew whenever it is asked for
    content = [k for k, special in enumerate(encoding.special_tokens_mask) if not special]
    room = max(tokens - (len(ids) - len(content)), 0)
    end = len(text)
    if len(content) > room:
        end = offsets[content[room]][0]
        while end and not text[end - 1].isspace():  # a word of which some pieces are cut is not read
            end -= 1
    unknown = _unknown_id(tokenizer)
    missing = sorted(offsets[k][0] for k in content if ids[k] == unknown)
    words = [word.group() for word in re.finditer(r"\S+", text[:end]) if _any_within(missing, word.span())]
    return CutText(text[end:].strip(), tuple(dict.fromkeys(words)))


def _any_within(places: list[int], span: tuple[int, int]) -> bool:
    """Whether one of these places, in order, lies within a span."""
    at = bisect_left(places, span[0])
    return at < len(places) and places[at] < span[1]


def whole_words(folder: Path) -> frozenset[str] | None:
    """Return the words that a tokenizer of T5's kind knows whole; None for an open vocabulary."""
    stamp = _stamp(folder)
    return _whole_words(folder, stamp) if stamp else None


def _stamp(folder: Path) -> float:
    """When the tokenizer's file was written, so that a replaced one is read anew; 0 without a file."""
    for name in ("tokenizer.json", "vocab.json"):
        try:
            return (folder / name).stat().st_mtime
        except OSError:
            continue
    return 0.0


@lru_cache(maxsize=16)
def _tokenizer(folder: Path, stamp: float) -> "Tokenizer | None":
    from tokenizers import Tokenizer

    whole = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(whole)) if whole.is_file() else _clip(folder)
    except Exception:  # the library raises Exception itself; the encoder's own loading says what is wrong
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _clip(folder: Path) -> "Tokenizer":
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import BPE
    from tokenizers.processors import TemplateProcessing

    start, end = "<|startoftext|>", "<|endoftext|>"
    model = BPE.from_file(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        unk_token=end,
        end_of_word_suffix="</w>",
        continuing_subword_prefix="",
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_PATTERN), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    ids = {token: tokenizer.token_to_id(token) for token in (start, end)}
    tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(token, index or 0) for token, index in ids.items()]
    )
    return tokenizer


def _unknown_id(tokenizer: "Tokenizer") -> int | None:
    """The id of a piece that is not known: CLIP's byte pairs take their end of text for it."""
    unknown = tokenizer.token_to_id("<unk>")
    return tokenizer.token_to_id("<|endoftext|>") if unknown is None else unknown


@lru_cache(maxsize=16)
def _whole_words(folder: Path, stamp: float) -> frozenset[str] | None:
    tokenizer = _tokenizer(folder, stamp)
    if tokenizer is None or tokenizer.get_vocab_size() >= CLOSED:
        return None
    pieces = (piece for piece in tokenizer.get_vocab() if piece.startswith(WORD_START))
    words = frozenset(word for piece in pieces if (word := piece.removeprefix(WORD_START)).isalnum())
    return words or None
