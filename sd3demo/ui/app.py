"""The page: a header and its tabs, in the order in which they stand here."""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path
from weakref import WeakKeyDictionary

import gradio as gr
from PIL import Image
from starlette.middleware import Middleware

from sd3demo.deploy import limits
from sd3demo.errors import Refusal
from sd3demo.history import page_store
from sd3demo.ui.about import about
from sd3demo.ui.api.endpoints import endpoints
from sd3demo.ui.claims.tab import claims
from sd3demo.ui.compare.tray import connect_tray
from sd3demo.ui.context import Core, core
from sd3demo.ui.controls import deep_links as links
from sd3demo.ui.densities.tab import densities
from sd3demo.ui.extrapolate.tab import extrapolate
from sd3demo.ui.flow_lab.tab import plane
from sd3demo.ui.generate.tab import generate
from sd3demo.ui.history.tab import history
from sd3demo.ui.lessons.dock import lesson_dock, page_of
from sd3demo.ui.run.errors import explained
from sd3demo.ui.run.wiring import QUEUE, at_once
from sd3demo.ui.score.tab import score
from sd3demo.ui.server import gradio_internals
from sd3demo.ui.server.access import OneLineErrors, allowed_hosts, outer_layers
from sd3demo.ui.server.admission import Admission
from sd3demo.ui.server.first_load import load_and_check
from sd3demo.ui.server.gradio_memory import keep_no_analytics, keep_sessions_small
from sd3demo.ui.server.gzip import PageGzip
from sd3demo.ui.server.health import health_routes
from sd3demo.ui.server.limits import limits_of
from sd3demo.ui.server.logins import Logins
from sd3demo.ui.server.malloc_arenas import keep_few_arenas
from sd3demo.ui.server.operations import Operations, watched
from sd3demo.ui.server.page_cache import PageCache
from sd3demo.ui.server.ports import free_port, refuse_tools_without_package
from sd3demo.ui.server.shutdown import GRACE, serve_until, signals_heard
from sd3demo.ui.server.streams import keep_streams_in_use
from sd3demo.ui.theme import theme
from sd3demo.ui.trajectories.tab import trajectories
from sd3demo.ui.verify.tab import verify

TABS: tuple[tuple[str, Callable[[Core], None]], ...] = (
    ("Generate", generate),
    ("Extrapolate", extrapolate),
    ("Trajectories", trajectories),
    ("Score", score),
    ("Densities", densities),
    ("Flow lab", plane),
    ("Claims", claims),
    ("History", history),
    ("Verify", verify),
    ("About", about),
)
"""A tab is one file and one line here."""

STATIC = Path(__file__).parent / "static"
TITLE = "sd3demo: Stable Diffusion 3 and I-Max, to be run"
HEADER = """<header><h1>sd3demo</h1>
<p>Run the Stable Diffusion 3 and I-Max papers: change one setting and see what it does.</p>
<output id="copied"></output>
<span class="tools"><button id="lessons-open" onclick="sd3demo.lessons()">Lessons</button>
<button id="copy-link" onclick="sd3demo.copy()">Copy link</button>
<button id="lights" onclick="document.body.classList.toggle('dark')">Light or dark</button></span></header>"""

RUN_GOES_ON = (
    '<p class="done" role="status">A run goes on that was started before. Its picture comes to '
    '<a href="#/history">History</a>.</p>'
)
QUICK_CALLS = 256  # calls of gradio_client that wait to be answered at once; runs wait in the page's own line
QUICK_THREADS = 64  # that answer them, beside one for each place in the line
QUEUE_NEWS = 1  # seconds: how often those that wait are told their place
CLEARING, KEPT = 1800, 24 * 3600  # seconds: how often files are cleared away, and how old those are
MIB = 2**20


@dataclass(frozen=True)
class ServeOptions:
    """How the page is served to whom."""

    allowed_hosts: tuple[str, ...] = ()
    """Names that the page answers to beside its own; see `access.allowed_hosts`."""
    logins: Logins | None = None
    preload: bool = False
    """Load the first model and check its files as soon as the page listens, and not when somebody asks."""
    grace: float = GRACE
    visitors_host: str = ""
    """The address that visitors reach, where a proxy of ours stands before this process; see `workers`."""


@dataclass(frozen=True)
class Served:
    """What `launch` has to know of a page that was built."""

    core: Core | None = None
    operations: Operations = field(default_factory=lambda: Operations(model=""))


_SERVED: WeakKeyDictionary[gr.Blocks, Served] = WeakKeyDictionary()


def build(work: Core | None = None) -> gr.Blocks:
    """The page over a core; by default over one with every model of the catalogue and the user's history."""
    work = work or core(history=page_store(), limits=limits_of(card=limits().page))
    operations = Operations() if work.load else Operations(model="")
    chosen = watched(work, operations)
    page = gradio_internals.build_without_apps(lambda: _built(chosen, operations))
    _SERVED[page] = Served(chosen, operations)
    return page


def _built(work: Core, operations: Operations) -> gr.Blocks:
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(CLEARING, KEPT), fill_width=True
    ) as page:
        gr.HTML(HEADER, elem_id="header")
        notice = gr.HTML(elem_id="damage")
        at_once([page.load], partial(_notice, work, operations), [], [notice])
        with gr.Tabs() as tabs:
            for title, tab in TABS:
                with gr.Tab(title, id=title.lower().replace(" ", "-")):
                    tab(work)
        connect_tray(page, work)
        lesson_dock(page)
        links.connect(page, tabs, page_of)
        with gr.Column(visible=False):  # what only programs use, and no browser has to build
            endpoints(work)
    gradio_internals.fill_missing_values(page)
    gradio_internals.guard_calls(page, explained)
    page.queue(
        max_size=QUICK_CALLS, default_concurrency_limit=4, status_update_rate=QUEUE_NEWS, api_open=False
    )
    keep_streams_in_use(page)
    return page


def _is_run(page: gr.Blocks, asked: str | int) -> bool:
    """Whether an endpoint for programs, by its name or its number, computes."""
    found = [
        fn for id, fn in page.fns.items() if asked in (id, fn.api_name) and fn.api_visibility == "public"
    ]
    return any(fn.concurrency_id == QUEUE for fn in found)


def _notice(work: Core, operations: Operations) -> str:
    """What everybody who opens the page has to know: damage, and a run that goes on without its visitor."""
    damage = f'<p class="failed" role="alert">{escape(operations.damage)}</p>' if operations.damage else ""
    goes_on = RUN_GOES_ON if work.keeps_running and work.line.count else ""
    return damage + goes_on


def script() -> str:
    """What the browser does when the page is there: every script beside this file, each a function."""
    parts = (file.read_text(encoding="utf-8") for file in sorted(STATIC.glob("*.js")))
    return "() => {" + "".join(f"({part.strip()})();" for part in parts) + "}"


def launch(
    page: gr.Blocks | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    wait: bool = True,
    options: ServeOptions = ServeOptions(),
) -> str:
    """Serves the page and returns its address; with `wait` not before it is ended, by a signal as a rule.

    Without a host it is the one that the environment names (`GRADIO_SERVER_NAME`, which a Space sets) or this
    machine alone; without a port the first free one from 7860 on. Raises Refusal where it cannot listen.
    """
    where = free_port(host, port)
    refuse_tools_without_package()
    page = page or build()
    served = _SERVED.get(page) or Served()
    work = served.core or core()
    if not wait:
        return _listen(page, served, work, host, where, options)
    with signals_heard() as asked:
        address = _listen(page, served, work, host, where, options)
        serve_until(asked, page, served.operations, work.line, options.grace)
    return address


def _listen(
    page: gr.Blocks, served: Served, work: Core, host: str | None, port: int, options: ServeOptions
) -> str:
    """Open a page at a free port, start to load its first model beside it, and return its address."""
    most = work.limits
    keep_few_arenas()
    Image.MAX_IMAGE_PIXELS = most.picture_pixels // 2  # Pillow warns above this, and refuses above its double
    admission = Middleware(
        Admission,
        line=work.line,
        is_run=partial(_is_run, page),
        uploaded=partial(gradio_internals.trim_files, page, int(most.uploads_mib * MIB)),
    )
    cache = [] if options.logins else [Middleware(PageCache)]
    layers = gradio_internals.with_layers(
        page,
        outer_layers(served.operations, allowed_hosts(options.visitors_host or host, options.allowed_hosts)),
        [admission, *cache, Middleware(PageGzip, compresslevel=6), Middleware(OneLineErrors)],
        health_routes(page, served.operations, work.history, work.line),
    )
    logins = options.logins
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            theme=theme(),
            css_paths=[STATIC / "style.css", STATIC / "lessons.css", STATIC / "compare.css"],
            head=f"<style>{(STATIC / 'room.css').read_text(encoding='utf-8')}</style>",
            js=script(),
            max_file_size=int(most.upload_mib * MIB),
            max_threads=most.places + QUICK_THREADS,
            state_session_capacity=most.sessions,
            enable_monitoring=False,
            run_history=False,
            footer_links=["api", "settings"],
            ssr_mode=False,
            share=False,
            auth=logins,
            auth_message=logins.message if logins else None,
            **layers,
            **gradio_internals.LAUNCH,
        )
    except OSError as error:
        raise Refusal(why_not_open(error, port)) from error
    keep_sessions_small(page)
    keep_no_analytics(page)
    if page.mcp_error:
        print(page.mcp_error, file=sys.stderr)
    if not options.visitors_host:
        print(f"The page is at {address}", flush=True)
    if options.preload and served.core:
        threading.Thread(target=load_and_check, args=(served.core, served.operations), daemon=True).start()
    return address


def why_not_open(error: OSError, port: int) -> str:
    """The sentence for a page that did not open: gradio's own errors for a port name no file."""
    if error.filename is None:
        return (
            f"the page did not open at port {port} within 5 s: another program just took it, or the machine "
            "is too busy; try again"
        )
    return (
        f"the page did not open: {error.filename}: {error.strerror}; gradio keeps its files there, so set "
        "GRADIO_TEMP_DIR to a folder that can be written"
    )
