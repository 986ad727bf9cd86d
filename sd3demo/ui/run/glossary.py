"""The terms that a text of the page explains: one sentence each, in one file.

A text refers to one by a link, `[words](#term-NAME)`. The sentence becomes the link's title, which
glossary.js shows on hover, on focus and on a tap.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

FILE = Path(__file__).parents[1] / "text" / "glossary" / "en.yaml"
LINK = re.compile(r"\[([^\]\n]+)\]\(#term-([a-z0-9-]+)\)")


class GlossaryTerm(BaseModel):
    """What a term means, and where it comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    says: str
    source: str

    @property
    def note(self) -> str:
        """The sentence with its source."""
        return f"{self.says} ({self.source})"


@cache
def glossary() -> Mapping[str, GlossaryTerm]:
    """All terms by name."""
    found = texts_of(FILE.read_text(encoding="utf-8"))
    return {name: GlossaryTerm.model_validate(term) for name, term in found.items()}


def texts_of(file: str) -> dict[str, object]:
    """A file of texts in YAML, each value as it is written: `yes` and `on` are words here."""
    found: dict[str, object] = yaml.load(file, Loader=yaml.BaseLoader)
    return found


def terms_in(text: str) -> list[str]:
    """The names of the terms that a text refers to."""
    return [name for _, name in LINK.findall(text)]


def with_terms(markdown: str) -> str:
    """The Markdown with each term's sentence as its link's title. Raises KeyError for an unknown term."""
    if "(#term-" not in markdown:
        return markdown
    return LINK.sub(lambda found: f'[{found[1]}](#term-{found[2]} "{glossary()[found[2]].note}")', markdown)
