"""Who may open the page: names and passwords from a file, or one password for a whole class."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sd3demo.errors import Refusal

ANYBODY = "*"
CLASS_MESSAGE = "Log in with the password of your class. Any name will do; it tells your runs from others'."
MESSAGE = "Log in with the name and password that you were given."
LINE = "user:password, or *:password for one password that any name goes with"


@dataclass(frozen=True)
class Logins:
    """Passwords by name; that of `*` goes with any name."""

    passwords: Mapping[str, str]

    def __call__(self, user: str, password: str) -> bool:
        """Whether somebody may come in; every comparison takes its full time."""
        known = [self.passwords[name] for name in (user, ANYBODY) if name in self.passwords]
        fits = [hmac.compare_digest(one.encode(), password.encode()) for one in known]
        return bool(user.strip()) and user != ANYBODY and any(fits)

    @property
    def message(self) -> str:
        """What stands on the page where one logs in."""
        return CLASS_MESSAGE if ANYBODY in self.passwords else MESSAGE


def read_logins(file: str | Path) -> Logins:
    """Read a file of lines `user:password`; empty lines and those that begin with # are skipped.

    Raises Refusal, which names no password, for a file that cannot be read or a line that is none.
    """
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Refusal(
            f"auth is {str(file)!r}, which cannot be read ({why}); give a file of {LINE}"
        ) from error
    passwords: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, password = (part.strip() for part in line.partition(":"))
        if not (user and colon and password):
            raise Refusal(f"auth: line {number} of {Path(file).name} is not {LINE}")
        if user in passwords:
            raise Refusal(
                f"auth: line {number} of {Path(file).name} names {user!r} again; give each name once"
            )
        passwords[user] = password
    if not passwords:
        raise Refusal(f"auth: {Path(file).name} names nobody; give a line of {LINE}")
    return Logins(passwords)
