"""The lessons' data against the page that they set, and their words against what was measured."""

import re
from itertools import chain
from pathlib import Path
from string import Formatter

import pytest
import torch

from sd3demo.errors import Refusal
from sd3demo.flow.posterior_lines import posterior_lines
from sd3demo.studies.study import STUDIES
from sd3demo.training.toy_data import CLUSTERS
from sd3demo.ui.controls import deep_links as links
from sd3demo.ui.controls.deep_links import PAGE_SETTINGS, raw_split, split
from sd3demo.ui.densities.tab import MOVING, STILL
from sd3demo.ui.flow_lab import field, sampler_paths, tab
from sd3demo.ui.lessons.dock import dock_html, filled, lesson_link, page_of, words
from sd3demo.ui.lessons.figures import value_of
from sd3demo.ui.lessons.lesson_steps import ComputedFigure, GuidedLesson, LessonStep, StudyFigure
from sd3demo.ui.lessons.lesson_texts import dock_text, language_for, languages, lesson_texts
from sd3demo.ui.lessons.six_lessons import SIX
from sd3demo.ui.trajectories import handlers
from tests.recorded.links import _page, opened
from tests.test_tree import ROOT

STEPS = [(lesson, number, step) for lesson in SIX for number, step in enumerate(lesson.steps, 1)]
NAMES = [f"{lesson.name}-{step.name}" for lesson, _, step in STEPS]
each_step = pytest.mark.parametrize(("lesson", "number", "step"), STEPS, ids=NAMES)
each_language = pytest.mark.parametrize("language", languages())
SOURCE = re.compile(
    r"(SD3|I-Max), (appendix [A-E]\.\d|(section|equation|equations|table|figure) [\d.]+( (and|to) "
    r"((section|equation|figure|table) )?[\d.]+)?)"
)


def ids() -> set[str]:
    """The ids that the tabs give their elements, those of tabs that are built late too."""
    files = (ROOT / "sd3demo" / "ui").rglob("*.py")
    named = {
        one for file in files for one in re.findall(r'elem_id="([\w-]+)"', file.read_text(encoding="utf-8"))
    }
    plots = {
        f"plot-{name}"
        for name in (*MOVING, *STILL, *field.PLOTS, *sampler_paths.PLOTS, *tab.PLOTS, *handlers.PLOTS)
    }
    return named | plots | {f"study-{name}" for name in STUDIES}


def test_there_are_six_lessons_of_about_five_minutes() -> None:
    assert len(SIX) == 6
    assert {len(lesson.steps) for lesson in SIX} <= {4, 5}
    assert len({lesson.name for lesson in SIX}) == 6
    for lesson in SIX:
        assert len({step.name for step in lesson.steps}) == len(lesson.steps)


@each_step
def test_every_link_of_every_step_opens_without_a_fault(
    lesson: GuidedLesson, number: int, step: LessonStep
) -> None:
    plain, taught = opened(step.link), opened(lesson_link(lesson, number))
    assert plain["tab"]
    assert plain["faults"] == 0
    assert taught == plain
    assert page_of(f"#/lessons?lesson={lesson.name}&step={number}") == lesson_link(lesson, number)


@each_step
def test_every_element_that_a_step_refers_to_is_on_the_page(
    lesson: GuidedLesson, number: int, step: LessonStep
) -> None:
    asked = {step.look, step.press, step.status, step.ahead, step.quote} - {""}
    assert asked <= ids()
    assert bool(step.press) == bool(step.status) >= bool(step.ahead)


@each_step
def test_a_source_names_a_place_in_a_paper(lesson: GuidedLesson, number: int, step: LessonStep) -> None:
    assert SOURCE.match(step.source), step.source


@each_step
def test_every_figure_is_measured_and_what_is_said_of_it_holds(
    lesson: GuidedLesson, number: int, step: LessonStep
) -> None:
    values = {name: value_of(figure) for name, figure in step.figures.items()}
    assert None not in values.values()
    for name, relation, other in step.holds:
        one, two = values[name], values[other] if isinstance(other, str) else other
        assert one is not None
        assert two is not None
        assert {"<": one < two, ">": one > two, "=": one == pytest.approx(two)}[relation], (
            name,
            relation,
            other,
        )
    said_of = set(chain.from_iterable((name, other) for name, _, other in step.holds))
    assert set(step.bars) <= set(step.figures)
    assert len(step.figures) < 2 or said_of & set(step.figures)


@each_language
@each_step
def test_the_words_of_a_step_fit_its_data(
    language: str, lesson: GuidedLesson, number: int, step: LessonStep
) -> None:
    texts = lesson_texts(language)[lesson.name]
    assert list(texts.steps) == [one.name for one in lesson.steps]
    text = texts.steps[step.name]
    assert 0 <= step.answer < len(text.choices)
    assert len(set(text.choices)) == len(text.choices)
    assert list(text.bars) == list(step.bars)
    asked = {
        name for part in (text.measured, text.paper) for _, name, _, _ in Formatter().parse(part) if name
    }
    assert asked <= set(step.figures)
    assert set(step.figures) <= asked | set(step.bars) | {name for name, _, _ in step.holds}
    for other in (
        text.title,
        text.text,
        text.question,
        *text.choices,
        text.run,
        text.reveal,
        *text.bars.values(),
    ):
        assert "{" not in other


@each_language
@each_step
def test_no_number_is_written_into_a_text(
    language: str, lesson: GuidedLesson, number: int, step: LessonStep
) -> None:
    text = lesson_texts(language)[lesson.name].steps[step.name]
    for one in (
        text.title,
        text.text,
        text.question,
        *text.choices,
        text.run,
        text.reveal,
        text.paper,
        text.measured,
    ):
        plain = re.sub(r"`[^`]*`|\{\w+\}|\(#term-[\w-]+\)|\b(T5|SD3)\b", "", one)
        assert not re.search(r"[0-9]", plain), plain


def test_a_lesson_is_read_and_done_in_about_five_minutes() -> None:
    for name, lesson in lesson_texts().items():
        said = [
            f"{one.text} {one.question} {' '.join(one.choices)} {one.reveal} {one.paper}"
            for one in lesson.steps.values()
        ]
        count = len(" ".join(said).split())
        assert 250 <= count <= 800, (name, count)  # 120 words a minute leave time to think


@pytest.mark.parametrize(("name", "likeliest"), [("near-noise", (0.2, 0.3)), ("near-data", (0.99, 1.0))])
def test_the_lines_of_the_plane_are_what_the_lesson_says(name: str, likeliest: tuple[float, float]) -> None:
    step = next(step for _, _, step in STEPS if step.name == name)
    given = {key: float(value) for key, value in split(step.link)[1].items()}
    z = torch.tensor([given["field_x"], given["field_y"]], dtype=torch.float64)
    shares = posterior_lines(CLUSTERS, z, given["field_t"]).shares
    assert likeliest[0] <= float(shares.max()) <= likeliest[1]


def test_a_figure_that_was_not_recorded_is_none() -> None:
    assert value_of(StudyFigure("no-such-study", "score", {})) is None
    assert value_of(StudyFigure("score", "no such column", {})) is None
    assert value_of(StudyFigure("score", "score", {"category": "no such row"})) is None
    assert value_of(ComputedFigure(lambda: 2.0)) == 2.0


def test_a_text_without_its_figures_says_that_nothing_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sd3demo.ui.lessons.figures.recorded", lambda name: None)
    dock_html.cache_clear()
    try:
        html = dock_html("en")
    finally:
        dock_html.cache_clear()
    assert html.count(dock_text().missing) == sum(
        any(isinstance(figure, StudyFigure) for figure in step.figures.values()) for _, _, step in STEPS
    )


@each_language
def test_the_dock_holds_every_step_in_every_language(language: str) -> None:
    html = dock_html(language)
    assert html.count("<article") == html.count("</article>") == len(STEPS)
    for lesson, number, _ in STEPS:
        assert f'data-lesson="{lesson.name}" data-step="{number}"' in html
    assert "{" not in re.sub(r"<code>.*?</code>", "", html)


def test_lessons_are_written_when_somebody_asks_for_them() -> None:
    assert filled("de-CH") == dock_html("en")
    assert isinstance(filled(""), dict)  # gradio's skip


def test_a_browsers_language_has_its_lessons_or_english_ones() -> None:
    assert language_for("en-GB") == "en"
    assert language_for("xx") == "en"
    assert language_for("../en") == "en"


def test_words_become_html_and_nothing_else_does() -> None:
    assert words("a `t < 1` *b* <img>") == "a <code>t &lt; 1</code> <em>b</em> &lt;img&gt;"
    assert words("[the field](#term-marginal-field)").startswith(
        '<a href="#term-marginal-field" title="The mean'
    )


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("#/lessons?lesson=cooking", "the lesson 'cooking'; choose one of noise-to-picture"),
        ("#/lessons?lesson=guidance&step=9", "step '9'; the lesson guidance has steps 1 to 4"),
        ("#/lessons?lesson=guidance&step=two", "step 'two'"),
    ],
)
def test_a_lesson_that_there_is_not_is_a_sentence(fragment: str, said: str) -> None:
    linked, tabs = _page()
    with pytest.raises(Refusal, match=re.escape(said)):
        page_of(fragment)
    notice, *_ = links.opened([*linked.values()], tabs, fragment, page_of=page_of)
    assert "failed" in str(notice)


def test_the_address_of_a_lesson_sets_the_page_of_its_step() -> None:
    linked, tabs = _page()
    every = [*linked.values()]
    own = links.opened(every, tabs, "#/lessons?lesson=t5-and-spelling&step=2", page_of=page_of)
    plain = links.opened(every, tabs, SIX[4].steps[1].link)
    stamps = sum(link.came is not None for link in every)
    assert own[2 : len(own) - stamps] == plain[2 : len(plain) - stamps]
    assert own[1].selected == plain[1].selected == "generate"  # type: ignore[attr-defined]
    assert links.opened(every, tabs, "#/lessons", page_of=page_of)[0] == ""


def test_what_a_link_says_of_the_page_is_no_setting_of_a_tab() -> None:
    linked, _ = _page()
    for link in linked.values():
        assert not set(PAGE_SETTINGS) & set(link.kind.model_fields)
    tab, given = split("#/generate?steps=3&lesson=guidance&step=2&figure=plot-pdf")
    assert (tab, given) == ("generate", {"steps": "3"})
    assert raw_split("#/generate?figure=plot-pdf")[1] == {"figure": "plot-pdf"}


def test_the_readme_has_a_link_to_each_lesson() -> None:
    readme = Path(ROOT / "README.md").read_text(encoding="utf-8")
    for lesson in SIX:
        assert f"#/lessons?lesson={lesson.name}" in readme
