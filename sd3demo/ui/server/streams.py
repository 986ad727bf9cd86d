"""Which sessions' messages gradio forgets when there are too many: those of nobody whose call goes on.

gradio has room for the messages of 2,000 sessions, and each call by name is one. It forgets the oldest: a
page that is open for longer than 2,000 calls of others take would lose the news of its run, and the end.
"""

import logging
from collections import OrderedDict
from functools import partial
from typing import Any

import gradio as gr
from gradio.utils import LRUCache

CALLS = ("event_ids_to_events", "pending_event_ids_session")

log = logging.getLogger(__name__)


def keep_streams_in_use(page: gr.Blocks) -> None:
    """Let gradio forget the messages of idle sessions alone, the oldest first.

    Where a release keeps messages otherwise, it is as gradio does it.
    """
    queue: Any = page._queue
    known = getattr(queue, "pending_messages_per_session", None)
    if not isinstance(known, LRUCache) or not all(map(partial(hasattr, queue), CALLS)):
        log.warning("gradio %s keeps its messages otherwise: busy pages may lose some", gr.__version__)
        return
    queue.pending_messages_per_session = _IdleForgotten(queue, known.max_size)


class _IdleForgotten(LRUCache):
    """Messages by session, of at most `max_size` sessions beside those whose calls go on."""

    def __init__(self, queue: Any, max_size: int) -> None:
        super().__init__(max_size)
        self._queue = queue

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self and len(self) >= self.max_size:
            busy = {event.session_hash for event in [*self._queue.event_ids_to_events.values()]}
            idle = next((session for session in self if session not in busy), None)
            if idle is not None:
                del self[idle]
                self._queue.pending_event_ids_session.pop(idle, None)  # which gradio keeps for ever
        OrderedDict.__setitem__(self, key, value)
