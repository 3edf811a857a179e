"""Every fault, in a real browser: a sentence, the text so far, an input that works at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from chat_page import ChatPage, seen
from chat_servers import NO_GRADIO, Server, chat, faulty_server

pytestmark = pytest.mark.slow

QUESTION = "What is 2 + 3 * 4?"


@pytest.fixture
def page(browser: Any, app: Server) -> Iterator[ChatPage]:
    context = browser.new_context(viewport={"width": 1200, "height": 820}, locale="en-US")
    opened = ChatPage(context, app)
    yield opened
    assert opened.complaints == []
    context.close()


@pytest.mark.parametrize(
    ("model", "sentence", "kept"),
    [
        ("busy", "overloaded", ""),
        ("too_long", "too long for too_long (it holds 1024 tokens). Start a new chat", ""),
        ("silent", "went silent for too long", ""),
        ("stall", "What came is kept; press Retry", "I begin and"),
        ("cut", "connection broke in the middle", "The answer is fourt"),
        ("broken", "The server failed", ""),
        ("garbage", "The server failed", ""),
        ("forbidden", "refuses this app's key", ""),
    ],
)
def test_a_fault_is_a_sentence_and_the_next_question_works(
    page: ChatPage, model: str, sentence: str, kept: str
) -> None:
    shown = page.ask(QUESTION, model)
    assert sentence in shown
    if page.page.locator(".thought-group").count():
        page.page.locator(".thought-group .title").last.click()
    assert kept in page.text()
    page.choose("R1")
    page.button("Retry").click()
    page.see("finish: stop", ".bot-row")
    assert "14" in page.last() and page.page.locator("[data-testid=user]").count() == 1


@pytest.mark.parametrize(("model", "sentence"), [("loading", "The model is loading"), ("busy_once", "is busy")])
def test_the_chat_waits_and_goes_on_by_itself(page: ChatPage, model: str, sentence: str) -> None:
    page.choose(model)
    page.send(QUESTION)
    page.see(sentence)
    page.see("finish: stop", ".bot-row")
    assert "14" in page.last()


def test_nothing_of_a_model_runs_or_leaves(page: ChatPage) -> None:
    shown = page.ask("evil?", "html")
    page.page.locator(".thought-group .title").last.click()
    page.page.wait_for_timeout(500)
    assert "the end 2∗3∗4 done" in shown.replace("\u2060", "")
    assert "<script>window.pwned=1</script>" in page.text().replace("\u2060", "")
    page.choose_stages("html")
    page.page.click("#r1-stages-run")
    page.see("the end", "#r1-stages")
    page.page.wait_for_selector("#r1-stages-run", state="visible")
    for link in page.page.locator("#r1-chat .bot-row a, #r1-stages a").all():
        target = link.get_attribute("href") or ""
        assert "script" not in target.replace("\u2060", "").lower() or "\u2060" in target or "%E2%81%A0" in target
    assert page.page.evaluate("window.pwned") is None
    answers = page.page.locator("#r1-chat .bot-row, #r1-stages")
    assert answers.locator("img, iframe, form, style, svg[onload], script").count() == 0
    assert page.foreign() == []


def test_a_huge_answer_leaves_the_page_alive(page: ChatPage) -> None:
    page.page.set_default_timeout(90_000)
    assert "Cut off" in page.ask("much", "huge")
    page.sidebar()
    page.page.click("#r1-new")
    assert "14" in page.ask(QUESTION, "R1")


def test_limits_are_sentences_and_the_text_stays(browser: Any, faulty: Server) -> None:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    with chat(faulty.url, R1HF_MAX_QUESTION="40", R1HF_RATE="2") as small:
        context = browser.new_context(locale="en-US")
        page = ChatPage(context, small)
        page.send("x" * 41)
        page.see("longer than 40 characters")
        assert page.page.input_value("#r1-box textarea") == "x" * 41
        for _ in range(2):
            page.ask("hi", "echo")
        page.send("once more")
        page.see("Too many questions")
        assert page.page.input_value("#r1-box textarea") == "once more"
        page.page.fill("#r1-box textarea", "")
        page.page.press("#r1-box textarea", "Enter")
        page.see("Write a question first.")
        context.close()


def test_no_more_samples_are_asked_than_the_limit(browser: Any, faulty: Server) -> None:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    with chat(faulty.url, R1HF_MAX_SAMPLES="3") as small:
        context = browser.new_context(locale="en-US")
        page = ChatPage(context, small)
        before = len(seen(faulty, "r1"))
        page.tab("vote")
        page.page.fill("#r1-vote-n input[type=number]", "50")
        page.page.press("#r1-vote-n input[type=number]", "Tab")
        page.page.click("#r1-vote-run")
        page.see("3 of 3 samples", "#r1-vote-chart")
        assert len(seen(faulty, "r1")) == before + 3
        context.close()


def test_a_crowd_is_turned_away_with_a_sentence(browser: Any, faulty: Server) -> None:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    with chat(faulty.url, R1HF_MAX_STREAMS="1", R1HF_MAX_WAITING="1") as small:
        contexts = [browser.new_context(locale="en-US") for _ in range(3)]
        first = ChatPage(contexts[0], small)
        first.choose("slow")
        first.send(QUESTION)
        first.see("tick", ".thought-group")
        second, third = (ChatPage(context, small) for context in contexts[1:])
        second.choose("R1")
        second.send(QUESTION)
        second.see("Waiting for the first token")
        assert "Too many people are asking at once" in third.ask(QUESTION, "R1")
        first.page.click("#r1-stop")
        second.see("finish: stop", ".bot-row")
        third.button("Retry").click()
        third.see("finish: stop", ".bot-row")
        for context in contexts:
            context.close()


def test_a_second_question_waits_for_the_first(page: ChatPage) -> None:
    page.choose("slow")
    page.send("one")
    page.see("tick", ".thought-group")
    page.send("two")
    page.see("still being written")
    assert page.page.input_value("#r1-box textarea") == "two"
    page.page.click("#r1-stop")
    page.see("Stopped.")


def test_a_closed_page_stops_its_answer(browser: Any, app: Server, faulty: Server) -> None:
    context = browser.new_context(locale="en-US")
    page = ChatPage(context, app)
    page.choose("slow")
    page.send("nobody will read this")
    page.see("tick", ".thought-group")
    context.close()
    for _ in range(100):
        if isinstance(seen(faulty, "slow")[-1]["left"], float):
            return
        time.sleep(0.1)
    pytest.fail("the server still writes")


def test_login_and_no_key_in_the_browser(browser: Any, faulty: Server) -> None:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    with chat(faulty.url, R1HF_LOGIN="anna:secret", R1HF_BACKEND_KEY="sk-backend-secret") as guarded:
        context = browser.new_context(locale="en-US")
        seen_text: list[str] = []
        plain = context.new_page()
        assert plain.request.get(guarded.url + "/config").status == 401
        plain.goto(guarded.url)
        plain.get_by_label("username").fill("anna")
        plain.get_by_label("password").fill("secret")
        plain.get_by_role("button", name="Login").click()
        plain.wait_for_selector("#r1-box textarea")
        page = ChatPage(context, guarded)
        page.page.on("response", lambda answer: seen_text.append(_body(answer)))
        page.page.reload()
        page.wait_ready()
        page.ask(QUESTION, "R1")
        everything = "".join(seen_text) + page.page.content()
        assert "sk-backend-secret" not in everything and "anna:secret" not in everything
        assert seen(faulty, "r1")[-1]["key"] == "Bearer sk-backend-secret"
        context.close()


def _body(answer: Any) -> str:
    try:
        return str(answer.text()) if "text/event-stream" not in answer.headers.get("content-type", "") else ""
    except Exception:
        return ""  # a redirect or an aborted request has none


def test_the_model_server_goes_and_comes_back(browser: Any) -> None:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    with faulty_server() as backend, chat(backend.url) as app:
        context = browser.new_context(locale="en-US")
        page = ChatPage(context, app)
        page.choose("slow")
        page.send(QUESTION)
        page.see("tick", ".thought-group")
        backend.stop()
        page.see("connection broke in the middle")
        page.see("No connection to the model server")
        assert "does not answer" in page.ask("and now?", "R1")
        backend.start()
        page.see("Connected")
        page.button("Retry").click()
        page.see("finish: stop", ".bot-row")
        assert "14" in page.last()
        assert page.complaints == []
        context.close()


def test_a_model_that_is_gone_is_named(browser: Any) -> None:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    with faulty_server() as backend, chat(backend.url, R1HF_HEALTH_INTERVAL="600") as app:
        context = browser.new_context(locale="en-US")
        page = ChatPage(context, app)
        backend.command.append("--without=r1")
        backend.stop()
        backend.start()
        assert "has no model r1. Choose another one" in page.ask(QUESTION, "R1")
        assert "finish: stop" in page.ask(QUESTION, "echo")
        context.close()


def test_the_app_goes_and_comes_back_with_the_chats(browser: Any, faulty: Server) -> None:
    pytest.importorskip("gradio", reason=NO_GRADIO)
    with chat(faulty.url) as app:
        context = browser.new_context(locale="en-US")
        page = ChatPage(context, app)
        page.ask("remember me", "echo")
        page.choose("slow")
        with page.kept():
            page.send("half")
        page.see("tick", ".thought-group")
        app.stop(signal.SIGKILL)
        app.start()
        page.page.reload()
        page.wait_ready()
        page.see("remember me", "[data-testid=user]")
        page.see("was interrupted before it was finished")
        assert "14" in page.ask(QUESTION, "R1")
        context.close()
