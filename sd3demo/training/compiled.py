"""A compiled network with a cache of its own, which is cleared and filled again where it is broken.

A run that is killed while a library is being linked leaves the library cut short in the compiler's cache, and
every later run that finds it there would fail with 'invalid ELF header'.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

FOLDER = "TORCHINDUCTOR_CACHE_DIR"
"""The environment variable by which torch's compiler is told where its cache is."""
SHAPES = 64
"""Shapes that are compiled before torch goes on without compiling."""
T = TypeVar("T")
Forward = Callable[..., tuple[torch.Tensor, torch.Tensor]]


class Eager:
    """A module as it is."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def run(self, step: Callable[[Forward], T]) -> T:
        """What `step` makes of the forward pass."""
        return step(self._module)


class Compiled:
    """A module that is compiled for each shape that it meets, with the cache in a folder of its own."""

    def __init__(self, module: nn.Module, folder: Path) -> None:
        self._module, self._folder = module, folder.absolute()
        self._forward = self._compile()
        self._cleared = False

    def run(self, step: Callable[[Forward], T]) -> T:
        """What `step` makes of the compiled forward pass; where it fails, from a clear cache once more.

        A step goes forward and backward, since either of the two compiles at its first call; what it has
        changed by then it must change again from the start.
        """
        try:
            return step(self._forward)
        except Exception as error:
            if self._cleared or not of_compiling(error):
                raise
        self._cleared = True
        shutil.rmtree(self._folder, ignore_errors=True)
        torch.compiler.reset()
        self._forward = self._compile()
        return step(self._forward)

    def _compile(self) -> Forward:
        os.environ[FOLDER] = str(self._folder)
        torch._dynamo.config.recompile_limit = max(SHAPES, torch._dynamo.config.recompile_limit)
        compiled: Forward = torch.compile(self._module, dynamic=False)
        return compiled


def of_compiling(error: BaseException | None) -> bool:
    """Whether it was compiling, or loading what was compiled, that failed."""
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError, InductorError

    if error is None:
        return False
    own = isinstance(error, (TorchDynamoException, InductorError, CppCompileError, ImportError, OSError))
    return own or of_compiling(error.__cause__)
