"""What a training stage reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a stage stands: examples seen by it, and its running figures by name."""

    stage: str
    examples: int
    figures: dict[str, float]
