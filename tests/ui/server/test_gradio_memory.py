"""Sessions share the page's configuration, and events are not summed up."""

import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest

from sd3demo.ui.server.gradio_memory import keep_no_analytics, keep_sessions_small

ROOT = Path(__file__).resolve().parents[3]


def test_events_are_answered_without_pandas() -> None:
    """In a process of its own: a page whose function is called, twice as often as gradio counts up to."""
    code = """
import sys
import sd3demo.ui
import gradio as gr
from gradio_client import Client
from sd3demo.ui.server.gradio_memory import keep_no_analytics
with gr.Blocks() as page:
    box = gr.Textbox()
    box.change(lambda text: text, box, box, api_name="same")
page.queue()
_, address, _ = page.launch(prevent_thread_lock=True, quiet=True)
keep_no_analytics(page)
client = Client(address, verbose=False)
calls = 2 * page._queue.ANAYLTICS_CACHE_FREQUENCY + 1
assert all(client.predict("a", api_name="/same") == "a" for _ in range(calls))
assert page._queue.event_analytics, "events are counted"
page.close(verbose=False)
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


@pytest.mark.parametrize("small", [keep_no_analytics, keep_sessions_small])
def test_a_release_that_keeps_them_otherwise_is_left_as_it_is(
    small: object, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = gr.Blocks()
    page._queue = object()  # type: ignore[assignment]
    monkeypatch.setattr(page, "app", None, raising=False)
    small(page)  # type: ignore[operator]
    assert "gradio" in caplog.text
