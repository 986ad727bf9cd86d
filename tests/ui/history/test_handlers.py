"""What the History tab answers: pages, a run large, deleting, exporting; nothing where a page is shared."""

import re
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget, plan
from sd3demo.engine.events import Finished
from sd3demo.history import Run, RunStore
from sd3demo.history.index import HistoryIndex
from sd3demo.settings import Request, parse
from sd3demo.settings.extrapolation import Extrapolation
from sd3demo.ui import Core, build
from sd3demo.ui.controls import deep_links as links
from sd3demo.ui.history import gallery
from sd3demo.ui.history.handlers import PAGE, HistoryHandlers, HistoryPlace
from tests.ui.fake_extrapolation import enlarging
from tests.ui.fake_page import Rehearsal, finished

HTML = "<img src=x onerror=alert(1)> & \"quoted\" 'single'"


class Attributes(HTMLParser):
    """The attributes of all tags, and where their pictures come from."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.sources: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {name for name, _ in attrs}
        self.sources |= {value or "" for name, value in attrs if name == "src"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    return RunStore(tmp_path / "runs")


@pytest.fixture
def core(store: RunStore) -> Core:
    return Core(("tiny", "sd3-medium"), Rehearsal().run, store)


@pytest.fixture
def answers(core: Core, store: RunStore) -> HistoryHandlers:
    return HistoryHandlers(core, HistoryIndex(store))


def save(store: RunStore, prompt: str = "a red circle", **settings: object) -> Run:
    asked = parse(Request, {"prompt": prompt, "model": "tiny", "steps": 2} | settings)
    made = plan(asked, find("tiny"), Budget())
    return store.save(made.request, finished(made))


def choose(answers: HistoryHandlers, id: str, place: HistoryPlace = HistoryPlace()) -> list[object]:  # noqa: B008
    return answers.choose(place, SimpleNamespace(run=id))  # type: ignore[arg-type]


def shown(runs: object) -> list[str]:
    return re.findall('data-run="([^"]+)"', str(runs))


def test_an_empty_history_says_what_will_come_here(answers: HistoryHandlers) -> None:
    _, runs, count, newer, older = answers.searched("", HistoryPlace())
    assert "Nothing here yet" in str(runs)
    assert 'href="#/generate"' in str(runs)
    assert (count, newer["interactive"], older["interactive"]) == ("", False, False)  # type: ignore[index]


def test_the_pages_go_from_the_newest_run_to_the_oldest(answers: HistoryHandlers, store: RunStore) -> None:
    ids = [save(store, seed=k).id for k in range(PAGE + 3)][::-1]
    place, runs, count, newer, older = answers.searched("", HistoryPlace())
    assert shown(runs) == ids[:PAGE]
    assert str(count) == f"<p>1–{PAGE} of {len(ids)}</p>"
    assert (newer["interactive"], older["interactive"]) == (False, True)  # type: ignore[index]
    place, runs, count, newer, older = answers.older(place)  # type: ignore[arg-type]
    assert shown(runs) == ids[PAGE:]
    assert (newer["interactive"], older["interactive"]) == (True, False)  # type: ignore[index]
    place, runs, *_ = answers.older(place)  # type: ignore[arg-type]
    assert shown(runs) == ids[PAGE:]  # there is no page behind the last
    place, runs, *_ = answers.newer(place)  # type: ignore[arg-type]
    assert shown(runs) == ids[:PAGE]


def test_a_new_search_begins_at_its_first_page(answers: HistoryHandlers, store: RunStore) -> None:
    for k in range(PAGE + 1):
        save(store, "a blue square" if k % 2 else "a red circle", seed=k)
    place, *_ = answers.older(HistoryPlace())
    place, runs, count, *_ = answers.searched("BLUE", place)  # type: ignore[arg-type]
    assert len(shown(runs)) == PAGE // 2
    assert str(count).startswith("<p>1–")
    _, runs, *_ = answers.searched("<b>green", place)  # type: ignore[arg-type]
    assert "No run matches “&lt;b&gt;green”" in str(runs)


def test_a_run_is_shown_large_with_its_words_and_ways_on(
    answers: HistoryHandlers, store: RunStore, core: Core
) -> None:
    kept = save(store, count=2, seed=8, t5="zeros", negative="dogs", steps=4)
    place, detail, pictures, story, paths, status, runs = choose(answers, kept.id)
    assert place == HistoryPlace(chosen=kept.id)
    assert detail["visible"]  # type: ignore[index]
    assert re.findall('download="([^"]+)"', str(pictures)) == ["a-red-circle-8.png", "a-red-circle-9.png"]
    assert [Path(path).read_bytes() for path in paths] == [image.read_bytes() for image in kept.images]  # type: ignore[attr-defined]
    for text in ("<dd>4<small>Euler", "<dt>T5</dt><dd>Zeros", "Negative prompt</dt><dd>dogs", "tiny"):
        assert text in str(story)
    assert f"#/verify?run={kept.id}/0" in str(story)
    assert f"#/verify?run={kept.id}/1" in str(story)
    assert status == ""
    assert 'aria-pressed="true"' in str(runs)

    fragment = re.search('href="(#/generate[^"]*)"', str(story))[1].replace("&amp;", "&")  # type: ignore[index]
    (link,) = [link for link in links._LINKS[build(core)] if link.tab == "generate"]
    held, faults = links.read(link, links.split(fragment)[1])
    assert faults == []
    asked = parse(
        Request, {name: held[name] for name in Request.model_fields if name in held}
    )  # the panel's settings aside
    assert plan(asked, find("tiny"), Budget()).request == HistoryIndex(store).record(kept.id).request


@pytest.mark.parametrize("prompt", [HTML, "x" * 2000, "line\nline\ttab", "🐴 圆"])
def test_any_prompt_is_shown_as_text(prompt: str, answers: HistoryHandlers, store: RunStore) -> None:
    kept = save(store, prompt)
    for part in map(str, (*answers.searched("", HistoryPlace()), *choose(answers, kept.id))):
        reader = Attributes()
        reader.feed(part)
        assert "onerror" not in reader.names
        assert "x" not in reader.sources


def test_every_small_picture_has_words(answers: HistoryHandlers, store: RunStore) -> None:
    save(store)
    _, runs, *_ = answers.searched("", HistoryPlace())
    assert 'alt="Picture for: a red circle"' in str(runs)
    assert 'aria-label="Mark: a red circle, ' in str(runs)


@pytest.mark.parametrize("id", ["", "../..", "20200101-000000-00000000", None])
def test_a_run_that_is_gone_is_a_sentence(id: str | None, answers: HistoryHandlers) -> None:
    status = choose(answers, id)[5]  # type: ignore[arg-type]
    assert "There is no run" in str(status)


def test_a_run_of_a_model_that_is_gone_is_shown_all_the_same(
    answers: HistoryHandlers, store: RunStore
) -> None:
    kept = save(store)
    file = kept.folder / "request.json"
    file.write_text(file.read_text().replace('"tiny"', '"/no/such/model"'))
    assert "/no/such/model (no longer here)" in str(choose(answers, kept.id)[3])


def test_deleting_is_asked_for_and_can_be_left(answers: HistoryHandlers, store: RunStore) -> None:
    first, second, third = (save(store, seed=k) for k in range(3))
    asked, sure, chosen = answers.ask_to_delete(HistoryPlace(chosen=first.id))
    assert "Delete this run and the pictures for good?" in str(asked)
    assert sure["visible"]  # type: ignore[index]
    assert answers.keep()[2] == ()
    assert len(store.ids()) == 3
    asked, _, chosen = answers.ask_to_delete_marked(f"{second.id} {third.id}")
    assert "these 2 runs" in str(asked)
    answer = answers.delete(chosen, HistoryPlace(chosen=second.id))  # type: ignore[arg-type]
    assert store.ids() == [first.id]
    assert shown(answer[1]) == [first.id]
    assert "2 runs are deleted" in str(answer[5])
    assert not answer[-1]["visible"]  # type: ignore[index]
    assert "0 runs are deleted" in str(answers.delete(chosen, HistoryPlace())[5])  # type: ignore[arg-type]


@pytest.mark.parametrize("marked", ["", "  "])
def test_deleting_nothing_is_a_sentence(marked: str, answers: HistoryHandlers) -> None:
    said, sure, chosen = answers.ask_to_delete_marked(marked)
    assert "No run is marked" in str(said)
    assert not sure["visible"]  # type: ignore[index]
    assert chosen == ()


def test_one_run_marked_runs_and_all_that_were_found_can_be_taken_home(
    answers: HistoryHandlers, store: RunStore
) -> None:
    red, blue, other = save(store, "red"), save(store, "blue"), save(store, "blue", seed=4)

    def folders(answer: list[object]) -> set[str]:
        said, path = answer
        assert "exported as" in str(said)
        with zipfile.ZipFile(str(path)) as archive:
            return {name.partition("/")[0] for name in archive.namelist()}

    assert folders(answers.export_one(HistoryPlace(chosen=red.id))) == {red.id}
    assert folders(answers.export_marked(f"{red.id} {blue.id}")) == {red.id, blue.id}
    assert folders(answers.export_found(HistoryPlace("BLUE"))) == {blue.id, other.id}
    said, path = answers.export_marked("")
    assert "No run is chosen" in str(said)
    assert path is None


def event(**data: object) -> SimpleNamespace:
    return SimpleNamespace(**data)


def starred(runs: object) -> list[str]:
    return re.findall('<label class="star"><input type="checkbox" value="([^"]+)"[^>]* checked>', str(runs))


def test_a_star_is_kept_and_found(answers: HistoryHandlers, store: RunStore) -> None:
    first, second = save(store), save(store, seed=1)
    _, runs, *_, said = answers.star(HistoryPlace(), event(run=first.id, on=True))  # type: ignore[arg-type]
    assert (starred(runs), said) == ([first.id], "")
    assert shown(answers.searched("is:favourite", HistoryPlace())[1]) == [first.id]
    _, runs, *_ = answers.star(HistoryPlace(), event(run=first.id, on=False))  # type: ignore[arg-type]
    assert starred(runs) == []
    *_, said = answers.star(HistoryPlace(), event(run="../..", on=True))  # type: ignore[arg-type]
    assert "There is no run" in said  # type: ignore[operator]
    assert starred(answers.star(HistoryPlace(), event(run=second.id, on=True))[1]) == [second.id]  # type: ignore[arg-type]


def test_all_marked_runs_become_favourites_and_where_all_are_none(
    answers: HistoryHandlers, store: RunStore
) -> None:
    first, second, third = (save(store, seed=k).id for k in range(3))
    store.mark_favourite(first, True)
    both = event(marked=f"{first} {second}")
    _, runs, *_, said = answers.star_marked(HistoryPlace(), both)  # type: ignore[arg-type]
    assert (starred(runs), said) == ([second, first], "")
    assert starred(answers.star_marked(HistoryPlace(), both)[1]) == []  # type: ignore[arg-type]
    assert "No run is marked" in str(answers.star_marked(HistoryPlace(), event(marked=""))[-1])  # type: ignore[arg-type]
    assert answers.ask_to_delete_event(event(marked=third))[2] == (third,)  # type: ignore[arg-type]
    assert "exported as" in str(answers.export_event(event(marked=third))[0])  # type: ignore[arg-type]


def test_who_may_not_delete_may_make_no_favourites(store: RunStore, core: Core) -> None:
    kept = save(store)
    visitor = HistoryHandlers(replace(core, may_delete=False), HistoryIndex(store))
    *_, said = visitor.star(HistoryPlace(), event(run=kept.id, on=True))  # type: ignore[arg-type]
    assert "who may not delete runs here may not make favourites" in str(said)
    assert not store.is_favourite(kept.id)
    assert "disabled" in str(visitor.searched("", HistoryPlace())[1])
    assert "favourite-marked" not in gallery.tools(may_delete=False)


def test_settings_are_searched_for_and_a_bad_search_is_one_sentence_that_goes(
    answers: HistoryHandlers, store: RunStore
) -> None:
    few, many = save(store, steps=2), save(store, steps=20, cfg=7, solver="heun")
    assert shown(answers.searched("steps<=10", HistoryPlace())[1]) == [few.id]
    assert shown(answers.searched("circle cfg>6 sampler:heun", HistoryPlace())[1]) == [many.id]
    place, runs, count, newer, older = answers.searched("cfgg>3", HistoryPlace())
    assert "Unknown setting &#x27;cfgg&#x27; in the search; nearest are cfg" in str(runs)
    assert 'role="alert"' in str(runs)
    assert (count, newer["interactive"], older["interactive"]) == ("", False, False)  # type: ignore[index]
    assert shown(answers.searched("steps>10", place)[1]) == [many.id]  # type: ignore[arg-type]
    said, path = answers.export_found(HistoryPlace("cfgg>3"))
    assert "Unknown setting" in str(said)
    assert path is None


def changes(runs: object) -> list[str]:
    """What each card says, the newest first; empty where it says nothing."""
    cards = str(runs).split("<li>")[1:]
    found = (re.search('class="changes"[^>]*>([^<]*)<', card) for card in cards)
    return [match[1] if match else "" for match in found]


def test_each_card_says_what_differs_from_the_one_before(answers: HistoryHandlers, store: RunStore) -> None:
    save(store, seed=3)
    save(store, seed=3, cfg=1, t5="zeros", precision="bfloat16")
    save(store, "a blue square", seed=3, cfg=1, t5="zeros")
    save(store, "a blue square", seed=3, cfg=1, t5="zeros")
    save(store, "a blue square", seed=4, steps=5, cfg=2, negative="<b>", solver="heun")
    found = changes(answers.searched("", HistoryPlace())[1])
    assert found[3:] == ["CFG scale 4 → 1, T5 On → Zeros", ""]
    assert found[1:3] == ["The same settings", ""]  # another prompt alone stands on the card already
    assert found[0].startswith("Negative prompt – → &lt;b&gt;, Seed 3 → 4, Steps 2 → 5, ")
    assert found[0].endswith(" more")


def test_a_picture_leads_to_what_was_enlarged_of_it_and_back(
    store: RunStore, answers: HistoryHandlers
) -> None:
    small = save(store, seed=5)
    asked = parse(
        Extrapolation, {"prompt": "a red circle", "model": "tiny", "steps": 2, "seed": 5, "scale": 2}
    )
    planned = plan(asked, find("tiny"), Budget())
    *_, done = enlarging(planned)
    assert isinstance(done, Finished)
    noise = finished(plan(parse(Request, {"prompt": "-", "seed": 5}), find("tiny"), Budget())).noise_sha256
    done = replace(done, arms={**done.arms, "native": replace(done.arms["native"], noise_sha256=noise)})
    large = store.save(planned.request, done, {arm.name: arm.request for arm in planned.arms})
    assert f'data-run="{large.id}"' in str(choose(answers, small.id)[3])
    assert "Enlarged in" in str(choose(answers, small.id)[3])
    assert "2×, projected" in str(choose(answers, small.id)[3])
    assert f'data-run="{small.id}"' in str(choose(answers, large.id)[3])
    assert "Enlarged from" in str(choose(answers, large.id)[3])
    assert "data-run" not in str(choose(answers, save(store, seed=6).id)[3])


def test_a_run_is_shown_as_code(store: RunStore, answers: HistoryHandlers) -> None:
    story = str(choose(answers, save(store, seed=5, steps=4).id)[3])
    assert "sd3demo generate &#x27;a red circle&#x27; --seed 5 --steps 4" in story
    assert "from gradio_client import Client" in story
    assert 'download="sd3demo-5.ipynb"' in story


def test_where_people_share_the_page_there_is_no_history_and_it_says_why(store: RunStore) -> None:
    page = build(Core(("tiny",), Rehearsal().run, None))
    texts = [str(block.value) for block in page.blocks.values() if getattr(block, "elem_id", "") == "history"]
    assert texts == [gallery.SHARED]
    assert "SD3DEMO_RUNS" in gallery.SHARED
