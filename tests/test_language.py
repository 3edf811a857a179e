"""Share of target-language words: what counts as a word, what is notation, and where notation cannot hide prose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import each

from r1hf.core.errors import DataError
from r1hf.text.language import detect, is_mixed, target_share

SHARES = [
    ("First multiply, then add.", "en", 1.0),
    ("先算乘法，再算加法。", "zh", 1.0),
    ("先算乘法", "en", 0.0),
    ("First multiply", "zh", 0.0),
    ("先算 multiply 吧", "zh", 0.75),
    ("don't re-use café", "en", 1.0),
    ("Сначала умножить", "ru", 1.0),
    ("먼저 곱하기", "ko", 1.0),
    ("まず掛け算", "ja", 1.0),
    ("أولا نضرب", "ar", 1.0),
    ("पहले गुणा", "hi", 1.0),
    ("먼저 multiply 곱하기 first", "ko", 0.5),
    ("先算乘法", "zh-Hant", 1.0),
    ("First", "EN_us", 1.0),
]
NO_WORDS = [
    "",
    "3 * 4 = 12, 2 + 12 = 14",
    "x + y = n",
    "$x^2 + 2ab$",
    r"\frac{a}{b} \times \sin(x)",
    "`total = 0`",
    "```python\nprint('hello world')\n```",
    "https://example.com/some/long/path",
    "<think> 3 </think> <answer> 14 </answer>",
    "| special_token | 3 |special_token| 14",
    "α + β = π",
    "10cm, 5km, 3rd",
    "!?… →",
]


@each("text, target, share", SHARES)
def test_share(text, target, share):
    assert target_share(text, target) == pytest.approx(share)


@each("text", NO_WORDS)
def test_no_words_is_no_judgement(text):
    assert target_share(text, "en") is None
    assert target_share(text, "zh") is None
    assert is_mixed(text, "en") is None
    assert detect(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "设 $x = 3$ 和 $y_n$，用 `abs` 得 \\frac{x}{y}，见 https://example.com/page",
        "三角函数 sin x 和 \\(\\cos x\\)，长 10cm",
        "公式 \\[ a^2 + b^2 = c^2 \\] 成立",
    ],
)
def test_notation_in_chinese_is_not_english(text):
    assert target_share(text, "zh") == 1.0


@each(
    "text",
    [
        "乘 $we multiply these first of all$",
        "乘 \\(we multiply these first\\)",
        "乘 `we multiply these first`",
        "乘 \\we \\multiply \\these \\first",
        "乘 \\text{we multiply these first}",
        "乘 ｗｅ ｍｕｌｔｉｐｌｙ ｔｈｅｓｅ ｆｉｒｓｔ",
        "乘 𝐰𝐞 𝐦𝐮𝐥𝐭𝐢𝐩𝐥𝐲 𝐭𝐡𝐞𝐬𝐞 𝐟𝐢𝐫𝐬𝐭",
        "乘 1multiply2 3these4 5first6",
        "乘 ```we multiply these first",
    ],
)
def test_notation_hides_no_prose(text):
    assert target_share(text, "zh") < 0.5


def test_other_language_inside_math_counts():
    assert target_share("We multiply $先算乘法$", "en") < 0.5


@each(
    "text, language",
    [
        ("What is 2 + 3 * 4?", "en"),
        ("2 + 3 * 4 等于多少？", "zh"),
        ("2 + 3 * 4 はいくつですか？", "ja"),
        ("計算してください 乗法優先", "ja"),
        ("2 + 3 * 4는 얼마입니까?", "ko"),
        ("Сколько будет 2 + 3 * 4?", "ru"),
        ("كم يساوي 2 + 3 * 4؟", "ar"),
        ("2 + 3 * 4 = ?", None),
    ],
)
def test_detect(text, language):
    assert detect(text) == language


def test_mixed():
    assert is_mixed("先算 multiply", "zh") is True
    assert is_mixed("先算乘法", "zh") is False
    assert is_mixed("先算 multiply", "zh", threshold=0.5) is False


def test_unknown_language():
    with pytest.raises(DataError, match="'englisch'.*did you mean 'en'.*zh"):
        target_share("hello", "englisch")


english = st.lists(st.sampled_from("first multiply then add the result is right".split()), min_size=1, max_size=20)
chinese = st.lists(st.sampled_from(list("先算乘法再算加得对吗")), min_size=1, max_size=20)


@given(english, chinese, st.randoms())
def test_share_counts_words_and_characters(words, characters, random):
    mixed = [*words, *characters]
    random.shuffle(mixed)
    share = target_share(" 3 ".join(mixed), "en")
    assert share == pytest.approx(len(words) / len(mixed))
    assert target_share(" 3 ".join(mixed), "zh") == pytest.approx(1 - share)


@given(st.text(max_size=80))
def test_any_text_has_a_share_or_none(text):
    share = target_share(text, "en")
    assert share is None or 0.0 <= share <= 1.0


@pytest.mark.parametrize(
    "text", ["$" * 500_000, "`" * 500_000, "\\(" * 300_000, "a@" * 300_000, "\\begin{array}" * 100_000]
)
@pytest.mark.timeout(300)  # work that grows with the square of the length takes longer
def test_hostile_text_returns(text):
    target_share(text, "en")
