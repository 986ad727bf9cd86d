"""`/infer` as a program calls it: a PNG with its receipt and its seed, or one sentence."""

import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from sd3demo.history import read_pixels, read_receipt
from sd3demo.ui import Core, core
from tests.checkpoints import KINDS, write_checkpoint
from tests.ui.fake_page import Rehearsal, serving, write_model


def connect(address: str, folder: Path) -> Client:
    return Client(address, verbose=False, download_files=str(folder))


@pytest.fixture(scope="module")
def rehearsal() -> Rehearsal:
    return Rehearsal(seconds=0.01)


@pytest.fixture(scope="module")
def client(rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("page")
    with serving(Core((str(write_model(folder / "model")),), rehearsal.run)) as address:
        yield connect(address, folder / "got")


def test_a_real_run_gives_the_file_with_its_receipt(tmp_path: Path) -> None:
    model = str(write_checkpoint(tmp_path / "model", KINDS["sd3-medium"]))
    with serving(core((model,))) as address:
        client = connect(address, tmp_path / "got")
        picture, seed = client.predict("a red circle", seed=5, num_inference_steps=3, api_name="/infer")
        again, _ = client.predict("a red circle", seed=5, num_inference_steps=3, api_name="/infer")
    receipt = read_receipt(Path(picture))
    assert seed == receipt.request.seed == 5
    assert receipt.request.prompt == "a red circle"
    assert len(receipt.sigmas) == 4
    pixels = read_pixels(Path(picture), receipt)
    assert (pixels == read_pixels(Path(again), read_receipt(Path(again)))).all()
    assert pixels.std() > 0


def test_the_arguments_are_those_of_the_sd3_space_in_its_order(client: Client) -> None:
    given = ("a red circle", "dogs", 9, False, 96, 64, 4.5, 6, 2.0, "zeros")
    picture, seed = client.predict(*given, api_name="/infer")
    request = read_receipt(Path(picture)).request
    got = (request.prompt, request.negative, request.seed, False, request.width, request.height)
    assert (*got, request.cfg, request.steps, request.shift, request.t5) == given
    assert seed == 9


def test_what_is_left_open_takes_the_models_own(client: Client) -> None:
    picture, seed = client.predict("a red circle", api_name="/infer")
    request = read_receipt(Path(picture)).request
    assert (request.width, request.steps, request.shift, seed) == (64, 28, 3.0, 0)


def test_a_random_seed_is_returned_and_is_the_receipts(client: Client) -> None:
    picture, seed = client.predict("a red circle", randomize_seed=True, api_name="/infer")
    assert read_receipt(Path(picture)).request.seed == seed
    assert seed > 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": "  \n"}, "prompt is empty"),
        ({"prompt": "a" * 100_000}, "prompt has 100,000 characters; at most 2,000"),
        ({"prompt": "a\x00b"}, "control character U+0000"),
        ({"negative_prompt": "\x1b[2J"}, "control character U+001B"),
        ({"prompt": ["a"]}, "prompt is a list"),
        ({"prompt": None}, "prompt is missing; give one"),
        ({"num_inference_steps": 0}, "num_inference_steps is 0; it must lie in [1, 100]"),
        ({"num_inference_steps": 101}, "num_inference_steps is 101; it must lie in [1, 100]"),
        ({"num_inference_steps": 2.5}, "num_inference_steps is 2.5; it must be a whole number in [1, 100]"),
        ({"guidance_scale": 0.5}, "guidance_scale is 0.5; it must lie in [1, 30]"),
        ({"seed": -1}, "seed is -1; it must lie in [0, 4294967295]"),
        ({"seed": 2**32}, "seed is 4294967296; it must lie in [0, 4294967295]"),
        ({"width": 100_000}, "width is 100000; it must lie in [8, 8192]"),
        ({"width": 60}, "width is 60; "),
        ({"height": 4096}, "height is 4096; "),
        ({"shift": "more"}, "shift is more; it must lie in [0.1, 100] or be auto"),
        ({"t5": "off"}, "unknown t5 'off'; choose one of on, zeros, omit, empty"),
    ],
)
def test_bad_input_gets_its_sentence_and_starts_nothing(
    given: dict, sentence: str, client: Client, rehearsal: Rehearsal
) -> None:
    before = len(rehearsal.ended)
    with pytest.raises(AppError) as error:
        client.predict(**{"prompt": "a red circle"} | given, api_name="/infer")
    assert sentence in str(error.value)
    assert "Traceback" not in str(error.value)
    assert len(rehearsal.ended) == before


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_gets_its_sentence(number: str, client: Client) -> None:
    """gradio_client refuses to send these; a program without it can."""
    address = f"{client.src}gradio_api/call/infer"
    body = f'{{"data": ["a red circle", "", 0, false, null, null, {number}, 4, null, "on"]}}'
    asked = urllib.request.Request(address, body.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=300) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{address}/{event}", timeout=300) as answer:
        told = answer.read().decode()
    assert re.search(r"guidance_scale is -?(nan|inf); it must lie in \[1, 30\]", told)


def test_several_at_once_each_get_their_own_picture_in_turn(client: Client, rehearsal: Rehearsal) -> None:
    got: dict[int, int] = {}

    def ask(seed: int) -> None:
        picture, _ = client.predict("a red circle", seed=seed, num_inference_steps=4, api_name="/infer")
        receipt = read_receipt(Path(picture))
        got[seed] = receipt.request.seed
        assert read_pixels(Path(picture), receipt)[-1, -1, 0] == seed % 251

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in (11, 22, 33)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert got == {11: 11, 22: 22, 33: 33}
    assert rehearsal.most_at_once == 1
