"""The first model, loaded beside the page that listens already, and its files checked after that."""

import logging

from sd3demo.catalogue import find
from sd3demo.catalogue.integrity import check_integrity
from sd3demo.errors import Failure, Refusal
from sd3demo.settings import counted
from sd3demo.ui.context import Core
from sd3demo.ui.controls.model_choice import model_title
from sd3demo.ui.server.operations import Operations

log = logging.getLogger(__name__)


def load_and_check(core: Core, operations: Operations) -> None:
    """Load the model that is chosen at first, then compare its files with their published hashes."""
    if core.load is not None:
        operations.model = "is being loaded"
        try:
            core.load()
        except (Refusal, Failure) as error:
            log.warning("the first model is not loaded: %s", error)
            operations.model = "cannot be loaded; the log says why"
            return
        except Exception as error:
            log.error("the first model is not loaded", exc_info=error)
            operations.model = "cannot be loaded; the log says why"
            return
        operations.model = ""
    check_weights(core.models[0], operations)


def check_weights(model: str, operations: Operations) -> None:
    """Say in `operations` whether the files of a model are those that were published."""
    try:
        spec = find(model)
        found = check_integrity(spec)
    except (Refusal, OSError) as error:
        log.warning("the weights of %s cannot be checked: %s", model, error)
        operations.weights = "cannot be checked"
        return
    if found.damaged:
        operations.weights = f"damaged: {', '.join(found.damaged)}"
        operations.damage = (
            f"The weights of {model_title(spec)} on this machine are not those that were published "
            f"({', '.join(found.damaged)} differs): pictures may be wrong. Whoever runs this page should "
            "copy them again."
        )
        log.warning("%s", operations.damage)
    elif found.unknown:
        operations.weights = f"no published hash for {counted(len(found.unknown), 'file')}"
    else:
        operations.weights = f"as published, {counted(found.equal, 'file')}"
