"""The bundle: whole or not there, what would be built now, and it runs with its requirements alone."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from gradio_client import Client
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from packaging.requirements import Requirement

from sd3demo import deploy
from sd3demo.cli import main
from sd3demo.deploy.card import PREINSTALLED, Project, parse_requirements
from sd3demo.errors import Failure, Refusal
from sd3demo.history import read_receipt
from tests.deploy.environments import closure, environment

NOT_NEEDED = ("pytest", "hypothesis", "playwright", "mypy", "PyWavelets", "hatchling")


@pytest.fixture(scope="module")
def project() -> Project:
    return deploy.read_project()


@pytest.fixture(scope="module")
def built(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("space") / "bundle"
    deploy.build(project, folder)
    return folder


class FakeHub:
    """Notes what it is asked, and looks at the folder while it is there."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[tuple] = []

    def create_repo(self, repo_id: str, *, repo_type: str, space_sdk: str, exist_ok: bool) -> None:
        if self.error:
            raise self.error
        self.asked.append(("create", repo_id, repo_type, space_sdk, exist_ok))

    def upload_folder(self, *, folder_path: Path, **words: object) -> None:
        files = {path.relative_to(folder_path).as_posix() for path in folder_path.rglob("*")}
        self.asked.append(("upload", words["repo_id"], words["repo_type"], words["delete_patterns"], files))


def test_a_bundle_holds_what_runs_and_nothing_of_the_workshop(built: Path, project: Project) -> None:
    names = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    assert {"app.py", "README.md", "requirements.txt", "Spacefile", "LICENSE"} <= names
    assert {"sd3demo/ui/static/style.css", "assets/tiny/model_index.json"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests/", "."))]
    assert deploy.check(project, built) == ()


def test_a_bundle_that_was_changed_since_is_told_file_by_file(
    built: Path, project: Project, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    deploy.build(project, folder)
    (folder / "app.py").write_text("print()")
    (folder / "LICENSE").unlink()
    (folder / "secret.txt").write_text("a")
    readme = folder / "README.md"
    readme.write_text(readme.read_text().replace("colorTo: gray", "colorTo: grey"))
    found = deploy.check(project, folder)
    assert [finding.split(";")[0] for finding in found] == [
        "colorTo is 'grey'",
        f"LICENSE is missing from {folder}",
        f"app.py in {folder} differs from what would be built now",
        f"README.md in {folder} differs from what would be built now",
        f"{folder} holds secret.txt, which no Space needs",
    ]


def test_nothing_is_left_where_a_bundle_cannot_be_written(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(Refusal, match="No space left on device; choose another folder"):
        deploy.build(project, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_not_touched(project: Project, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(Refusal, match="is not empty; give a new folder"):
        deploy.build(project, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_may_be_named(project: Project, tmp_path: Path) -> None:
    assert deploy.build(project, tmp_path / "new") == len(deploy.bundle(project))
    assert not list(tmp_path.glob(".space-*"))


def test_too_much_or_a_file_from_outside_is_refused(project: Project, tmp_path: Path) -> None:
    def with_spacefile(**update: object) -> Project:
        made = project.spacefile.model_copy(update=update)
        return Project(**{**vars(project), "spacefile": made})

    with pytest.raises(Refusal, match="MB and the Spacefile allows 1; leave files out"):
        deploy.bundle(with_spacefile(limits=deploy.SpaceLimits(megabytes=1)))
    for name in ("../shared", "/etc/hostname", "nothing.txt"):
        with pytest.raises(Refusal, match="which is not in"):
            deploy.bundle(with_spacefile(files=(name,)))


def test_a_push_makes_the_space_and_replaces_what_it_held(project: Project) -> None:
    hub = FakeHub()
    assert deploy.push(project, "someone/sd3demo", hub) == "https://huggingface.co/spaces/someone/sd3demo"
    (create, upload) = hub.asked
    assert create == ("create", "someone/sd3demo", "space", "gradio", True)
    assert upload[:4] == ("upload", "someone/sd3demo", "space", ["*"])
    assert {"app.py", "README.md", "requirements.txt"} <= upload[4]


@pytest.mark.parametrize("repo", ["sd3demo", "a/b/c", "a b/c", "", "someone/" + "x" * 100, "../etc"])
def test_a_name_that_is_none_is_refused_before_anything_is_built(repo: str, project: Project) -> None:
    with pytest.raises(Refusal, match="repo is "):
        deploy.push(project, repo, FakeHub())


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (LocalTokenNotFoundError("no token"), "run `hf auth login` first"),
        (OSError("no route to host"), "the Hub refused someone/sd3demo: no route to host"),
    ],
)
def test_a_hub_that_says_no_is_a_sentence(error: Exception, sentence: str, project: Project) -> None:
    with pytest.raises(Failure) as failure:
        deploy.push(project, "someone/sd3demo", FakeHub(error))
    assert sentence in str(failure.value)


def test_a_refusal_of_the_hubs_server_is_a_sentence(project: Project) -> None:
    import httpx

    answer = httpx.Response(403, request=httpx.Request("POST", "https://huggingface.co/api/repos/create"))
    with pytest.raises(Failure, match="the Hub refused someone/sd3demo"):
        deploy.push(project, "someone/sd3demo", FakeHub(HfHubHTTPError("403 Forbidden", response=answer)))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["space", "look"], "unknown action 'look'; choose one of check, build, push"),
        (["space", "build"], "target is missing; give a new folder"),
        (["space", "push"], "target is missing; give a repository, owner/name"),
        (["space", "check", "/nowhere"], "/nowhere holds no README.md that can be read"),
    ],
)
def test_bad_words_on_the_command_line_are_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_the_closure_follows_what_distributions_ask_for_and_nothing_else() -> None:
    names = set(closure([Requirement("gradio")]))
    assert {"gradio", "starlette", "pydantic-core"} <= names
    assert not names & {"torch", "mcp", "authlib"}


@pytest.mark.slow
def test_the_app_starts_from_a_bundle_as_a_space_does(project: Project) -> None:
    """With what its requirements name and nothing else, as user 1000 with a home that is empty, by
    `python app.py` and what the Hub sets; then a picture through the API, and the end as the Hub ends it.

    The port is another one than 7860, which other tests may have.
    """
    with tempfile.TemporaryDirectory(prefix="sd3demo-space-") as place:
        home = Path(place) / "home"
        built = home / "app"
        home.mkdir()
        deploy.build(project, built)
        wanted = parse_requirements((built / "requirements.txt").read_text())
        sdk = [Requirement(name) for name in sorted(PREINSTALLED)]
        python = environment(Path(place) / "venv", [*wanted, *sdk])
        for name in NOT_NEEDED:
            look = f"import importlib.metadata as m; m.version({name!r})"
            assert subprocess.run([python, "-c", look], capture_output=True).returncode == 1

        user = _as_space_user(Path(place), python)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        kept = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
        env = kept | SET_BY_THE_HUB | {"HOME": str(home), "GRADIO_SERVER_PORT": str(port)}
        with (home / "log").open("w") as log:
            server = subprocess.Popen(
                [python, "app.py"], cwd=built, env=env, stdout=log, stderr=log, user=user
            )
        try:
            address = f"http://127.0.0.1:{port}/"
            _wait_for(f"{address}readyz", server, home / "log")  # the model is loaded by then
            client = Client(address, verbose=False, download_files=str(Path(place) / "got"))
            picture, seed = client.predict("a red circle", seed=3, num_inference_steps=3, api_name="/infer")
            drawn = client.predict(steps=4, api_name="/schedule")
            with urllib.request.urlopen(address, timeout=60) as page:
                framed = page.headers["Content-Security-Policy"]
        finally:
            server.terminate()
            code = server.wait(60)
        said = (home / "log").read_text()
        assert read_receipt(Path(picture)).request.seed == seed == 3
        assert len(drawn["sigmas"]) == 5
        assert "https://huggingface.co" in framed
        assert code == 0, said
        assert "Traceback" not in said


SET_BY_THE_HUB = {
    "SYSTEM": "spaces",
    "SPACE_ID": "somebody/sd3demo",
    "SPACE_HOST": "somebody-sd3demo.hf.space",
    "SPACE_AUTHOR_NAME": "somebody",
    "SPACE_REPO_NAME": "sd3demo",
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_NUM_PORTS": "1",
    "GRADIO_ALLOW_FLAGGING": "never",
    "PYTHONUNBUFFERED": "1",
    "HF_HUB_OFFLINE": "1",
}
SPACE_USER = 1000


def test_a_space_listens_where_the_hub_looks() -> None:
    code = "from sd3demo.ui.server.gradio_internals import *; print(DEFAULT_HOST, *DEFAULT_PORTS)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | SET_BY_THE_HUB, capture_output=True, text=True
    )
    assert done.stdout.split() == ["0.0.0.0", "7860"], done.stderr


def _as_space_user(place: Path, python: Path) -> int | None:
    """The Hub's user, where this one may become it and it can reach this Python; None stays this one."""
    if os.geteuid() != 0:
        return None
    place.chmod(0o755)
    try:
        reached = subprocess.run(
            [python, "-c", "import gradio"], user=SPACE_USER, capture_output=True, cwd="/"
        )
    except PermissionError:
        return None
    if reached.returncode != 0:
        return None
    for inner in (place / "home", *(place / "home").rglob("*")):
        os.chown(inner, SPACE_USER, SPACE_USER)
    return SPACE_USER


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(1500):  # five minutes: a busy machine may take its time
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the page does not listen: {log.read_text()}")
