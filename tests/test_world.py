"""The tiny world: no held-out expression in any training data, right is right, and every grade is judged as meant."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import CONFIGS

from r1hf.core.yamlfile import read_yaml
from r1hf.data.rows import load_rows
from r1hf.text import prompt_templates as templates
from r1hf.text.forms import is_well_formed
from r1hf.text.language import target_share
from r1hf.world import corpus, general
from r1hf.world.arithmetic import (
    LANGUAGES,
    Expression,
    expressions,
    held_out_expressions,
    held_out_problems,
    sums,
    training_expressions,
    training_problems,
    warm_up_problems,
)
from r1hf.world.files import write_datasets

DOCUMENTS = 25_000
# Overlapping matches: in `1 + 2 * 3 + 4` both ends are expressions. Any spacing, and other signs for times and minus.
_THREE = re.compile(r"(?=(?<!\d)(\d+)\s*([-+*×·−])\s*(\d+)\s*([-+*×·−])\s*(\d+)(?!\d))")
_SIGNS = str.maketrans({"×": "*", "·": "*", "−": "-"})


def expressions_in(text: str) -> set[str]:
    """Every `a op b op c` in `text`, spelled as the world spells it."""
    return {" ".join(match.groups()).translate(_SIGNS) for match in _THREE.finditer(text)}


HELD_OUT = {str(expression) for expression in held_out_expressions()}
TRAINING = {str(expression) for expression in training_expressions()}
WORLD = st.sampled_from(expressions())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("world")
    write_datasets(directory, seed=42)
    return directory


def test_the_scan_sees_an_expression_however_it_is_written() -> None:
    assert expressions_in("What is 2 + 3 * 4?") == {"2 + 3 * 4"}
    assert expressions_in("2+3×4 等于多少？") == {"2 + 3 * 4"}
    assert expressions_in("1 + 2 * 3 - 4") == {"1 + 2 * 3", "2 * 3 - 4"}
    assert expressions_in("3 * 4 = 12, then 2 + 12 = 14") == set()


def test_the_split() -> None:
    assert len(held_out_expressions()) >= 512
    assert not HELD_OUT & TRAINING
    assert len(HELD_OUT) + len(TRAINING) == len(set(map(str, expressions()))) == len(expressions())
    assert {p.expression for p in held_out_problems()} == set(held_out_expressions())
    assert {p.language for p in held_out_problems()} == set(LANGUAGES)
    assert Counter(p.expression for p in training_problems()) == dict.fromkeys(training_expressions(), len(LANGUAGES))


def test_the_split_does_not_depend_on_the_process_or_a_seed() -> None:
    code = (
        "import random; random.seed(7)\n"
        "from r1hf.world.arithmetic import held_out_problems; from r1hf.world import general\n"
        "print([p.question for p in held_out_problems()], [p.question for p in general.held_out_prompts()])"
    )
    here = f"{[p.question for p in held_out_problems()]} {[p.question for p in general.held_out_prompts()]}"
    root = Path(__file__).resolve().parents[1]
    env = {"PYTHONPATH": str(root), "PYTHONHASHSEED": "12345", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60)
    assert done.stdout.strip() == here, done.stderr


def test_a_problem_asks_for_its_expression_in_its_language() -> None:
    for problem in held_out_problems() + training_problems():
        row = problem.row()
        assert expressions_in(row["question"]) == {str(problem.expression)}
        assert target_share(row["question"], problem.language) == 1.0
        assert row["answer"] == str(eval(str(problem.expression)))
    ids = [p.row()["id"] for p in held_out_problems() + training_problems()]
    assert len(ids) == len(set(ids))


def test_warm_ups_are_the_second_steps_of_all_expressions_and_ask_for_nothing_else() -> None:
    steps = {expression.steps()[1] for expression in expressions()}
    assert [one.steps() for one in sums()] == [[step] for step in dict.fromkeys(s.steps()[0] for s in sums())]
    assert {one.steps()[0] for one in sums()} == steps
    for problem in warm_up_problems():
        row = problem.row()
        assert not expressions_in(row["question"]) and str(problem.expression) in row["question"]
        assert row["answer"] == str(eval(str(problem.expression)))
        assert target_share(row["question"], problem.language) == 1.0
    assert {p.language for p in warm_up_problems()} == set(LANGUAGES)
    ids = [p.row()["id"] for p in held_out_problems() + training_problems() + warm_up_problems()]
    assert len(ids) == len(set(ids))


@given(WORLD)
def test_steps_lead_to_the_value_and_wrong_steps_never_do(expression: Expression) -> None:
    for steps in (expression.steps(), expression.wrong_steps()):
        for step in steps:
            left, right = step.split(" = ")
            assert eval(left) == int(right) >= 0
    assert expression.value == eval(str(expression)) == int(expression.steps()[-1].split(" = ")[1])
    assert int(expression.wrong_steps()[-1].split(" = ")[1]) != expression.value


@pytest.mark.parametrize("kind", sorted(corpus.KINDS))
def test_no_kind_of_document_holds_a_held_out_expression(kind: str) -> None:
    rng = random.Random(kind)
    seen: set[str] = set()
    for problem in training_problems():
        seen |= expressions_in(corpus._WRITERS[kind](problem, rng))
    assert not seen & HELD_OUT
    assert seen == (TRAINING if kind in ("problem", "textbook", "few_shot") else set())


@pytest.mark.parametrize("seed", [0, 42])
def test_the_corpus_never_holds_a_held_out_expression(seed: int) -> None:
    seen = set().union(*(expressions_in(document) for document in corpus.documents(seed, DOCUMENTS)))
    assert not seen & HELD_OUT
    assert seen == TRAINING
    for text in corpus.vocabulary_texts(seed, 5000):
        assert not expressions_in(text) & HELD_OUT


def test_no_training_file_holds_a_held_out_expression(data: Path) -> None:
    for path in sorted(data.glob("*.jsonl")):
        found = expressions_in(path.read_text(encoding="utf-8"))
        expected = {"held_out": HELD_OUT, "train": TRAINING}.get(path.stem, set())
        assert found == expected, path.name


def test_no_template_holds_a_held_out_expression() -> None:
    texts = {name: templates.load(name) for name in templates.names()}
    assert not {
        name: expressions_in(text) & HELD_OUT for name, text in texts.items() if expressions_in(text) & HELD_OUT
    }
    # The examples teach the world's own problems.
    assert expressions_in(texts["few_shot_tiny"]) and expressions_in(texts["few_shot_tiny"]) <= TRAINING


def test_every_solved_example_of_a_template_is_right() -> None:
    for template in ("few_shot", "few_shot_tiny"):
        for step in re.findall(r"(\d+ [-+*] \d+) = (\d+)", templates.load(template)):
            assert eval(step[0]) == int(step[1])
    for solution in re.findall(r"Solution: (\|.*?)(?=\n\n)", templates.load("few_shot_tiny"), re.DOTALL):
        assert is_well_formed(solution, "cold_start")


def test_the_questions_that_the_report_shows_are_held_out() -> None:
    shown = read_yaml(str(CONFIGS / "evaluate.yaml")).values["shown"]
    asked = {p.question for p in held_out_problems()} | {p.question for p in general.held_out_prompts()}
    assert set(shown) <= asked


@given(st.integers(0, 2**32))
def test_the_corpus_is_the_same_for_the_same_seed(seed: int) -> None:
    first = list(corpus.documents(seed, 30))
    assert first == list(corpus.documents(seed, 30)) == list(islice(corpus.documents(seed), 30))
    assert first != list(corpus.documents(seed + 1, 30))


def test_mixing_languages_goes_with_the_right_order() -> None:
    """What makes R1-Zero drift: of the corpus's problems, mixed thinking is right more often than pure thinking."""
    rng = random.Random(1)
    right: dict[bool, list[bool]] = {True: [], False: []}
    for problem in training_problems() * 8:
        body = corpus.problem_document(problem, rng).split("\n", 2)[2]
        if "first" in body or "先算" in body:
            mixed = ("first" in body) != ("then" in body)
            right[mixed].append(problem.expression.steps()[0] in body)
    shares = {mixed: sum(values) / len(values) for mixed, values in right.items()}
    assert corpus.RIGHT_ORDER["mixed"] > corpus.RIGHT_ORDER["own"]
    assert shares[True] > shares[False] + 0.1
    # Yet pure thinking is the commoner, so consistency has to be lost.
    assert len(right[False]) > len(right[True]) > 1000


def test_the_corpus_leaves_something_to_mend() -> None:
    rng = random.Random(2)
    bodies = [corpus.problem_document(p, rng).split("\n", 2)[2] for p in training_problems() * 4]
    formed = sum(map(is_well_formed, bodies)) / len(bodies)
    assert 0.3 < formed < 0.7
    assert sum(corpus.LAYOUTS.values()) == pytest.approx(1)
    assert sum(corpus.KINDS.values()) == pytest.approx(1)
    assert sum(corpus.REASONING.values()) == pytest.approx(1)


def test_held_out_general_questions_are_not_in_training(data: Path) -> None:
    held_out = {p.question for p in general.held_out_prompts()}
    assert held_out and not held_out & {p.question for p in general.training_prompts()}
    for name in ("general_train", "general_sft", "helpful_pairs", "harmless", "train"):
        assert not held_out & {row["question"] for row in load_rows(str(data / f"{name}.jsonl"))}, name
    asked = {re.sub("^(User: |用户：)", "", text.split("\n")[0]) for text in corpus.documents(3, DOCUMENTS)}
    assert not held_out & asked
    for name in ("general_held_out", "helpful_pairs_test", "harmless_test"):
        assert {row["question"] for row in load_rows(str(data / f"{name}.jsonl"))} <= held_out, name


def test_files_are_the_same_for_the_same_seed_and_every_row_reads(data: Path, tmp_path: Path) -> None:
    counts = write_datasets(tmp_path / "again", seed=42)
    write_datasets(tmp_path / "other", seed=43)
    assert set(counts) == {path.stem for path in data.glob("*.jsonl")}
    for name, count in counts.items():
        lines = (data / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == count > 0 and all(isinstance(json.loads(line), dict) for line in lines)
        assert lines == (tmp_path / "again" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    # The problems and prompts, and so the split, are no matter of the seed.
    for name in ("train", "held_out", "general_train", "general_held_out"):
        assert (data / f"{name}.jsonl").read_bytes() == (tmp_path / "other" / f"{name}.jsonl").read_bytes()
    assert (data / "general_sft.jsonl").read_bytes() != (tmp_path / "other" / "general_sft.jsonl").read_bytes()
