"""The page over the engine: `build()` makes it, `launch()` serves it."""

from sd3demo.ui.core import Core, core
from sd3demo.ui.page import build, launch

__all__ = ["Core", "build", "core", "launch"]
