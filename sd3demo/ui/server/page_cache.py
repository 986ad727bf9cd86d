"""The page's configuration, written out once for all visitors who get the same.

gradio copies the configuration of all components, looks through it and renders it at every visit, for a
tenth of a second in which nothing else goes on. What it answers depends on where the visitor finds the page.
"""

from collections import OrderedDict
from collections.abc import Hashable
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sd3demo.ui.server.gzip import PAGES

MOST = 16  # answers that are kept, of 60 to 700 kB: as many addresses, twice if some browsers unpack nothing
ADDRESS = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server", "x-direct-url")
"""The headers from which gradio tells where the page is."""
QUERIES = {"deep_link", "page", "all_endpoints"}
"""The queries that gradio answers otherwise."""


class PageCache:
    """Keeps whole answers to GET for PAGES. Not for a page with logins, which says who is logged in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._answers: OrderedDict[Hashable, tuple[Message, ...]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope)
        if key is None:
            return await self.app(scope, receive, send)
        if key in self._answers:
            self._answers.move_to_end(key)
            for message in self._answers[key]:
                await send(_copy(message))
            return
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(_copy(message))
            await send(message)

        await self.app(scope, receive, keep)
        if sent and sent[0].get("status") == 200 and not sent[-1].get("more_body", False):
            self._answers[key] = tuple(sent)
            while len(self._answers) > MOST:
                self._answers.popitem(last=False)


def _key(scope: Scope) -> Hashable:
    """What an answer depends on; None for a request whose answer is not kept."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] not in PAGES:
        return None
    if QUERIES & parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).keys():
        return None
    headers = Headers(scope=scope)
    packed = "gzip" in headers.get("accept-encoding", "")
    place = tuple(headers.get(name) for name in ADDRESS)
    return scope["path"], scope["scheme"], scope.get("root_path"), packed, place


def _copy(message: Message) -> Message:
    """A message whose headers the layers outside may add to."""
    return {**message, "headers": [*message["headers"]]} if "headers" in message else {**message}
