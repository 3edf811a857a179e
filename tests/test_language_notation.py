"""Notation outside `$…$` is no foreign word, and foreign prose in its dress is; the labelled cases of the measure."""

import json
from pathlib import Path

import pytest
from tables import each

from r1hf.rewards import language_consistency_reward
from r1hf.text.language import detect, target_share

FIXTURES = Path(__file__).parent / "fixtures"


def rows(name):
    return [json.loads(line) for line in (FIXTURES / name).read_text(encoding="utf-8").splitlines()]


NOTATION = [row for row in rows("language_notation.jsonl") if "least" in row]
DRESSED = [row for row in rows("language_notation.jsonl") if "most" in row]
CASES = rows("judgement_language.jsonl")
THOUGHTS = {
    "zh": "先把三乘以四，得到十二，再加二。",
    "bn": "প্রথমে তিনকে চার দিয়ে গুণ করি, তারপর দুই যোগ করি।",
}
QUESTIONS = {"en": "What is 2 + 3 * 4?", "bn": "২ আর ৩ গুণ ৪ এর যোগফল কত?"}
SCENES = {
    "no words": (QUESTIONS["en"], "3 * 4 = 12", {}),
    "question en, thought zh": (QUESTIONS["en"], THOUGHTS["zh"], {}),
    "language=bn, Bengali thought": (QUESTIONS["en"], THOUGHTS["bn"], {"language": ["bn"]}),
    "no column, Bengali question and thought": (QUESTIONS["bn"], THOUGHTS["bn"], {}),
}


@each("row", NOTATION, ids=lambda row: row["text"][:30])
def test_notation_is_no_foreign_word(row):
    assert target_share(row["text"], row["language"]) >= row["least"]


@each("row", NOTATION, ids=lambda row: row["text"][:30])
def test_notation_is_no_english(row):
    if row["language"] not in "en de es fr tr vi pl sr".split():
        assert target_share(row["text"], "en") <= 0.2
        assert detect(row["text"]) in (row["language"], "hi")  # Marathi is not told from Hindi


@each("row", DRESSED, ids=lambda row: row["text"][:30])
def test_prose_in_the_dress_of_notation_is_seen(row):
    assert target_share(row["text"], row["language"]) <= row["most"]


@each("case", CASES, ids=lambda case: str(case["input"])[:60])
def test_labelled_cases(case):
    first, second = case["input"]
    if first == "detect":
        assert detect(second) == case["right"]
    elif first == "language_consistency_reward":
        question, thought, columns = SCENES[second]
        completion = f"<think>{thought}</think> <answer>14</answer>"
        assert language_consistency_reward([question], [completion], **columns) == case["right"]
    else:
        share, tolerance = map(float, case["right"].split(" ± "))
        assert target_share(first, second) == pytest.approx(share, abs=tolerance)


@pytest.mark.parametrize(
    "text", ["dp[i] = dp[i-1] + nums[i]", "F=ma, a=F/m", "P(A|B)=P(AB)/P(B)，Var(X)=σ^2。", "△ABC ≌ △DEF", "main()"]
)
def test_notation_alone_is_no_judgement(text):
    assert target_share(text, "zh") is None
    assert target_share(text, "en") is None
    assert detect(text) is None


@pytest.mark.parametrize("text", ["HELLO WORLD", "OK", "DNA", "New York"])
def test_short_english_is_english(text):
    assert target_share(text, "en") == 1.0


def test_a_name_that_stands_in_a_compound_is_one_alone():
    assert target_share("当 memo[i] 已知时，从 memo 里直接取值即可", "zh") == 1.0
    assert target_share("直接从 memory 里取值即可", "zh") < 1.0
    assert target_share("调用 dfs(root) 之后比较 left 和 right 的大小关系", "zh") == 1.0
    assert target_share("先比较 left 和 right 的大小关系", "zh") < 1.0


def test_names_that_are_too_many_count():
    few = "multiply(a) 和 carry(b) 是两个函数，先后调用它们就能得到最后的结果"
    many = "multiply(a) carry(b) divide(c) subtract(d) 得"
    assert target_share(few, "zh") == 1.0
    assert target_share(many, "zh") < 0.5


@pytest.mark.parametrize(
    ("fence", "share"),
    [
        ("```python\nfor x in nums:\n    total += x  # add it to the sum\nprint(total)\n```", 1.0),
        ("```\nWe multiply these numbers first and then we add two.\n```", 2 / 12),
        ("```\n我们先把这些数相乘然后加二\n```", 1.0),
    ],
)
def test_a_fence_hides_no_prose(fence, share):
    assert target_share(f"代码 {fence}", "zh") == pytest.approx(share, abs=0.02)


@each("target", ["zh", "en", "sw"])
@each(
    "part", ["a[b,", "a(b,c", "x=", "a_", "Na", "a.", "we_", "a(b, ", "~~~ a", "AB=", "a.b/", '"a', "git a ", "[asy]"]
)
def test_hostile_notation_has_a_share_or_none(part, target):
    share = target_share("乘" + part * 2000, target)
    assert share is None or 0.0 <= share <= 1.0
