"""Tokenizers of the embedded model, made from the world's vocabulary without a hub.

CLIP's two see whole words: a word that they were not given falls into pieces. T5's sees the caption's
words whole and everything else letter by letter, which is why it is the one that can spell.
"""

from __future__ import annotations

import json
import string

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer, T5Tokenizer

from sd3demo.world.vocabulary import BACKGROUNDS, CAPTION_WORDS, COLOURS, SHAPES, TEXTURES, plural, vocabulary

LENGTH = 20
"""Tokens of each encoder, in training and in serving: nothing masks padding, so the two must agree."""

_PUNCTUATION = list("\"'.,!?-:;()&")


def clip_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer to which every word of the vocabulary is one token."""
    model = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    letters = [*string.ascii_lowercase, *string.digits, *_PUNCTUATION]
    trainer = trainers.BpeTrainer(
        vocab_size=30_000,
        min_frequency=1,
        end_of_word_suffix="</w>",
        initial_alphabet=letters,
        show_progress=False,
    )
    model.train_from_iterator([" ".join(vocabulary())], trainer)
    bpe = json.loads(model.to_str())["model"]
    tokens = dict.fromkeys([*letters, *(letter + "</w>" for letter in letters), *bpe["vocab"]])
    vocab = {token: index for index, token in enumerate(["<|startoftext|>", "<|endoftext|>", *tokens])}
    merges = [tuple(pair) for pair in bpe["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=LENGTH)


def piece_ids(tokenizer: CLIPTokenizer) -> list[int]:
    """Ids of the pieces that are not a whole word: all of what an unknown word can fall into."""
    whole = {word + "</w>" for word in (*vocabulary(), *string.digits, *_PUNCTUATION)} | set(_PUNCTUATION)
    special = {"<|startoftext|>", "<|endoftext|>"}
    return sorted(index for token, index in tokenizer.get_vocab().items() if token not in whole | special)


def t5_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer with the caption's words whole and letters for all else."""
    words = sorted({*CAPTION_WORDS, *SHAPES, *map(plural, SHAPES), *TEXTURES, *COLOURS, *BACKGROUNDS})
    singles = [*string.ascii_letters, *string.digits, *_PUNCTUATION]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    pieces += [(f"\u2581{word}", -1.0) for word in words]
    pieces += [(single, -4.0) for single in singles]
    pieces += [(f"\u2581{single}", -5.5) for single in _PUNCTUATION]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=LENGTH)


def tokens(tokenizer: CLIPTokenizer | T5Tokenizer, texts: list[str], device: torch.device) -> Tensor:
    """Ids (B, LENGTH) of the texts, padded or cut."""
    rows = tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    ids: Tensor = rows.input_ids
    return ids.to(device)
