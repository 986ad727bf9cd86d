"""All that the page takes from gradio beyond what it documents, and what happens where a release lacks it."""

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.components.api_component import Api
from gradio.context import Context, LocalContext
from gradio.http_server import INITIAL_PORT_VALUE, LOCALHOST_NAME, TRY_NUM_PORTS
from gradio.processing_utils import save_bytes_to_cache
from gradio.routes import App, ORJSONResponse
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from sd3demo.engine.image_header import PictureLimits, check_header
from sd3demo.errors import Refusal
from sd3demo.ui.server.visitors import visitor_of

log = logging.getLogger(__name__)

DEFAULT_HOST: str = LOCALHOST_NAME  # what GRADIO_SERVER_NAME says
DEFAULT_PORTS = range(INITIAL_PORT_VALUE, INITIAL_PORT_VALUE + TRY_NUM_PORTS)
LAUNCH: dict[str, Any] = {"_frontend": False}
"""For `launch`: no request of its own page, which a busy machine answers too late."""


@dataclass(frozen=True)
class ServedFile:
    """A file that gradio serves: where it lies, where the browser finds it, and what it is called there."""

    path: str
    source: str
    name: str


def write_served_file(content: bytes, name: str) -> ServedFile:
    """Write a file where gradio serves it and later clears it away. Raises Refusal where the disk is full."""
    try:
        path = save_bytes_to_cache(content, name, get_upload_folder())
        page = LocalContext.blocks.get(None)
        getattr(page, "upload_file_set", _WRITTEN).add(path)  # of which gradio clears the old ones away
    except OSError as error:
        raise Refusal(f"cannot write {name}: {error.strerror}; the page needs free disk space") from error
    return ServedFile(path, source_of(path), name)


SKETCH_PIXELS, SKETCH_BLOBS = 2**20, 16


def bound_sketch(sheet: gr.Sketchpad) -> None:
    """Let a sketchpad decode one layer, of so many pixels, and keep what few browsers sent.

    It has to be this very component that is called: an update of its own would make another one of it.
    """
    preprocess, convert, accept = sheet.preprocess, sheet.convert_and_format_image, sheet.accept_blobs

    def bounded(payload: Any) -> Any:
        if payload is not None and payload.layers:
            payload.layers = payload.layers[:1]
        return preprocess(payload)

    def converted(file: Any, flatten_on_white: bool = False) -> Any:
        if file is not None:
            content = bytes(file) if isinstance(file, bytes | bytearray | memoryview) else None
            path = Path("the drawing" if content is not None else file.path)
            try:
                check_header(path, PictureLimits(SKETCH_PIXELS), content)
            except Refusal as error:
                text = str(error).replace(str(path), path.name)
                raise gr.Error(text, print_exception=False) from error
        return convert(file, flatten_on_white)

    @wraps(accept)  # with gradio's mark of what browsers may call
    def accepted(data: Any) -> Any:
        while len(sheet.blob_storage) >= SKETCH_BLOBS:
            sheet.blob_storage.pop(next(iter(sheet.blob_storage)))
        return accept(data)

    sheet.preprocess = bounded  # type: ignore[method-assign]
    sheet.convert_and_format_image = converted  # type: ignore[method-assign]
    sheet.accept_blobs = accepted


_WRITTEN: set[str] = set()
"""What `write_served_file` has written for no page that is known."""


def trim_files(page: gr.Blocks, limit: int) -> None:
    """Delete the oldest of all files that visitors sent or were sent, above `limit` bytes together."""
    sets: list[set[str]] = [_WRITTEN, *getattr(page, "temp_file_sets", [])]
    found: dict[str, tuple[float, int]] = {}
    for path in set().union(*map(set, sets)):
        with suppress(OSError):
            state = os.stat(path)
            found[path] = (state.st_mtime, state.st_size)
    left = sum(size for _, size in found.values()) - limit
    for path in sorted(found, key=lambda path: found[path][0]):
        if left <= 0:
            return
        with suppress(OSError):
            os.remove(path)
        left -= found[path][1]
        for each in sets:
            each.discard(path)


def source_of(path: str) -> str:
    """Where the browser finds a file that gradio serves."""
    return f"gradio_api/file={quote(path)}"


PageRequest = gr.Request
"""A visitor's request: its headers, its client, and the name that somebody logged in with."""


def current_request() -> PageRequest | None:
    """The request that is answered now, in this thread or task."""
    request: PageRequest | None = LocalContext.request.get(None)
    return request


def pending_jobs(page: gr.Blocks) -> int:
    """How many events are in the queue or at work."""
    queue = page._queue
    return len(queue) + sum(job is not None for job in queue.active_jobs)


def has_undelivered(page: gr.Blocks) -> bool:
    """Whether an answer waits for a client that has not fetched it yet."""
    return any(not messages.empty() for messages in [*page._queue.pending_messages_per_session.values()])


def session_count(page: gr.Blocks) -> int:
    """How many sessions gradio keeps the state of."""
    return len(page.state_holder.session_data)


def upload_folder() -> Path:
    """The folder whose files gradio serves and clears away."""
    return Path(get_upload_folder())


def current_page() -> gr.Blocks | None:
    """The page that is being built."""
    page: gr.Blocks | None = Context.root_block
    return page


def current_tab() -> gr.Tab | None:
    """The tab of the page that is being built."""
    block: Any = Context.block
    while block is not None and not isinstance(block, gr.Tab):
        block = block.parent
    return block


ApiValue = Api
"""A value of an endpoint: nothing on the page, only a type, a title and a default for programs."""


def api_value(default: object, schema: Mapping[str, object], title: str) -> ApiValue:
    """Return a value with a JSON schema, whose `additional_description` stands on the API page."""
    return Api(default, dict(schema), title)  # type: ignore[arg-type]


def add_endpoint(
    function: Callable[..., object],
    inputs: Sequence[ApiValue],
    outputs: Sequence[ApiValue],
    *,
    name: str,
    queue: str = "",
) -> None:
    """Add an endpoint to the page that is being built; several may share a value.

    `queue` names gradio's queue of the runs, which may not be passed by; without a name it answers at once.
    gradio_client sends all calls through gradio's queues, so none of them may hold anybody up: the runs wait
    in the page's own line. `gr.api` numbers its values, has no place for their descriptions, and makes them
    anew for each endpoint.
    """
    line: dict[str, Any] = {"concurrency_id": queue} if queue else {"queue": False}
    gr.on(
        [],
        function,
        [*inputs],
        [*outputs],
        preprocess=False,
        postprocess=False,
        show_progress="hidden",
        api_name=name,
        concurrency_limit=None,
        **line,
    )


@dataclass(frozen=True)
class Call:
    """The call that is being answered: whose it is, whether anybody still waits for its answer, and whether
    its client has gone without cancelling it."""

    visitor: str
    wanted: Callable[[], bool]
    left: Callable[[], bool] = lambda: False


def current_call(*, behind_proxy: bool = False) -> Call:
    """The call that this thread answers; outside of any, one that nobody makes and everybody waits for.

    A call is not wanted any more when it was cancelled, when its client has gone, and when the page closes.
    Where a release keeps its calls otherwise, they go on to their end.
    """
    request, page = LocalContext.request.get(None), LocalContext.blocks.get(None)
    id = LocalContext.event_id.get(None)
    visitor = "" if request is None else _visitor(request, behind_proxy)
    queue: Any = getattr(page, "_queue", None)
    calls = getattr(queue, "event_ids_to_events", {})
    if id is None or id not in calls:
        return Call(visitor, lambda: True)
    event = calls[id]
    left = lambda: not event.alive and not queue.stopped  # noqa: E731
    return Call(visitor, lambda: id in calls and event.alive and not queue.stopped, left)


def _visitor(request: Any, behind_proxy: bool) -> str:
    host = request.client.host if request.client else ""
    forwarded = request.headers.get("x-forwarded-for", "")
    name = getattr(request, "username", None) or ""
    return visitor_of(host, forwarded, name, behind_proxy=behind_proxy)


def fill_missing_values(page: gr.Blocks) -> None:
    """Let a client that sends fewer values than an endpoint takes have the defaults of the others.

    Clients of gradio send them all; others know as many as there were when they were written. Where a release
    checks values otherwise, such a client is told by gradio how many there are.
    """
    check = getattr(page, "validate_inputs", None)
    if check is None:
        log.warning("gradio %s has no validate_inputs: endpoints need all of their values", gr.__version__)
        return

    def filled(endpoint: Any, values: list[Any]) -> None:
        if all(isinstance(one, ApiValue) for one in endpoint.inputs):
            values.extend(one.value for one in endpoint.inputs[len(values) :])
        check(endpoint, values)

    page.validate_inputs = filled  # type: ignore[method-assign, assignment]


def guard_calls(page: gr.Blocks, explain: Callable[[Exception, str], gr.Error]) -> None:
    """Let whatever a call of a function ends in be an error of gradio's, which prints no traceback.

    `explain` is given the error and the name of the function. It is asked for functions without a name too.
    """
    process = page.process_api

    async def guarded(block_fn: Any, *values: Any, **named: Any) -> Any:
        try:
            return await process(block_fn, *values, **named)
        except Exception as error:
            function = page.fns.get(block_fn) if isinstance(block_fn, int) else block_fn
            name = getattr(function, "api_name", None) or getattr(function, "name", None) or "?"
            if isinstance(named.get("request"), gr.Request):
                LocalContext.request.set(named["request"])
            explained = explain(error, str(name))
            explained.print_exception = False
            if explained is error:
                raise
            raise explained from None

    page.process_api = guarded  # type: ignore[method-assign]


class LayeredApp(App):
    """gradio's web app with layers outside its own, which also see what gradio refuses by itself."""

    def __init__(self, layers: Sequence[Middleware], **named: Any) -> None:
        self.layers = layers
        super().__init__(**named)

    def build_middleware_stack(self) -> ASGIApp:
        app = super().build_middleware_stack()
        for layer in reversed(self.layers):
            app = layer.cls(app, *layer.args, **layer.kwargs)
        return app


def with_layers(
    page: gr.Blocks, outer: Sequence[Middleware], inner: Sequence[Middleware], routes: Sequence[BaseRoute]
) -> dict[str, Any]:
    """For `launch`: layers round the web app, outside and inside of gradio's own, and routes beside its own.

    Where a release takes no app of ours, the outer layers lie inside gradio's own: what gradio answers by
    itself lacks their headers then.
    """
    if "_app" not in inspect.signature(page.launch).parameters:
        log.warning("gradio %s takes no app of ours: some answers lack our headers", gr.__version__)
        return {"app_kwargs": {"middleware": [*outer, *inner], "routes": [*routes]}}
    app = LayeredApp(outer, middleware=[*inner], routes=[*routes], default_response_class=ORJSONResponse)
    return {"_app": app}


def build_without_apps(build: Callable[[], gr.Blocks]) -> gr.Blocks:
    """Build a page without the web apps that gradio would make on the way and throw away.

    gradio has no setting for that. Where a release makes its app otherwise, the page is built as gradio
    builds any, and the log says what that costs.
    """
    if not callable(getattr(App, "create_app", None)):
        _warn_slow_start("App.create_app is gone")
        return build()
    try:
        with no_app_yet():
            return build()
    except (AttributeError, TypeError) as error:  # gradio asked the missing app for something, or it is ours
        _warn_slow_start(str(error))
        return build()


@contextmanager
def no_app_yet() -> Iterator[None]:
    """While a page is built, gradio makes no web app; `page.app` is None until `launch` makes the one that
    serves."""
    create_app = App.create_app
    App.create_app = staticmethod(_no_app)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        App.create_app = staticmethod(create_app)  # type: ignore[method-assign]


def _no_app(*_: object, **__: object) -> None:
    return None


def _warn_slow_start(why: str) -> None:
    log.warning(
        "gradio %s makes its web app in a way that is not known here (%s): the page opens some tenths of a "
        "second later, and works all the same; constraints.txt names the release that it was tested with",
        gr.__version__,
        why,
    )
