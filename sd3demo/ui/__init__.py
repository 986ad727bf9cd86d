"""The page over the engine: `build()` makes it, `launch()` serves it.

What slows the time until the page listens is put off: pandas, which gradio imports for tables that this page
has none of, and the garbage collector, which would go again and again through imported code that all stays.
The type stubs that gradio writes beside its own files, for editors, at each import are left out.
"""

import gc

from sd3demo.ui.server.deferred_imports import deferred, replaced

_collects = gc.isenabled()
gc.disable()


def _no_stub(component: type, name: str, events: list[object]) -> None:
    """In place of gradio's, which reads and parses the source of every component."""


with deferred("pandas"), replaced("gradio.component_meta", create_or_modify_pyi=_no_stub):
    from sd3demo.ui.app import ServeOptions, build, launch
    from sd3demo.ui.context import Core, core
    from sd3demo.ui.server.limits import limits_of

if _collects:
    gc.freeze()
    gc.enable()

__all__ = ["Core", "ServeOptions", "build", "core", "launch", "limits_of"]
