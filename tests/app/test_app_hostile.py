"""The chat beside a hostile client: everybody else is answered (benchmarks/hostile_client.py measures it)."""

from __future__ import annotations

import argparse
import asyncio
import sys

import pytest
from chat_servers import NO_GRADIO, ROOT

pytestmark = pytest.mark.slow


def test_people_beside_a_hostile_client_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import hostile_client as hostile

    options = argparse.Namespace(minutes=0.2, people=8, same_address=False)
    with hostile.served(None, rate=60, tokens=16) as places, hostile.hostile(*places):
        _, chat, model = places
        found = asyncio.run(hostile.crowd(chat, model, options))
    assert (found["refused"], found["lost"]) == (0, 0), found
    assert found["answers"] == len(found["first"]) >= options.people
