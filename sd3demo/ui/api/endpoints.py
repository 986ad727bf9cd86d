"""The endpoints for programs, in the order in which the API page lists them.

What is left open takes the model's own value. What cannot be done is one sentence that begins with the name
of the parameter at fault. Plans and curves answer at once; runs and studies stand in the page's own queue.
"""

from sd3demo.ui.api.densities import densities
from sd3demo.ui.api.endpoint import add_endpoints
from sd3demo.ui.api.grid import grid
from sd3demo.ui.api.infer import extrapolate, infer
from sd3demo.ui.api.plan import plan
from sd3demo.ui.api.schedule import schedule
from sd3demo.ui.api.study import study
from sd3demo.ui.context import Core

ENDPOINTS = (infer, extrapolate, grid, plan, study, schedule, densities)


def endpoints(core: Core) -> None:
    """All of them, in the page that is being built."""
    add_endpoints([endpoint(core) for endpoint in ENDPOINTS])
