"""The page: a header and its tabs, in the order in which they stand here."""

import sys
from collections.abc import Callable
from pathlib import Path

import gradio as gr
from PIL import Image
from starlette.middleware import Middleware

from sd3demo.errors import Refusal
from sd3demo.history import page_store
from sd3demo.ui.about import about
from sd3demo.ui.api.endpoints import endpoints
from sd3demo.ui.claims.tab import claims
from sd3demo.ui.context import Core, core
from sd3demo.ui.controls import deep_links as links
from sd3demo.ui.densities.tab import densities
from sd3demo.ui.extrapolate.tab import extrapolate
from sd3demo.ui.flow_lab.tab import plane
from sd3demo.ui.generate.tab import generate
from sd3demo.ui.history.tab import history
from sd3demo.ui.score.tab import score
from sd3demo.ui.server import gradio_internals
from sd3demo.ui.server.gzip import PageGzip
from sd3demo.ui.server.ports import free_port, refuse_tools_without_package
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
<p>The Stable Diffusion 3 and I-Max papers, to be run: watch a picture come out of noise, change one thing,
and see what it did.</p>
<output id="copied"></output>
<span class="tools"><button id="copy-link" onclick="sd3demo.copy()">Copy link</button>
<button id="lights" onclick="document.body.classList.toggle('dark')">Light or dark</button></span></header>"""

LONGEST_QUEUE = 32  # runs that wait; who comes later is told to try again
QUEUE_NEWS = 1  # seconds: how often those that wait are told their place
CLEARING, KEPT = 1800, 24 * 3600  # seconds: how often files are cleared away, and how old those are
LARGEST_UPLOAD = "64mb"
LARGEST_PICTURE = 32 * 2**20  # pixels: of what a visitor uploads, nothing larger is ever decoded


def build(work: Core | None = None) -> gr.Blocks:
    """The page over a core; by default over one with every model of the catalogue and the user's history."""
    chosen = work or core(history=page_store())
    return gradio_internals.build_without_apps(lambda: _built(chosen))


def _built(work: Core) -> gr.Blocks:
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(CLEARING, KEPT), fill_width=True
    ) as page:
        gr.HTML(HEADER, elem_id="header")
        with gr.Tabs() as tabs:
            for title, tab in TABS:
                with gr.Tab(title, id=title.lower().replace(" ", "-")):
                    tab(work)
        links.connect(page, tabs)
        with gr.Column(visible=False):  # what only programs use, and no browser has to build
            endpoints(work)
    gradio_internals.fill_missing_values(page)
    page.queue(max_size=LONGEST_QUEUE, default_concurrency_limit=4, status_update_rate=QUEUE_NEWS)
    return page


def script() -> str:
    """What the browser does when the page is there: every script beside this file, each a function."""
    parts = (file.read_text(encoding="utf-8") for file in sorted(STATIC.glob("*.js")))
    return "() => {" + "".join(f"({part.strip()})();" for part in parts) + "}"


def launch(
    page: gr.Blocks | None = None, *, host: str | None = None, port: int | None = None, wait: bool = True
) -> str:
    """Serves the page and returns its address; with `wait` not before it is ended.

    Without a host it is the one that the environment names (`GRADIO_SERVER_NAME`, which a Space sets) or this
    machine alone; without a port the first free one from 7860 on. Raises Refusal where it cannot listen.
    """
    where = free_port(host, port)
    refuse_tools_without_package()
    Image.MAX_IMAGE_PIXELS = LARGEST_PICTURE
    page = page or build()
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=where,
            prevent_thread_lock=True,
            quiet=True,
            theme=theme(),
            css_paths=STATIC / "style.css",
            js=script(),
            max_file_size=LARGEST_UPLOAD,
            enable_monitoring=False,
            run_history=False,
            footer_links=["api", "settings"],
            ssr_mode=False,
            share=False,
            app_kwargs={"middleware": [Middleware(PageGzip, compresslevel=6)]},
            **gradio_internals.LAUNCH,
        )
    except OSError as error:
        raise Refusal(why_not_open(error, where)) from error
    if page.mcp_error:
        print(page.mcp_error, file=sys.stderr)
    print(f"The page is at {address}", flush=True)
    if wait:
        page.block_thread()
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
