"""The chat in front of `r1hf serve` with the tiny R1: the real server, in a real browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_page import ChatPage
from chat_servers import NO_GRADIO, ROOT, Server, chat, free_port

pytestmark = pytest.mark.slow

RUN = Path(os.environ.get("R1HF_RUN", ROOT / "runs" / "tiny"))
QUESTION = "What is 2 + 3 * 4?"


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    if not (RUN / "r1" / "model.safetensors").is_file():
        pytest.skip(f"no trained model in {RUN}: make demo")
    port = free_port()
    models = [str(RUN / name) for name in ("base", "r1") if (RUN / name).is_dir()]
    python = os.environ.get("R1HF_SERVE_PYTHON", sys.executable)
    main = "from r1hf.commands.main import main; raise SystemExit(main())"
    command = [python, "-c", main, "serve", *models, "--port", str(port)]
    server = Server(command, port, "/v1/models", {"PYTHONPATH": str(ROOT)}).start(300)
    try:
        yield server
    finally:
        server.stop(2)


@pytest.fixture
def page(browser: Any, served: Server) -> Iterator[ChatPage]:
    with chat(served.url, R1HF_TIMEOUT="120") as app:
        context = browser.new_context(viewport={"width": 1200, "height": 820}, locale="en-US")
        opened = ChatPage(context, app)
        opened.page.set_default_timeout(180_000)
        yield opened
        assert opened.complaints == []
        context.close()


def test_r1_thinks_and_answers(page: ChatPage) -> None:
    page.sidebar()
    page.page.fill("#r1-temp input[type=number]", "0")
    page.page.press("#r1-temp input[type=number]", "Tab")
    answer = page.ask(QUESTION, "R1")
    assert "Thought for" in answer and "14" in answer and "finish: stop" in answer
    assert "Thought for" in page.ask("2 + 3 * 4 等于多少？")


def test_stages_votes_and_the_prompt(page: ChatPage) -> None:
    page.tab("stages")
    page.page.click("#r1-stages-run")
    page.page.wait_for_function("document.querySelectorAll('#r1-stages .r1-rewards').length == 2")
    page.tab("vote")
    page.page.click("#r1-vote-run")
    page.see("8 of 8 samples", "#r1-vote-chart")
    page.tab("prompt")
    page.page.click("#r1-prompt-run")
    page.see("User: What is 2 + 3 * 4?", ".r1-prompt")
    assert page.page.locator(".r1-token").count() > 10


def test_a_budget_is_kept(page: ChatPage) -> None:
    page.sidebar()
    page.page.fill("#r1-budget input", "6")
    page.page.press("#r1-budget input", "Tab")
    assert "thinking budget was used up" in page.ask(QUESTION, "R1")
