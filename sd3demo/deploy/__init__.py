"""The Hugging Face Space: Spacefile and pyproject become a front matter, requirements and a bundle."""

from sd3demo.deploy.bundle import build, bundle, check, push
from sd3demo.deploy.card import Spacefile, SpaceLimits, front_matter, limits, read_project, requirements
from sd3demo.deploy.rules import findings

__all__ = [
    "SpaceLimits",
    "Spacefile",
    "build",
    "bundle",
    "check",
    "findings",
    "front_matter",
    "limits",
    "push",
    "read_project",
    "requirements",
]
