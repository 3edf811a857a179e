"""Data sets: rows in and out, packing, filters, rewriting and targets."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import answered
from tables import each
from transformers import PreTrainedTokenizerBase

from r1hf.core.errors import DataError
from r1hf.data.audit import Audit
from r1hf.data.cold_start import _cut, take
from r1hf.data.filters import SampleFilter, by_rule
from r1hf.data.packing import pack
from r1hf.data.rewrite import LANGUAGES, numbered_steps, rewrite, summary
from r1hf.data.rows import check_rows, load_rows, write_rows
from r1hf.data.targets import as_targets
from r1hf.models.sampling import Completion
from r1hf.text.forms import is_well_formed, to_cold_start
from r1hf.text.grammar import parse
from r1hf.verify import final_answer, verify_math
from r1hf.world import corpus
from r1hf.world.arithmetic import Problem, problem
from r1hf.world.models import train_tokenizer

# Rows

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=5,
)


@given(
    rows=st.lists(st.dictionaries(st.text("abcü", min_size=1), JSON, min_size=1, max_size=3), min_size=1, max_size=5)
)
def test_rows_survive_the_disk(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rows") / "new" / "rows.jsonl"
    assert write_rows(path, iter(rows)) == len(rows)
    assert load_rows(str(path)) == rows


def test_rows_of_each_kind_of_source(tmp_path: Path) -> None:
    rows = [{"question": "一?", "answer": "1"}, {"question": "2?", "answer": "2"}]
    table = datasets.Dataset.from_list(rows)
    write_rows(tmp_path / "a.jsonl", rows)
    (tmp_path / "b.json").write_text(json.dumps(rows), encoding="utf-8")
    table.to_parquet(tmp_path / "c.parquet")
    table.to_csv(tmp_path / "d.csv")
    table.save_to_disk(str(tmp_path / "e"))
    for name in ("a.jsonl", "b.json", "c.parquet", "e"):
        assert load_rows(str(tmp_path / name), ("question", "answer")) == rows, name
    assert [row["question"] for row in load_rows(str(tmp_path / "d.csv"))] == ["一?", "2?"]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n   \n{"a": 2}', encoding="utf-8")
    assert load_rows(str(path)) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": 1}\n{"a": \n', "rows.jsonl:2: not JSON"),
        ('{"a": 1}\n\n[1, 2]\n', "rows.jsonl:3: expected a JSON object, found list: '[1, 2]"),
        ('"text"\n', "rows.jsonl:1: expected a JSON object, found str"),
        ("", "holds no rows"),
        ("\n\n", "holds no rows"),
        ('{"a": 1, "b": 2}\n{"b": 3, "c": 4}\n', "row 2: no column a; it has b, c"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load_rows(str(path), ("a",))
    assert said in str(caught.value) and str(path) in str(caught.value)
    problems: list[str] = []
    assert check_rows(problems, "prompts", str(path), ("a",)) == []
    assert problems == [f"prompts: {caught.value}"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("latin.jsonl", '{"question": "caf\xe9"}\n'.encode("latin-1")),
        ("image.jsonl", bytes(range(256))),
        ("bad.json", b"{nope"),
        ("bad.csv", b""),
        ("bad.parquet", b"no parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem_and_no_traceback(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    problems: list[str] = []
    assert check_rows(problems, "data", str(tmp_path / name)) == []
    assert len(problems) == 1 and name in problems[0]


def test_the_check_leaves_what_is_no_file_to_the_stage(tmp_path: Path) -> None:
    problems: list[str] = []
    for source in (None, "org/name", str(tmp_path), str(tmp_path / "none.jsonl")):
        assert check_rows(problems, "data", source, ("a",)) == []
    write_rows(tmp_path / "good.jsonl", [{"a": 1}])
    assert check_rows(problems, "data", str(tmp_path / "good.jsonl"), ("a",)) == [{"a": 1}]
    assert problems == []


# Packing


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer(islice(corpus.documents(0), 300), 400)


@given(st.lists(st.text("ab 12é，", max_size=20), max_size=12), st.integers(1, 16))
def test_each_block_begins_with_a_document_and_follows_the_stream(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], block_size: int
) -> None:
    waiting = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts]
    if sum(map(len, waiting)) < block_size:
        with pytest.raises(DataError, match=f"do not fill one block of {block_size}"):
            pack(iter(texts), tokenizer, block_size)
        return
    blocks = pack(iter(texts), tokenizer, block_size)
    assert {len(block) for block in blocks["input_ids"]} == {block_size} and blocks["labels"] == blocks["input_ids"]
    for block in blocks["input_ids"]:
        whole: list[int] = []
        while len(whole) < block_size:
            whole += waiting.pop(0)
        assert block == whole[:block_size]
    assert sum(map(len, waiting)) < block_size


def test_packing_goes_beyond_one_read(tokenizer: PreTrainedTokenizerBase) -> None:
    texts = [str(number) for number in range(4096 * 2 + 5)]
    blocks = pack(iter(texts), tokenizer, 64)
    ends = sum(block.count(tokenizer.eos_token_id) for block in blocks["input_ids"])
    found = tokenizer.decode(blocks["input_ids"][-1]).split(tokenizer.eos_token)
    assert found[0] in texts and texts.index(found[0]) > 4096 * 2 - 64 and ends > 4096 * 2 * 0.8


# Filters

ROW = {"question": "What is 2 + 3 * 4?", "answer": "14", "language": "en", "task": "reasoning"}
GOOD = "<think>first 3 * 4 = 12, then 2 + 12 = 14</think> <answer>14</answer>"
# reason -> a sample that fails by it alone, and the row where it is not ROW
REJECTED: dict[str, tuple[Completion, dict[str, str | None]]] = {
    "truncated": (Completion(GOOD, 20, True), {}),
    "malformed": (Completion(GOOD.replace("</answer>", "<answer>"), 20, False), {}),
    "wrong_answer": (Completion(GOOD.replace("<answer>14", "<answer>20"), 20, False), {}),
    "unjudged": (Completion(GOOD, 20, False), {"answer": None}),
    "mixed_language": (Completion(GOOD.replace("then", "再算"), 20, False), {}),
    "too_long": (Completion(GOOD, 31, False), {}),
    "code": (Completion(GOOD.replace("first", "```first```"), 20, False), {}),
}


@each("reason", sorted(REJECTED))
def test_each_reason_rejects_its_sample_and_no_other_does(reason: str) -> None:
    sample, changes = REJECTED[reason]
    judge = SampleFilter(max_tokens=30)
    assert judge.reason({**ROW, **changes}, sample) == reason
    assert not judge.keeps({**ROW, **changes}, sample)
    assert judge.counts() == {reason: 1} and judge.kept == 0
    assert judge.keeps(ROW, Completion(GOOD, 30, False))


def test_a_sample_is_kept_once_for_each_question() -> None:
    judge = SampleFilter()
    assert judge.keeps(ROW, Completion(GOOD, 20, False))
    assert not judge.keeps(ROW, Completion(f" {GOOD}\n", 21, False))
    assert judge.counts() == {"duplicate": 1}
    assert judge.keeps({**ROW, "question": "2 + 3 * 4 = ?"}, Completion(GOOD, 20, False))
    assert judge.kept == 2


def test_the_answer_too_must_be_in_the_language() -> None:
    mixed = GOOD.replace(">14<", ">答案是 14<")
    assert SampleFilter().reason(ROW, Completion(mixed, 20, False)) == "wrong_language"
    assert SampleFilter(min_language_share=0.0).reason(ROW, Completion(mixed, 20, False)) is None
    chinese = {**ROW, "language": "zh"}
    assert (
        SampleFilter().reason(chinese, Completion("<think>3 * 4 = 12</think> <answer>14</answer>", 9, False)) is None
    )


def test_the_form_is_the_one_asked_for() -> None:
    cold = to_cold_start("Step 1: 3 * 4 = 12.", "The answer is 14.")
    assert SampleFilter(form="cold_start").reason(ROW, Completion(cold, 20, False)) is None
    assert SampleFilter(form="cold_start").reason(ROW, Completion(GOOD, 20, False)) == "think_tags"
    assert SampleFilter().reason(ROW, Completion(cold, 20, False)) == "no_thought"
    # The seeds' target that lacks its second separator.
    half = "| special_token | Step 1: 3 * 4 = 12. Summary: The answer is 14."
    assert SampleFilter(form="cold_start").reason(ROW, Completion(half, 20, False)) == "one_separator"


def test_the_seeds_own_samples() -> None:
    """Rejection sampling keeps 14 and rejects 20 (seed article, section 13)."""
    judge = SampleFilter()
    texts = [
        "<think>2 + 3 = 5, 5 * 4 = 20</think> <answer>20</answer>",
        "<think>3 * 4 = 12, 2 + 12 = 14</think> <answer>14</answer>",
    ]
    assert [judge.keeps(ROW, Completion(text, 9, False)) for text in texts] == [False, True]


SAMPLES = st.builds(
    Completion,
    st.sampled_from([GOOD, GOOD.replace("14<", "20<"), GOOD.replace("then", "再算"), "", "<think>", GOOD + "```"]),
    st.integers(0, 60),
    st.booleans(),
)


@given(st.lists(SAMPLES, max_size=30))
def test_every_sample_is_either_kept_or_counted(samples: list[Completion]) -> None:
    judge = SampleFilter(max_tokens=30)
    verdicts = [judge.keeps(ROW, sample) for sample in samples]
    assert judge.kept == sum(verdicts)
    assert judge.kept + sum(judge.counts().values()) == len(samples)
    assert list(judge.counts().values()) == sorted(judge.counts().values(), reverse=True)
    assert judge.kept <= 1


# Rewriting

WORLD = st.builds(lambda seed: problem(random.Random(seed)), st.integers(0, 2**32))
LANGUAGE = st.sampled_from(LANGUAGES)


def assert_rewritten(one: Problem, thinking: str, steps: list[str], target: str) -> None:
    """The steps, and no other, as a cold-start text that a stage would keep."""
    parts = rewrite(thinking, one.answer, target)
    assert parts == (numbered_steps(steps, target), summary(one.answer, target))
    row = one.row() | {"language": target}
    assert SampleFilter(form="cold_start").reason(row, Completion(to_cold_start(*parts), 30, False)) is None
    assert verify_math(final_answer(to_cold_start(*parts)), one.answer)


@settings(max_examples=40)
@given(WORLD, LANGUAGE, st.data())
def test_what_is_left_of_a_sum_in_any_mix_of_languages_becomes_a_cold_start_text(
    one: Problem, target: str, data: st.DataObject
) -> None:
    steps = one.steps()
    tongues = data.draw(st.lists(LANGUAGE, min_size=len(steps), max_size=len(steps)))
    thinking = corpus.thinking(steps, tongues)
    if len(steps) < 2:  # the sum itself was never written: nothing shows that it was worked out
        assert rewrite(thinking, one.answer, target) is None
    else:
        assert_rewritten(one, thinking, steps, target)
        assert_rewritten(one, numbered_steps(steps, target), steps, target)


@settings(max_examples=40)
@given(WORLD, LANGUAGE, st.data())
def test_what_was_taken_back_is_left_out(one: Problem, target: str, data: st.DataObject) -> None:
    right, wrong = one.steps(), one.wrong_steps(random.Random(0))
    noticed = data.draw(st.integers(1, len(wrong)))
    tongues = data.draw(st.lists(LANGUAGE, min_size=noticed + len(right), max_size=noticed + len(right)))
    thinking = corpus.thinking([*wrong[:noticed], *right], tongues, noticed)
    if len(right) > 1:
        assert_rewritten(one, thinking, right, target)


@settings(max_examples=40)
@given(WORLD, LANGUAGE, st.data())
def test_a_wrong_line_or_answer_is_not_rewritten(one: Problem, target: str, data: st.DataObject) -> None:
    steps, off = one.steps(), data.draw(st.integers(1, 200))
    place = data.draw(st.integers(0, len(steps) - 1))
    broken = [f"{line}+{off}" if number == place else line for number, line in enumerate(steps)]
    tongues = [target] * len(steps)
    assert rewrite(corpus.thinking(broken, tongues), one.answer, target) is None
    assert rewrite(corpus.thinking(one.wrong_steps(random.Random(off)), tongues), one.answer, target) is None
    assert rewrite(corpus.thinking(steps, tongues), str(int(one.answer) + off), target) is None
    assert rewrite(corpus.thinking(steps, tongues), "", target) is None


@each(
    "thinking, answer, found",
    [
        ("first 2+12-1, then 14-1, then 13", "13", "Step 1: 2+12-1. Step 2: 14-1. Step 3: 13."),
        ("first 2+12-1，再得 14-1, then 13", "13", "Step 1: 2+12-1. Step 2: 14-1. Step 3: 13."),
        ("first (2+3)*4, then 5 * 4, then 20!", "20", "Step 1: (2+3)*4. Step 2: 5 * 4. Step 3: 20."),
        ("first 5*4-1, then 19, wait, 2+12-1, then 14-1, then 13", "13", "Step 1: 2+12-1. Step 2: 14-1. Step 3: 13."),
        ("first 20, 等等，2+12, wait, 3+12-1, then 14", "14", "Step 1: 3+12-1. Step 2: 14."),
        ("第一步：2+12-1。第二步：14-1。第三步：13。", "13", "Step 1: 2+12-1. Step 2: 14-1. Step 3: 13."),
        ("I await 2+12, then 14", "14", "Step 1: 2+12. Step 2: 14."),
        ("first 2+12-1, then 14-1, wait, 13", "13", None),  # one line proves nothing
        ("first 2+12-1, then 14-1", "13", None),
        ("first 2+12-1, then 15-1, then 13", "13", None),
        ("first 2+12-1, then 13, then 14", "13", None),
        ("13, 13.5", "13", None),
        ("first 2+12-1, then 14-1, then 13", "14", None),
        ("first 2+12-1) 13", "13", None),
        ("12 apples and 14 pears, so 13", "13", None),
        (f"{'1*' * 200}13, 13", "13", None),
        (f"{'(' * 70}13{')' * 70}, 13", "13", None),
    ],
)
def test_the_lines_of_a_sum(thinking: str, answer: str, found: str | None) -> None:
    made = rewrite(thinking, answer, "en")
    assert made == (None if found is None else (found, f"The answer is {answer}."))


@pytest.mark.parametrize(
    "thinking",
    [
        "first 2 + 3 * 4 = 12, then 2 + 12 = 14",
        "2 - 3 * 4 = 12. 2 + 12 = 14",
        "12 - - 3 * 4 = 12, then 2 + 12 = 14",
        "5 * 3 * 4 = 12, then 2 + 12 = 14",
        "3 * 4 = 12.5, then 2 + 12 = 14",
    ],
)
def test_a_right_end_of_a_wrong_equation_is_not_rewritten(thinking: str) -> None:
    """Each of these says something false, of which a part alone would be true."""
    assert rewrite(thinking, "14", "en") is None


ENDLESS = [
    "1" * 60 + "a",
    "1 " * 4000 + "a",
    "(" * 9000,
    "1" + " -" * 4000,
    "1)" * 4000 + "a",
    "9" * 5000 + " + 1 = 2",
]


@each("thinking", ["", "ummm, 14?", "it is 14", "3 * 4 =", "= 14", "3 x 4 = 12", *ENDLESS])
def test_nothing_to_rewrite(thinking: str) -> None:
    assert rewrite(thinking, "14", "en") is None


def test_what_the_rewriter_does_not_know() -> None:
    thinking = "3 * 4 = 12, then 2 + 12 = 14"
    assert rewrite(thinking, "14", "fr") is None
    assert rewrite(", ".join(["7 + 7 = 14"] * 9), "14", "en") is not None
    assert rewrite(", ".join(["7 + 7 = 14"] * 10), "14", "en") is None
    assert rewrite("3 - 17 = -14", "-14", "en") == ("Step 1: 3 - 17 = -14.", "The answer is -14.")


def test_the_rewriter_adds_no_step_and_drops_the_rest() -> None:
    assert rewrite("ummm… 3 * 4 = 12 再算 2 + 12 = 14!", "14", "zh") == (
        "第一步：3 * 4 = 12。第二步：2 + 12 = 14。",
        "答案是 14。",
    )


@given(WORLD, LANGUAGE)
def test_numbered_steps(one: Problem, language: str) -> None:
    steps = one.steps()
    tidy = numbered_steps(steps, language)
    assert all(step in tidy for step in steps) and tidy == tidy.strip()
    assert numbered_steps(steps, language, verify=True).startswith(tidy)
    assert final_answer(to_cold_start(tidy, summary("14", language))) == "14"


# Cold-start candidates


def test_a_sample_ends_where_the_base_starts_another_problem() -> None:
    cold = to_cold_start("Step 1: 3 * 4 = 12.", "The answer is 14.")
    for start in (
        "\n\nProblem: What is 1 + 2 * 3?",
        "\nUser: Hi",
        "\n用户：你好",
        "\n\n問題：1 + 2 * 3？",
        "\nQuestion 5: Hi",
    ):
        assert _cut(Completion(f" {cold}{start}\nSolution: 7", 80, True)) == Completion(f" {cold}", 80, False)
    for whole in (Completion(cold, 20, True), Completion("The Problem: of User: text", 5, False)):
        assert _cut(whole) == whole


def test_taking_judges_all_and_keeps_the_first() -> None:
    rows = answered(5)
    judge = SampleFilter()
    candidates = [(row, Completion(f" {row['completion']}\n", 20, False)) for row in rows]
    candidates.insert(1, (rows[0], Completion("nonsense", 2, False)))
    verdicts = [by_rule(*candidate) for candidate in candidates]
    kept, *_ = take(candidates, verdicts, judge, "rewrite", 2, Audit())
    assert [row["completion"] for row in kept] == [row["completion"] for row in rows[:2]]
    assert {row["method"] for row in kept} == {"rewrite"} and kept[0]["id"] == rows[0]["id"]
    assert judge.kept == 5 and judge.counts() == {"not_chosen": 3, "no_thought": 1}


# Targets


@given(WORLD, LANGUAGE)
def test_cold_start_rows_become_think_and_answer(one: Problem, language: str) -> None:
    thinking = numbered_steps(one.steps(), language)
    cold = to_cold_start(thinking, summary(one.answer, language))
    (made,) = as_targets([{"question": "Q?", "completion": cold, "method": "direct"}])
    assert is_well_formed(made["completion"]) and made["method"] == "direct"
    assert parse(made["completion"]).reasoning == thinking
    assert verify_math(final_answer(made["completion"]), one.answer)


def test_published_traces_become_think_and_answer() -> None:
    """R1 and the sets made with it write no answer tags; the format reward of later stages asks for them."""
    (made,) = as_targets([{"question": "Q?", "completion": "<think>\nWait.\n</think>\n\nSo \\boxed{4}."}])
    assert made["completion"] == "<think>Wait.</think> <answer>So \\boxed{4}.</answer>"


@pytest.mark.parametrize("text", [GOOD, "Hello Anna.", "<think>a", "<think></think> b"])
def test_other_targets_stay_as_they_are(text: str) -> None:
    row = {"question": "Q?", "completion": text}
    assert as_targets([row]) == [row]
