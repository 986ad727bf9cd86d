"""The page compressed: six hundred kilobytes of configuration become fifty.

gradio compresses what has an ending that it knows, such as .js; the page itself has none.
"""

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send

PAGES = ("/", "/config")


class PageGzip(GZipMiddleware):
    """Compress the page alone: what streams, and what gradio has compressed, goes by."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = scope["type"] == "http" and scope["path"] in PAGES
        await (super().__call__ if page else self.app)(scope, receive, send)
