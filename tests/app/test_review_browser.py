"""`r1hf review` in a real browser: every answer by a key, edits checked while they are written, progress kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chat_servers import NO_GRADIO, ROOT

sys.path.insert(0, str(ROOT / "tests"))

from review_world import ROW, cold_start, good  # noqa: E402

from r1hf.data.decisions import Decision, Journal, decided_by_all, key_of  # noqa: E402

pytestmark = pytest.mark.slow

HOSTILE = (
    '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>${window.pwned=1}{{window.pwned=1}}'
    "[x](javascript:alert(1)) & </div>"
)


@contextmanager
def served(stage: Path, *words: str, log: Path) -> Iterator[str]:
    """The command as a person starts it; gives the address that it prints, and kills it without warning."""
    command = [sys.executable, "-c", "import sys; from r1hf.commands.main import main; sys.exit(main())"]
    with log.open("w") as stream:
        process = subprocess.Popen([*command, "review", str(stage), *words], stdout=stream, stderr=stream, cwd=ROOT)
    try:
        deadline = time.monotonic() + 900
        while (found := re.search(r"http://\S+\?token=\S+", log.read_text())) is None:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield found[0]
    finally:
        process.kill()
        process.wait(30)


class Person:
    def __init__(self, browser: Any, address: str, **options: Any):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        self.page.wait_for_selector(".rv-head")

    def see(self, text: str, where: str = "body") -> None:
        self.page.wait_for_function(
            "([text, where]) => (document.querySelector(where)?.innerText ?? '').includes(text)", arg=[text, where]
        )

    def press(self, key: str, then: str, where: str = "#rv-note") -> None:
        self.page.keyboard.press(key)
        self.see(then, where)

    def write(self, text: str, then: str) -> None:
        self.page.fill("#rv-edit-text textarea", text)
        self.see(then, "#rv-found")


def test_a_person_reviews_by_keyboard_and_finds_the_progress_again(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    data = [{**ROW, "completion": good(number), "method": "few_shot"} for number in range(1, 5)]
    data[0]["question"] = f"{ROW['question']} {HOSTILE}"
    stage = cold_start(tmp_path / "cold_start", data=data)
    keys = [key_of(row["question"], row["completion"]) for row in data]
    bob = Journal(stage, "bob")
    bob.decide(Decision(keys[1], "reject"))
    bob.close()

    with served(stage, "--reviewer", "ann", log=tmp_path / "first.log") as address:
        refused = browser.new_page()
        for path in ("/", "/config", "/?token=wrong"):
            assert refused.goto(address.split("/?")[0] + path).status == 401
        refused.close()
        ann = Person(browser, address)
        assert "token" not in ann.page.url
        ann.see("0 of 6 decided by ann", "#rv-progress")
        ann.see(HOSTILE, "#rv-row")  # as text
        assert ann.page.evaluate("window.pwned") is None
        assert ann.page.locator("#rv-row img, #rv-row script, #rv-row a").count() == 0
        ann.see("Accept (A)", "#rv-buttons")
        ann.press("a", "1 of 6 decided by ann", "#rv-progress")
        ann.see("1 of 5", "#rv-heading")
        ann.page.keyboard.press("e")
        ann.page.wait_for_selector("#rv-edit-text textarea:focus")
        ann.page.keyboard.type("x")
        ann.see("wrong_answer: another answer than the gold one; it says '14.x'", "#rv-found")
        ann.page.keyboard.press("Backspace")  # no key press to a browser, as what an input method writes
        ann.see("Verified: the answer is right ('14')", "#rv-found")
        ann.page.keyboard.type("are")  # in a text they are letters
        ann.write(good(9, "15"), "wrong_answer: another answer than the gold one; it says '15'")
        ann.press("Control+Enter", "Not kept. wrong_answer", "#rv-found")
        ann.write(good(9), "Verified: the answer is right ('14')")
        ann.press("Control+Enter", "Edit kept. Verified")
        ann.press("r", "Rejected.")
        ann.press("r", "4 of 6 decided by ann", "#rv-progress")
        ann.press("u", "Undone: reject.")
        ann.see("3 of 6 decided by ann · accepted 1 · edited 1 · rejected 1", "#rv-progress")
        ann.see("With bob: 0 of 1 alike", "#rv-progress")
        for key, place in (("j", "2 of 3"), ("k", "1 of 3")):
            ann.press(key, place, "#rv-heading")
        ann.page.keyboard.press("e")
        ann.page.wait_for_selector("#rv-edit-text textarea")
        ann.page.keyboard.press("Escape")
        ann.page.wait_for_selector("#rv-edit-text", state="detached")
        ann.page.click("#rv-reason input")
        ann.page.get_by_role("option", name="wrong_answer (1)").click()
        ann.see("wrong_answer: another answer than the gold one", "#rv-heading")
        ann.see("ummm", "#rv-row")
        ann.page.locator("#rv-heading").click()
        ann.press("a", "Not kept. wrong_answer")
        assert ann.complaints == []
    decided = decided_by_all(stage)["ann"]
    assert decided == {
        keys[0]: Decision(keys[0], "accept"),
        keys[1]: Decision(keys[1], "edit", good(9)),
        keys[2]: Decision(keys[2], "reject"),
    }

    with served(stage, "--reviewer", "ann", log=tmp_path / "second.log") as address:
        ann = Person(browser, address, viewport={"width": 390, "height": 844})
        ann.see("3 of 6 decided by ann", "#rv-progress")
        ann.see("1 of 3", "#rv-heading")
        assert ann.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        ann.press("u", "Undone: reject.")
        ann.press("r", "3 of 6 decided by ann", "#rv-progress")
        assert ann.complaints == []
    lines = (stage.with_name("cold_start.review") / "ann.jsonl").read_text().splitlines()
    assert [json.loads(line)["decision"] for line in lines][-2:] == ["undo", "reject"]
