"""An environment that has what some requirements name, what those need, and nothing else.

It is a real virtual environment whose site-packages are links into the installed distributions, so that it is
there in a second, without an index: what no requirement leads to can be neither imported nor found.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(wanted: Iterable[Requirement]) -> dict[str, Distribution]:
    """The distributions that a resolver would install, by canonical name, out of those that are here."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(one.name, frozenset(one.extras)) for one in wanted]
    while todo:
        name, extras = todo.pop()
        for extra in ("", *extras):
            key = (canonicalize_name(name), extra)
            if key in seen:
                continue
            seen.add(key)
            found[key[0]] = here = distribution(name)
            for line in here.requires or ():
                one = Requirement(line)
                is_plain = one.marker is None or one.marker.evaluate({"extra": ""})
                if is_plain if not extra else one.marker and one.marker.evaluate({"extra": extra}):
                    todo.append((one.name, frozenset(one.extras)))
    return found


def environment(folder: Path, wanted: Iterable[Requirement]) -> Path:
    """Makes the environment and answers with its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    files = {name: _files(one) for name, one in closure(wanted).items()}
    owners = Counter(top for parts in files.values() for top in {path.parts[0] for path in parts})
    for parts in files.values():
        for path in parts:
            # A folder of one distribution is linked whole; one that several share is linked file by file.
            link = Path(path.parts[0]) if owners[path.parts[0]] == 1 else path
            target = site / link
            if not target.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(_origin / link)
    return folder / "bin" / "python"


_origin = Path(str(distribution("packaging").locate_file("")))


def _files(one: Distribution) -> list[Path]:
    """What a distribution put into site-packages: not its commands, which lie elsewhere."""
    assert Path(str(one.locate_file(""))) == _origin, f"{one.name} is installed somewhere else"
    return [
        Path(str(file)) for file in one.files or () if not file.parts[0].startswith("..") and len(file.parts)
    ]
