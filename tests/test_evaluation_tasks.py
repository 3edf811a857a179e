"""The benchmarks' files: read as for a run; gold answers are all right, and ten kinds of bad ones are all wrong."""

from __future__ import annotations

import base64
import json
import pickle
import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_run import ROOT

from r1hf.commands.main import main
from r1hf.core.config import Parsed, parse
from r1hf.core.errors import ConfigError, DataError
from r1hf.data.rows import Row, load_rows
from r1hf.evaluation import judge_all
from r1hf.evaluation.config import COLUMNS, EvaluateConfig, ready, row_fault
from r1hf.evaluation.programs import unpacked, with_tests
from r1hf.evaluation.prompting import question_text, with_options
from r1hf.evaluation.tasks import task_file, task_names
from r1hf.models.sampling import Completion
from r1hf.verify import gym_rows
from r1hf.verify.extract import gold_answer

sys.path.insert(0, str(ROOT / "benchmarks"))
from gold import BAD, THOUGHT  # noqa: E402

DATA = next((path / "shared" / "data" for path in ROOT.parents if (path / "shared" / "data").is_dir()), None)


def parsed(name: str, *more: str) -> Parsed:
    words = ["--config", str(task_file(name)), "--models", "['org/model']", "--output_dir", "/tmp/out", *more]
    return parse((EvaluateConfig,), words)


def config(name: str, *more: str) -> EvaluateConfig:
    found = parsed(name, *more)
    found.check()
    return found.configs[0]


@pytest.mark.parametrize("name", sorted({*task_names()} - {"jsonl", "pairs"}))
def test_every_task_is_a_configuration_with_its_source_and_licence(name: str) -> None:
    task = config(name)
    assert task.benchmark and task.source and task.licence and task.k in (4, 8, 16, 64)
    assert (task.temperature, task.top_p, task.max_new_tokens) == (0.6, 0.95, 32768) or name in ("tiny_world", "typed")
    assert task.instruction is None or "{question}" in task.instruction


def test_own_problems_need_only_their_file(tmp_path: Path) -> None:
    for name, k in {"jsonl": 4, "pairs": 1}.items():
        assert any("prompts" in problem for problem in parsed(name).problems)
        assert config(name, f"--prompts={tmp_path / 'own.jsonl'}").k == k


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "maths_500", "--models", "a"], "did you mean 'math_500'"),
        (["--task", "nowhere.yaml", "--models", "a"], "there is no file nowhere.yaml"),
        (["--task", "math_500"], "--models: name the models"),
        (["--task", "math_500", "--models", "no/such", "--set", "k"], "write KEY=VALUE"),
        (["--task", "math_500", "--models", "no/such", "--set", "k=0"], "k: 0 is below 1"),
        (["--task", "math_500", "--models", "no/such", "--set", "instruction=Go"], "every question would be the same"),
    ],
)
def test_a_command_that_cannot_run_says_why(words: list[str], said: str, capsys: Any, tmp_path: Path) -> None:
    assert main(["evaluate", *words]) == 1
    assert said in capsys.readouterr().err


def test_the_list_of_tasks_shows_sources_and_licences(capsys: Any) -> None:
    assert main(["evaluate", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in task_names()) and "CC BY-NC-SA 4.0" in shown


def test_the_paper_asks_for_a_box() -> None:
    row = {"question": "What is {x} if \\frac{a}{b} = {options}?", "task": "reasoning"}
    text = question_text(row, config("math_500").instruction)
    assert text == f"{row['question']}\nPlease reason step by step, and put your final answer within \\boxed{{}}."


# Maths


def published(name: str, file: str) -> list[Row]:
    """The rows of a benchmark's file, through the task's own columns."""
    if DATA is None:
        pytest.skip("the benchmarks' own data are not beside the repository (shared/data)")
    prompts = dict(config(name).prompts) | {"path": str(DATA / file), "split": "train"}
    prompts.pop("config", None)
    return load_rows(prompts, COLUMNS)


def rate(rows: list[Row], completion: Callable[[str, str], str]) -> float:
    """The share that the boxed tasks' strict reading calls right."""
    golds = [gold_answer(row["answer"]) or "" for row in rows]
    texts = [completion(gold, row["question"]) for gold, row in zip(golds, rows, strict=True)]
    found = judge_all(rows, [Completion(text, 9, False) for text in texts], "strict")
    assert None not in [item.correct for item in found]
    return sum(bool(item.correct) for item in found) / len(found)


@pytest.mark.parametrize(("name", "file"), [("math_500", "math500.jsonl"), ("gsm8k", "gsm8k_test.jsonl")])
def test_published_golds_are_right_and_bad_answers_wrong(name: str, file: str) -> None:
    rows = published(name, file)
    assert rate(rows, lambda gold, question: f"{THOUGHT}So the answer is $\\boxed{{{gold}}}$.") == 1.0
    found = {kind: rate(rows, completion) for kind, completion in BAD.items()}
    assert found == dict.fromkeys(BAD, 0.0)


def test_worked_solutions_of_math_500_are_right() -> None:
    rows = published("math_500", "math500.jsonl")
    solutions = [json.loads(line)["solution"] for line in (DATA / "math500.jsonl").read_text().splitlines()]  # type: ignore[operator]
    found = judge_all(rows, [Completion(THOUGHT + text, 9, False) for text in solutions], "strict")
    assert [item.answer for item in found if not item.correct] == []


# Choices

FRUIT: Row = {
    **{"question": "Which one is a fruit?", "language": "en", "task": "choice", "answer": "B"},
    **{"choices": ["a stone", "an apple", "a car", "a cloud"]},
}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("So it is \\boxed{B}.", True),
        ("The answer is B.", True),
        ("\\boxed{\\text{B}}", True),
        ("\\boxed{an apple}", True),
        ("答案是 B。", True),
        ("\\boxed{C}", False),
        ("\\boxed{B} or \\boxed{C}", False),
        ("\\boxed{A, B, C, D}", False),
        ("The answer is B or C.", False),
        ("", False),
        ("It is not B.", False),
        ("\\boxed{", False),
        ("A) a stone\nB) an apple\nC) a car\nD) a cloud", False),
        ("\\boxed{E}", False),
        ("\\boxed{Because}", False),
    ],
)
def test_an_option_is_chosen_alone(text: str, right: bool) -> None:
    (found,) = judge_all([FRUIT], [Completion(THOUGHT + text, 9, False)])
    assert found.correct is right


def test_options_of_every_layout_become_letters() -> None:
    base = {"question": "Which one is a fruit?", "language": "en", "task": "choice"}
    gpqa = {**base, "answer": "an apple", "w1": "a stone", "w2": "a car", "w3": "a cloud"}
    row = with_options(gpqa, ["answer", "w1", "w2", "w3"], "answer")
    assert row["choices"]["ABCD".index(row["answer"])] == "an apple" and len(row["choices"]) == 4
    assert row == with_options(gpqa, ["answer", "w1", "w2", "w3"], "answer"), "the same for every model"
    others = [with_options({**gpqa, "question": f"{n}?"}, ["answer", "w1", "w2", "w3"], "answer") for n in range(60)]
    assert {row["answer"] for row in others} == set("ABCD")
    mmlu = with_options({**base, "choices": FRUIT["choices"], "answer": "1"}, [], "place")
    ceval = with_options(
        {**base, **dict(zip("ABCD", FRUIT["choices"], strict=True)), "answer": "B"}, list("ABCD"), "answer"
    )
    assert mmlu["answer"] == ceval["answer"] == "B" and mmlu["choices"] == ceval["choices"] == FRUIT["choices"]
    assert "B) an apple" in question_text(ceval, config("c_eval").instruction)


@pytest.mark.parametrize(
    ("row", "options", "gold", "said"),
    [
        ({"answer": "B", "A": "x"}, ["A", "B"], "answer", "no option in B"),
        ({"answer": "7", "choices": ["x", "y"]}, [], "place", "not the position of an option"),
        ({"answer": "x", "choices": None}, [], "place", "not the position of an option"),
    ],
)
def test_a_choice_without_its_options_is_named(row: Row, options: list[str], gold: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        with_options({"question": "q?", "task": "choice", **row}, options, gold)


def test_a_choice_whose_answer_is_no_option_is_refused() -> None:
    task = config("mmlu_pro")
    assert row_fault({**FRUIT, "answer": "E"}, task) is not None
    assert row_fault(FRUIT, task) is None


# Programs

ADD = {
    **{"question": "Write add.", "language": "en", "task": "code", "answer": None, "entry_point": "add"},
    "asserts": "def check(candidate):\n    for a in range(20):\n        assert candidate(a, a) == 2 * a\n",
}
PACKED = base64.b64encode(
    zlib.compress(pickle.dumps(json.dumps([{"input": "2 3\n", "output": "5\n", "testtype": "stdin"}])))
).decode()
LCB = {
    **{"question": "Add two numbers.", "language": "en", "task": "code", "answer": None, "starter_code": ""},
    "public_test_cases": json.dumps([{"input": "1 1\n", "output": "2\n", "testtype": "stdin"}]),
    **{"private_test_cases": PACKED, "metadata": "{}"},
}
CALLED = {
    **{"question": "Add two numbers.", "language": "en", "task": "code", "answer": None},
    "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        ",
    "public_test_cases": json.dumps([{"input": "1\n1", "output": "2", "testtype": "functional"}]),
    **{"private_test_cases": json.dumps([]), "metadata": json.dumps({"func_name": "add"})},
}
READS = "a, b = map(int, input().split())\nprint(a + b)"
METHOD = "class Solution:\n    def add(self, a, b):\n        return a + b"


@pytest.mark.parametrize(
    ("row", "program", "right"),
    [
        (ADD, "def add(a, b):\n    return a + b", True),
        (ADD, "def add(a, b):\n    return a * b", False),
        (ADD, "def add(a, b):\n    return a + b\nraise SystemExit(0)", False),
        (ADD, "print('all tests passed')\nimport os\nos._exit(0)", False),
        (ADD, "def check(candidate):\n    pass\ndef add(a, b):\n    return 0", False),
        (ADD, "x = '''", False),
        (ADD, "", False),
        (LCB, READS, True),
        (LCB, "print(2)", False),
        (LCB, "print(2)\nprint(5)", False),
        (CALLED, METHOD, True),
        (CALLED, "class Solution:\n    def add(self, a, b):\n        return 3", False),
    ],
)
def test_programs_are_judged_by_hidden_tests(row: Row, program: str, right: bool) -> None:
    made = ready(row, config("humaneval_plus"))
    assert row_fault(row, config("humaneval_plus")) is None
    (found,) = judge_all([made], [Completion(f"{THOUGHT}```python\n{program}\n```", 9, False)])
    assert found.correct is right, found.why


def test_tests_that_hold_code_are_not_run() -> None:
    evil = base64.b64encode(zlib.compress(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")).decode()
    with pytest.raises(DataError, match="ask for os.system"):
        unpacked(evil)
    for text in ("no tests", "!!", base64.b64encode(b"abc").decode()):
        with pytest.raises(DataError, match="neither JSON text nor packed"):
            unpacked(text)
    assert with_tests(LCB)["tests"][1]["output"] == "5\n"


def test_a_task_without_its_tests_is_named() -> None:
    row = {key: value for key, value in ADD.items() if key != "asserts"}
    assert re.search("no tests", row_fault(row, config("humaneval_plus")) or "")
    with pytest.raises(ConfigError, match="no task"):
        task_file("nowhere")


def test_a_reasoning_gym_task_is_judged_by_its_own_scorer() -> None:
    pytest.importorskip("reasoning_gym", reason="the extra gym is not installed")
    rows = [{**row, "language": "en", "task": "gym"} for row in gym_rows("chain_sum", 10, seed=1)]
    for completion, wanted in ((lambda gold: f"{THOUGHT}\\boxed{{{gold}}}", True), (lambda gold: THOUGHT, False)):
        found = judge_all(rows, [Completion(completion(row["answer"]), 9, False) for row in rows], "strict")
        assert {item.correct for item in found} == {wanted}
    bad = [completion(rows[0]["answer"], rows[0]["question"]) for completion in BAD.values()]
    assert not any(
        item.correct for item in judge_all([rows[0]] * len(bad), [Completion(b, 9, False) for b in bad], "strict")
    )
