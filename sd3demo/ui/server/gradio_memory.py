"""What gradio remembers of sessions and events, made small, by its private parts as in `gradio_internals`."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder

log = logging.getLogger(__name__)


def keep_sessions_small(page: gr.Blocks) -> None:
    """Let sessions share the page's configuration, of which gradio copies all into each: 0.6 MB a session.

    It reads the copies for its own deep links alone, and this page has others. Where a release keeps sessions
    otherwise, they are as large as gradio makes them.
    """
    holder = getattr(page.app, "state_holder", None)
    if holder is None or not hasattr(SessionState(page), "config_values"):
        log.warning("gradio %s keeps its sessions otherwise: each takes some 0.6 MB", gr.__version__)
        return
    page.app.state_holder = _SmallSessions()
    page.app.state_holder.set_blocks(page)


def keep_no_analytics(page: gr.Blocks) -> None:
    """Let gradio make no summary of its events, for which it imports pandas: /metrics has the figures.

    Where a release makes it otherwise, it is made.
    """
    queue: Any = getattr(page, "_queue", None)
    if not callable(getattr(queue, "compute_analytics_summary", None)):
        log.warning("gradio %s sums up its events otherwise: that takes some 50 MB", gr.__version__)
        return
    queue.compute_analytics_summary = lambda records: queue.cached_event_analytics_summary


class _Uncopied(dict):
    """The configuration that a session keeps: none, whatever is written into it."""

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: object) -> dict:
        return {}

    def __setitem__(self, key: object, value: object) -> None:
        return None


@dataclass(frozen=True)
class _PageOfNoBlocks:
    """What SessionState reads of a page, but for the blocks whose configuration it would copy."""

    default_config: Any
    blocks: Mapping[int, object]


class _SmallSessions(StateHolder):
    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            session = SessionState(_PageOfNoBlocks(self.blocks.default_config, {}))  # type: ignore[arg-type]
            session.config_values = _Uncopied()
            self.session_data[session_id] = session
        return super().__getitem__(session_id)
