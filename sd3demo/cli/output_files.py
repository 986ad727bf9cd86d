"""Files that a command writes, checked before any work is done."""

from pathlib import Path

from sd3demo.errors import Refusal

LONGEST_NAME = 200
"""Bytes of a file's name. File systems take 255: the rest is for the numbers, the methods' names and the
suffix of a file that is still being written."""


def check_file(path: Path, suffix: str = ".png", what: str = "pictures are PNG files") -> None:
    """Raise Refusal for a path that cannot become a file of this kind."""
    if path.suffix.lower() != suffix:
        raise Refusal(f"out is {path}; {what}, so give a name that ends in {suffix}")
    length = len(path.name.encode("utf-8", "surrogateescape"))
    if length > LONGEST_NAME:
        raise Refusal(f"out has a name of {length} bytes; give one of at most {LONGEST_NAME}")
    try:
        usable = path.parent.is_dir() and not path.is_dir()
    except OSError as error:  # a path that the system cannot even look at, such as one that is too long
        raise Refusal(f"out cannot be written: {error.strerror}; choose another place") from error
    if not usable:
        raise Refusal(f"out is {path}; it must be a file in a folder that exists")


def numbered(path: Path, count: int) -> list[Path]:
    """`path` for one picture, `name-1.png`, `name-2.png`, ... for several."""
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{index}{path.suffix}") for index in range(1, count + 1)]
