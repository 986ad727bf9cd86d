"""Studies recorded for the page, into assets/studies: `python -m tests.record [score=50 score-cfg=10 ...]`.

NAME=N measures a study with N prompts, pictures or scenes of each kind; without arguments all of PLAN is
recorded. What was measured is kept, so that a recording that was ended goes on, and a study whose cells are
known takes a moment. The ablation's table is written into the README as well, and the depths' into the card.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from sd3demo.engine import Engine
from sd3demo.errors import Refusal
from sd3demo.settings import Settings, parse
from sd3demo.studies.cache import kept_at_home
from sd3demo.studies.results import place, read, result, rounded
from sd3demo.studies.study import Measured, Table, find_study, run
from tests import ablation, card

PLAN: Mapping[str, int] = {
    "score": 50,
    "path-length": 4,
    "velocity-loss": 32,
    "few-steps": 4,
    "score-steps": 10,
    "score-cfg": 10,
    "t5-off": 10,
    "score-shift": 5,
    "depth": 8,
    "race": 3,
    "imax-ablation": 9,
    "imax-methods": 2,
    "imax-steps": 2,
    "imax-scale": 2,
}
"""How much of each study is recorded by default, the ones that most visitors see first."""
MODELS = dict.fromkeys((name for name in PLAN if name.startswith("imax-")), "tiny-sizes")
"""Studies of another model than the default one."""
COUNTS = ("n", "scenes")
MOST = 40_000  # bytes of a file


def main(arguments: list[str]) -> None:
    wanted = dict(map(_asked, arguments)) if arguments else dict(PLAN)
    engine = Engine()
    for name, n in wanted.items():
        begun = time.perf_counter()
        file = record(name, n, engine, kept_at_home())
        seconds = time.perf_counter() - begun
        print(f"{name:<14} n = {n:<5} {seconds:7.0f} s {file.stat().st_size:7} bytes", flush=True)


def record(name: str, n: int, engine: Engine, keep: Path) -> Path:
    """Measures what is not kept yet and writes the file, whole or not at all."""
    study, settings = find_study(name), counted(name, n)
    told = 0.0
    table: Table | None = None
    for news in run(study, settings, engine, keep):
        if isinstance(news, Table):
            table = rounded(news)
        elif news.fresh and time.monotonic() - told > 30:
            told = time.monotonic()
            _tell(name, news)
    assert table is not None
    values = result(name, settings, table)
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":")) + "\n"
    assert len(text) <= MOST, f"{name} makes {len(text)} bytes; record fewer settings"
    read(json.loads(text))
    file = place(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(file)
    if file == ablation.SHIPPED:
        readme = ablation.README.read_text(encoding="utf-8")
        ablation.README.write_text(ablation.written(readme, values), encoding="utf-8")
    if file == card.DEPTHS:
        card.write_blocks({"depths": card.depths()})
    return file


def counted(name: str, n: int) -> Settings:
    """A study's defaults, of its model and with so much of each kind."""
    kind = find_study(name).settings
    model = {"model": MODELS[name]} if name in MODELS else {}
    return parse(kind, model | {one: n for one in COUNTS if one in kind.model_fields})


def _asked(text: str) -> tuple[str, int]:
    name, _, n = text.partition("=")
    find_study(name)
    if n and not n.isdecimal():
        raise Refusal(f"{text} is no study with a number; give NAME=N, such as score=50")
    return name, int(n) if n else PLAN[name]


def _tell(name: str, news: Measured) -> None:
    said = f"{name}: {news.done} of {news.count}, about {news.left:.0f} s left"
    print(said, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refusal as refusal:
        sys.exit(str(refusal))
