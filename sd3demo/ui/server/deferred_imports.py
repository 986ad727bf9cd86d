"""Packages that another one imports and does not use until much later, brought in when they are used."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
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

    module.__spec__ = spec = find_spec(name)
    module.__file__ = spec.origin if spec else None
    module.__getattr__ = attribute  # type: ignore[method-assign]
    return module
