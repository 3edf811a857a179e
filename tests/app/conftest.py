"""The chat's modules on the path, its servers, a real browser."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "app"), str(Path(__file__).resolve().parent)]

from chat_servers import NO_GRADIO, Server, chat, faulty_server  # noqa: E402

NO_PLAYWRIGHT = "Playwright is not installed: make install EXTRAS=dev,app"
NO_CHROMIUM = "Chromium is not installed: apt-get install chromium (Debian, Ubuntu)"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def faulty() -> Iterator[Server]:
    with faulty_server() as server:
        yield server


@pytest.fixture(scope="session")
def app(faulty: Server) -> Iterator[Server]:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    with chat(faulty.url, R1HF_BACKEND_KEY="sk-backend-secret") as server:
        yield server


# Not of the session: while Playwright runs, no test in this thread may run an event loop of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT)
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        running = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield running
        running.close()
