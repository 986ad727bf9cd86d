"""Words that STYLE.md bans, kept out of names, docstrings, help and messages of the package.

`python -m tests.test_words` lists those that it finds.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_tree import ROOT, module_name, sources

IDENTIFIERS = {"made"}
"""No name of a result; it may be part of a longer one."""
CLASSES = {"of", "going"}
PARTS = {
    "abreast", "attended", "books", "doom", "errand", "faces", "foretold", "gridded", "grudge", "leafing",
    "pathwords", "spare",
}  # fmt: skip
"""Of identifiers and of module names."""
PROSE = PARTS - {"attended", "books", "faces"}
"""Of docstrings, help, messages and comments; the other three are plain words there."""
PHRASES = (
    "nobody looks",
    "never asked for",
    # The page's wording before it said what visitors look for (each with its term).
    "remembered from before",  # cached
    "times the way from one answer to the other",  # CFG scale
    "picture k of a batch",  # a batch uses seed, seed + 1, ...
    "with the tick every run draws one",  # random seed for each run
    "which eq. 23 gives for",  # set to the recommended
    "pictures at once",  # batch size
    "size and number",  # size and batch
    "times of the run",  # sigma table
    "in place of the native one",  # use your own picture
    "all (zoom)",  # fit
    "draw the trace before in grey",  # overlay the previous run
    "ours (preset)",  # tuned for this model
    "what was measured is kept",  # results are saved
    "a run of your own takes its place",  # your run replaces this
)


def parts(identifier: str) -> set[str]:
    """The words of a name: `_plan_HTML` is plan and html, `ActiveRun` is active and run."""
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)}


def defined(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Every name that a module defines, and whether it is a class's. Uses count where they are defined."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name):
                yield name, True
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                yield name, False
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, False
            case ast.alias(asname=str(name)) | ast.MatchAs(name=str(name)):
                yield name, False


def texts(source: str, tree: ast.AST) -> Iterator[str]:
    """Every string, adjacent literals joined, and every comment."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=values):
                yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in values)
            case ast.Constant(value=str(text)):
                yield text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def banned_in_text(text: str) -> set[str]:
    plain = " ".join(text.lower().split())
    words = set(re.findall(r"[a-z]+", plain)) & PROSE
    return words | {phrase for phrase in PHRASES if phrase in plain}


def banned(path: Path, root: Path) -> set[str]:
    """The banned words of a file of Python, of a style sheet, a script or a text of the page."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return banned_in_text(source)
    tree = ast.parse(source, str(path))
    found = parts(module_name(path, root).split(".")[-1]) & PARTS
    for name, is_class in defined(tree):
        found |= parts(name) & PARTS
        if name.strip("_").lower() in (CLASSES if is_class else IDENTIFIERS):
            found.add(name.strip("_").lower())
    return found.union(*(banned_in_text(text) for text in texts(source, tree)))


def everything(root: Path) -> list[Path]:
    static = [file for kind in ("css", "js", "md", "yaml") for file in root.glob(f"sd3demo/**/*.{kind}")]
    return sources(root) + sorted(static)


def found_in(root: Path) -> dict[str, set[str]]:
    words_of = {module_name(path, root): banned(path, root) for path in everything(root)}
    return {module: words for module, words in words_of.items() if words}


def test_the_package_is_written_in_standard_terms() -> None:
    assert found_in(ROOT) == {}


@pytest.mark.parametrize(
    ("file", "source", "word"),
    [
        ("flow/paths.py", "made = 3", "made"),
        ("flow/paths.py", "def f():\n    return [g(_made) for _made in ()]", "made"),
        ("flow/paths.py", "class A:\n    made: int", "made"),
        ("flow/paths.py", "def f(made): ...", "made"),
        ("flow/paths.py", "from x import y as made", "made"),
        ("flow/paths.py", "with f() as (a, made): ...", "made"),
        ("flow/paths.py", "self.made = 1", "made"),
        ("ui/run.py", "class Going: ...", "going"),
        ("ui/run.py", "class RunErrand: ...", "errand"),
        ("ui/run.py", "def spare_memory(): ...", "spare"),
        ("ui/faces.py", "", "faces"),
        ("ui/run.py", '"""Nobody\n    looks."""', "nobody looks"),
        ("ui/run.py", 'f(help="The stop that is never" " asked for")', "never asked for"),
        ("ui/run.py", 'f"{count} pictures at once"', "pictures at once"),
        ("ui/run.py", "x = 1  # drawn abreast", "abreast"),
        ("ui/static/page.js", "// a grudge", "grudge"),
        ("ui/text/about.md", "Draw the trace before\nin grey", "draw the trace before in grey"),
        ("ui/text/lessons/en/a.yaml", "title: All (zoom)", "all (zoom)"),
    ],
)
def test_a_planted_word_is_found(file: str, source: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "sd3demo" / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert banned(path, tmp_path) == {word}
    assert [module_name(each, tmp_path) for each in everything(tmp_path)] == [module_name(path, tmp_path)]


@pytest.mark.parametrize(
    "source",
    [
        "made_with = 1",
        "x.made",  # defined, and found, somewhere else
        '"""A picture made by the model; the tokens that it attended to; books and faces."""',
        "def off(): ...",
        "class Offset: ...",
        "x = 'sparse and doomed'",
    ],
)
def test_plain_words_pass(source: str, tmp_path: Path) -> None:
    path = tmp_path / "sd3demo" / "flow" / "paths.py"
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert banned(path, tmp_path) == set()


if __name__ == "__main__":
    for module, words in found_in(ROOT).items():
        print(module, *sorted(words), sep="  ")
