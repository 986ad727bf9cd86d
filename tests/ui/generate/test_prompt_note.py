"""The line under the prompt: what the model is, what it draws, and what of the prompt it does not know."""

from html import escape

import pytest

from sd3demo.catalogue import CATALOGUE, find, how_to_get
from sd3demo.ui.generate.examples import EXAMPLES, Example
from sd3demo.ui.generate.prompt_note import prompt_note_html


def test_the_model_says_what_it_is_and_what_it_draws() -> None:
    html = prompt_note_html("tiny", "a red circle")
    assert "<b>tiny</b>, 64 × 64 px" in html
    assert find("tiny").draws in html
    assert "unread" not in html


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.title)
def test_every_example_is_known(example: Example) -> None:
    assert "unread" not in prompt_note_html("tiny", example.prompt)


def test_an_unknown_word_stands_with_the_nearest_known_ones() -> None:
    html = prompt_note_html("tiny", "a cirle beside a cat")
    assert "<mark>cirle</mark>" in html
    assert 'data-word="cirle" data-instead="circle"' in html
    assert "<mark>cat</mark></p>" in html  # nothing is spelt like it


def test_what_was_typed_is_never_markup() -> None:
    html = prompt_note_html("tiny", '<img src=x onerror="alert(1)">')
    assert "<img" not in html
    assert "<mark>img</mark>" in html


@pytest.mark.parametrize("name", [name for name, spec in CATALOGUE.items() if spec.hub])
def test_a_model_that_is_not_here_says_how_to_get_it_in_code_that_can_be_copied(name: str) -> None:
    html = prompt_note_html(name, "a cat")
    assert "<code>hf download " in html
    assert 'class="copy"' in html
    said = escape(how_to_get(find(name)))
    assert html.count("*") == said.count("*")  # no asterisk is lost
    assert ("*" in said) == bool(find(name).not_fetched)
    assert "unread" not in html


def test_an_unknown_model_has_no_line() -> None:
    assert prompt_note_html("nothing", "a cat") == ""
