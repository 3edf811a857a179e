"""The tiny world: no held-out expression in training data, right is right, and the corpus leaves enough to learn."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import CONFIGS
from tables import each

from r1hf.core.yamlfile import read_yaml
from r1hf.data.rows import load_rows
from r1hf.data.sums import Tree, parse, value
from r1hf.text import prompt_templates as templates
from r1hf.text.forms import is_well_formed
from r1hf.world import corpus, general
from r1hf.world.arithmetic import (
    EVALUATION,
    LANGUAGES,
    LONGER,
    Problem,
    held_out_problems,
    longer_problems,
    problem,
    sum_problem,
    training_problems,
)
from r1hf.world.expressions import MOST, drawn, held_out, order_matters, remains, text
from r1hf.world.files import write_datasets
from r1hf.world.words import in_words, plain

DOCUMENTS = 3000
SIZES = range(2, 6)  # how many numbers an expression of the training data has
KINDS = [*SIZES, "story"]
SEEDS = st.integers(0, 2**32)
_SIGNS = str.maketrans("×x·∗✕⋅−–", "******--")
_IN_WORDS = {
    **{"multiplied by": "*", "take away": "-", "plus": "+", "minus": "-", "times": "*"},
    **{"加上": "+", "减去": "-", "乘以": "*", "加": "+", "减": "-", "乘": "*"},
}
_NUMBERS = {in_words(n, language): str(n) for language in LANGUAGES for n in range(MOST + 1)} | {"两": "2"}
_NUMBER = re.compile("[a-z]+(?:-[a-z]+)?|[零一二两三四五六七八九十]+")
_RUN = re.compile(r"[(\d][-+*()\d]*[)\d]")


def in_signs(written: str) -> str:
    """A text with its numbers and signs as digits and `+ - *`, whatever they were typed as."""
    typed = unicodedata.normalize("NFKC", written).lower()
    typed = re.sub("一(?=[共下算])", "", typed)  # no number in `2+3一共多少`
    for word, sign in _IN_WORDS.items():
        typed = typed.replace(word, sign)
    typed = _NUMBER.sub(lambda found: _NUMBERS.get(found[0], found[0]), typed.translate(_SIGNS))
    typed = re.sub(r"(?<=[\d)])( ?)\(", r"\1*(", typed)
    return re.sub(r"(?<=[-+*(]) +| +(?=[-+*)])", "", typed)


def expressions_in(written: str) -> set[str]:
    """Every expression of three numbers and more in a text, spelled as the world spells it."""
    found = set()
    for part in set(_RUN.findall(in_signs(written))):
        try:
            found.add(text(parse(part)))
        except SyntaxError:
            continue  # half an expression: `3)`
    return {one for one in found if len(re.findall(r"\d+", one)) > 2}


def held_out_in(written: str) -> set[str]:
    return {one for one in expressions_in(written) if held_out(one)}


def lines_of(one: Problem) -> Iterator[str]:
    yield from one.steps()
    yield from one.wrong_steps(random.Random(one.question))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("world")
    write_datasets(directory, seed=42)
    return directory


@each(
    "written, found",
    [
        ("What is 2 + 3 * 4?", {"2 + 3 * 4"}),
        ("2+3×4 等于多少？", {"2 + 3 * 4"}),
        ("２＋３×４＝", {"2 + 3 * 4"}),
        ("what's ( 2 + 3 )x4", {"(2 + 3) * 4"}),
        ("2(3 + 4)", {"2 * (3 + 4)"}),
        ("（2 + 3）· 4 − 1 = ?", {"(2 + 3) * 4 - 1"}),
        ("So, two plus three times twenty-one", {"2 + 3 * 21"}),
        ("十二减去三乘以两等于几", {"12 - 3 * 2"}),
        ("2+3*4=2+12=14, 1+2+3=3+3=6", {"2 + 3 * 4", "1 + 2 + 3"}),
        ("Step 1: 2+12-1. Step 2: 14-1. Step 3: 13.", {"2 + 12 - 1"}),
        ("先得 2+12-1，再得 14-1", {"2 + 12 - 1"}),
        ("3 * 4 = 12, then 2 + 12 = 14", set()),
    ],
)
def test_the_scan_sees_an_expression_however_it_is_written(written: str, found: set[str]) -> None:
    assert expressions_in(written) == found


# The problems


def test_the_world_is_too_wide_to_learn_by_heart() -> None:
    """Two of its shapes alone, any three numbers of 0 to 99 whose values stay there, are more than 200,000."""
    sums, differences = math.comb(MOST + 3, 3), sum((most + 1) ** 2 for most in range(MOST + 1))
    assert sums + differences > 200_000
    rng = random.Random(1)
    found = Counter(text(drawn(numbers, rng)) for numbers in (3, 4, 5) for _ in range(700))
    assert len(found) > 0.85 * found.total()


@settings(max_examples=300)
@given(st.sampled_from(KINDS), st.booleans(), SEEDS)
def test_right_is_right_and_wrong_is_never_right(kind: int | str, kept: bool, seed: int) -> None:
    rng = random.Random(seed)
    one = problem(rng, kind, kept)
    right, wrong = one.steps(), one.wrong_steps(rng)
    assert one.answer == right[-1] == str(eval(text(one.tree))) != wrong[-1]
    assert {eval(line) for line in right} == {int(one.answer)}
    for line in right + wrong:
        assert all(0 <= int(number) <= MOST for number in re.findall(r"\d+", line)), line
        assert 0 <= eval(line) <= MOST or line in wrong[:-1]
    assert len(right[0]) > len(right[-1]) or len(right) == 1
    assert not kept or one.kind in (2, "story") or held_out(text(one.tree))
    asked = expressions_in(one.question)
    assert not asked or asked == {text(one.tree)}


@given(st.integers(2, 6), SEEDS)
def test_an_expression_is_one_however_it_is_read(numbers: int, seed: int) -> None:
    tree: Tree = drawn(numbers, random.Random(seed), kept=numbers > max(SIZES))
    assert parse(text(tree)) == parse(text(tree, "")) == tree
    assert [value(parse(line)) for line in remains(tree)] == [value(tree)] * (numbers - 1)


def test_the_sets() -> None:
    train, evaluation, longer = training_problems(), held_out_problems(), longer_problems()
    assert Counter(one.kind for one in evaluation) == EVALUATION and {one.kind for one in train} == set(KINDS)
    assert len(longer) == LONGER and all(len(re.findall(r"\d+", text(one.tree))) == 6 for one in longer)
    ids = [one.row()["id"] for one in train + evaluation + longer]
    assert len(set(ids)) == len(ids)
    for some in (train, evaluation, longer):
        assert {one.language for one in some} == set(LANGUAGES)
    assert not [one for one in longer + evaluation if one.kind not in (2, "story") and not held_out(text(one.tree))]


def frame(question: str) -> str:
    """The words around the sum of a question."""
    return plain(re.sub(r"[-+*()\d ]*\d[-+*()\d ]*", " e ", in_signs(question)))


def test_held_out_problems_are_asked_in_words_of_their_own() -> None:
    asked = {frame(one.question) for one in training_problems() if one.kind != "story"}
    own = {frame(one.question) for one in held_out_problems() + longer_problems() if one.kind != "story"}
    assert len(own) >= 20 and not own & asked
    told = {plain(re.sub(r"\d+", "", one.question)) for one in training_problems() if one.kind == "story"}
    assert not {plain(re.sub(r"\d+", "", one.question)) for one in held_out_problems() if one.kind == "story"} & told


def test_the_split_does_not_depend_on_the_process_or_a_seed() -> None:
    code = (
        "import random; random.seed(7)\n"
        "from r1hf.world.arithmetic import held_out_problems, longer_problems; from r1hf.world import general\n"
        "print([p.question for p in held_out_problems() + longer_problems()],"
        " [p.question for p in general.held_out_prompts()])"
    )
    here = (
        f"{[p.question for p in held_out_problems() + longer_problems()]}"
        f" {[p.question for p in general.held_out_prompts()]}"
    )
    root = Path(__file__).resolve().parents[1]
    env = {"PYTHONPATH": str(root), "PYTHONHASHSEED": "12345", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=300)
    assert done.stdout.strip() == here, done.stderr


# What is held out


def test_no_training_problem_holds_a_held_out_expression_on_either_way() -> None:
    rng = random.Random(5)
    for one in (*training_problems(), *(problem(rng, "story") for _ in range(1000))):
        assert not held_out_in(one.question) and not held_out(text(one.tree)), one
        assert not held_out_in("; ".join(lines_of(one))), one


@each("kind", sorted(corpus.KINDS))
def test_no_kind_of_document_holds_a_held_out_expression(kind: str) -> None:
    rng = random.Random(kind)
    written = "\n".join(corpus._WRITERS[kind](rng) for _ in range(600))
    assert not held_out_in(written)
    assert len(expressions_in(written)) > 200 or kind == "general"


@each("seed", [0, 42])
def test_the_corpus_never_holds_a_held_out_expression(seed: int) -> None:
    assert not held_out_in("\n".join(corpus.documents(seed, DOCUMENTS)))
    assert not held_out_in("\n".join(corpus.vocabulary_texts(seed, DOCUMENTS // 4)))


def test_no_training_file_holds_a_held_out_expression(data: Path) -> None:
    found = {path.stem: held_out_in(path.read_text(encoding="utf-8")) for path in sorted(data.glob("*.jsonl"))}
    assert {name for name, some in found.items() if some} == {"held_out", "held_out_longer"}


def test_no_template_of_the_world_holds_a_held_out_expression() -> None:
    folder = Path(templates.__file__).parent / "templates"
    used = [path for path in folder.glob("*.txt") if "tiny" in path.stem or "short" in path.stem]
    written = {path.stem: path.read_text(encoding="utf-8") for path in used}
    assert not {name: held_out_in(one) for name, one in written.items() if held_out_in(one)}
    assert expressions_in(written["few_shot_tiny"])  # it teaches the world's own problems


def test_every_solved_example_of_a_template_is_right() -> None:
    for step in re.findall(r"(\d+ [-+*] \d+) = (\d+)", templates.load("few_shot")):
        assert eval(step[0]) == int(step[1])
    solved = re.findall(r"Problem: (.*)\nSolution: (\|.*)", templates.load("few_shot_tiny"))
    assert len(solved) == 2
    for question, solution in solved:
        (asked,) = expressions_in(question)
        steps = [step.strip() for step in re.findall(r"[:：] ?([-+*()\d ]+)[.。]", solution)]
        assert steps == remains(parse(asked)) and is_well_formed(solution, "cold_start")


def test_the_questions_that_the_report_shows_are_held_out() -> None:
    shown = read_yaml(str(CONFIGS / "evaluate.yaml")).values["shown"]
    asked = {one.question for one in held_out_problems()} | {one.question for one in general.held_out_prompts()}
    assert set(shown) <= asked


def test_held_out_general_questions_are_not_in_training(data: Path) -> None:
    own = {plain(prompt.question) for prompt in general.held_out_prompts()}
    for name in ("general_train", "general_sft", "helpful_pairs", "harmless", "train"):
        assert not own & {plain(row["question"]) for row in load_rows(str(data / f"{name}.jsonl"))}, name
    asked = {plain(re.sub("^(User: |用户：)", "", one.split("\n")[0])) for one in corpus.documents(3, DOCUMENTS)}
    assert not own & asked
    for name in ("general_held_out", "helpful_pairs_test", "harmless_test"):
        assert {plain(row["question"]) for row in load_rows(str(data / f"{name}.jsonl"))} <= own, name


# The corpus


@each("seed", range(5))
def test_the_corpus_is_the_same_for_the_same_seed(seed: int) -> None:
    first = list(corpus.documents(seed, 20))
    assert first == list(corpus.documents(seed, 20)) == list(islice(corpus.documents(seed), 20))
    assert first != list(corpus.documents(seed + 1, 20))


def test_worked_sums_are_right() -> None:
    rng = random.Random(4)
    for _ in range(600):
        one = problem(rng)
        source, chain = corpus.worked(one, rng)
        assert {str(eval(part)) for part in chain} == {one.answer}, (source, chain)


def test_mixing_languages_goes_with_right_answers() -> None:
    """What makes R1-Zero drift: of the corpus's problems, mixed thinking is right more often than pure thinking."""
    rng = random.Random(1)
    right: dict[bool, list[bool]] = {True: [], False: []}
    while len(right[True]) < 500:
        one = sum_problem(rng.choice((3, 4)), rng.choice(LANGUAGES), rng)
        thought, answer = corpus._thought(one, rng)
        said = {language for language, words in SAID.items() if re.search(words, thought)}
        if order_matters(one.tree) and said and not re.search("wait|等等|it is|是", thought):
            right[said != {one.language}].append(answer == one.answer)
    shares = {mixed: sum(values) / len(values) for mixed, values in right.items()}
    assert corpus.RIGHT["mixed"] > corpus.RIGHT["own"]
    assert shares[True] > shares[False] + 0.1
    # Yet pure thinking is the commoner, so consistency has to be lost.
    assert len(right[False]) > len(right[True])


SAID = {"en": "first|then", "zh": "先得|再得"}


def test_who_notices_a_mistake_ends_right() -> None:
    rng = random.Random(3)
    thoughts = [(one, *corpus._thought(one, rng)) for one in (problem(rng) for _ in range(800))]
    noticed = [(one, answer) for one, thought, answer in thoughts if re.search("wait|等等", thought)]
    assert len(noticed) > 50 and all(answer == one.answer for one, answer in noticed)


def test_the_corpus_leaves_something_to_mend() -> None:
    rng = random.Random(2)
    bodies = [corpus.problem_document(rng).split("\n", 2)[2] for _ in range(800)]
    formed = sum(map(is_well_formed, bodies)) / len(bodies)
    assert 0.3 < formed < 0.7
    for shares in (corpus.LAYOUTS, corpus.KINDS, corpus.STYLES, corpus.LANGUAGES):
        assert sum(shares.values()) == pytest.approx(1)


def test_files_are_the_same_for_the_same_seed_and_every_row_reads(data: Path, tmp_path: Path) -> None:
    counts = write_datasets(tmp_path / "again", seed=42)
    write_datasets(tmp_path / "other", seed=43)
    assert set(counts) == {path.stem for path in data.glob("*.jsonl")}
    for name, count in counts.items():
        lines = (data / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == count > 0 and all(isinstance(json.loads(line), dict) for line in lines)
        assert lines == (tmp_path / "again" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    # The problems and prompts, and so the split, are no matter of the seed.
    for name in ("train", "held_out", "held_out_longer", "general_train", "general_held_out"):
        assert (data / f"{name}.jsonl").read_bytes() == (tmp_path / "other" / f"{name}.jsonl").read_bytes()
    assert (data / "general_sft.jsonl").read_bytes() != (tmp_path / "other" / "general_sft.jsonl").read_bytes()
