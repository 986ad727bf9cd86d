"""Pictures to begin with: each fills the form, and each shows one thing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sd3demo.ui.controls.build import Value


@dataclass(frozen=True)
class Example:
    """What it shows, its prompt, and the settings that differ from the model's own."""

    title: str
    prompt: str
    settings: Mapping[str, Value] = field(default_factory=dict)


EXAMPLES = (
    Example("One thing", "a red circle on a white background"),
    Example("Two things, one relation", "a red circle above a blue square"),
    Example("Counting", "three green triangles"),
    Example("A written word", 'the word "FLOW" in blue'),
    Example("The same word without T5", 'the word "FLOW" in blue', {"t5": "zeros"}),
    Example("Without CFG", "a red circle above a blue square", {"cfg": 1}),
    Example("Four steps only", "a red circle above a blue square", {"steps": 4}),
)
