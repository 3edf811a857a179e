"""The chat's page as a person uses it, through Playwright."""

from __future__ import annotations

import contextlib
import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

from chat_servers import Server

LONG = 60_000  # milliseconds


class ChatPage:
    """One page of the chat; what the browser complained about is in `complaints`, where it went in `requests`."""

    def __init__(self, context: Any, app: Server):
        self.page = context.new_page()
        self.page.set_default_timeout(LONG)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(app.url)
        self.wait_ready()

    def wait_ready(self) -> None:
        self.page.wait_for_selector("#r1-box textarea")
        self.page.wait_for_selector("#r1-status .r1-dot")

    def choose(self, model: str) -> None:
        self.page.click("#r1-model input")
        self.page.get_by_role("option", name=model, exact=True).click()

    def send(self, text: str) -> None:
        self.page.fill("#r1-box textarea", text)
        self.page.press("#r1-box textarea", "Enter")

    def ask(self, text: str, model: str | None = None) -> str:
        """Sends, waits for the end of the answer, returns all that is shown of it."""
        if model:
            self.choose(model)
        before = self.page.locator("[data-testid=user]").count()
        self.send(text)
        self.page.wait_for_function("n => document.querySelectorAll('[data-testid=user]').length > n", arg=before)
        self.settled()
        return self.last()

    def settled(self) -> None:
        """Nothing is being written."""
        self.page.wait_for_selector("#r1-send", state="visible")
        self.drawn()

    def drawn(self) -> None:
        """All that the page was told until now is on the screen."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """What is done inside changes the chats that the browser keeps: waits for that."""
        stored = "localStorage.getItem('r1hf-chats')"
        before = self.page.evaluate(stored)
        yield
        self.page.wait_for_function(f"before => {stored} !== before", arg=before)

    def last(self) -> str:
        return str(self.page.locator(".bot-row").last.inner_text())

    def text(self) -> str:
        return str(self.page.locator("#r1-chat").inner_text())

    def see(self, text: str, within: str = "body") -> None:
        self.page.wait_for_function(
            "([text, where]) => [...document.querySelectorAll(where)].some(e => e.innerText.includes(text))",
            arg=[text, within],
        )

    def tab(self, name: str) -> None:
        self.page.click(f"#r1-tab-{name}-button")
        self.page.wait_for_selector(f"#r1-tab-{name}", state="visible")

    def sidebar(self) -> None:
        self.page.click("#r1-sidebar .toggle-button")
        self.page.wait_for_selector("#r1-sidebar.open")
        self.page.wait_for_function("!document.querySelector('#r1-sidebar .sidebar-content').inert")

    def choose_stages(self, *names: str) -> None:
        """Opens the Stages tab and has these models asked, by the names shown."""
        self.tab("stages")
        self.page.locator("#r1-stages-models .remove-all").click()
        for name in names:
            self.page.fill("#r1-stages-models input", name)
            self.page.get_by_role("option", name=name, exact=True).click()
        self.page.keyboard.press("Tab")

    def set_language(self, name: str) -> None:
        self.page.click("#r1-lang input")
        self.page.get_by_role("option", name=name, exact=True).click()

    def button(self, name: str) -> Any:
        """The last of Gradio's small buttons with this name."""
        return self.page.get_by_role("button", name=name, exact=True).last

    def foreign(self) -> list[str]:
        """Requests that left this machine's chat."""
        return [url for url in self.requests if not re.match(r"(https?://127\.0\.0\.1|data:|blob:)", url)]


def seen(server: Server, model: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(server.url + "/seen") as answer:
        return [row for row in json.load(answer) if row["model"] == model]
