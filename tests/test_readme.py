"""The README says what is true: its `--help` texts and limits are real, what it tells to make can be made.

`python -m tests.test_readme` writes the help texts and the tables of models, of limits and of a soak anew.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sd3demo.catalogue import CATALOGUE
from sd3demo.ui.server.limits import Limits, table, variable
from tests.soak import figures

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
MARKER = re.compile(r"<!-- (?:help:(?P<command>[a-z0-9 -]*)|/help) -->")
MODELS = re.compile(r"<!-- models -->\n.*?<!-- /models -->", re.DOTALL)
LIMITS = re.compile(r"<!-- limits -->\n.*?<!-- /limits -->", re.DOTALL)
SOAK = re.compile(r"<!-- soak -->\n.*?<!-- /soak -->", re.DOTALL)
BLOCK = re.compile(r"<!-- help:(?P<command>[a-z0-9 -]*) -->\n.*?<!-- /help -->", re.DOTALL)


def with_help(text: str, help_of: Callable[[str], str]) -> str:
    """The text with its command's help between each pair: `<!-- help:plan -->` and `<!-- /help -->`.

    `<!-- help: -->` stands for the program's own. Markers that do not pair are an error.
    """
    kinds = ["open" if m["command"] is not None else "close" for m in MARKER.finditer(text)]
    if kinds != ["open", "close"] * (len(kinds) // 2):
        raise ValueError("each <!-- help:COMMAND --> must be followed by its own <!-- /help -->")

    def block(match: re.Match[str]) -> str:
        command = match["command"]
        return f"<!-- help:{command} -->\n```\n{help_of(command).strip()}\n```\n<!-- /help -->"

    return BLOCK.sub(block, text)


def with_limits(text: str) -> str:
    """The text with the table of the page's limits between its markers."""
    return LIMITS.sub(f"<!-- limits -->\n{table()}\n<!-- /limits -->", text)


def with_soak(text: str) -> str:
    """The text with what the last `make soak` measured between its markers."""
    return SOAK.sub(lambda _: f"<!-- soak -->\n{figures.recorded()}\n<!-- /soak -->", text)


def real_help(command: str) -> str:
    """What `sd3demo COMMAND --help` prints, 100 columns wide."""
    env = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    words = [sys.executable, "-m", "sd3demo", *command.split(), "--help"]
    return subprocess.run(words, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout


def test_the_help_in_the_readme_is_what_the_program_prints() -> None:
    text = README.read_text()
    assert text == with_help(text, real_help), "run `python -m tests.test_readme`"


def test_the_limits_in_the_readme_are_those_of_the_page() -> None:
    text = README.read_text()
    assert text == with_limits(text), "run `python -m tests.test_readme`"
    assert all(f"`{variable(name)}`" in text for name in Limits.model_fields)


def test_the_figures_of_a_soak_in_the_readme_are_those_that_were_recorded() -> None:
    text = README.read_text()
    assert SOAK.search(text)
    assert text == with_soak(text), "run `python -m tests.test_readme`"


def test_every_marker_pair_is_filled_with_its_own_commands_help() -> None:
    text = (
        "a\n<!-- help:plan -->\nold\n<!-- /help -->\n"
        "b\n<!-- help:space check -->\n<!-- /help -->\n"
        "<!-- help: -->\n<!-- /help -->"
    )
    filled = with_help(text, lambda command: f"help of [{command}]\n")
    assert "old" not in filled
    assert re.findall(r"```\n(.*)\n```", filled) == ["help of [plan]", "help of [space check]", "help of []"]
    assert filled == with_help(filled, lambda command: f"help of [{command}]\n")


def with_models(text: str) -> str:
    """The text with the catalogue's table of models between `<!-- models -->` and `<!-- /models -->`."""
    return MODELS.sub(f"<!-- models -->\n{models_table()}\n<!-- /models -->", text)


def models_table() -> str:
    """Every model of the catalogue, a row each."""
    rows = [
        "| `--model` | repository | native | weights, bf16 | steps | guidance | licence |",
        "|---" * 7 + "|",
    ]
    for spec in CATALOGUE.values():
        weights = 2 * sum(size.parameters for size in spec.components.values()) / 1e9
        defaults = spec.defaults
        scale = f"CFG {defaults.cfg:g}" if defaults.cfg != 1 else "none"
        guidance = scale if defaults.guidance is None else f"embedded {defaults.guidance:g}"
        where = f"[{spec.hub}](https://huggingface.co/{spec.hub})" if spec.hub else "embedded"
        gate = ", gated" if spec.gated else ""
        size = f"{weights:.1f} GB" if weights else ""
        rows.append(
            f"| `{spec.name}` | {where} | {spec.native} px | {size} | {defaults.steps} | {guidance} "
            f"| {spec.licence}{gate} |"
        )
    return "\n".join(rows)


def test_the_table_of_models_is_the_catalogues() -> None:
    text = README.read_text()
    assert MODELS.search(text)
    assert text == with_models(text), "run `python -m tests.test_readme`"


@pytest.mark.parametrize(
    "text",
    [
        "<!-- help:plan -->",
        "<!-- /help -->",
        "<!-- help:plan --> <!-- help:plan --> <!-- /help -->",
        "<!-- help:plan --> <!-- /help --> <!-- /help -->",
    ],
)
def test_markers_that_do_not_pair_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="followed by its own"):
        with_help(text, str)


def test_every_make_target_the_readme_names_exists() -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README.read_text(), re.MULTILINE))
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"run", "test"} <= named
    assert named <= made


if __name__ == "__main__":
    README.write_text(with_soak(with_limits(with_models(with_help(README.read_text(), real_help)))))
