"""Texts of the page that are files of their own, with their equations set."""

from pathlib import Path

import gradio as gr

from sd3demo.ui.run.glossary import with_terms

TEXTS = Path(__file__).parents[1] / "text"

DOLLARS: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]


def text_file(name: str) -> Path:
    """The Markdown file of a name among the texts of the page."""
    return TEXTS / f"{name}.md"


def prose(file: Path, elem_id: str) -> gr.Markdown:
    """A text with LaTeX between dollars."""
    text = with_terms(file.read_text(encoding="utf-8"))
    return gr.Markdown(text, latex_delimiters=DOLLARS, elem_id=elem_id)


def section(
    file: Path, title: str, *, elem_id: str | None = None, elem_classes: str | None = None, more: str = ""
) -> gr.Markdown:
    """One section of a text, from its heading of the second rank to the next one, and `more` below it."""
    parts = {part.partition("\n")[0]: part for part in file.read_text(encoding="utf-8").split("## ")[1:]}
    text = with_terms(f"## {parts[title]}{more}")
    return gr.Markdown(text, latex_delimiters=DOLLARS, elem_id=elem_id, elem_classes=elem_classes)
