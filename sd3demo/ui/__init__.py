"""The page over the engine: `build()` makes it, `launch()` serves it.

The garbage collector rests while gradio comes in: what that makes all stays, and looking through it again and
again is a sixth of the time until the page listens.
"""

import gc

_collects = gc.isenabled()
gc.disable()

from sd3demo.ui.app import build, launch  # noqa: E402
from sd3demo.ui.context import Core, core  # noqa: E402

if _collects:
    gc.enable()

__all__ = ["Core", "build", "core", "launch"]
