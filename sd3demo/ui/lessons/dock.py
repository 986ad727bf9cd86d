"""The lessons beside the tabs: all steps as HTML, of which lessons.js shows one.

They are written when somebody opens them for the first time, in the language of the browser.
"""

import re
from functools import cache
from html import escape
from string import Formatter

import gradio as gr

from sd3demo.errors import Refusal
from sd3demo.ui.controls.deep_links import PAGE_SETTINGS, raw_split
from sd3demo.ui.lessons.figures import value_of
from sd3demo.ui.lessons.lesson_steps import GuidedLesson, LessonStep
from sd3demo.ui.lessons.lesson_texts import (
    DockText,
    LessonText,
    StepText,
    dock_text,
    language_for,
    lesson_texts,
)
from sd3demo.ui.lessons.six_lessons import SIX
from sd3demo.ui.run.glossary import LINK, glossary
from sd3demo.ui.run.wiring import at_once

ADDRESS = "lessons"
"""What stands in a link where a tab stands in others: `#/lessons?lesson=guidance&step=2`."""
WANTED = (
    "() => [/^#\\/lessons|[?&]lesson=/.test(location.hash) || document.body.classList.contains('in-lesson')"
    " ? navigator.language : '']"
)


def lesson_dock(page: gr.Blocks) -> None:
    """Give the page that is being built its lessons."""
    dock = gr.HTML(elem_id="lessons")
    asked = gr.Textbox(visible="hidden")
    fill = gr.Button("Lessons", visible="hidden", elem_id="lessons-fill")  # pressed by lessons.js
    at_once([page.load, fill.click], filled, [asked], [dock], js=WANTED, raw=True)


def filled(language: object) -> object:
    """The lessons in a browser's language; nothing where nobody asked for them."""
    return dock_html(language_for(str(language))) if language else gr.skip()


def lesson_link(lesson: GuidedLesson, number: int) -> str:
    """The link of a lesson's step, counted from 1: the page as it sets it, and the lesson beside it."""
    link = lesson.steps[number - 1].link
    return f"{link}{'&' if '?' in link else '?'}lesson={lesson.name}&step={number}"


def page_of(fragment: str) -> str:
    """What stands behind the `#` for a lesson's own address; any other is returned as it is.

    Raises Refusal for a lesson or a step that there is not.
    """
    tab, asked = raw_split(fragment)
    if not fragment.startswith("#/") or tab != ADDRESS:
        return fragment
    name, step = (asked.get(setting, "") for setting in PAGE_SETTINGS[:2])
    if not name:
        return ""
    lesson = next((one for one in SIX if one.name == name), None)
    if lesson is None:
        raise Refusal(
            f"this link names the lesson {name!r}; choose one of {', '.join(one.name for one in SIX)}"
        )
    if step and not (step.isdecimal() and 1 <= int(step) <= len(lesson.steps)):
        raise Refusal(f"this link names step {step!r}; the lesson {name} has steps 1 to {len(lesson.steps)}")
    return lesson_link(lesson, int(step or 1))


@cache
def dock_html(language: str) -> str:
    """The list of lessons and all their steps; which one is shown is the browser's to say."""
    said, texts = dock_text(language), lesson_texts(language)
    items = "".join(_item(lesson, texts[lesson.name], said) for lesson in SIX)
    steps = "".join(
        _step(lesson, number, step, texts[lesson.name], said)
        for lesson in SIX
        for number, step in enumerate(lesson.steps, 1)
    )
    signs = {"fold": ("▾", said.fold), "close": ("✕", said.close)}
    act = "".join(
        f'<button type="button" data-act="{name}" aria-label="{escape(label)}" title="{escape(label)}">{sign}'
        "</button>"
        for name, (sign, label) in signs.items()
    )
    head = (
        f'<div class="dock-head"><button type="button" data-act="list">{escape(said.lessons)}</button>'
        f'<span class="dock-count"></span>'
        f'<button type="button" data-act="present">{escape(said.present)}</button>'
        f'<button type="button" data-act="leave">{escape(said.leave)}</button>{act}</div>'
    )
    turn = (
        f'<div class="dock-turn"><button type="button" data-act="back">{escape(said.back)}</button>'
        f'<button type="button" data-act="next">{escape(said.next)}</button>'
        f'<button type="button" data-act="list" class="dock-all">{escape(said.all)}</button></div>'
    )
    return (
        f'<aside class="dock" lang="{language}" aria-label="{escape(said.lessons)}" hidden>{head}'
        f'<div class="dock-body" tabindex="0" role="region" aria-label="{escape(said.lessons)}">'
        f'<section class="dock-list"><p>{escape(said.intro)}</p><ol>{items}</ol></section>{steps}'
        f'<p class="dock-keys">{escape(said.keys)}</p></div>{turn}</aside>'
    )


def _item(lesson: GuidedLesson, text: LessonText, said: DockText) -> str:
    resume = (
        f'<a class="dock-resume" data-lesson="{lesson.name}" data-says="{escape(said.resume)}" hidden></a>'
    )
    return (
        f'<li><a href="{escape(lesson_link(lesson, 1))}">{escape(text.title)}</a>'
        f"<small>{escape(text.about)}</small>{resume}</li>"
    )


def _step(lesson: GuidedLesson, number: int, step: LessonStep, text: LessonText, said: DockText) -> str:
    own = text.steps[step.name]
    data = {
        "lesson": lesson.name,
        "step": number,
        "link": lesson_link(lesson, number),
        "look": step.look,
        "press": step.press,
        "status": step.status,
        "ahead": step.ahead,
        "quote": step.quote,
        "answer": step.answer,
        "of": len(lesson.steps),
        "title": text.title,
    }
    values = "".join(f' data-{name}="{escape(str(value))}"' for name, value in data.items())
    choices = "".join(
        f'<button type="button" class="dock-choice" aria-pressed="false">{words(choice)}</button>'
        for choice in own.choices
    )
    return (
        f'<article class="dock-step"{values} hidden>'
        f'<h3 tabindex="-1">{escape(own.title)}</h3><p>{words(own.text)}</p>'
        f'<div class="dock-question" role="group" aria-label="{escape(own.question)}">'
        f"<p>{words(own.question)}</p>{choices}</div>"
        f'<p class="dock-act"><button type="button" class="dock-run" disabled>{escape(own.run)}</button>'
        f'<span class="dock-first">{escape(said.predict)}</span>'
        f'<span class="dock-running" hidden>{escape(said.running)} '
        f'<button type="button" data-act="skip">{escape(said.skip)}</button></span></p>'
        f'<div class="dock-reveal" aria-live="polite">{_reveal(step, own, said)}</div></article>'
    )


def _reveal(step: LessonStep, text: StepText, said: DockText) -> str:
    """The answer, with what was measured and what the paper says; in a template until it is due."""
    values = {name: value_of(figure) for name, figure in step.figures.items()}
    known = {name: value for name, value in values.items() if value is not None}
    forms = {name: figure.form.format(known[name]) for name, figure in step.figures.items() if name in known}
    needed = {field for _, field, _, _ in Formatter().parse(text.measured) if field}
    measured = ""
    if text.measured or text.bars:
        if needed | set(step.bars) <= set(forms):
            measured = _measured(step, text, known, forms, said)
        else:
            measured = f'<p class="dock-missing">{escape(said.missing)}</p>'
    return (
        f'<template><p class="dock-verdict" data-right="{escape(said.right)}" '
        f'data-wrong="{escape(said.wrong)}"></p><p>{words(text.reveal)}</p>'
        f'<div class="dock-live" data-says="{escape(said.live)}"></div>{measured}'
        f'<p class="dock-paper"><b>{escape(said.paper)}.</b> {words(text.paper.format(**forms))} '
        f"<cite>({escape(step.source)})</cite></p></template>"
    )


def _measured(
    step: LessonStep, text: StepText, known: dict[str, float], forms: dict[str, str], said: DockText
) -> str:
    words_ = (
        f"<p><b>{escape(said.measured)}.</b> {words(text.measured.format(**forms))}</p>"
        if text.measured
        else ""
    )
    if not step.bars:
        return words_
    longest = max([known[name] for name in step.bars] + ([1.0] if "%" in forms[step.bars[0]] else []))
    rows = "".join(
        f'<div><dt>{escape(text.bars[name])}</dt><dd style="--part:{known[name] / (longest or 1):.4f}">'
        f"<span>{escape(forms[name].removesuffix(' of 255'))}</span></dd></div>"
        for name in step.bars
    )
    return f'{words_}<dl class="dock-bars">{rows}</dl>'


def words(text: str) -> str:
    """A text with `code`, *emphasis* and terms as HTML."""
    found = escape(text, quote=False)
    found = re.sub(r"`([^`]+)`", r"<code>\1</code>", found)
    found = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", found)
    return LINK.sub(
        lambda term: f'<a href="#term-{term[2]}" title="{escape(glossary()[term[2]].note)}">{term[1]}</a>',
        found,
    )
