"""What the two papers print in their tables, to compare the project's numbers with."""

import json
from pathlib import Path
from typing import Any

PAPER_TABLES: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
