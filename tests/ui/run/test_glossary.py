"""The glossary: one plain sentence a term, each of them used, none of them missing."""

import re

import pytest

from sd3demo.ui.lessons.lesson_texts import PLACE
from sd3demo.ui.run.glossary import LINK, GlossaryTerm, glossary, terms_in, texts_of, with_terms
from sd3demo.ui.run.markdown import TEXTS

PROSE = [*TEXTS.glob("*.md"), *PLACE.rglob("*.yaml")]
each_term = pytest.mark.parametrize("name", glossary())


def used() -> set[str]:
    return {name for file in PROSE for name in terms_in(file.read_text(encoding="utf-8"))}


def test_every_term_is_used_and_every_use_has_its_term() -> None:
    assert used() == set(glossary())


def test_terms_are_marked_in_the_prose_of_tabs_and_in_lessons() -> None:
    marked = {file.parent.name for file in PROSE if terms_in(file.read_text(encoding="utf-8"))}
    assert {"text", "en"} <= marked


@each_term
def test_a_term_is_one_short_sentence_with_its_source(name: str) -> None:
    term = glossary()[name]
    assert re.fullmatch(r"[A-Z][^.!?]*\.", term.says), term.says
    assert len(term.says.split()) <= 22, term.says
    assert not re.search(r'[$"<>\[\]()*`]', term.note.replace(f"({term.source})", "")), "it stands in a title"
    assert re.match(r"SD3, |I-Max, |this app|[A-Z]\w+ (and \w+|et al\.) \d{4}", term.source), term.source


def test_the_terms_stand_in_order() -> None:
    assert list(glossary()) == sorted(glossary())


def test_a_term_of_a_text_bears_its_sentence() -> None:
    text = with_terms("A [flow](#term-velocity) and [a link](#/about).")
    assert text == f'A [flow](#term-velocity "{glossary()["velocity"].note}") and [a link](#/about).'
    assert LINK.sub("", "[a](#term-seed)") == ""


def test_an_unknown_term_is_found_when_the_page_is_built() -> None:
    with pytest.raises(KeyError):
        with_terms("[x](#term-no-such-term)")


def test_texts_stay_texts() -> None:
    assert texts_of("on: yes\nno: 1.0") == {"on": "yes", "no": "1.0"}


def test_a_note_names_its_source() -> None:
    assert GlossaryTerm(says="It is.", source="SD3, section 2").note == "It is. (SD3, section 2)"
