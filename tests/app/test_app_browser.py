"""Every feature of the chat, in a real browser, against the server that misbehaves only when it is asked to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_page import ChatPage, seen
from chat_servers import Server

pytestmark = pytest.mark.slow

QUESTION = "What is 2 + 3 * 4?"


@pytest.fixture
def open_page(browser: Any, app: Server) -> Iterator[Callable[..., ChatPage]]:
    contexts = []

    def opened(**options: Any) -> ChatPage:
        defaults = {"viewport": {"width": 1200, "height": 820}, "locale": "en-US"}
        contexts.append(browser.new_context(**{**defaults, **options}))
        contexts[-1].grant_permissions(["clipboard-read", "clipboard-write"], origin=app.url)
        return ChatPage(contexts[-1], app)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def chat(open_page: Callable[..., ChatPage]) -> Iterator[ChatPage]:
    page = open_page()
    yield page
    assert page.complaints == []
    assert page.foreign() == []


def test_thinking_runs_with_a_clock_and_folds_at_the_answer(chat: ChatPage) -> None:
    chat.choose("slow")
    chat.send(QUESTION)
    chat.page.wait_for_selector(".thought-group .title[aria-expanded=true]")
    chat.see("Thinking…", ".thought-group .title")
    first = chat.page.inner_text(".thought-group .title")
    chat.page.wait_for_function("t => document.querySelector('.thought-group .title').innerText !== t", arg=first)
    chat.see("tick tick", ".thought-group")
    chat.page.click("#r1-stop")
    chat.settled()
    answer = chat.ask(QUESTION, "R1")
    assert "Thought for" in answer and "14 tokens" in answer
    chat.page.wait_for_function(
        "[...document.querySelectorAll('.thought-group .title')].pop().getAttribute('aria-expanded') === 'false'"
    )
    assert "14" in answer and "tokens/s" in answer and "s to first token" in answer and "finish: stop" in answer
    chat.page.locator(".thought-group .title").last.click()
    chat.see("Multiply first: 3 * 4 = 12.", ".thought-group")


@pytest.mark.parametrize("model", ["prefilled", "unsaid", "split", "Dev1"])
def test_every_form_is_shown_alike(chat: ChatPage, model: str) -> None:
    answer = chat.ask(QUESTION, model)
    assert "Thought for" in answer and "14" in answer
    assert "think>" not in chat.text() and "special_token" not in chat.text()


@pytest.mark.parametrize(
    ("model", "state"), [("thinker", "Cut off while thinking"), ("Base", "No thinking"), ("budget", "No answer")]
)
def test_the_states_of_an_answer_are_named(chat: ChatPage, model: str, state: str) -> None:
    assert state in chat.ask(QUESTION, model)


def test_stop_reaches_the_server_and_keeps_the_text(chat: ChatPage, faulty: Server) -> None:
    chat.choose("slow")
    chat.send(QUESTION)
    chat.see("tick tick", ".thought-group")
    chat.page.click("#r1-stop")
    chat.see("Stopped.")
    assert isinstance(seen(faulty, "slow")[-1]["left"], float)  # how fast is the benchmark's business
    chat.page.locator(".thought-group .title").last.click()
    assert "tick tick" in chat.text()
    assert "14" in chat.ask(QUESTION, "R1")


def test_escape_stops_too(chat: ChatPage) -> None:
    chat.choose("slow")
    chat.send(QUESTION)
    chat.see("tick tick", ".thought-group")
    chat.page.keyboard.press("Escape")
    chat.see("Stopped.")


def test_retry_undo_and_edit(chat: ChatPage, faulty: Server) -> None:
    chat.ask("one", "echo")
    chat.ask("two")
    asked = len(seen(faulty, "echo"))
    with chat.kept():
        chat.button("Retry").click()
    chat.settled()
    assert len(seen(faulty, "echo")) == asked + 1
    assert chat.page.locator("[data-testid=user]").count() == 2
    chat.button("Undo").click()
    chat.page.wait_for_function("document.querySelectorAll('[data-testid=user]').length == 1")
    assert chat.page.input_value("#r1-box textarea") == "two"
    chat.button("Edit").click()
    chat.page.fill("#r1-chat textarea", "three*3")
    chat.button("Submit").click()
    chat.see("three∗", "[data-testid=user]")
    chat.settled()
    assert chat.page.locator("[data-testid=user]").count() == 1
    last = seen(faulty, "echo")[-1]["body"]["messages"]
    assert last == [{"role": "user", "content": "three*3"}]


def test_earlier_answers_are_sent_without_their_thoughts(chat: ChatPage, faulty: Server) -> None:
    chat.ask("one", "echo")
    chat.ask("two")
    sent = seen(faulty, "echo")[-1]["body"]["messages"]
    assert [row["content"] for row in sent] == ["one", "one", "two"]


def test_copy_gives_the_original_text(chat: ChatPage) -> None:
    chat.ask("say 2*3*4 <b>", "echo")
    chat.button("Copy message").click()
    copied = chat.page.evaluate("navigator.clipboard.readText()")
    assert "say 2*3*4 <b>" in copied
    assert "r1-foot" not in copied and "\u2060" not in copied and "tokens/s" not in copied


def test_export_is_json_with_thoughts(chat: ChatPage) -> None:
    chat.ask(QUESTION, "R1")
    chat.sidebar()
    with chat.page.expect_download() as download:
        chat.page.click("#r1-export")
    document = json.loads(Path(download.value.path()).read_text())
    assert document["messages"][0]["content"] == QUESTION
    assert document["messages"][1]["reasoning_content"].startswith("Multiply first")
    assert document["messages"][1]["content"] == "14"


def test_chats_stay_after_a_reload_and_can_be_changed_and_deleted(chat: ChatPage) -> None:
    chat.ask("first chat", "echo")
    chat.sidebar()
    chat.page.click("#r1-new")
    chat.page.wait_for_function("document.querySelectorAll('[data-testid=user]').length == 0")
    chat.ask("second chat")
    chat.page.reload()
    chat.wait_ready()
    chat.see("second chat", "[data-testid=user]")
    chat.sidebar()
    chat.page.click("#r1-chats input")
    chat.page.get_by_role("option", name="first chat", exact=True).click()
    chat.see("first chat", "[data-testid=user]")
    chat.page.click("#r1-delete")
    chat.page.wait_for_function("document.querySelectorAll('[data-testid=user]').length == 0")
    chat.page.reload()
    chat.wait_ready()
    chat.sidebar()
    chat.page.click("#r1-chats input")
    kept = " ".join(chat.page.get_by_role("option").all_inner_texts())
    assert "second chat" in kept and "first chat" not in kept


def test_examples_and_clear(chat: ChatPage) -> None:
    chat.page.get_by_role("button", name=QUESTION).click()
    chat.settled()
    chat.see("Thought for")
    chat.button("Clear").click()
    chat.page.wait_for_function("document.querySelectorAll('[data-testid=user]').length == 0")
    chat.see(QUESTION, ".example")


def test_controls_reach_the_server(chat: ChatPage, faulty: Server) -> None:
    chat.ask(QUESTION, "echo")
    body = seen(faulty, "echo")[-1]["body"]
    assert (body["temperature"], body["top_p"]) == (0.6, 0.95)
    assert "seed" not in body and body["messages"][0]["role"] == "user"
    chat.sidebar()
    chat.page.fill("#r1-temp input[type=number]", "0.25")
    chat.page.press("#r1-temp input[type=number]", "Tab")
    chat.page.fill("#r1-seed input, #r1-seed textarea", "7")
    chat.page.check("#r1-use-system input")
    chat.page.fill("#r1-system textarea", "Be brief.")
    chat.ask(QUESTION)
    body = seen(faulty, "echo")[-1]["body"]
    assert (body["temperature"], body["seed"]) == (0.25, 7)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}


def test_the_stream_of_events_is_open_before_the_question(chat: ChatPage) -> None:
    def streams() -> int:
        return sum("/queue/data" in url for url in chat.requests)

    before = streams()
    with chat.page.expect_request("**/queue/data*"):
        chat.page.type("#r1-box textarea", "What is")
    chat.page.type("#r1-box textarea", " 2 + 3 * 4?")
    chat.page.press("#r1-box textarea", "Enter")
    chat.page.wait_for_selector(".r1-measures")
    chat.settled()
    assert streams() == before + 1
    assert chat.text().count("14") and chat.page.input_value("#r1-box textarea") == ""


def test_a_thinking_budget_ends_the_thought(chat: ChatPage) -> None:
    chat.sidebar()
    chat.page.fill("#r1-budget input", "10")
    chat.page.press("#r1-budget input", "Tab")
    answer = chat.ask(QUESTION, "budget")
    assert "in time" in answer and "thinking budget was used up" in answer


@pytest.mark.parametrize(
    ("name", "code", "send", "thought"),
    [("简体中文", "zh-Hans", "发送", "思考了"), ("繁體中文", "zh-Hant", "傳送", "思考了")],
)
def test_the_interface_speaks_chinese(chat: ChatPage, name: str, code: str, send: str, thought: str) -> None:
    chat.ask(QUESTION, "R1")
    chat.sidebar()
    chat.set_language(name)
    chat.see(send, "#r1-send")
    chat.see(thought, "#r1-chat")
    assert chat.page.evaluate("document.documentElement.lang") == code
    chat.page.reload()
    chat.wait_ready()
    chat.see(send, "#r1-send")


def test_the_first_language_is_the_browsers(open_page: Callable[..., ChatPage]) -> None:
    page = open_page(locale="zh-TW")
    page.see("傳送", "#r1-send")
    page.see("各階段", "#r1-tab-stages-button")


def test_stages_stream_side_by_side_with_rewards(chat: ChatPage) -> None:
    names = ["Base", "R1-Zero", "Dev1", "R1"]
    chat.choose_stages(*names)
    chat.page.click("#r1-stages-run")
    chat.page.wait_for_function("document.querySelectorAll('#r1-stages .r1-rewards').length == 4")
    chat.page.wait_for_selector("#r1-stages-run", state="visible")
    cards = chat.page.locator("#r1-stages .block.r1-card:visible").all()
    shown = [" ".join(card.inner_text().split()) for card in cards]
    assert [text.startswith(name) for text, name in zip(shown, names, strict=True)] == [True] * 4
    assert "accuracy 0" in shown[0] and "format 0" in shown[0]
    assert "accuracy 1" in shown[1] and "language 0.5" in shown[1]
    assert "accuracy 1" in shown[3] and "format 1" in shown[3] and "language 1" in shown[3]
    boxes = [card.bounding_box() for card in cards]
    assert len({round(box["y"]) for box in boxes if box}) == 1
    cards[0].locator(".r1-why > summary").click()
    why = cards[0].locator(".r1-why li").all_inner_texts()
    assert len(why) == 3 and "the right one is 14" in why[0] and why[1].startswith("format 0 ")


def test_a_right_answer_goes_with_its_question(chat: ChatPage) -> None:
    box, gold, note = "#r1-stages-box textarea", "#r1-stages-gold :is(input, textarea)", "#r1-stages-computed"
    holds = "([where, text]) => document.querySelector(where).value === text"
    chat.choose_stages("echo")
    assert chat.page.input_value(gold) == "14" and chat.page.is_visible(note)
    chat.page.fill(box, "Who are you?")
    chat.page.wait_for_function(holds, arg=[gold, ""])
    chat.page.wait_for_selector(note, state="hidden")
    chat.page.locator(box).press_sequentially(" and what is")  # still no sum
    chat.page.fill(box, "(7-2)×3")
    chat.page.wait_for_function(holds, arg=[gold, "15"])
    chat.page.wait_for_selector(note)
    chat.page.fill(gold, "16")
    chat.page.wait_for_selector(note, state="hidden")
    chat.page.fill(box, "blue")
    chat.page.press(box, "Enter")
    chat.see("accuracy 0", "#r1-stages")
    assert chat.page.input_value(gold) == "16"  # a person's own
    chat.page.fill(box, "green")
    chat.page.wait_for_function(holds, arg=[gold, ""])
    chat.page.press(box, "Enter")
    chat.see("accuracy –", "#r1-stages")


def test_a_line_says_what_the_model_knows(chat: ChatPage) -> None:
    chat.see("small sums", "#r1-knows")
    chat.choose("echo")
    chat.see("It <b>repeats</b>.", "#r1-knows")
    chat.choose("Dev1")
    chat.page.wait_for_function("!document.querySelector('#r1-knows')")


def test_stages_can_be_stopped(chat: ChatPage, faulty: Server) -> None:
    chat.choose_stages("slow", "R1")
    chat.page.click("#r1-stages-run")
    chat.see("tick tick", "#r1-stages")
    chat.page.click("#r1-stages-stop")
    chat.see("Stopped.", "#r1-stages")
    assert isinstance(seen(faulty, "slow")[-1]["left"], float)


def test_votes_are_counted_and_each_trace_can_be_read(chat: ChatPage) -> None:
    chat.sidebar()
    chat.page.fill("#r1-seed input, #r1-seed textarea", "4")
    chat.choose("random")
    chat.tab("vote")
    chat.page.click("#r1-vote-run")
    chat.see("8 of 8 samples", "#r1-vote-chart")
    chat.page.wait_for_selector("#r1-vote-run", state="visible")
    chart = chat.page.inner_text("#r1-vote-chart")
    assert "Majority: 14" in chart and "6 · 75%" in chart and "2 · 25%" in chart
    assert "agrees with the right answer 14" in chart and "75% of the samples are right" in chart
    card = chat.page.locator("#r1-samples .block.r1-card:visible").nth(3)
    assert "Sample 4 · 20 ✗" in card.inner_text()
    card.locator(".r1-why > summary").click()
    chat.see("accuracy 0 The final answer is 20, and the right one is 14.", "#r1-samples .r1-why li")
    card.locator(".r1-thought > summary").click()
    assert "I guess." in card.inner_text()


def test_the_prompt_view_shows_text_and_tokens(chat: ChatPage) -> None:
    chat.choose("prefilled")
    chat.tab("prompt")
    chat.page.click("#r1-prompt-run")
    chat.see("User: What is 2 + 3 * 4?", ".r1-prompt")
    assert chat.page.inner_text("mark.r1-think") == "<think>"
    assert chat.page.locator(".r1-token.r1-think").count() == 3
    assert "prefilled" in chat.page.inner_text("#r1-prompt-view")


def test_maths_code_and_prices(chat: ChatPage) -> None:
    chat.ask("show", "maths")
    assert chat.page.locator("#r1-chat .katex").count() >= 4
    assert chat.page.locator("#r1-chat .katex-display").count() == 2
    assert chat.page.locator("#r1-chat .katex-error").count() == 0
    assert "It costs $5 and then $7." in chat.text()
    assert chat.page.locator("#r1-chat pre code .token, #r1-chat pre code span").count() > 2


def test_keyboard_only(chat: ChatPage) -> None:
    chat.page.keyboard.type(QUESTION)  # the box has the focus from the start
    chat.page.keyboard.press("Enter")
    chat.see("Thought for")
    chat.settled()
    fold = chat.page.locator(".thought-group .title").last
    fold.focus()
    for key, state in (("Space", "true"), ("Enter", "false")):
        chat.page.keyboard.press(key)
        chat.page.wait_for_selector(f".thought-group .title[aria-expanded={state}]")
    chat.page.locator("#r1-tab-chat-button").focus()
    for _ in range(12):
        chat.page.keyboard.press("Tab")
        if chat.page.evaluate("document.activeElement.closest('#r1-sidebar .sidebar-content') !== null"):
            pytest.fail("the closed sidebar takes the focus")


def test_enter_that_ends_a_chinese_word_sends_nothing(chat: ChatPage) -> None:
    chat.page.fill("#r1-box textarea", "二加三")
    composing = "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true})"
    chat.page.evaluate(f"document.querySelector('#r1-box textarea').dispatchEvent({composing})")
    chat.page.wait_for_timeout(500)
    assert chat.page.input_value("#r1-box textarea") == "二加三"
    assert chat.page.locator("[data-testid=user]").count() == 0
    chat.page.press("#r1-box textarea", "Enter")
    chat.see("二加三", "[data-testid=user]")


def test_every_control_has_a_name(chat: ChatPage) -> None:
    chat.ask(QUESTION, "R1")
    chat.sidebar()
    nameless = """() => [...document.querySelectorAll('button, input, textarea, [role=button], [role=combobox]')]
        .filter(e => e.offsetParent !== null && !e.closest('[aria-hidden=true]'))
        .filter(e => !(e.getAttribute('aria-label') || e.innerText.trim() || e.title
                       || e.labels && [...e.labels].some(l => l.innerText.trim()) || e.closest('label')))
        .map(e => e.outerHTML.slice(0, 200))"""
    for name in ("chat", "stages", "vote", "prompt"):
        chat.tab(name)
        assert chat.page.evaluate(nameless) == []
    assert chat.page.locator("[role=log]").count() == 1
    assert chat.page.locator("#r1-status [role=status]").count() == 1


def test_a_question_from_a_report_stands_in_the_box_and_is_not_sent(chat: ChatPage, app: Server) -> None:
    chat.page.goto(f"{app.url}#ask=What%20is%202%20%2B%202%3F%20%3Cb%3E")
    chat.page.wait_for_function("document.querySelector('#r1-box textarea')?.value === 'What is 2 + 2? <b>'")
    assert "#" not in chat.page.url and chat.page.locator("#r1-chat .user-row").count() == 0
    chat.page.click("#r1-send")
    chat.see("What is 2 + 2?", "#r1-chat .user-row")
