"""The shape of the tree, read from its syntax: who imports whom, where a library lives, sizes and names."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Who may import whom, by ARCHITECTURE's table. `engine.events` allows that module alone; the package's own
# version may be imported anywhere.
BASE = {"errors", "catalogue", "flow"}
ENGINE = BASE | {"settings", "models", "engine"}
RECORDS = {"settings", "catalogue", "errors", "engine.events", "engine.record.traces"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "catalogue": {"errors"},
    "flow": set(),
    "world": set(),
    "settings": {"errors", "catalogue", "flow"},
    "models": {"errors", "catalogue", "flow"},
    "engine": ENGINE,
    "studies": ENGINE | {"world", "training.formulations", "training.toy_data"},  # the race trains
    "training": ENGINE | {"world"},
    "snippets": ENGINE | {"studies"},
    "history": RECORDS,
    "deploy": {"settings", "catalogue", "errors", "engine.events"},
    "plots": {"flow", "engine", "studies"},  # of the last two the types alone: see `breaches`
    "ui": ENGINE | {"world", "studies", "training", "history", "deploy", "plots", "snippets"},
    "cli": ENGINE | {"world", "studies", "training", "history", "deploy", "plots", "snippets", "ui"},
    "__main__": {"cli"},
    "__init__": set(),
    "app": {"cli", "ui"},
}

# A library -> where it may be imported.
HOMES: dict[str, tuple[str, ...]] = {
    "diffusers": ("models", "training", "engine.run.offload"),
    "transformers": ("models", "training", "engine.run.offload"),
    "plotly": ("plots",),
    "gradio": ("ui", "app"),
    "ray": ("studies.cluster",),
}

# Modules that answer with nothing heavy loaded: they may not even import it inside a function.
LIGHT = ("settings", "catalogue", "flow.grids", "engine.plan")
HEAVY = ("torch", "diffusers", "transformers")
# Importing any of these loads nothing heavy, at whatever depth.
QUICK = (*LIGHT, "cli", "ui")

BANNED_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "base"}
LONGEST = 400

# Module names that say the same role in each folder that has one.
ROLES: Mapping[str, str] = {
    "attention": "a model family's attention, tuned",
    "adapter": "a model family behind the protocol of models",
    "attention_maps": "a model family's attention, recorded",
    "compare_view": "two pictures beside each other, as a tab shows them",
    "form": "the controls of a tab",
    "handlers": "what a tab's buttons call",
    "loading": "a model family's files read into modules",
    "network_call": "a model family's one network call",
    "text_encoders": "a model family's text encoders",
    "modulation": "a model family's modulation",
    "positions": "a model family's positions",
    "rows": "a model family's one network call",
    "run": "what carries this folder's work out",
    "settings": "the settings of this folder",
    "story": "what happened in this tab's run, in sentences",
    "stream": "the events of a run as updates of a tab",
    "studies": "recorded studies in this folder",
    "tab": "a tab of the page",
    "transformer": "a model family's network: run here, trained in training",
}

# Other modules of one name, which is one idea in several layers, with the reason.
ONE_IDEA: Mapping[str, tuple[frozenset[str], str]] = {
    name: (frozenset(modules.split()), reason)
    for name, modules, reason in (
        (
            "densities",
            "flow.densities plots.densities ui.densities ui.api.densities",
            "eq. 19 to 22: maths, charts, tab, endpoint",
        ),
        ("app", "app ui.app", "the page, and the file that opens it"),
        ("engine", "engine engine.run.engine", "the class, in the folder of its name"),
        ("plots", "plots ui.run.plots", "charts, and the component that shows one"),
        ("errors", "errors ui.run.errors", "the two errors, and their sentence on the page"),
        ("events", "engine.events ui.run.events", "the events of a run, and the page's one loop over them"),
        ("exact", "flow.exact models.exact", "the closed-form flow, and the model that answers with it"),
        ("extrapolate", "cli.extrapolate ui.extrapolate", "the command and the tab"),
        ("sizes", "engine.plan.sizes training.sizes", "those of a run, and those of training"),
        ("flux", "catalogue.flux models.flux", "the family as data, and its models"),
        ("sd3", "catalogue.sd3 models.sd3", "the family as data, and its models"),
        ("lumina", "catalogue.lumina models.lumina", "the families as data, and their models"),
        (
            "extrapolation",
            "flow.extrapolation settings.extrapolation engine.plan.extrapolation",
            "its maths, settings and plan",
        ),
        ("flow", "flow training.flow", "the flow, and its training"),
        ("claims", "cli.claims studies.claims ui.claims", "the table, its command and its tab"),
        ("generate", "cli.generate ui.generate", "the command and the tab"),
        ("grid", "cli.grid studies.grid ui.api.grid", "the command, its study and its endpoint"),
        ("history", "history ui.history", "finished runs, and their tab"),
        ("imax", "studies.imax plots.imax", "the I-Max studies and their charts"),
        ("lengths", "flow.path.lengths flow.lengths", "the second is the name that scripts import"),
        (
            "methods",
            "flow.extrapolation.methods studies.imax.methods",
            "the methods, and the study that compares them",
        ),
        ("notebook", "snippets.notebook cli.notebook", "a notebook, and the command that writes one"),
        ("models", "models cli.models", "the models, and the command that lists them"),
        (
            "plan",
            "cli.plan engine.plan engine.plan.plan ui.api.plan",
            "what will be done: of a run, shown, of a grid",
        ),
        (
            "projection",
            "flow.extrapolation.projection flow.projection",
            "the second is the name that scripts import",
        ),
        ("race", "studies.race plots.race", "the race of formulations, and its charts"),
        (
            "score",
            "studies.score studies.score.score cli.score ui.score",
            "the study, its command and its tab",
        ),
        ("steps", "studies.score.steps studies.imax.steps", "the number of steps as what a study varies"),
        (
            "study",
            "cli.study studies.study ui.api.study",
            "the protocol of a study, and the command that runs one",
        ),
        ("traces", "engine.record.traces history.traces", "a trace, and its file"),
        ("training", "training ui.flow_lab.training", "training, and the Flow lab's view of it"),
        ("trajectories", "plots.trajectories ui.trajectories", "the charts and their tab"),
        ("verify", "cli.verify ui.verify history.verify", "the check, its command and its tab"),
        ("xray", "engine.record.xray plots.xray ui.extrapolate.xray", "the record, its charts and its view"),
    )
}


@dataclass(frozen=True)
class Import:
    name: str  # dotted in full; `from a import b` is a.b
    line: int
    function: str  # the outermost function that it stands in; empty at module level
    typing: bool  # under `if TYPE_CHECKING`: read by mypy, never run


def is_under(name: str, places: tuple[str, ...] | set[str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def module_name(path: Path, root: Path) -> str:
    """`flow.grids` for sd3demo/flow/grids.py, `flow` for its `__init__`, `app` for app.py."""
    parts = path.relative_to(root).with_suffix("").parts
    parts = parts[1:] if parts[0] == "sd3demo" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(path: Path, root: Path) -> Iterator[Import]:
    """Every import of a file: at any depth, relative, or by `import_module` of a literal name."""

    def names(node: ast.AST) -> list[str]:
        match node:
            case ast.Import():
                return [alias.name for alias in node.names]
            case ast.ImportFrom(level=0):
                return [f"{node.module}.{alias.name}" for alias in node.names]
            case ast.ImportFrom():
                package = path.parent.relative_to(root).parts
                package = package[: len(package) - node.level + 1]
                stem = ".".join([*package, node.module] if node.module else package)
                return [f"{stem}.{alias.name}" for alias in node.names]
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                return [name]
        return []

    def walk(node: ast.AST, function: str, typing: bool) -> Iterator[Import]:
        for name in names(node):
            yield Import(name, node.lineno, function, typing)  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = function or node.name
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for child in node.body:
                yield from walk(child, function, True)
            for child in node.orelse:
                yield from walk(child, function, typing)
            return
        for inner in ast.iter_child_nodes(node):
            yield from walk(inner, function, typing)

    yield from walk(ast.parse(path.read_text(), str(path)), "", False)


def breaches(path: Path, root: Path) -> Iterator[str]:
    """What a file does against the rules above, a sentence each."""
    module = module_name(path, root)
    unit = module.split(".")[0]
    if unit not in ALLOWED:
        yield f"{module}: no row of the table says what it may import"
        return
    if BANNED_NAMES & set(module.split(".")):
        yield f"{module}: its name says nothing of what is in it"
    if len(path.read_text().splitlines()) > LONGEST:
        yield f"{module}: longer than {LONGEST} lines"
    for found in imports(path, root):
        library, _, inside = found.name.partition(".")
        where = f"{module}, line {found.line}"
        if library in HOMES and not is_under(module, HOMES[library]):
            yield f"{where}: {library} belongs in {', '.join(HOMES[library])}"
        if library in HEAVY and is_under(module, LIGHT) and not found.typing:
            yield f"{where}: {library} in a module that must answer without it"
        if library in ("app", "tests"):
            yield f"{where}: imports {library}"
        if library != "sd3demo" or inside == "__version__" or is_under(inside, {unit}):
            continue
        if not is_under(inside, ALLOWED[unit]):
            yield f"{where}: {unit} may not import {inside or 'the whole package'}"
        last = inside.split(".")[-1]
        is_type = last[:1].isupper() and last != "Engine"
        if unit == "plots" and is_under(inside, {"engine", "studies"}) and not is_type:
            yield f"{where}: plots may import the record types of engine and studies, not {last}"
        if unit == "cli" and is_under(inside, {"ui"}) and found.function != "serve":
            yield f"{where}: the page is imported only inside `serve`"


def sources(root: Path) -> list[Path]:
    return sorted([*root.glob("sd3demo/**/*.py"), *root.glob("app.py")])


def shared_classes(root: Path) -> dict[str, list[str]]:
    """Class names that occur more than once -> where."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sources(root):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(module_name(path, root))
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def shared_modules(modules: Iterable[str]) -> dict[str, list[str]]:
    """Module names that occur more than once and are neither a role nor one idea -> where."""
    found: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        found[module.split(".")[-1]].append(module)
    return {
        name: sorted(places)
        for name, places in found.items()
        if len(places) > 1
        and name not in ROLES
        and (name not in ONE_IDEA or not set(places) <= ONE_IDEA[name][0])
    }


def loaded_by(module: str, cwd: Path) -> set[str]:
    """Which of the heavy libraries a fresh interpreter has loaded after importing one module."""
    code = f"import sys, {module}; print(*set({HEAVY!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("path", sources(ROOT), ids=lambda path: module_name(path, ROOT))
def test_every_file_keeps_to_the_architecture(path: Path) -> None:
    assert list(breaches(path, ROOT)) == []


def test_no_two_classes_have_one_name() -> None:
    assert shared_classes(ROOT) == {}


def test_no_two_modules_have_one_name_unless_it_is_one_idea() -> None:
    names = [module_name(path, ROOT) for path in sources(ROOT)]
    assert shared_modules(names) == {}


def test_two_classes_of_one_name_are_found(tmp_path: Path) -> None:
    for name, source in (("one", "class Row: ..."), ("two", "def f():\n    class Row: ..."), ("three", "")):
        path = tmp_path / "sd3demo" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    assert shared_classes(tmp_path) == {"Row": ["one", "two"]}


@pytest.mark.parametrize(
    ("modules", "shared"),
    [
        (["engine.cache", "studies.cache"], ["cache"]),
        (["ui.generate.tab", "ui.history.tab"], []),  # a role
        (["flow.densities", "plots.densities"], []),  # one idea
        (["flow.densities", "plots.densities", "studies.densities"], ["densities"]),  # and another one
        (["flow.grids", "engine.sizes"], []),
    ],
)
def test_two_modules_of_one_name_are_found(modules: list[str], shared: list[str]) -> None:
    assert list(shared_modules(modules)) == shared


@pytest.mark.parametrize(
    "module",
    [name for name in QUICK if name in {module_name(path, ROOT) for path in sources(ROOT)}],
)
def test_plans_and_the_page_are_there_before_torch_is_loaded(module: str) -> None:
    assert loaded_by(f"sd3demo.{module}", ROOT) == set()


@pytest.mark.parametrize(
    ("file", "source", "sentence"),
    [
        ("flow/solvers.py", "import sd3demo.engine.run.engine", "flow may not import engine.run"),
        ("flow/solvers.py", "from ..settings import Request", "flow may not import settings.Request"),
        ("flow/solvers.py", "from .. import settings", "flow may not import settings"),
        ("flow/__init__.py", "from ..world import scenes", "flow may not import world.scenes"),
        ("world/scenes.py", "from sd3demo import catalogue", "world may not import catalogue"),
        ("models/sd3.py", "def f():\n    from sd3demo.settings import Request", "line 2: models may not"),
        ("engine/run.py", "from sd3demo import studies", "engine may not import studies"),
        ("engine/run.py", "from sd3demo.world import scenes", "engine may not import world.scenes"),
        ("settings.py", "from sd3demo.models import load", "settings may not import models.load"),
        ("studies/shift.py", "from sd3demo.training import run", "studies may not import training.run"),
        ("deploy/card.py", "from sd3demo.engine.run import batch", "deploy may not import engine.run"),
        ("history/store.py", "from sd3demo.plots import chart", "history may not import plots.chart"),
        ("studies/shift.py", "from sd3demo.plots import lines", "studies may not import plots.lines"),
        ("training/lab.py", "from sd3demo.studies import shift", "training may not import studies.shift"),
        ("history.py", "from sd3demo.engine import StepDone", "history may not import engine.StepDone"),
        ("settings.py", "import sd3demo", "settings may not import the whole package"),
        ("ui/form.py", "from sd3demo.cli import main", "ui may not import cli.main"),
        ("ui/form.py", "import app", "imports app"),
        ("plots/lines.py", "from sd3demo.engine.run.engine import Engine", "not Engine"),
        ("plots/lines.py", "from sd3demo.studies import run", "not run"),
        ("cli.py", "from sd3demo import ui", "only inside `serve`"),
        ("cli/serving.py", "def train():\n    import sd3demo.ui.app", "only inside `serve`"),
        ("engine/run.py", "import diffusers", "diffusers belongs in models"),
        ("engine/run/offload_2.py", "import diffusers", "diffusers belongs in models"),
        ("ui/form.py", "from plotly import graph_objects", "plotly belongs in plots"),
        ("plots/lines.py", "import gradio as gr", "gradio belongs in ui, app"),
        ("flow/grids.py", "from torch import Tensor", "torch in a module that must answer without it"),
        ("catalogue/entries.py", "def f():\n    import torch", "torch in a module that"),
        ("engine/plan.py", "import importlib\nimportlib.import_module('torch')", "line 2: torch in a module"),
        ("settings.py", "if not TYPE_CHECKING:\n    import torch", "torch in a module"),
        ("settings.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import torch", "torch in a module"),
        ("gadgets.py", "", "no row of the table"),
        ("flow/utils.py", "", "its name says nothing"),
        ("engine/common/cache.py", "", "its name says nothing"),
        ("flow/paths.py", "\n" * 401, "longer than 400 lines"),
    ],
)
def test_a_planted_breach_is_found(file: str, source: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "sd3demo" / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    (found,) = breaches(path, tmp_path)
    assert sentence in found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("flow/solvers.py", "import torch\nfrom sd3demo.flow.grids import shift\nfrom . import lengths"),
        ("flow/grids.py", "if TYPE_CHECKING:\n    from torch import Tensor"),
        ("engine/run/offload.py", "import diffusers\nfrom ...models import sd3\nfrom ..plan import plan"),
        ("history.py", "from sd3demo.engine.events import Finished\nfrom sd3demo import __version__"),
        ("plots/lines.py", "import plotly\nfrom sd3demo.studies import Table"),
        ("cli.py", "def serve():\n    from sd3demo.ui import build"),
        ("../app.py", "import gradio\nfrom sd3demo.ui import build"),
        ("flow/paths.py", "\n" * 400),
    ],
)
def test_what_the_table_allows_passes(file: str, source: str, tmp_path: Path) -> None:
    path = (tmp_path / "sd3demo" / file).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    assert list(breaches(path, tmp_path)) == []


def test_a_heavy_library_is_seen_however_deep_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "inner.py").write_text("import torch")
    (tmp_path / "outer.py").write_text("import inner")
    assert loaded_by("outer", tmp_path) == {"torch"}
