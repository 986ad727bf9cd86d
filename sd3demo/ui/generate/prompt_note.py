"""The line under the prompt: the model, what it draws, and the words of the prompt that it does not know."""

from html import escape

from sd3demo.catalogue import find, how_to_get
from sd3demo.engine.plan.unread import known_words, nearest_words, unknown_words
from sd3demo.errors import Refusal
from sd3demo.ui.controls.model_choice import is_here, model_title


def prompt_note_html(model: str, prompt: str) -> str:
    """Return the line for a model and a prompt: unknown words with the nearest known ones to click.

    It is empty for a model that is not known.
    """
    try:
        spec = find(model)
    except Refusal:
        return ""
    about = f"<b>{escape(model_title(spec))}</b>, {spec.native} × {spec.native} px"
    if not is_here(spec):
        return f"<p>{about}.</p>{_download_html(how_to_get(spec))}"
    known = known_words(spec)
    if known is None:
        return f"<p>{about}. It draws what its text encoders read.</p>"
    about = f"<p>{about}. It draws {escape(spec.draws)}.</p>" if spec.draws else f"<p>{about}.</p>"
    unknown = unknown_words(prompt, known)
    if not unknown:
        return about
    words = ", ".join(_with_choices(word, nearest_words(word, known)) for word in unknown)
    return f'<p class="unread" role="status">Not known, and drawn as something else: {words}</p>{about}'


def _download_html(sentence: str) -> str:
    """The sentence on how to get a model, its commands as code that can be copied."""
    parts = escape(sentence).split("`")
    copy = '<button type="button" data-copy>Copy</button>'
    commands = (f"<code>{part}</code>{copy}" if k % 2 else part for k, part in enumerate(parts))
    return f"<p>{''.join(commands)}.</p>"


def _with_choices(word: str, choices: tuple[str, ...]) -> str:
    buttons = "".join(
        f'<button type="button" data-word="{escape(word)}" data-instead="{escape(choice)}" '
        f'aria-label="Replace {escape(word)} by {escape(choice)}">{escape(choice)}</button>'
        for choice in choices
    )
    return f"<mark>{escape(word)}</mark>{buttons}"
