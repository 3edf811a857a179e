"""Near-duplicates and leaks of benchmarks are left out and told with what they repeat; what only looks alike stays."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tables import each

from r1hf.core.config import parse
from r1hf.core.errors import DataError
from r1hf.data.cleaning import LEAK, NEAR, Leaks, counts, removable, text_of
from r1hf.data.near_duplicates import check_near_duplicates, jaccard, shingles
from r1hf.data.overlap import bare_of, words
from r1hf.data.rows import write_rows
from r1hf.evaluation.tasks import questions_of, task_names
from recipes import cold_start, rejection_sampling, sft

pytest.importorskip("rensa", reason="the extra data is not installed")

LONG = (
    "Tom has three boxes of pencils. Each box holds twelve pencils, and he gives seven of them to his sister before "
    "the lesson starts. How many pencils does he have left? First we count all of them: three boxes of twelve make "
    "thirty-six. Then we take away the seven that he gave: thirty-six less seven is twenty-nine. So he has 29 left."
)
CHINESE = (
    "一个水池有两个进水管，单开甲管需要六小时注满，单开乙管需要四小时注满，两管同开几小时注满？先算每小时注水量。"
)


def row(text: str, question: str = "") -> dict[str, Any]:
    return {"question": question or text[:20], "completion": text}


def near(*texts: str, threshold: float = 0.8) -> dict[int, int | str]:
    rows = [{"question": "", "completion": text} for text in texts]
    return {one.number: one.of for one in removable(rows, None, threshold)}


@each(
    "other",
    [
        LONG,
        LONG.upper(),
        LONG.replace(". ", ".\n\n"),
        LONG.replace("pencils", "pencils,").replace("  ", " "),
        LONG.replace("sister", "brother"),
        "Well. " + LONG,
        LONG + " That is all.",
        LONG.replace("29", "**29**"),
        LONG.replace("'", "’").replace("-", "\u2010"),
    ],
)
def test_a_near_duplicate_goes_and_names_the_first(other: str) -> None:
    assert near(CHINESE, LONG, "Another text about nothing of the kind.", other) == {3: 1}


@each(
    "one, other",
    [
        (LONG, LONG.replace("three", "five").replace("twelve", "ten").replace("seven", "two").replace("29", "48")),
        (LONG, LONG[: len(LONG) // 2]),
        (CHINESE, CHINESE.replace("六", "三").replace("四", "五").replace("甲", "丙").replace("乙", "丁")),
        ("What is 2 + 3?", "What is 2 + 4?"),
        ("", ""),
        ("Yes.", "No."),
    ],
)
def test_what_only_looks_alike_stays(one: str, other: str) -> None:
    assert near(one, other) == {}


def test_short_and_chinese_texts_are_found_too() -> None:
    assert near("Yes.", "yes!", CHINESE, CHINESE.replace("，", ",")) == {1: 0, 3: 2}


def test_a_chain_is_compared_with_what_is_kept() -> None:
    """Each text is like the one before it, and the last is not like the first: it stays."""
    parts = [f"w{number}" for number in range(300)]
    texts = [" ".join([*(f"x{place}" for place in range(done)), *parts[done:]]) for done in (0, 25, 50, 75, 100)]
    found = near(*texts, threshold=0.8)
    runs = [shingles(text.split()) for text in texts]
    kept = [number for number in range(len(texts)) if number not in found]
    assert found and all(jaccard(runs[number], runs[of]) >= 0.8 for number, of in found.items() if isinstance(of, int))
    assert all(jaccard(runs[a], runs[b]) < 0.8 for a in kept for b in kept if a < b) and len(kept) > 1


@each("threshold", [0.5, 0.7, 0.8, 0.9, 1.0])
def test_as_many_are_found_as_by_comparing_all(threshold: float) -> None:
    rng = random.Random(3)
    rows = []
    for _ in range(40):
        text = [f"w{rng.randrange(2000)}" for _ in range(120)]
        rows.append(row(" ".join(text), "Q"))
        for changed in rng.sample(range(0, 16), 3):
            other = list(text)
            for place in rng.sample(range(120), changed):
                other[place] = "changed"
            rows.append(row(" ".join(other), "Q"))
    runs = [shingles(bare_of(words(text_of(one)))) for one in rows]
    kept: list[int] = []
    for number in range(len(rows)):
        if all(jaccard(runs[number], runs[other]) < threshold for other in kept):
            kept.append(number)
    found = {one.number for one in removable(rows, None, threshold)}
    assert len(found ^ (set(range(len(rows))) - set(kept))) <= 1, "MinHash may miss one of a hundred at the threshold"
    assert found


def test_a_crowd_of_copies_and_of_shared_beginnings() -> None:
    start = " ".join(f"s{number}" for number in range(40))
    rows = [row(LONG, "Q")] * 300 + [row(f"{start} {number} " * 2 + f"u{number} " * 30, "Q") for number in range(300)]
    found = removable(rows, None, 0.8)
    assert [(one.number, one.of) for one in found] == [(number, 0) for number in range(1, 300)]


def test_leaks_name_the_question_and_go_before_duplicates(tmp_path: Path) -> None:
    write_rows(tmp_path / "bench.jsonl", [{"problem": "What is 6 times 7?"}, {"problem": LONG[:120]}])
    write_rows(tmp_path / "other.jsonl", [{"asked": CHINESE[:30]}])
    leaks = Leaks(
        [str(tmp_path / "bench.jsonl"), {"path": str(tmp_path / "other.jsonl"), "columns": {"question": "asked"}}]
    )
    rows = [
        row(LONG, "Q"),
        row(LONG, "Q"),
        row("Fine.", "What is 6 times 8?"),
        row("42", "What is 6 times 7?"),
        row(CHINESE),
    ]
    found = removable(rows, leaks, 0.8)
    assert [one.number for one in found] == [0, 1, 3, 4] and counts(found) == {LEAK: 4}
    assert found[0].of == f"{tmp_path / 'bench.jsonl'}, question 2" and found[0].shared in " ".join(words(LONG))
    assert str(found[3].of).startswith(str(tmp_path / "other.jsonl"))
    told = found[0].told(rows)
    assert told["row"] == 1 and told["of"] == found[0].of and json.dumps(told)
    assert removable(rows, None, 0.8)[0].told(rows)["of"] == {"row": 1, "id": None, "question": "Q"}
    assert {one.reason for one in removable(rows, None, 0.8)} == {NEAR}


def test_a_set_without_questions_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "x.jsonl", [{"text": "a"}])
    with pytest.raises(DataError, match=r"no column question, problem, prompt .*columns: \{question: NAME\}.* text"):
        Leaks(str(tmp_path / "x.jsonl"))


@each(
    "name, path",
    [
        ("gsm8k", "openai/gsm8k"),
        ("GSM8K", "openai/gsm8k"),
        ("math_500", "HuggingFaceH4/MATH-500"),
        ("math500", "HuggingFaceH4/MATH-500"),
        ("MATH-500", "HuggingFaceH4/MATH-500"),
        ("mmlu", "cais/mmlu"),
    ],
)
def test_benchmarks_are_known_by_name(name: str, path: str) -> None:
    (found,) = questions_of([name])
    assert found["path"] == path and "question" in found["columns"] and "limit" not in found


def test_every_benchmark_with_questions_can_be_named() -> None:
    named = [name for name in task_names() if name not in ("jsonl", "pairs")]  # their questions are one's own
    assert len(questions_of(named)) >= len(named)


@pytest.mark.parametrize("recipe", [sft, cold_start, rejection_sampling], ids=lambda module: module.__name__)
def test_wrong_keys_are_told_together(recipe: Any, tmp_path: Path) -> None:
    write_rows(tmp_path / "mine.jsonl", [{"question": LONG}])
    given = ["--near_duplicates", "80", "--decontaminate", "[gsm9k]"]
    problems = parse(recipe.CONFIGS, given).problems
    assert any("decontaminate: no benchmark or file 'gsm9k'; did you mean 'gsm8k'?" in text for text in problems)
    found: list[str] = []
    check_near_duplicates(found, 80)
    assert found == ["near_duplicates: 80 is no share from 0.5 to 1; 0.8 is usual"]
    parsed = parse(recipe.CONFIGS, ["--decontaminate", f"[gsm8k, {tmp_path / 'mine.jsonl'}, org/name]"])
    assert [one if isinstance(one, str) else one["path"] for one in parsed.inputs["decontaminate"]] == [
        "openai/gsm8k",
        str(tmp_path / "mine.jsonl"),
        "org/name",
    ]
