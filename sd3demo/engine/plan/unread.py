"""What of its texts a model does not read: words that it does not know, and text beyond an encoder's limit.

Real text encoders have a piece for every word, so that only the limit counts there. The embedded models know
the words of their world alone, spell what stands in quotation marks, and draw something else for the rest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from sd3demo.catalogue import ModelSpec, locate
from sd3demo.catalogue.tokenizer_files import cut_text, folder_of_tokenizer, whole_words
from sd3demo.errors import Refusal
from sd3demo.settings import Resolved, text_inputs

QUOTED = re.compile(r"""\"[^\"]*\"|“[^”]*”|(?<!\w)'[^']+'(?!\w)|‘[^’]+’""")
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
SHORTEST = 3  # letters of a word that is offered for another
LONGEST_EXCERPT = 60  # characters of a text that is cut, in its note


@dataclass(frozen=True)
class UnreadText:
    """What one encoder does not read: words that the model does not know, and the texts beyond its limit."""

    words: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()


Unread = Mapping[str, UnreadText]
"""By the name of an encoder; {} where all is read."""


def unread_of(request: Resolved, spec: ModelSpec) -> Unread:
    """Return what each encoder that runs does not read of its texts; {} also for a model that is not here."""
    folder = _folder(spec)
    if folder is None:
        return {}
    known = _known_words(spec, folder)
    inputs = [*text_inputs(request, spec)]
    if request.negative and request.cfg != 1:
        inputs += text_inputs(request, spec, negative=True)
    found: dict[str, UnreadText] = {}
    for given in inputs:
        if given.mode != "on" or not spec.has(given.encoder):
            continue
        before = found.get(given.encoder, UnreadText())
        tokenizer = folder / folder_of_tokenizer(spec.encoder(given.encoder).folder)
        read = cut_text(tokenizer, given.text, given.tokens)
        cut = read.cut if read else ""
        words = unknown_words(given.text.removesuffix(cut), known) if known is not None else ()
        unknown = read.unknown if read and known is None else ()
        found[given.encoder] = UnreadText(
            tuple(dict.fromkeys((*before.words, *words, *unknown))),
            tuple(dict.fromkeys((*before.cut, *([cut] if cut else [])))),
        )
    return {name: unread for name, unread in found.items() if unread != UnreadText()}


def unread_lists(unread: Unread) -> dict[str, list[str]]:
    """Return the same as JSON: by encoder, each unknown word and then each text that is cut."""
    return {name: [*each.words, *each.cut] for name, each in unread.items()}


def unread_notes(unread: Unread, spec: ModelSpec) -> tuple[str, ...]:
    """Return a sentence on the unknown words, and one for each encoder's text that is cut."""
    notes: list[str] = []
    if words := tuple(dict.fromkeys(word for each in unread.values() for word in each.words)):
        draws = f"; it draws {spec.draws}" if spec.draws else ""
        notes.append(f"{spec.name} does not know {_listed(words)}{draws}")
    for name, each in unread.items():
        for cut in each.cut:
            shown = cut if len(cut) <= LONGEST_EXCERPT else f"{cut[: LONGEST_EXCERPT - 1]}…"
            notes.append(
                f"{spec.encoder(name).title} reads no further than its limit and leaves out “{shown}”"
            )
    return tuple(notes)


def known_words(spec: ModelSpec) -> frozenset[str] | None:
    """Return the words that a model knows; None for one that reads any word, or that is not here."""
    folder = _folder(spec)
    return None if folder is None else _known_words(spec, folder)


def unknown_words(text: str, known: frozenset[str]) -> tuple[str, ...]:
    """Return the words of a text that are not known, each once; what stands in quotation marks is spelt."""
    words = (match.group() for match in WORD.finditer(QUOTED.sub(" ", text)))
    return tuple(dict.fromkeys(word for word in words if word.lower() not in known))


def nearest_words(word: str, known: frozenset[str]) -> tuple[str, ...]:
    """Return at most three known words that are spelt much like this one, the nearest first."""
    long_enough = sorted(each for each in known if len(each) >= SHORTEST)
    return tuple(get_close_matches(word.lower(), long_enough, n=3, cutoff=0.7))


def _known_words(spec: ModelSpec, folder: Path) -> frozenset[str] | None:
    """The words of the encoders with a closed vocabulary that has whole words in it."""
    vocabularies = [whole_words(folder / folder_of_tokenizer(each.folder)) for each in spec.encoders]
    closed = [words for words in vocabularies if words]
    return frozenset().union(*closed) if closed else None


def _folder(spec: ModelSpec) -> Path | None:
    try:
        return locate(spec) if spec.components else None
    except Refusal:
        return None


def _listed(words: tuple[str, ...]) -> str:
    """“cat”, “hat” and “mat”."""
    marked = [f"“{word}”" for word in words]
    return marked[0] if len(marked) == 1 else f"{', '.join(marked[:-1])} and {marked[-1]}"
