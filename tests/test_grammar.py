"""The grammar: what is taken out of each form, that a stream gives the same, and what counts as well formed."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tables import each

from r1hf.core.errors import ConfigError, DataError
from r1hf.text.forms import convert, is_well_formed, to_cold_start, to_think_answer, to_think_only
from r1hf.text.grammar import StreamParser, from_split, parse

FORMS = [
    # text, prefilled, (form, reasoning, answer)
    ("<think>a b</think> <answer>14</answer>", False, ("inline", "a b", "14")),
    ("<think>\na\nb\n</think>\n<answer>\n14\n</answer>\n", False, ("inline", "a\nb", "14")),
    ("<think>a</think> The answer is 14.", False, ("inline", "a", "The answer is 14.")),
    ("<answer>14</answer>", False, ("inline", None, "14")),
    ("a b</think> <answer>14</answer>", True, ("prefilled", "a b", "14")),
    ("<think>\na b</think> 14", True, ("prefilled", "a b", "14")),
    ("| special_token | a b | special_token | Summary: 14.", False, ("cold_start", "a b", "14.")),
    ("|special_token|a b|special_token|14.", False, ("cold_start", "a b", "14.")),
    ("|special_token| a\n|  special_token|\n总结： 14。", False, ("cold_start", "a", "14。")),
    ("Solution: | special_token | a | special_token | 總結: 14", False, ("cold_start", "a", "14")),
    ("The answer is 14.", False, ("none", None, None)),
    ("", False, ("none", None, None)),
    # An <answer> inside the thought belongs to the thought; only </think> ends it.
    (
        "<think>I write <answer>7</answer></think> <answer>14</answer>",
        False,
        ("inline", "I write <answer>7</answer>", "14"),
    ),
    ("<think>a <answer>14</answer>", False, ("inline", "a <answer>14</answer>", None)),
    ("<think>a<think>b</think>c</think> 14", False, ("inline", "a<think>b", "c</think> 14")),
    ("<think></think> 14", False, ("inline", "", "14")),
    ("<think>a < b | c </ think></think>14", False, ("inline", "a < b | c </ think>", "14")),
]


@each("text, prefilled, expected", FORMS)
def test_forms(text, prefilled, expected):
    response = parse(text, prefilled=prefilled)
    assert (response.form, response.reasoning, response.answer) == expected


def test_flags():
    whole = parse("Well. <think>a</think> <answer>14</answer> and more <answer>15</answer>")
    assert (whole.leading, whole.trailing) == ("Well.", "and more <answer>15</answer>")
    assert whole.thinking_closed and whole.answer_tagged and whole.answer_closed and not whole.truncated
    open_thought = parse("<think>a")
    assert open_thought.truncated and not open_thought.thinking_closed and not open_thought.answer_closed
    open_answer = parse("<think>a</think> <answer>1")
    assert open_answer.answer == "1" and open_answer.truncated and not open_answer.answer_closed
    summary = parse("<think>a</think> 14")
    assert summary.answer_closed and not summary.answer_tagged and not summary.truncated
    assert parse("").truncated is False
    assert parse("", prefilled=True).truncated is True


def test_visible_text():
    assert parse("<think>a</think> hello").visible == "hello"
    assert parse("hello").visible == "hello"
    assert parse("<think>a").visible == ""


def test_split_form():
    response = from_split("\na b\n", "\n\n14 ")
    assert (response.form, response.reasoning, response.answer) == ("split", "a b", "14")
    assert response.thinking_closed and response.answer_closed
    assert from_split("a", "<answer>14</answer> more").answer == "14"
    assert from_split("a", "<answer>14</answer> more").trailing == "more"
    cut = from_split("a", None)
    assert cut.truncated and cut.answer is None
    # A server that split nothing off.
    assert from_split(None, "<think>a</think> 14") == parse("<think>a</think> 14")
    assert from_split("", "14").reasoning is None


MARKS = [
    *("<think>", "</think>", "<answer>", "</answer>", "| special_token |", "|special_token|", "| special_token|"),
    *("|\tspecial_token  |", "Summary:", "总结：", "summ", "<", "</", "<thi", "|", "| spec", "| special_token "),
    *("|         special_token|", " ", "\n", "  \n", "14", "word", "中文", "| special_token", "nk>"),
    *("`", "``", "```", "\n```\n", '"', "(", ")", "the ", " tag", " to open", "`<think>`", "\\boxed{14}", ". "),
]
texts = st.lists(st.sampled_from(MARKS) | st.text(max_size=4), max_size=14).map("".join)


@given(texts, st.lists(st.integers(0, 200), max_size=30), st.booleans())
@example("<think>a</think>  <answer> 7<answer>", list(range(40)), False)
@example("|special_token| a | special_token | Summary: 14", list(range(60)), False)
@example("Use:\n```\n<think>a</think>\n```\nso. `<think>` <think>b</think> 14", list(range(70)), False)
def test_stream_equals_whole_text(text, cuts, prefilled):
    whole = parse(text, prefilled=prefilled)
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    parser = StreamParser(prefilled=prefilled)
    deltas = []
    for start, end in zip(places, places[1:], strict=False):
        deltas += parser.feed(text[start:end])
    deltas += parser.close()
    assert parser.response == whole
    spoken = {"reasoning": "", "answer": "", "text": ""}
    for channel, piece in deltas:
        assert piece
        spoken[channel] += piece
    assert spoken["reasoning"] == (whole.reasoning or "")
    assert spoken["answer"] == (whole.answer or "")
    assert spoken["text"] == whole.leading + whole.trailing


@each("text, prefilled", [(text, prefilled) for text, prefilled, _ in FORMS])
def test_stream_of_single_characters(text, prefilled):
    parser = StreamParser(prefilled=prefilled)
    for char in text:
        parser.feed(char)
    parser.close()
    assert parser.response == parse(text, prefilled=prefilled)


def test_stream_speaks_early():
    parser = StreamParser()
    assert parser.feed("<think>first mul") == [("reasoning", "first mul")]
    assert parser.feed("tiply </th") == [("reasoning", "tiply")]
    assert parser.feed("is") == [("reasoning", " </this")]
    assert parser.feed("</think>\n\n") == []
    assert parser.feed("14") == [("answer", "14")]
    assert parser.close() == [] and parser.close() == []
    with pytest.raises(ValueError, match="closed"):
        parser.feed("more")


GOOD = [
    "<think>a</think> <answer>14</answer>",
    "<think>a</think><answer>14</answer>",
    "  \n<think>\na\n\nb\n</think>\n<answer>\n14\n</answer>\n ",
    "<think>2 < 3 and a|b</think> <answer>x < 3</answer>",
    "<think>先乘后加</think>  <answer>14</answer>",
]
BAD = [
    "",
    "14",
    "<answer>14</answer>",
    "<think>a</think>",
    "<think>a</think> 14",
    "<think></think> <answer>14</answer>",
    "<think> \n\t</think> <answer>14</answer>",
    "<think>\u200b\u3164</think> <answer>14</answer>",
    "<think>a</think> <answer></answer>",
    "<think>a</think> <answer> \u2800</answer>",
    "<think>a</think> <answer>14</answer> and then",
    "Sure! <think>a</think> <answer>14</answer>",
    "<think>a</think> so <answer>14</answer>",
    "<think>a</think> <answer>14</answer> <answer>15</answer>",
    "<think>a</think> <answer>14</answer>\n<think>b</think> <answer>15</answer>",
    "<think>a<think>b</think></think> <answer>14</answer>",
    "<think>a</think> <think>b</think> <answer>14</answer>",
    "<think><answer>14</answer></think>",
    "<think>a <answer>14</answer></think> <answer>14</answer>",
    "<answer>14</answer> <think>a</think>",
    "</think>a<think> <answer>14</answer>",
    "<think>a</think> </answer>14<answer>",
    "<think>a</think> <answer>14",
    "<think>a <answer>14</answer>",
    "<think>a</think> <answer>14<answer>",
    "<THINK>a</THINK> <ANSWER>14</ANSWER>",
    "a</think> <answer>14</answer>",
]


@pytest.mark.parametrize("text", GOOD)
def test_well_formed(text):
    assert is_well_formed(text)


@each("text", BAD)
def test_malformed(text):
    assert not is_well_formed(text)


def test_well_formed_after_a_prefilled_tag():
    assert is_well_formed("a</think> <answer>14</answer>", prefilled=True)
    assert is_well_formed("\na</think> 14", "think_only", prefilled=True)
    assert not is_well_formed("<think>a</think> <answer>14</answer>", prefilled=True)
    assert not is_well_formed("</think> <answer>14</answer>", prefilled=True)


@each(
    "text, good",
    [
        ("<think>a</think> 14", True),
        (" <think>a</think>14", True),
        ("<think>a</think>  <answer> 7<answer>", True),
        ("<think>a</think>", False),
        ("<think>a</think> \n", False),
        ("<think>a</think> <answer></answer>", False),
        ("<think> </think> 14", False),
        ("x <think>a</think> 14", False),
        ("<think>a</think> 14 <think>b</think> 15", False),
        ("<think>a</think> 14</think>", False),
        ("14", False),
    ],
)
def test_think_only(text, good):
    assert is_well_formed(text, "think_only") is good


@each(
    "text, good",
    [
        ("| special_token | a | special_token | Summary: 14", True),
        ("|special_token|a|special_token|14\n", True),
        ("| special_token | a\nSummary: The answer is 14.", False),
        ("| special_token | a | special_token | Summary: ", False),
        ("| special_token | | special_token | Summary: 14", False),
        ("| special_token | a | special_token | 14 | special_token |", False),
        ("Solution: | special_token | a | special_token | 14", False),
        ("| special_token | <think>a</think> | special_token | 14", False),
    ],
)
def test_cold_start_form(text, good):
    assert is_well_formed(text, "cold_start") is good


def test_unknown_mode():
    with pytest.raises(ConfigError, match="think_onyl.*think_only"):
        is_well_formed("14", "think_onyl")
    with pytest.raises(ConfigError, match="xml"):
        convert("<think>a</think> 14", "xml")


plain = st.text(min_size=1, max_size=40).map(str.strip).filter(lambda text: text.isprintable() and text)
unmarked = plain.filter(lambda text: not any(mark in text.lower() for mark in ("<", "|", "summary", "总结", "總結")))
visible = unmarked.filter(lambda text: any(char.isascii() and char.isalnum() for char in text))


@given(visible, visible)
def test_conversions_round_trip(reasoning, answer):
    for write, mode in [
        (to_think_answer, "think_answer"),
        (to_think_only, "think_only"),
        (to_cold_start, "cold_start"),
    ]:
        text = write(reasoning, answer)
        assert is_well_formed(text, mode)
        response = parse(text)
        assert (response.reasoning, response.answer) == (reasoning, answer)
        for other in ("think_answer", "think_only", "cold_start"):
            again = parse(convert(response, other))
            assert (again.reasoning, again.answer) == (reasoning, answer)


def test_exact_spacing():
    assert to_think_answer(" a\n", " 14 ") == "<think>a</think> <answer>14</answer>"
    assert to_cold_start("a", "Summary: 14") == "| special_token | a | special_token | Summary: 14"
    assert to_cold_start("a", "14", label="总结：") == "| special_token | a | special_token | 总结： 14"


@pytest.mark.parametrize(
    "text", ["14", "<think>a", "<think>a</think>", "<answer>14</answer>", "<think>a</think><answer>1"]
)
def test_half_a_response_is_not_converted(text):
    with pytest.raises(DataError, match="cannot convert"):
        convert(text, "cold_start")


@pytest.mark.parametrize(
    ("reasoning", "answer"), [("", "14"), ("a", " "), ("a</think>", "14"), ("a", "| special_token |")]
)
def test_parts_that_would_break_the_form(reasoning, answer):
    with pytest.raises(DataError, match="blank|mark"):
        to_think_answer(reasoning, answer)
