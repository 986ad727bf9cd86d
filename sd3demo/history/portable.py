"""A request as it may leave this machine: no path of a folder or a file stands in it, only their names."""

import os
from typing import TypeVar

from sd3demo.catalogue import CATALOGUE
from sd3demo.catalogue.single_files import split_model
from sd3demo.settings import Resolved

FILE_SETTINGS = ("upscaler",)
"""The settings that name files of this machine."""

R = TypeVar("R", bound=Resolved)


def portable_request(request: R) -> R:
    """Return the request without paths."""
    changed = {"model": portable_model(request.model)}
    changed |= {name: file_name(getattr(request, name)) for name in FILE_SETTINGS if hasattr(request, name)}
    return request.model_copy(update=changed)


def portable_model(name: str) -> str:
    """Return a catalogue's name as it is, and the last part of a folder's or a file's path."""
    if is_catalogue_name(name):
        return name
    if (single := split_model(name)) is not None:
        return single[0].name
    return file_name(os.path.abspath(os.path.expanduser(name))) or name


def is_catalogue_name(name: str) -> bool:
    """Return whether a model is named by the catalogue, or by its repository on the Hub."""
    return name in CATALOGUE or any(name == spec.hub for spec in CATALOGUE.values() if spec.hub)


def file_name(path: str) -> str:
    """Return the last part of a path, of this system or another."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]
