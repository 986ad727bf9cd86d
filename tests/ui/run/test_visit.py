"""What one browser tab has on the server: presses in their order, results found again, a bounded tray."""

from copy import deepcopy
from pathlib import Path

import pytest

from sd3demo.catalogue import find
from sd3demo.engine import Budget
from sd3demo.engine.plan.resolve import resolve
from sd3demo.settings import Request, Resolved, parse
from sd3demo.ui.compare.pinned import PinnedPicture
from sd3demo.ui.run.result import ResultPicture, RunResult, comparable
from sd3demo.ui.run.visit import MOST_PINNED, MOST_PRESSES, RECENT, Press, Visit
from sd3demo.ui.server.gradio_internals import ServedFile


def request(**values: object) -> Resolved:
    asked = {"prompt": "a red circle", "model": "tiny"} | values
    return resolve(parse(Request, asked), find("tiny"), Budget())


def result(folder: Path, **values: object) -> RunResult:
    asked = request(**values)
    path = folder / f"{asked.seed}.png"
    path.touch()
    file = ServedFile(str(path), f"file={path.name}", path.name)
    return RunResult(asked, "finished", (ResultPicture(file),))


def press(prompt: str) -> Press:
    return Press({"prompt": prompt})


def pinned(number: int) -> PinnedPicture:
    return PinnedPicture(ServedFile(f"/{number}.png", str(number), f"{number}.png"), request(seed=number))


def test_presses_are_run_one_after_the_other_by_whoever_began() -> None:
    visit = Visit()
    assert not visit.begin()  # nothing waits
    visit.press(press("one"))
    assert visit.begin()
    assert visit.next() == press("one")
    visit.press(press("two"))
    visit.press(press("three"))
    assert not visit.begin()  # the run that goes on takes them
    assert [each.name for each in visit.waiting] == ["two", "three"]
    assert [visit.next(), visit.next(), visit.next()] == [press("two"), press("three"), None]
    assert not visit.is_running
    visit.press(press("four"))
    assert visit.begin()


def test_a_second_press_with_the_same_settings_is_the_same_press() -> None:
    visit = Visit()
    for _ in range(2):
        visit.press(press("one"))
    assert visit.begin()
    visit.next()
    visit.press(press("one"))
    assert visit.waiting == ()
    visit.press(press("two"))
    visit.press(press("one"))
    assert [each.name for each in visit.waiting] == ["two", "one"]


def test_only_so_many_presses_wait_and_stop_drops_them() -> None:
    visit = Visit()
    visit.press(press("first"))
    assert visit.begin()
    visit.next()
    taken = [visit.press(press(str(k))) for k in range(MOST_PRESSES + 1)]
    assert taken == [True] * MOST_PRESSES + [False]
    assert visit.clear() == MOST_PRESSES
    assert visit.next() is None


def test_a_result_is_found_again_by_its_settings_while_its_file_is_there(tmp_path: Path) -> None:
    visit = Visit()
    shown = visit.show(result(tmp_path, seed=3))
    assert visit.find(request(seed=3)) == shown
    assert visit.find(request(seed=4)) is None
    Path(shown.pictures[0].file.path).unlink()
    assert visit.find(request(seed=3)) is None


def test_the_oldest_results_are_forgotten(tmp_path: Path) -> None:
    visit = Visit()
    for seed in range(RECENT + 1):
        visit.show(result(tmp_path, seed=seed))
    assert visit.find(request(seed=0)) is None
    assert visit.find(request(seed=1)) is not None


def test_what_is_compared_with_is_the_last_whole_picture(tmp_path: Path) -> None:
    visit = Visit()
    whole = visit.show(result(tmp_path))
    begun = visit.show(RunResult(request(seed=1), "running"))
    visit.show(begun.ended(4, 28))
    assert (visit.result.state, visit.result.steps) == ("stopped", 4)  # type: ignore[union-attr]
    assert visit.previous == whole
    assert comparable(request(), whole) == "file=0.png"
    assert comparable(request(), visit.result) == ""
    assert comparable(request(width=96), whole) == ""


def test_two_tabs_of_one_visitor_do_not_mix() -> None:
    page = Visit()
    one, other = deepcopy(page), deepcopy(page)
    one.press(press("mine"))
    one.pin(pinned(1))
    assert (other.waiting, other.pinned) == ((), ())


def test_the_tray_is_bounded_and_always_shows_two_that_are_in_it() -> None:
    visit = Visit()
    visit.pin(pinned(0))
    assert visit.pair == ("", "0")
    for number in range(1, MOST_PINNED + 2):
        visit.pin(pinned(number))
        assert visit.pair == (str(number - 1), str(number))
    assert [each.file.source for each in visit.pinned] == [str(k) for k in range(2, MOST_PINNED + 2)]
    visit.choose("2", "3")
    visit.unpin("2")
    assert visit.pair == ("4", "3")
    visit.unpin("")
    assert (visit.pinned, visit.pair) == ((), ("", ""))


@pytest.mark.parametrize(("left", "right"), [("nothing", "1"), ("1", "1"), ("", "")])
def test_a_pair_that_cannot_be_gives_way_to_one_that_can(left: str, right: str) -> None:
    visit = Visit()
    for number in range(3):
        visit.pin(pinned(number))
    visit.choose(left, right)
    assert len(set(visit.pair)) == 2
    assert set(visit.pair) <= {"0", "1", "2"}
