"""The About tab: the papers, the mathematics in one convention, and the models."""

from html import escape

import gradio as gr

from sd3demo.catalogue import ModelSpec, find
from sd3demo.ui.context import Core
from sd3demo.ui.controls.model_choice import about_model, download_html, model_title
from sd3demo.ui.run.markdown import prose, text_file

TEXT = text_file("about")


def about(core: Core) -> None:
    """The whole tab."""
    with gr.Column(elem_id="about"):
        prose(TEXT, "papers")
        gr.HTML(_models(core))


def _models(core: Core) -> str:
    """A table of the models on offer; how to get those that are not here is folded away."""
    rows = "".join(_row(find(name)) for name in core.models)
    return f"<h2>Models</h2><table class='models'><tbody>{rows}</tbody></table>"


def _row(spec: ModelSpec) -> str:
    missing = download_html(spec)
    how = f"<details><summary>How to get it</summary>{missing}</details>" if missing else ""
    title = escape(model_title(spec))
    return f"<tr><th scope='row'>{title}</th><td>{escape(about_model(spec))}{how}</td></tr>"
