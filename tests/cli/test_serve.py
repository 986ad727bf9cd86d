"""`sd3demo serve`: what is asked for on the command line is what is served, and bad words start nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import pytest

import sd3demo.ui
from sd3demo.catalogue import find, offer
from sd3demo.cli import main
from sd3demo.errors import Refusal
from sd3demo.history.model_lookup import remember_folder, remembered_folders
from sd3demo.ui import ServeOptions
from sd3demo.ui.server import run_log
from tests.ui.fake_page import write_model


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[gr.Blocks, ServeOptions]]:
    """Serves with these words, without listening."""
    found: list[tuple[gr.Blocks, ServeOptions]] = []
    monkeypatch.setattr(run_log, "to_stderr", lambda: None)
    monkeypatch.setattr(
        sd3demo.ui, "launch", lambda page, *, host, port, options: found.append((page, options))
    )

    def serve(*words: str) -> tuple[gr.Blocks, ServeOptions]:
        assert main(["serve", *words]) == 0
        return found[-1]

    return serve


def test_a_folder_is_offered_first_by_its_name_and_no_visitor_reads_its_path(
    served: Callable, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "mine")
    page, _ = served("--model", str(folder), "--runs", "off")
    config = json.dumps(page.config, default=str)
    assert str(tmp_path) not in config
    (models,) = {
        tuple(value for _, value in block["props"]["choices"])
        for block in page.config["components"]
        if block["props"].get("label") == "Model" and block["type"] == "dropdown"
    }
    assert models[:2] == ("mine", "tiny")
    assert find("mine").folder == str(folder)


def test_a_folder_with_a_name_of_the_catalogue_has_another_one(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "sd3-medium")
    assert offer(folder) == offer(folder) == "sd3-medium-2"
    assert offer(write_model(tmp_path / "other" / "sd3-medium")) == "sd3-medium-3"
    assert find("tiny").name == "tiny"


def test_runs_of_an_offered_folder_are_found_again_by_their_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = write_model(tmp_path / "found-again")
    remember_folder(offer(folder), "a" * 64)
    assert remembered_folders()["a" * 64] == str(folder)


def test_a_model_that_is_none_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--model", str(tmp_path)]) == 2
    assert "has no model_index.json" in capsys.readouterr().err
    with pytest.raises(Refusal):
        offer(tmp_path / "nothing")


def test_what_is_asked_for_is_served(served: Callable, tmp_path: Path) -> None:
    (tmp_path / "logins").write_text("*:rectified\n")
    words = ("--auth", str(tmp_path / "logins"), "--allowed-hosts", "a.example,*.b.example", "--grace", "3")
    _, options = served(*words, "--runs", "off")
    assert options.logins is not None
    assert options.logins("ann", "rectified")
    assert options.allowed_hosts == ("a.example", "*.b.example")
    assert options.grace == 3
    assert options.preload


@pytest.mark.parametrize(
    ("words", "visible"),
    [
        ((), True),
        (("--deletion", "off"), False),
        (("--host", "0.0.0.0"), False),
        (("--host", "0.0.0.0", "--deletion", "on"), True),
    ],
)
def test_who_may_delete_is_the_operators_choice(
    words: tuple[str, ...], visible: bool, served: Callable, tmp_path: Path
) -> None:
    page, _ = served("--runs", str(tmp_path / "runs"), *words)
    buttons = {
        block["props"]["elem_id"]: block["props"]["visible"]
        for block in page.config["components"]
        if block["props"].get("elem_id") == "delete-run"
    }
    assert buttons == {"delete-run": visible}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--grace", "-1"), "grace is -1"),
        (("--allowed-hosts", "http://a.example"), "allowed_hosts holds 'http://a.example'"),
        (("--auth", "/nowhere/logins"), "which cannot be read"),
        (("--deletion", "maybe"), "unknown deletion 'maybe'; choose one of auto, on, off"),
    ],
)
def test_bad_words_are_one_sentence_and_no_page(
    words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1
