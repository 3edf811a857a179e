"""Languages of one script: the labelled set, detection, what is left out, and properties of the share."""

import importlib.util
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import each

from r1hf.core.errors import ConfigError, DataError
from r1hf.rewards import get_language_consistency_reward
from r1hf.text.language import detect, is_mixed, target_share

BENCHMARK = Path(__file__).resolve().parent.parent / "benchmarks" / "language.py"
spec = importlib.util.spec_from_file_location("language_benchmark", BENCHMARK)
assert spec and spec.loader
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)

SENTENCES = benchmark.sentences("testing")
LATIN = "en es fr de vi it pt nl pl tr id".split()
LANGUAGES = [*benchmark.MAIN, *benchmark.MORE]


def plain(language, sentence):
    return " ".join(sentence.replace("{}", " ").split())


# The labelled set.


def test_labelled_texts_are_those_that_the_sentences_make():
    rows = benchmark.read()
    assert rows == benchmark.build("testing")
    assert len(rows) >= 500 and len({row["target"] for row in rows}) >= 10
    unseen, used = benchmark.sentences("tuning"), SENTENCES
    assert all(not set(unseen[code]) & set(used[code]) for code in LANGUAGES)


def test_labelled_texts():
    results = benchmark.measure(benchmark.read())
    errors = [1.0 if share is None else abs(share - row["share"]) for row, share in results]
    assert sum(errors) / len(errors) <= 0.01
    right = [is_mixed(benchmark.text_of(row), row["target"]) == (row["share"] < 0.9) for row, _ in results]
    assert sum(right) / len(right) >= 0.99
    for language in LANGUAGES:
        own = [error for error, (row, _) in zip(errors, results, strict=True) if row["target"] == language]
        assert sum(own) / len(own) <= 0.03, language


@each("language", LANGUAGES)
def test_every_sentence_is_in_its_language(language):
    for sentence in SENTENCES[language]:
        assert target_share(plain(language, sentence), language) == 1.0


@each("language", LATIN)
def test_no_sentence_of_another_language_counts(language):
    for other in set(LATIN) - {language}:
        shares = [target_share(plain(other, sentence), language) for sentence in SENTENCES[other]]
        assert sum(shares) / len(shares) < 0.1, other


# Short texts.


@each(
    "text, language",
    [
        ("¿Cuánto es 2 + 3 * 4?", "es"),
        ("Cuánto es 2 + 3?", "es"),
        ("Resuelve la ecuación $x^2 = 4$.", "es"),
        ("Combien font 2 + 3 * 4 ?", "fr"),
        ("Résous l'équation $x^2 = 4$.", "fr"),
        ("Wie viel ist 2 + 3 * 4?", "de"),
        ("2 + 3 * 4 bằng bao nhiêu?", "vi"),
        ("Quanto fa 2 + 3 * 4?", "it"),
        ("Hoeveel is 2 + 3 * 4?", "nl"),
        ("Ile to jest 2 + 3 * 4?", "pl"),
        ("2 + 3 * 4 kaç eder?", "tr"),
        ("Berapa 2 + 3 * 4?", "id"),
        ("Скільки буде 2 + 3 * 4?", "uk"),
        ("چند تا سیب داری؟", "fa"),
        ("Compute $\\dbinom{8}{4}$.", "en"),
        ("Hi", "en"),
        ("ok", "en"),
    ],
)
def test_short_questions(text, language):
    assert detect(text) == language


@each(
    "text, target, share",
    [
        ("ok so first 3 * 4", "en", 1.0),
        ("ok so first 3 * 4", "es", 0.0),
        ("ok", "es", 1.0),
        ("hola mundo", "es", 1.0),
        ("hola mundo", "en", 0.0),
        ("First we multiply, luego sumamos dos al resultado final", "es", 6 / 9),
        ("wir multiplizieren zuerst, dann addieren wir. Hence the answer is fourteen, which is right.", "de", 6 / 14),
        ("THE ANSWER IS FOURTEEN BECAUSE WE MULTIPLY FIRST", "en", 1.0),
        ("DIE ANTWORT IST VIERZEHN, WEIL WIR ZUERST MULTIPLIZIEREN", "en", 0.0),
        ("İLK ÖNCE ÇARPMA YAPILIR SONRA TOPLAMA", "tr", 1.0),
        # Names, unknown words, loanwords and homographs are in the language around them.
        ("Kwabena Nkrumah Oyelaran", "en", 1.0),
        ("The schadenfreude of the zeitgeist is a cliché", "en", 1.0),
        ("Die die die the die die die", "de", 1.0),
        ("Спочатку множимо, потім додаємо", "ru", 0.0),
        ("Сначала умножаем, then we add", "ru", 2 / 5),
        # Chinese and Japanese share characters.
        ("先算乘法，再算加法。", "ja", 0.0),
        ("計算過程", "ja", 1.0),
        ("計算結果は十四です。三角形面積、合計十二個。", "ja", 1.0),
        ("所以答案是十四。だから答えは十四です。", "zh", 7 / 17),
        # A language without a word list: its script decides.
        ("Mitu õuna on korvis", "et", 1.0),
    ],
)
def test_share_within_a_script(text, target, share):
    assert target_share(text, target) == pytest.approx(share)


# What is left out.


@each(
    "text, target",
    [
        ("The word “bonjour” means hello in French", "en"),
        ('La palabra "house" significa casa', "es"),
        ("The sign 「掛け算」 means multiplication", "en"),
        ("Alice 有 3 个苹果，Bob 有 5 个苹果。", "zh"),
        ("我们使用 GCD 和 Python 来计算", "zh"),
        ("用 `append` 和 `extend` 方法", "zh"),
        ("`def foo(bar): return bar` 返回值", "zh"),
        ("打开 main.py 看看 example.com/foo/bar 再说吧", "zh"),
        ("长 3 km 宽 200 cm", "zh"),
        ("于是 \\begin{align*} xyz &= 4 \\\\ xy + yz + zx &= 2 \\end{align*} 成立", "zh"),
        ("所以 $xyz = abc + bcd - cde$ 成立", "zh"),
    ],
)
def test_notation_names_and_quoted_terms_are_no_words(text, target):
    assert target_share(text, target) == 1.0


@each(
    "text",
    [
        "乘 «we multiply these first and then add»",
        '乘 "we multiply" "these first" "and then" "add two"',
        "乘 `we` `multiply` `these` `first`",
        "乘 $multiply$ $these$ $numbers$ $first$ $then$",
        "乘 We Multiply These Numbers First",
        "先 Multiply 再 Add 后 Subtract",
    ],
)
def test_prose_in_pieces_hides_nowhere(text):
    assert target_share(text, "zh") <= 0.5


# Properties.

sentence_of = {code: st.sampled_from([plain(code, s) for s in SENTENCES[code]]) for code in LANGUAGES}
notation = st.sampled_from([*benchmark.FORMULAS, *benchmark.BLOCKS])


@given(st.text(max_size=200), st.sampled_from(LANGUAGES))
def test_any_text(text, target):
    share = target_share(text, target)
    assert share is None or 0.0 <= share <= 1.0
    assert detect(text) is None or isinstance(detect(text), str)


BROKEN = 'the la der das $ ` " “ ” « \\( \\) [ 先 の は x 3 ``` \\text{ } km Ann'.split()


@given(st.lists(st.sampled_from(BROKEN), max_size=40))
def test_any_broken_notation(parts):
    share = target_share(" ".join(parts), "en")
    assert share is None or 0.0 <= share <= 1.0


@given(st.data(), st.sampled_from(LANGUAGES), st.sampled_from(LANGUAGES), notation, notation)
def test_notation_changes_no_share(data, language, target, first, second):
    one, two = data.draw(sentence_of[language]), data.draw(sentence_of[language])
    share = target_share(f"{one} {two}", target)
    assert target_share(f"{first} {one} {second} {two} {first}", target) == share


@settings(max_examples=200)
@given(st.data(), st.sampled_from(LANGUAGES), st.sampled_from(LANGUAGES))
def test_two_texts_together_are_between(data, target, other):
    one, two = data.draw(sentence_of[target]), data.draw(sentence_of[other])
    low, high = sorted([target_share(one, target), target_share(two, target)])
    assert low - 0.1 <= target_share(f"{one} {two}", target) <= high + 0.1


def test_the_order_of_the_texts_changes_nothing():
    pairs = [(benchmark.text_of(row), row["target"]) for row in benchmark.read()[::9]]
    shares = [target_share(*pair) for pair in pairs]
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda pair: target_share(*pair), reversed(pairs)))
    assert again[::-1] == shares


def test_another_process_agrees():
    row = next(row for row in benchmark.read() if row["kind"] == "mixed" and row["target"] == "es")
    text = benchmark.text_of(row)
    code = "import sys; from r1hf.text.language import target_share; print(target_share(sys.argv[1], 'es'))"
    command = [sys.executable, "-c", code, text]
    found = {
        subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{target_share(text, 'es')}\n"}


def test_import_loads_no_word_lists():
    code = "import sys, r1hf.text.language; print(sorted({'numpy', 'wordfreq', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_more_words_than_the_cache_holds(monkeypatch):
    from r1hf.text.language import identify

    monkeypatch.setattr(identify, "_CACHED_WORDS", 64)
    identify._model.cache_clear()
    try:
        for row in benchmark.read()[::25]:
            share = target_share(benchmark.text_of(row), row["target"])
            assert share == pytest.approx(row["share"], abs=0.1)
    finally:
        identify._model.cache_clear()


def test_without_word_lists_script_decides_and_says_so(monkeypatch):
    from r1hf.text.language import identify

    monkeypatch.setitem(sys.modules, "wordfreq", None)
    identify._model.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="make install"):
            assert target_share("hola mundo", "en") == 1.0
    finally:
        identify._model.cache_clear()


# Options and errors.


def test_too_few_words():
    assert target_share("hola mundo", "es", min_words=3) is None
    assert target_share("hola mundo", "es", min_words=2) == 1.0
    assert target_share("", "es", min_words=0) is None
    assert target_share("先算乘法", "zh", min_words=4) == 1.0


def reward_of(reward, thought, prompt="What is 2 + 3 * 4?", **columns):
    completions = [f"<think>{thought}</think> <answer>14</answer>"]
    return reward(prompts=[prompt], completions=completions, **columns)[0]


def test_reward_abstains_below_its_least_number_of_words():
    reward = get_language_consistency_reward(min_words=3, empty=1.0)
    assert reward_of(reward, "先乘") is None
    assert reward_of(reward, "3 * 4 = 12") == 1.0
    assert reward_of(reward, "we multiply first") == 1.0
    assert reward_of(pickle.loads(pickle.dumps(reward)), "先算乘法") == 0.0
    with pytest.raises(ConfigError, match="min_words"):
        get_language_consistency_reward(min_words=0)


@pytest.mark.parametrize(
    ("prompt", "thought"),
    [
        ("¿Cuánto es 2 + 3 * 4?", "primero multiplicamos y luego sumamos"),
        ("Wie viel ist 2 + 3 * 4?", "zuerst multiplizieren wir, dann addieren wir"),
        ("2 + 3 * 4 bằng bao nhiêu?", "trước hết ta nhân rồi cộng"),
        ("Combien font 2 + 3 * 4 ?", "on multiplie puis on additionne"),
    ],
)
def test_reward_asks_for_the_language_of_the_question(prompt, thought):
    reward = get_language_consistency_reward()
    assert reward_of(reward, thought, prompt) == 1.0
    assert reward_of(reward, "first we multiply and then we add", prompt) == 0.0
    assert reward_of(reward, thought, "What is 2 + 3 * 4?") == 0.0
    assert reward_of(reward, thought, prompt, language=["en"]) == 0.0


@pytest.mark.parametrize(
    ("target", "nearest"), [("englisch", "en"), ("Spannish", "es"), ("cn", "zh"), ("jp", "ja"), ("vietnamse", "vi")]
)
def test_unknown_language_names_the_nearest(target, nearest):
    with pytest.raises(DataError, match=f"{target!r}.*did you mean {nearest!r}"):
        target_share("hello", target)


def test_unknown_language_without_a_nearest():
    with pytest.raises(DataError, match="'klingon' is unknown; use an ISO 639-1 code"):
        target_share("hello", "klingon")
