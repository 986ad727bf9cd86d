"""The About tab: the papers, the mathematics in one convention, and the models."""

import re
from html import escape

import gradio as gr

from sd3demo.catalogue import find
from sd3demo.ui.context import Core
from sd3demo.ui.controls.model_choice import about_model, model_title
from sd3demo.ui.run.markdown import prose, text_file

TEXT = text_file("about")


def about(core: Core) -> None:
    """The whole tab."""
    with gr.Column(elem_id="about"):
        prose(TEXT, "papers")
        gr.HTML(_models(core))


def _models(core: Core) -> str:
    """A table of the models on offer, with what to do about those that are not here."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(model_title(find(name)))}</th>"
        f"<td>{_code(escape(about_model(find(name))))}</td></tr>"
        for name in core.models
    )
    return f"<h2>Models</h2><table class='models'><tbody>{rows}</tbody></table>"


def _code(text: str) -> str:
    """Commands between backticks, as HTML."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", text)
