"""Who asks, as a hash that tells visitors apart and says nothing of them.

It is salted anew by each process, so that no log can be searched for an address, and two logs cannot be
compared.
"""

import hashlib
import os
import secrets
from functools import cache

from sd3demo.ui.server.gradio_internals import PageRequest, current_request

LENGTH = 6  # bytes: enough to tell visitors apart
SPACE = "SPACE_ID"  # set on a Space, where the Hub's proxy stands between


def visitor_hash(request: PageRequest | None = None) -> str:
    """Return the visitor of this request, by default of the one that is answered now; empty where none is."""
    request = request or current_request()
    who = "" if request is None else _who(request)
    return hashlib.blake2b(who.encode(), key=_salt(), digest_size=LENGTH).hexdigest() if who else ""


def _who(request: PageRequest) -> str:
    """The name that somebody logged in with, or the address that asks."""
    if request.username:
        return f"user {request.username}"
    forwarded = request.headers.get("x-forwarded-for", "") if os.environ.get(SPACE) else ""
    return forwarded.partition(",")[0].strip() or (request.client.host if request.client else "")


@cache
def _salt() -> bytes:
    return secrets.token_bytes(32)
