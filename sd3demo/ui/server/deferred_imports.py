"""What a package does at its import and this page does not need then: put off, or left out."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType


@contextmanager
def deferred(*names: str) -> Iterator[None]:
    """Whoever imports one of these packages meanwhile gets a stand-in, which imports it at the first use.

    Afterwards an import brings in the package itself, as ever. One that is there already is left alone.
    """
    stand_ins = {name: _stand_in(name) for name in names if name not in sys.modules and find_spec(name)}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


def _stand_in(name: str) -> ModuleType:
    module = ModuleType(name)

    def attribute(of: str) -> object:
        if of.startswith("__"):  # of those who look through all modules and mean none
            raise AttributeError(of)
        if sys.modules.get(name) is module:
            del sys.modules[name]
        return getattr(import_module(name), of)

    spec = find_spec(name)
    module.__spec__, module.__file__ = spec, None if spec is None else spec.origin
    module.__getattr__ = attribute  # type: ignore[method-assign]
    return module


@contextmanager
def replaced(module: str, **functions: Callable[..., object]) -> Iterator[None]:
    """A module that is imported meanwhile has these functions in place of its own of the same names.

    Raises AttributeError at that import where the module has none of that name.
    """
    finder = _Replacing(module, functions)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Replacing(MetaPathFinder):
    """Finds one module as ever, and has it loaded by a loader that replaces functions."""

    def __init__(self, name: str, functions: dict[str, Callable[..., object]]) -> None:
        self.name, self.functions = name, functions

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(fullname, path, target) if fullname == self.name else None
        if found is not None and found.loader is not None:
            found.loader = _Loading(found.loader, self.functions)
        return found


class _Loading(Loader):
    def __init__(self, loader: Loader, functions: dict[str, Callable[..., object]]) -> None:
        self.loader, self.functions = loader, functions

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        for name, function in self.functions.items():
            getattr(module, name)  # raises where the module has none
            setattr(module, name, function)
