"""The page over the engine: `build()` makes it, `launch()` serves it.

What slows the time until the page listens is put off: pandas, which gradio imports for tables that this page
has none of, and the garbage collector, which would go again and again through imported code that all stays.
"""

import gc

from sd3demo.ui.server.deferred_imports import deferred

_collects = gc.isenabled()
gc.disable()

with deferred("pandas"):
    from sd3demo.ui.app import ServeOptions, build, launch
    from sd3demo.ui.context import Core, core
    from sd3demo.ui.server.limits import limits_of

if _collects:
    gc.freeze()
    gc.enable()

__all__ = ["Core", "ServeOptions", "build", "core", "launch", "limits_of"]
