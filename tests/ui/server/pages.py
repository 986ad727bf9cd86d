"""Requests to a page that is served, as a program or a browser sends them."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> dict:
        return json.loads(self.text)


def ask(address: str, path: str, body: object = None, **headers: str) -> Reply:
    """GET, or POST where there is a body; header names have _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = None if body is None else json.dumps(body).encode()
    if body is not None:
        named["Content-Type"] = "application/json"
    request = urllib.request.Request(f"{address.rstrip('/')}{path}", content, named)
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return Reply(reply.status, _lower(reply.headers), reply.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return Reply(error.code, _lower(error.headers), error.read().decode(errors="replace"))


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
