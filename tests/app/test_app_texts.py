"""Texts in three languages, harmless rendering, chats that a browser keeps, limits, settings, the prompt view."""

from __future__ import annotations

import inspect
import json
import re
import string

import pytest

pytest.importorskip("httpx", reason="httpx is not installed: make install EXTRAS=dev,app")
pytest.importorskip("math_verify")

from hypothesis import given
from hypothesis import strategies as st
from r1chat import defang, history, prompt, render, texts
from r1chat.backend import KINDS, Piece, Tokens
from r1chat.controls import Controls
from r1chat.judge import Judged, Rewards, Vote
from r1chat.limits import RateLimiter
from r1chat.reply import VERDICTS, Reply
from r1chat.settings import Settings
from tables import each

from r1hf.data import form_faults
from r1hf.data.filters import REASONS

T = texts.translator("en")


def done(question: str = "2 + 3 * 4?", whole: str = "<think>a</think> <answer>14</answer>") -> history.Turn:
    reply = Reply(model="r1")
    reply.feed(Piece(whole))
    reply.end()
    return {"question": question, "reply": reply.snapshot()}


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_every_language_has_every_text_with_the_same_values(language: str) -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    english, other = texts.load("en"), texts.load(language)
    assert english.keys() == other.keys()
    assert {key: fields(text) for key, text in english.items()} == {key: fields(text) for key, text in other.items()}
    assert all(text.strip() for text in other.values())


def test_chinese_is_chinese_of_the_right_kind() -> None:
    assert texts.load("zh-Hans")["thinking_now"] != texts.load("en")["thinking_now"]
    assert texts.load("zh-Hans")["settings"] != texts.load("zh-Hant")["settings"]


@pytest.mark.parametrize("kind", [*KINDS, "interrupted"])
def test_every_problem_has_a_sentence_of_its_own(kind: str) -> None:
    for language in texts.LANGUAGES:
        problem = {"kind": kind, "detail": "", "model": "r1", "context": 1024}
        sentence = render.problem_sentence(problem, texts.translator(language))
        assert sentence.endswith((".", "。")) and "{" not in sentence
    assert kind in render.PROBLEMS


def test_every_verdict_has_a_text() -> None:
    assert all(
        f"verdict_{verdict}" in texts.load("en") for verdict in VERDICTS if verdict not in ("complete", "failed")
    )


@pytest.mark.parametrize(
    ("header", "language"),
    [("zh-TW,zh;q=0.9", "zh-Hant"), ("zh-CN", "zh-Hans"), ("fr,en;q=0.5", "en"), ("fr", "en"), (None, "en")],
)
def test_the_first_language_is_the_browsers(header: str | None, language: str) -> None:
    assert texts.from_browser(header) == language


@given(st.text(alphabet=st.sampled_from("<>!/?[]()ab&:*#`~$\\ \n\u2060javscript"), max_size=60))
def test_row_28_no_tag_or_image_survives_anywhere(text: str) -> None:
    safe = defang.markdown(text)
    assert not re.search(r"<[A-Za-z/!?]", safe)
    assert "![" not in safe
    assert not re.search(r"(?i)javascript\s*:", safe)


@given(st.text(alphabet=st.sampled_from("<>!/ab*2()[]$ \n`"), max_size=60))
def test_a_copy_gives_the_text_back(text: str) -> None:
    if not re.search(r"\$\$|\\\(|\\\[", text):
        assert defang.original(defang.markdown(text)) == text


def test_what_is_harmless_stays() -> None:
    for text in ("**bold** and *thin*", "a < b", "costs $5 or $6", "[x](https://example.org)", "\\(x^2\\)", "`a`"):
        assert defang.markdown(text) == text
    assert defang.markdown("\\(a<b\\)") == "\\(a< b\\)"
    assert "*" not in defang.markdown("2*3*4 and x2**3")
    assert defang.markdown("这是**粗体**字") == "这是**粗体**字"
    for fence in (
        "```mermaid",
        "~~~ Mermaid",
        "1. ```mermaid",
        "- > 2) ````mermaid",
        "a\r```mermaid",
        "$$x\n```mermaid\ny$$",
    ):
        assert "mermaid" not in defang.markdown(f"{fence}\ngraph TD\n```").lower()
    assert defang.original(defang.markdown("a mermaid")) == "a mermaid"


def test_a_line_means_nothing_to_markdown_or_html() -> None:
    assert re.fullmatch(r"[\w .,&#;-]*", defang.line("<b>*x* [y](z) `q` _u_ \" '"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_a_browser_holds_becomes_a_store(value: object) -> None:
    for given_value in (value, {"version": 1, "chats": value}, {"version": 1, "chats": [{"turns": value}]}):
        store = history.restore(given_value)
        render.chat_messages(history.open_turns(store), T)
        history.with_turns(store, [done()])


@given(st.dictionaries(st.sampled_from(Controls._fields), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_whatever_a_browser_sends_becomes_controls(value: dict[str, object]) -> None:
    read = Controls.read(value)
    assert read.language in texts.LANGUAGES and isinstance(read.system, str) and isinstance(read.use_system, bool)
    assert isinstance(read.model, str | None) and all(isinstance(name, str) for name in read.stages)
    assert Controls.read(list(value)) == Controls.read(None) == Controls(stages=[])


def test_a_damaged_reply_is_shown_as_one() -> None:
    turn = {"question": "q", "reply": {"phase": "done", "answer": 5, "tokens": "x", "problem": {"kind": "nonsense"}}}
    store = history.restore({"version": 1, "open": "a", "chats": [{"id": "a", "turns": [turn]}]})
    messages, _ = render.chat_messages(history.open_turns(store), T)
    assert messages[0]["content"] == "q"


def test_a_chat_survives_the_browser_and_an_unfinished_answer_says_so() -> None:
    store = history.with_turns(history.new_store(), [done(), {"question": "and?", "reply": None}])
    turns = history.open_turns(history.restore(json.loads(json.dumps(store))))
    assert turns[0] == done() | {"reply": turns[0]["reply"]} and turns[0]["reply"]["answer"] == "14"
    assert turns[1]["reply"]["problem"] == {"kind": "interrupted"}
    messages, owners = render.chat_messages(turns, T)
    assert [message["role"] for message in messages] == [
        "user",
        "assistant",
        "assistant",
        "assistant",
        "user",
        "assistant",
    ]
    assert owners == [0, 0, 0, 0, 1, 1]


def test_old_chats_go_first_and_the_open_one_stays() -> None:
    store = history.new_store()
    for count in range(history.MAX_CHATS + 3):
        store = history.with_turns(history.opened(store, None), [done(f"question {count}")])
    assert len(store["chats"]) == history.MAX_CHATS
    big = history.with_turns(history.opened(store, None), [done("x" * history.MAX_BYTES)])
    assert len(big["chats"]) == 1 and history.open_turns(big)


def test_thoughts_failures_and_an_absent_system_prompt_are_not_sent() -> None:
    failed = done("broken", "")
    turns = [done("first"), failed]
    assert history.messages(turns, "now") == [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "14"},
        {"role": "user", "content": "now"},
    ]
    assert history.messages([], "now", " be brief ")[0] == {"role": "system", "content": "be brief"}


def test_the_export_holds_thoughts_and_measures() -> None:
    document = json.loads(history.export([done("问题")]))
    assert document["messages"][0] == {"role": "user", "content": "问题"}
    answer = document["messages"][1]
    assert (answer["reasoning_content"], answer["content"], answer["r1hf"]["tokens"]) == ("a", "14", 1)


def test_a_card_and_a_chart_hold_no_html_of_a_model() -> None:
    evil = "<img src=x onerror=alert(1)>"
    card = render.card(evil, done(whole=f"<think>{evil}</think> <answer>{evil}</answer>")["reply"], T)
    chart = render.vote_chart([Vote(evil, [0])], 1, evil, T)
    assert "<img" not in card and "<img" not in chart
    assert "<details" in card


def test_could_not_judge_is_a_dash_and_no_zero() -> None:
    marks = render.reward_marks(Judged(Rewards(None, 0.0, 0.5)), T)
    values = re.findall(r"</b> ([^<]*)</span>", marks)
    assert [value.replace("&#8211;", "–") for value in values] == ["–", "0", "0.5"]


def test_a_reason_quotes_an_answer_as_text_and_in_short() -> None:
    evil = "<img src=x onerror=alert(1)> ![](http://a) **b**"
    marks = render.reward_marks(Judged(Rewards(0.0, 0.0, None), evil, evil + 500 * "9", "malformed", "en"), T)
    assert not any(mark in marks for mark in ("<img", "![", "**")) and marks.count("<li>") == 3
    assert 100 * "9" not in marks
    assert (
        render.reward_reasons(Judged(Rewards(None, None, None), failed=True), T) == ["It was not judged in time."] * 3
    )


def test_every_fault_of_the_form_has_a_sentence_in_every_language() -> None:
    names = set(re.findall(r'"([a-z_]+)"', inspect.getsource(form_faults).partition("def form_fault")[2]))
    known = {name for name in names if name in REASONS}
    assert len(known) > 10 and all(f"fault_{name}" in texts.load(code) for name in known for code in texts.LANGUAGES)


def test_the_chart_names_majority_ties_and_agreement() -> None:
    votes = [Vote("14", [0, 1, 2], gold=True), Vote("20", [3], gold=False)]
    chart = render.vote_chart(votes, 4, "14", T)
    assert "Majority: 14" in chart and "agrees with the right answer 14" in chart and "75%" in chart
    assert "No majority" in render.vote_chart([Vote("14", [0]), Vote("20", [1])], 2, "", T)


def test_stages_are_named_and_ordered_as_in_the_paper() -> None:
    names = ["aya", "student_qwen", "r1", "base", "sft1", "r1_zero", "sft2", "reasoning_rl", "student_llama_direct_rl"]
    assert sorted(names, key=render.stage_order) == [
        "base", "r1_zero", "sft1", "reasoning_rl", "sft2", "r1", "student_llama_direct_rl", "student_qwen", "aya",
    ]  # fmt: skip


@each(
    "name, label",
    [
        *[("base", "Base"), ("r1_zero", "R1-Zero"), ("org/sft1", "Dev1"), ("reasoning_rl", "Dev2"), ("r1", "R1")],
        *[("student_qwen", "Qwen student"), ("student_llama_base", "Llama student's base")],
        *[
            ("student_qwen_direct_rl", "Qwen student by direct RL"),
            ("student_qwen_on_policy", "Qwen student on policy"),
        ],
        *[("student_qwen_1_5b", "Qwen 1.5B student"), ("student", "Student")],
        *[("students", "students"), ("my_student", "my_student"), ("org/aya", "org/aya"), ("base_2", "base_2")],
    ],
)
def test_models_are_called_as_people_call_them(name: str, label: str) -> None:
    assert render.model_label(name) == label


def test_the_prompt_view_marks_think_tokens_and_shows_bytes() -> None:
    pieces = ["User", ":", "Ġä½", "łå¥½", "Ċ", "<", "think", ">", "Ċ", "<|im_end|>"]
    shown = prompt.view(Tokens(list(range(10)), pieces, 1024), T)
    assert prompt.full_text(pieces) == "User: 你好\n<think>\n<|im_end|>"
    assert shown.count("r1-token r1-think") == 3
    assert "r1-token r1-special" in shown and "<think>" not in shown
    assert "1014" in shown
    ending = prompt.view(Tokens([1, 2], ["<think>", "Ċ"], None), T)
    assert "prefilled" in ending
    assert prompt.full_text(["▁Hi", "▁you"]) == " Hi you"
    assert "numbers only" in prompt.view(Tokens([1, 2], None, None), T)


def test_the_rate_limit_is_per_person_and_recovers() -> None:
    now = 0.0
    limiter = RateLimiter(60, clock=lambda: now)
    assert all(limiter.take("a") == 0 for _ in range(60))
    assert limiter.take("a") == pytest.approx(1.0)
    assert limiter.take("b") == 0
    now = 1.0
    assert limiter.take("a") == 0
    assert limiter.take("a") > 0
    assert RateLimiter(0).take("a", 1000) == 0


def test_more_than_a_bucket_is_possible_but_costs_time() -> None:
    limiter = RateLimiter(4, clock=lambda: 0.0)
    assert limiter.take("a", 8) == 0
    assert limiter.take("a") == pytest.approx(5 * 60 / 4)


def test_settings_come_from_the_environment_and_hide_secrets() -> None:
    settings = Settings.from_environ(
        {"R1HF_BACKEND_KEY": "sk-1", "R1HF_LOGIN": "anna:p:w", "R1HF_BACKEND": "http://h/v1/"}
    )
    assert settings.login == ("anna", "p:w") and settings.backend == "http://h/v1"
    assert settings.host == "127.0.0.1"
    assert "sk-1" not in repr(settings) and "p:w" not in repr(settings)
    assert Settings.from_environ({"SPACE_ID": "me/space"}).host == "0.0.0.0"


@pytest.mark.parametrize(
    "environ",
    [{"R1HF_LOGIN": "anna"}, {"R1HF_TIMEOUT": "soon"}, {"R1HF_MAX_SAMPLES": "0"}, {"R1HF_BACKEND": "localhost:8000"}],
)
def test_a_setting_that_makes_no_sense_ends_with_a_sentence(environ: dict[str, str]) -> None:
    with pytest.raises(SystemExit, match=next(iter(environ))):
        Settings.from_environ(environ)
