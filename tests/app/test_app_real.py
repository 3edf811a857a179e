"""The chat in front of `r1hf serve` (vLLM where it is installed), in a real browser, with models that were trained.

R1HF_RUN names a trained run, else a base and what learnt two answers by heart stand for one. R1HF_SCREENSHOTS names
a folder for the pictures: `R1HF_RUN=runs/tiny R1HF_SCREENSHOTS=docs/images pytest -m slow tests/app/test_app_real.py`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_page import ChatPage
from chat_servers import NO_GRADIO, ROOT, Server, chat, free_port

pytestmark = pytest.mark.slow

QUESTION, CHINESE = "What is 2 + 3 * 4?", "2 + 3 * 4 等于多少？"
RUN, SHOTS = os.environ.get("R1HF_RUN"), os.environ.get("R1HF_SCREENSHOTS")
SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1200, "height": 780}},
    "phone": {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True},
    "dark": {"viewport": {"width": 1200, "height": 780}, "color_scheme": "dark"},
}


@pytest.fixture(scope="module")
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is served: a whole run, or `base=…` and `r1=…`."""
    if RUN:
        return [RUN]
    from small_run import SFT, right_response, run_recipe, write

    from r1hf.data.sums import parse
    from r1hf.world.arithmetic import Problem

    base, directory = request.getfixturevalue("tiny_base"), tmp_path_factory.mktemp("r1")
    asked = {"en": QUESTION, "zh": CHINESE}
    problems = [Problem(parse("2 + 3 * 4"), language, question, 3) for language, question in asked.items()]
    rows = [problem.row() | {"completion": right_response(problem)} for problem in problems] * 4
    training = {**SFT, "max_steps": 150, "learning_rate": 5e-3, "logging_steps": 50}
    data = write(directory / "rows.jsonl", rows)
    r1 = run_recipe("sft", model=base, data=data, output_dir=directory / "model", **training)
    return [f"r1={r1}", f"base={base}"]  # the first gets vLLM


@pytest.fixture(scope="module")
def served(models: list[str]) -> Iterator[Server]:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    port = free_port()
    main = "from r1hf.commands.main import main; raise SystemExit(main())"
    command = [sys.executable, "-c", main, "serve", *models, "--port", str(port)]
    server = Server(command, port, "/v1/models", {"PYTHONPATH": str(ROOT)}).start()
    try:
        wanted = "transformers" if importlib.util.find_spec("vllm") is None else "vllm"
        deadline = time.monotonic() + 600
        while _engine(server) != (wanted, "ready"):
            assert time.monotonic() < deadline, f"R1 is served by {_engine(server)}, not by {wanted}"
            time.sleep(0.2)
        yield server
    finally:
        server.stop(signal.SIGINT)


def _engine(server: Server) -> tuple[str, str]:
    """(engine, state) of R1."""
    with urllib.request.urlopen(server.url + "/v1/models") as answer:
        rows = {row["id"]: row["r1hf"] for row in json.load(answer)["data"]}
    return rows["r1"]["engine"], rows["r1"]["state"]


@pytest.fixture(scope="module")
def app(served: Server) -> Iterator[Server]:
    with chat(served.url, R1HF_TIMEOUT="120") as running:
        yield running


@pytest.fixture
def open_page(browser: Any, app: Server) -> Iterator[Callable[..., ChatPage]]:
    opened = []

    def page(**options: Any) -> ChatPage:
        context = browser.new_context(**{**SCREENS["desktop"], "locale": "en-US", **options})
        opened.append(ChatPage(context, app))
        opened[-1].page.set_default_timeout(180_000)
        opened[-1].sidebar()
        # The likeliest answer, so that a run is the same each time.
        opened[-1].page.fill("#r1-temp input[type=number]", "0")
        opened[-1].page.press("#r1-temp input[type=number]", "Tab")
        return opened[-1]

    yield page
    for one in opened:
        assert one.complaints == [] and one.foreign() == []
        one.page.context.close()


def test_r1_thinks_and_answers(open_page: Callable[..., ChatPage]) -> None:
    chat = open_page()
    answer = chat.ask(QUESTION)
    assert "Thought for" in answer and "14" in answer and "finish: stop" in answer
    chat.page.locator(".thought-group .title").last.click()
    chat.see("2+12", ".thought-group")
    assert "Thought for" in chat.ask(CHINESE)


def test_a_budget_is_kept(open_page: Callable[..., ChatPage]) -> None:
    chat = open_page()
    chat.page.fill("#r1-budget input", "3")
    chat.page.press("#r1-budget input", "Tab")
    assert "thinking budget was used up" in chat.ask(QUESTION)


@pytest.mark.parametrize("screen", SCREENS)
def test_pictures_of_every_tab(open_page: Callable[..., ChatPage], tmp_path: Path, screen: str) -> None:
    """All of it works on every screen, fits it, and can be looked at."""
    chat = open_page(**SCREENS[screen])
    chat.page.click("#r1-sidebar .toggle-button")
    chat.page.wait_for_selector("#r1-sidebar:not(.open)")
    folder = Path(SHOTS or tmp_path)

    def picture(tab: str) -> None:
        width = chat.page.evaluate("document.documentElement.scrollWidth")
        assert width <= SCREENS[screen]["viewport"]["width"]
        assert len(chat.page.screenshot(path=folder / f"chat-{screen}-{tab}.png", animations="disabled")) > 10_000

    assert "Thought for" in chat.ask(QUESTION)
    chat.page.locator(".thought-group .title").last.click()
    chat.see("2+12", ".thought-group")
    assert "Thought for" in chat.ask(CHINESE)
    picture("chat")
    chat.tab("stages")
    chat.page.click("#r1-stages-run")
    chat.page.wait_for_function(
        "document.querySelectorAll('#r1-stages .r1-rewards').length =="
        "document.querySelectorAll('#r1-stages-models .token').length"
    )
    chat.page.wait_for_selector("#r1-stages-run", state="visible")
    chat.see("accuracy 1", "#r1-stages")
    picture("stages")
    chat.tab("vote")
    chat.page.click("#r1-vote-run")
    chat.see("8 of 8 samples", "#r1-vote-chart")
    chat.page.wait_for_selector("#r1-vote-run", state="visible")
    picture("vote")
    chat.tab("prompt")
    chat.page.click("#r1-prompt-run")
    chat.see("User: What is 2 + 3 * 4?", ".r1-prompt")
    assert chat.page.locator(".r1-token").count() > 10
    picture("prompt")
    background = chat.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == (screen == "dark")
