"""The Hugging Face Space: Spacefile and pyproject become a front matter, requirements and a bundle."""

from sd3demo.deploy.bundle import build, bundle, checked, push
from sd3demo.deploy.card import Limits, Spacefile, front_matter, limits, read_project, requirements
from sd3demo.deploy.rules import findings

__all__ = [
    "Limits",
    "Spacefile",
    "build",
    "bundle",
    "checked",
    "findings",
    "front_matter",
    "limits",
    "push",
    "read_project",
    "requirements",
]
