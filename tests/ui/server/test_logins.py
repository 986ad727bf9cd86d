"""Who may come in, and the one sentence for a file that is none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client

from sd3demo.cli import main
from sd3demo.errors import Refusal
from sd3demo.ui import Core, ServeOptions
from sd3demo.ui.server.logins import CLASS_MESSAGE, MESSAGE, Logins, read_logins
from tests.ui.fake_page import Rehearsal, serving
from tests.ui.server.pages import ask


def written(folder: Path, text: str) -> Path:
    file = folder / "logins"
    file.write_text(text)
    return file


def test_a_file_of_names_and_passwords_is_read(tmp_path: Path) -> None:
    logins = read_logins(written(tmp_path, "# class of 2026\nann: one:two\n\nbob:three\n"))
    assert logins("ann", "one:two")
    assert logins("bob", "three")
    assert not logins("bob", "one:two")
    assert not logins("eve", "three")
    assert not logins("", "three")
    assert logins.message == MESSAGE


def test_one_password_for_a_class_goes_with_any_name(tmp_path: Path) -> None:
    logins = read_logins(written(tmp_path, "*:rectified\nteacher:flow\n"))
    assert logins("anybody", "rectified")
    assert logins("teacher", "flow")
    assert not logins("anybody", "flow")
    assert not logins("*", "wrong")
    assert not logins(" ", "rectified")
    assert logins.message == CLASS_MESSAGE


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names nobody"),
        ("# nothing\n", "names nobody"),
        ("ann\n", "line 1 of logins is not user:password"),
        ("ann:one\nbob:\n", "line 2 of logins is not user:password"),
        (":secret\n", "line 1 of logins is not user:password"),
        ("ann:one\nann:two\n", "line 2 of logins names 'ann' again"),
    ],
)
def test_a_bad_file_is_one_sentence_without_a_password(
    text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--auth", str(written(tmp_path, text))]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert "secret" not in said


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="which cannot be read"):
        read_logins(tmp_path / "nothing")
    (tmp_path / "logins").write_bytes(b"\xff\xfe")
    with pytest.raises(Refusal, match="it is no text"):
        read_logins(tmp_path / "logins")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    options = ServeOptions(logins=Logins({"*": "rectified"}))
    with serving(Core(("tiny",), Rehearsal().run), options) as address:
        yield address


def test_without_the_password_nothing_is_answered_but_health(address: str) -> None:
    assert ask(address, "/gradio_api/info").status == 401
    assert ask(address, "/config").status == 401
    assert CLASS_MESSAGE.partition(";")[0] in ask(address, "/").text
    assert ask(address, "/healthz").status == 200
    with pytest.raises(Exception, match=r"(?i)login|credential|401|auth"):
        Client(address, verbose=False, auth=("ann", "wrong"))


def test_with_the_password_a_picture_is_made(address: str) -> None:
    client = Client(address, verbose=False, auth=("ann", "rectified"))
    _, seed = client.predict("a red circle", seed=5, num_inference_steps=2, api_name="/infer")
    assert seed == 5
