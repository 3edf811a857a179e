"""Rewards of form, length and repetition: passes, cheats, and the faults of other libraries as regressions."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import each
from trl.rewards import get_repetition_penalty_reward, get_soft_overlong_punishment, think_format_reward

from r1hf import rewards as r1
from r1hf.core.errors import ConfigError

FIXTURES = Path(__file__).parent / "fixtures"


def pays(reward, text, **columns):
    return reward(prompts=["?"], completions=[text], completion_ids=[[1]], **columns)[0]


# Format. open-r1 compares with a pattern under MULTILINE, so that "$" matches at the end of any line: all of JUNK is
# paid there. TRL's think_format_reward must see "<think>" first (trl#6966) and pays an empty answer.

WELL_FORMED = [
    "<think>\na\n</think>\n<answer>\nb\n</answer>",
    "<think>a</think> <answer>b</answer>",
    "<think>a</think><answer>b</answer>",
    "  \n<think>a\n\nb < c > d</think>\n\n<answer>b</answer>\n\n",
    "<think>先想</think> <answer>答</answer>",
    "<think>a </ think> b</think> <answer>1 < 2</answer>",
]
JUNK = [
    "<think>\na\n</think>\n<answer>\nb\n</answer>\nand more",
    "<think>\na\n</think>\n<answer>\nb\n</answer>\n<think>\nc\n</think>\n<answer>\nd\n</answer>",
    "<think>\na\n</think>\n<answer>\nb\n</answer>\n<answer>\nb\n</answer>",
    "<think>\n<think>\na\n</think>\n</think>\n<answer>\nb\n</answer>",
    "<think>\n\n</think>\n<answer>\nb\n</answer>",
    "<think>\na\n</think>\n<answer>\n\n</answer>",
    "<think>\na\n</think>\n<answer>\n<answer>\nb\n</answer>\n</answer>",
    "<think>\na\n<answer>\nb\n</answer>\n</think>",
    "<think>\na\n<answer>b</answer></think>\n<answer>\nb\n</answer>",
    "<think>\na\n</think>\n<answer>\nb\n</think>\n</answer>",
    "before <think>\na\n</think>\n<answer>\nb\n</answer>",
    "<think>\na\n</think>\nbetween\n<answer>\nb\n</answer>",
    "<answer>\nb\n</answer>\n<think>\na\n</think>",
    "<think>\na\n</think>\n<answer>\nb\n<answer>",
    "<think>\na\n</think>\n<answer>\nb",
    "<think>\na\n<answer>\nb\n</answer>",
    "<think>\na\n</think>\nb",
    "<THINK>\na\n</THINK>\n<answer>\nb\n</answer>",
    "< think>\na\n</think>\n<answer>\nb\n</answer>",
    "<think>\u200b\u2060</think> <answer>b</answer>",
    "<think>a</think> <answer>\u3164\u00a0</answer>",
    "a </think> <answer>b</answer>",
    "</think><answer>b</answer>",
    "",
]


@each("text", WELL_FORMED)
def test_well_formed(text):
    assert pays(r1.format_reward, text) == 1.0
    assert pays(r1.get_format_reward(mode="think_only"), text) == 1.0
    prefilled = text.strip().removeprefix("<think>")
    for mode in ("think_answer", "think_only"):
        assert pays(r1.get_format_reward(mode=mode, prefilled=True), prefilled) == 1.0
        assert pays(r1.get_format_reward(mode=mode, prefilled=True), text) == 0.0
        assert pays(r1.get_format_reward(mode=mode), prefilled) == 0.0


@each("text", JUNK)
def test_malformed(text):
    assert pays(r1.format_reward, text) == 0.0
    conversation = [{"role": "assistant", "content": text}]
    assert pays(r1.format_reward, conversation) == 0.0


@each(
    "text, paid",
    [
        ("<think>a</think> b", 1.0),
        ("<think>a</think> <answer>b", 1.0),
        (" \n<think>a</think>b", 1.0),
        ("<think>a</think>", 0.0),
        ("<think>a</think> <answer></answer>", 0.0),
        ("<think></think> b", 0.0),
        ("<think><think>a</think> b", 0.0),
        ("<think>a</think> b <think>c</think> d", 0.0),
        ("<think>a</think> b </think> c", 0.0),
        ("b <think>a</think> c", 0.0),
        ("<think>a", 0.0),
        ("b", 0.0),
    ],
)
def test_the_papers_format_looks_at_the_thought(text, paid):
    assert pays(r1.get_format_reward(mode="think_only", value=0.5), text) == paid * 0.5


def test_prefilled_and_empty_where_trl_is_wrong():
    prefilled, empty = "a</think> b", "<think>a</think>"
    assert think_format_reward([[{"content": prefilled}], [{"content": empty}]]) == [0.0, 1.0]
    assert pays(r1.get_format_reward(mode="think_only", prefilled=True), prefilled) == 1.0
    assert pays(r1.get_format_reward(mode="think_only"), empty) == 0.0


TAGGED = st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "a", " ", "\n"]), max_size=12).map(
    "".join
)


@given(TAGGED)
def test_one_form_only_is_paid(text):
    whole = re.fullmatch(r"\s*<think>((?:(?!<).)*)</think>\s*<answer>((?:(?!<).)*)</answer>\s*", text, re.DOTALL)
    assert pays(r1.format_reward, text) == float(bool(whole and whole[1].strip() and whole[2].strip()))


# Length


def ids(*lengths):
    return [[1] * length for length in lengths]


def test_overlong_is_trls():
    reward = r1.get_overlong_reward(100, 20)
    lengths = ids(0, 80, 81, 90, 100, 101, 5000)
    paid = reward(prompts=["?"] * 7, completions=["x" * 10_000] * 7, completion_ids=lengths)
    assert paid == get_soft_overlong_punishment(100, 20)(completion_ids=lengths)
    assert paid == pytest.approx([0.0, 0.0, -0.05, -0.5, -1.0, -1.0, -1.0])
    assert r1.get_overlong_reward(100, 0)(["?"] * 2, ["x"] * 2, ids(100, 101)) == [0.0, -1.0]


@pytest.mark.parametrize(("length", "cache"), [(100, 101), (100, -1), (0, 0), (-5, 0)])
def test_overlong_mistakes(length, cache):
    with pytest.raises(ConfigError, match="soft_punish_cache"):
        r1.get_overlong_reward(length, cache)


# Repetition

LOOPS = [
    "wait, let me check that again. " * 30,
    "ha" * 1000,
    "!" * 300,
    "= " * 300,
    "等一下，让我再想想。" * 30,
    "哈" * 300,
    "もう一度考えます。" * 30,
    "ลองคิดดูอีกครั้ง" * 30,
    "подожди, " * 100,
    "😀" * 200,
    "1 + 1 = 2\n" * 60,
]


@each("text", LOOPS)
def test_a_loop_is_penalised_in_any_script(text):
    assert pays(r1.repetition_reward, text) < -0.8
    assert pays(r1.repetition_reward, f"<think>{text}</think> <answer>1</answer>") < -0.8
    assert pays(r1.repetition_reward, [{"role": "assistant", "content": "1", "reasoning_content": text}]) < -0.8
    assert -1.0 <= pays(r1.repetition_reward, text * 10)


def sentences(language):
    text = (FIXTURES / "language_sentences.txt").read_text(encoding="utf-8").split(f"[{language}]\n")[1]
    return text.split("\n[")[0].splitlines()


@each("language", ["en", "zh", "ja", "ru", "ar", "es"])
def test_ordinary_text_is_free(language):
    assert pays(r1.repetition_reward, "\n".join(sentences(language))) == 0.0


def test_chinese_costs_what_english_costs():
    """A Chinese character is three byte-level tokens, a 3-gram of its own: TRL's reward charges Chinese for it."""
    by_bytes = get_repetition_penalty_reward()
    english, chinese = (" ".join(sentences(language))[:400] for language in ("en", "zh"))
    theirs = by_bytes([list(english.encode()), list(chinese.encode())])
    assert theirs[1] < theirs[0] - 0.05
    assert pays(r1.repetition_reward, english) == pays(r1.repetition_reward, chinese) == 0.0


def test_short_text_half_a_loop_and_options():
    reward = r1.get_repetition_reward(ngram_size=2, max_penalty=-2.0, allowed=0.0)
    assert pays(reward, "") == pays(reward, "one") == pays(reward, "one two three") == 0.0
    assert pays(reward, "a b a b a") == pytest.approx(-2.0 * (1 - 2 / 4))
    assert pays(reward, "A b a B a") == pays(reward, "a b a b a")
    words = " ".join(f"word{number}" for number in range(100))
    assert pays(r1.repetition_reward, words) == 0.0
    assert -0.6 < pays(r1.repetition_reward, words + " round and" * 50) < -0.2


@pytest.mark.parametrize("options", [{"ngram_size": 0}, {"max_penalty": 0.5}, {"allowed": 1.0}, {"allowed": -0.1}])
def test_repetition_mistakes(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        r1.get_repetition_reward(**options)


@given(st.text(max_size=200), st.integers(1, 12))
def test_repetition_stays_in_its_range(text, size):
    paid = pays(r1.get_repetition_reward(ngram_size=size, allowed=0.0), text * 3)
    assert -1.0 <= paid <= 0.0 and math.isfinite(paid)


def test_random_reward_mistakes():
    with pytest.raises(ConfigError, match="probability 1.5"):
        r1.get_random_reward(probability=1.5)
    assert json.dumps(pays(r1.get_random_reward(probability=0.0), "x")) == "0.0"
