"""Gradio, quicker: `from r1chat.lean_gradio import gradio as gr`, and Blocks from here."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import os
import sys
import traceback
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
# Gradio keeps a record of the last 10,000 events, and after each event has pandas make a table of them all: memory and
# time that grow with the questions, for a dashboard that this page does not have.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))

_getfile = inspect.getfile


def _no_source_of_gradio(thing: Any) -> str:
    # What `inspect` raises for a class without a file, which Gradio then leaves alone.
    if isinstance(thing, type) and thing.__module__.startswith("gradio."):
        raise OSError(f"the source of {thing} is not looked at")
    return _getfile(thing)


# At each import Gradio parses the source of all its components, to write .pyi files for editors, and loads the MCP
# library where one is installed (vLLM brings it): half of its time, and the page needs neither.
_mcp = sys.modules.get("mcp")
sys.modules["mcp"] = None  # type: ignore[assignment]
inspect.getfile = _no_source_of_gradio
try:
    import gradio as gradio
    from gradio import http_server as http_server
finally:
    inspect.getfile = _getfile
    del sys.modules["mcp"]
    if _mcp is not None:
        sys.modules["mcp"] = _mcp


# Around each picture of each answer Gradio looks twice for matplotlib, which is not there: half a millisecond each.
gradio.utils.MatplotlibBackendMananger = contextlib.nullcontext  # type: ignore[misc,assignment]


class _Skip(dict[str, str]):
    """What Gradio compares with another output as a whole.

    It sends differences, which the page applies to the output before, in place: as a plain dictionary a skip would
    take the value back out of an output that a busy page has not drawn yet.
    """


class Blocks(gradio.Blocks):
    """Passes `gr.skip()` on as it is. Gradio builds the component of each skipped output anew, a millisecond each."""

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        count = len(block_fn.outputs)
        if count < 2 or not isinstance(predictions, list | tuple) or len(predictions) != count:
            return await super().postprocess_data(block_fn, predictions, state)
        output: list[Any] = [_Skip(gradio.skip()) for _ in predictions]
        given = [index for index, value in enumerate(predictions) if value != gradio.skip()]
        if given:
            fewer = copy.copy(block_fn)
            fewer.outputs = [block_fn.outputs[index] for index in given]
            values = [predictions[index] for index in given]
            made = await super().postprocess_data(fewer, values[0] if len(values) == 1 else values, state)
            for index, value in zip(given, made, strict=True):
                output[index] = value
        return output

    async def process_api(self, *given: Any, **more: Any) -> Any:
        """A failure is one line in the log: the page says its own sentence, and anybody can send nonsense."""
        try:
            return await super().process_api(*given, **more)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = (str(error).splitlines() or [""])[0][:200]
            print(f"{type(error).__name__}: {reason} ({place.filename}:{place.lineno})", file=sys.stderr, flush=True)
            raise gradio.Error("the event failed", print_exception=False) from None


class _Waiting(dict[str, Any]):
    """The messages for each page, by its session; the page that was told nothing for longest is forgotten first.

    Gradio forgets the page that came first, though it may be in the middle of an answer.
    """

    def __init__(self, events: dict[str, Any], most: int = 20_000):
        super().__init__()
        self._events, self._most = events, most

    def __getitem__(self, session: str) -> Any:
        value = super().pop(session)
        super().__setitem__(session, value)
        return value

    def __setitem__(self, session: str, value: Any) -> None:
        while session not in self and len(self) >= self._most:
            oldest = next(iter(self))
            del self[oldest]
            self._events.pop(oldest, None)
        super().__setitem__(session, value)


def keep_waiting_sessions(blocks: gradio.Blocks) -> None:
    """No crowd of new pages makes Gradio forget one that waits for its answer."""
    queue = blocks._queue
    queue.pending_messages_per_session = _Waiting(queue.pending_event_ids_session)  # type: ignore[assignment]
