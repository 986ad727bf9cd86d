"""What a soak's figures are made of: each looks at what it says, and a soak that misses one says so."""

import dataclasses
import json
from pathlib import Path

import httpx
import pytest
from hypothesis import Phase, given, seed, settings

from sd3demo.catalogue import find
from sd3demo.engine import Budget, plan
from sd3demo.history import RunStore
from sd3demo.settings import Request, parse
from sd3demo.ui.run.errors import UNEXPECTED
from tests.soak import __main__ as command
from tests.soak import faulty_serve
from tests.soak.calls import API, is_clear, refusal
from tests.soak.drawn_calls import FuzzedCall, odd_values, requests
from tests.soak.figures import Figure, Part, from_json, growth, percentile, record, recorded, table, to_json
from tests.soak.hostile import BOMB_SIDE, many_chunks, wide_picture
from tests.soak.page_functions import PageFunction
from tests.soak.pictures import SIZE, Wish, torn_runs, why_wrong
from tests.ui.fake_page import finished

PARTS = [
    Part("kills", "2 kills", (Figure("torn", 0, 0), Figure("restart", 4.25, 5, "s", quiet=True))),
    Part("load", "1 s", (Figure("pictures", 812), Figure("p95 over p50", 2.5, 2, quiet=True)), ("slow",)),
]


def test_a_figure_holds_up_to_its_most_and_one_without_always() -> None:
    assert [Figure("a", value, 2).holds for value in (1.9, 2, 2.1)] == [True, True, False]
    assert Figure("a", 99).holds
    assert [part.holds for part in PARTS] == [True, False]
    assert [part.missed for part in PARTS] == [[], []]
    assert Part("a", "", (Figure("torn", 1, 0),)).missed == ["torn"]


def test_the_table_names_every_figure_with_its_bound_and_what_is_missed() -> None:
    lines = table(PARTS).splitlines()
    assert lines[2] == "| **kills**: 2 kills | | | |"
    assert lines[4] == "| restart | 4.25 s | 5 s | holds |"
    assert lines[6] == "| pictures | 812 |  |  |"
    assert lines[7] == "| p95 over p50 | 2.5 | 2 | **missed** |"


def test_results_are_read_as_they_were_written_and_parts_that_were_not_run_stay(tmp_path: Path) -> None:
    assert from_json(json.loads(json.dumps(to_json(PARTS)))) == PARTS
    file = tmp_path / "results.json"
    assert "No results are recorded yet" in recorded(file)
    record(PARTS, file)
    better = dataclasses.replace(PARTS[1], done="600 s")
    record([better], file)
    assert from_json(json.loads(file.read_text())) == [PARTS[0], better]
    assert "**load**: 600 s" in recorded(file)


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 6), (95, 10), (100, 10)])
def test_percentiles(percent: float, value: float) -> None:
    assert percentile(range(1, 11), percent) == value
    assert percentile([], percent) == 0


def test_growth_is_that_of_the_worst_window_over_the_first_after_the_start() -> None:
    samples = [(float(k), 100.0 if k < 50 else 110.0 if k < 70 else 104.0) for k in range(100)]
    assert growth([(k, 50.0) for k in range(20)] + samples[20:], 20) == pytest.approx(10)
    assert growth(samples, 70) == 0
    assert growth([], 0) == 0
    one_peak = [(float(k), 500.0 if k == 42 else 100.0) for k in range(100)]
    assert growth(one_peak, 20) == 0


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("width is 0; it must lie in [8, 8192]", True),
        ("null", False),
        ("", False),
        (f'{{"error": "{UNEXPECTED}"}}', False),
        ("Traceback (most recent call last)", False),
    ],
)
def test_a_clear_answer_is_words_and_no_accident(text: str, clear: bool) -> None:
    assert is_clear(text) is clear
    kind = refusal(httpx.Response(429, json={"detail": text}, headers={"Retry-After": "7"}))
    assert (kind.kind, kind.wait if clear else 7) == ("refused" if clear else "lost", 7)


def save(store: RunStore, wish: Wish) -> Path:
    """A run whose pictures have colours by their seeds."""
    asked = {"prompt": wish.prompt, "seed": wish.seed, "steps": wish.steps, "width": SIZE, "height": SIZE}
    planned = plan(parse(Request, asked), find("tiny"), Budget())
    return store.save(planned.request, finished(planned)).images[0]


def test_a_picture_is_wrong_when_it_is_another_one_or_none(tmp_path: Path) -> None:
    wish = Wish("a red circle", 7)
    file = save(RunStore(tmp_path), wish)
    assert why_wrong(file, wish) == ""
    for other in (Wish("a red circle", 8), Wish("a blue circle", 7), Wish("a red circle", 7, 9)):
        assert "was asked for" in why_wrong(file, other)
    file.write_bytes(file.read_bytes()[:-30])
    assert why_wrong(file, wish)


@pytest.mark.parametrize("name", ["request.json", "result.json", "0.png", "thumbnail.webp"])
@pytest.mark.parametrize("left", [None, 0.5])
def test_a_run_with_a_file_that_is_gone_or_cut_is_torn(name: str, left: float | None, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    save(store, Wish("a red circle", 7))
    file = save(store, Wish("a red circle", 8)).parent / name
    assert torn_runs(tmp_path) == []
    if left is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: int(left * file.stat().st_size)])
    (found,) = torn_runs(tmp_path)
    assert found.startswith(file.parent.name)
    assert torn_runs(tmp_path / "nothing") == []


def test_the_bombs_are_small_files_of_large_pictures() -> None:
    assert len(wide_picture()) < 200_000
    assert f"{BOMB_SIDE}".encode() not in wide_picture()
    assert many_chunks().count(b"tEXt") == 100_000
    assert len(many_chunks()) < 16 * 2**20  # what a public page takes


def test_a_fault_happens_at_its_phase_as_often_as_was_asked(tmp_path: Path) -> None:
    file = tmp_path / "fault"
    faults = faulty_serve.Faults(file)
    faults("decode")
    file.write_text("decode python-memory 2 first")
    faults("encode")
    for _ in range(2):
        with pytest.raises(MemoryError):
            faults("decode")
    faults("decode")
    file.write_text("decode full-disk 1 second")
    with pytest.raises(OSError, match="No space left"):
        faults("decode")


def drawn(number: int) -> list[FuzzedCall]:
    """Calls of a page with two functions and an endpoint, for a seed."""
    slider = ("slider", {"value": 3, "minimum": 1, "maximum": 9})
    functions = [PageFunction(0, "a", False, (slider,)), PageFunction(1, "b", True, (slider, ("file", {})))]
    parameters = {"/plan": {"parameters": [{"type": {"type": "string"}, "parameter_default": "x"}]}}
    odd = odd_values(Path("/nowhere/secret"), "http://127.0.0.1:1/a.png")
    found: list[FuzzedCall] = []

    @seed(number)
    @settings(max_examples=200, database=None, deadline=None, phases=[Phase.generate])
    @given(requests(functions, parameters, odd, Path("/nowhere/secret")))
    def draw(call: FuzzedCall) -> None:
        found.append(call)

    draw()
    return found


def test_the_same_calls_are_drawn_for_a_seed_and_of_every_kind() -> None:
    calls = drawn(1)
    assert repr(calls) == repr(drawn(1)) != repr(drawn(2))
    paths = {call.path for call in calls}
    assert {f"{API}/queue/join", f"{API}/run/predict", f"{API}/call/plan", f"{API}/cancel"} <= paths
    indexes = [call.body["fn_index"] for call in calls if call.news == "session"]
    assert 0 in indexes
    assert 1 in indexes
    assert {call.method for call in calls} == {"GET", "POST"}


@pytest.mark.parametrize(("holds", "code"), [(True, 0), (False, 1)])
def test_a_soak_that_misses_a_figure_ends_with_1(
    holds: bool, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    part = PARTS[0] if holds else PARTS[1]
    monkeypatch.setattr(command, "PARTS", {"kills": (2, lambda words, count: part)})
    monkeypatch.setattr("sys.argv", ["soak", "kills", "--json", str(tmp_path / "a.json")])
    assert command.main() == code
    assert part.done in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["holds"] is holds
