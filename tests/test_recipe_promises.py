"""What the configurations promise: each figure is measured here, published and named, or computed anew."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from small_run import ROOT
from tables import each
from test_parallel import FILES, base_of

from r1hf.core.given import said
from r1hf.core.gpus import GIB, parse_gpus
from r1hf.models.shapes import shape_of
from r1hf.preflight.estimate.one_stage import Given, StagePlan
from r1hf.preflight.facts import Facts, Machine
from r1hf.preflight.stages import Loaded, load

CONFIGS = ROOT / "recipes" / "configs"
PAGE = re.compile(r"README\.md|(?:docs|model_cards)/[\w/.-]+\.md")
PAPER = re.compile(r"arXiv \d{4}\.\d{5}(?:, Table \d+)?|\bv[12], (?:Table \d+|supplement|[\dB]\.\d+)")
NUMBER = re.compile(r"(?<![\w.-])\$?(\d+(?:,\d{3})*(?:\.\d+)?)(?![\w.]*\d)")
CLAIM = re.compile(
    r"\bexpect|\babout \d|\d ?%|\bminutes? |\bseconds? of\b|\bwell above\b|\breach(es)?\b", re.IGNORECASE
)
# Published figures, each once: of the paper by version (arXiv 2501.12948), and of SimpleRL-Zoo.
PUBLISHED = {
    "2503.18892, Table 1": "36.7 49.5 15.8 34.4 55.7 74.4 29.6 59.0 64.6 78.2 3.3 20.0 39.7 79.2 13.6 23.0",
    "v2, Table 3": "77.9 95.9 59.0 94.2 71.7 74.0 78.1 95.4 79.8 97.3 87.6 62.1 20",
    "v1, Table 5": "28.9 83.9 55.5 92.8 69.7 93.9 72.6 94.3 50.4 89.1 70.0 94.5",
    "v1, Table 6": "47.0 91.6",
    "v2, 2.3": "15.6",
    "v2, supplement": "147,000 294,000 2 101,000 5,000 41,000 198 80",
    "v2, B.3": "600 395,285 211,129 10,124 10,395 177,812",
}
CONTEXT = {"2024", "500", "1.5", "800", "32,768", "4,096", "671"}  # names of benchmarks, models, and sizes


@dataclass(frozen=True)
class Promise:
    """A paragraph of a file's head, or above a stage in a graph. stage: which it speaks of, None for all of them."""

    path: Path
    graph: Path
    stage: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(CONFIGS)}-{self.stage}"


def paragraphs(lines: Iterable[str]) -> list[str]:
    """Comments with what is indented behind them on one line each."""
    found: list[str] = []
    for line in lines:
        if line.startswith("#   ") and found:
            found[-1] += " " + line[4:]
        else:
            found.append(line.removeprefix("# "))
    return [text.strip() for text in found]


def promises(path: Path) -> list[Promise]:
    """All paragraphs of a file's head, and in a graph those above each stage."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    told = said(["--config", str(path)])
    found = [Promise(path, told.graph or path, told.stage, text) for text in paragraphs(head)]
    comments: list[str] = []
    for line in lines[len(head) :]:
        if line.startswith("  #"):
            comments.append(line[2:])
        elif entry := re.match(r"  (\w+):", line):
            found += [Promise(path, path, entry[1], text) for text in paragraphs(comments)]
            comments = []
    return found


PROMISES = [one for path in FILES for one in promises(path)]
EXPECTED = [one for one in PROMISES if one.text.startswith("Expect: ")]
PREDICTED = [one for one in PROMISES if one.text.startswith("Predicted by r1hf plan")]


@each("promise", EXPECTED, ids=str)
def test_what_is_expected_has_its_source_and_its_figures(promise: Promise) -> None:
    path, text = promise.path, promise.text
    page = PAGE.search(text)
    assert page or PAPER.search(text), f"{path}: say where this is measured or published, or leave it out"
    said = PAPER.sub("", PAGE.sub("", text))
    numbers = {match[1] for match in NUMBER.finditer(re.sub(r"\(v[12]\)", "", said))} - CONTEXT
    if page:
        assert figures_of(promise, page[0]) or not numbers, f"{path}: no rule here reads {sorted(numbers)}"
        return
    known = {number for source, row in PUBLISHED.items() if source in text for number in row.split()}
    assert numbers <= known, f"{path}: {sorted(numbers - known)} are no published figures of its source"


@cache
def rows_of(page: str) -> dict[str, list[str]]:
    """First cell of each row of the tables in a page -> the other cells; of equal first cells the first."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            first, *rest = (cell.strip(" `") for cell in line.strip("|").split("|"))
            found.setdefault(first, rest)
    return found


def number(cell: str) -> float:
    return float(re.match(r"[\d.]+", cell)[0])  # type: ignore[index]


def figures_of(promise: Promise, page: str) -> bool:
    """Holds the figures of a promise against the tables of `page`; False where no rule knows them."""
    text, stage = promise.text, promise.stage or ""
    seen = False
    if page == "README.md":
        rows = rows_of(page)
        seeds = [
            (stage, r"^Expect: (\d+) to (\d+)% right"),
            (stage.removesuffix("_direct_rl"), r"student's (\d+) to (\d+)"),
        ]
        for name, pattern in seeds:
            if found := re.search(pattern, text):
                column = rows["seed"].index(name)
                values = [number(rows[seed][column]) for seed in ("42", "7", "1")]
                assert abs(min(values) - int(found[1])) <= 0.51 and abs(max(values) - int(found[2])) <= 0.51, values
                seen = True
        # The table's columns: in the paper, pass@1, format, language, tokens, helpful, harmless.
        places = {r"(\d+)% well formed": 2, r"to (\d+)% with seed 42": 3, r"([\d.]+)% in one language": 3}
        places |= {r"^Expect: (\d+)% right, ": 1, r"(\d+)% helpful": 5, r"(\d+)% harmless": 6}
        for pattern, place in places.items():
            if found := re.search(pattern, text):
                assert abs(number(rows[stage][place]) - float(found[1])) <= 0.51, (promise, pattern)
                seen = True
        return seen
    share = re.search(r"(\d+)% of samples pass", text)
    card = (ROOT / page).read_text(encoding="utf-8")
    passed = [float(value) for value in re.findall(r"Pass rate \| ([\d.]+)%", card)]
    return share is not None and any(abs(value - int(share[1])) <= 0.51 for value in passed)


def test_figures_in_the_lines_of_keys_are_those_of_the_table() -> None:
    tokens = [(path, found) for path in FILES for found in re.findall(r"mean answer has (\d+)", path.read_text())]
    assert tokens
    for path, found in tokens:
        stage = {"evaluate": "r1", "all_scenario_rl": "r1", "rejection_sampling": "reasoning_rl"}.get(
            path.stem, path.stem
        )
        stage = {"on_policy": "student_qwen"}.get(stage, stage)
        assert abs(number(rows_of("README.md")[stage][4]) - int(found)) < 1, path


@each("path", FILES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_no_other_line_promises_anything(path: Path) -> None:
    sourced = [one.text for one in EXPECTED + PREDICTED if one.path == path]
    text = path.read_text(encoding="utf-8")
    comments = re.findall(r"(?:^|\s)# *(.*)", re.sub(r"\n *#   ", " ", text))
    loose = [line for line in comments if CLAIM.search(line) and not any(line.strip() in block for block in sourced)]
    allowed = re.compile(r"a stage takes minutes|beside the|hardware:", re.IGNORECASE)
    loose = [line for line in loose if not allowed.search(line) and not PAGE.search(line) and not PAPER.search(line)]
    assert not loose, "neither a source nor a check supports these:\n" + "\n".join(loose)


@cache
def loaded(graph: Path) -> dict[str, Loaded]:
    return {stage.name: stage for stage in load(graph)[0]}


@each("promise", PREDICTED, ids=str)
def test_what_is_predicted_is_what_the_plan_says(promise: Promise) -> None:
    text = promise.text
    device = re.search(r"for (\S+) \(assumptions, nothing measured\)", text)
    rows = re.search(r"for ([\d,]+) (?:rows|prompts)", text)
    assert device is not None and promise.stage is not None
    shape = base_of(promise.graph, promise.stage)
    given = Given(shape=shape, rows=int(rows[1].replace(",", "")) if rows else None)
    machine = Machine(parse_gpus(device[1]), given)
    plan = Facts(loaded(promise.graph)[promise.stage], machine, {}).plan
    assert isinstance(plan, StagePlan)
    wanted = {
        r"([\d.]+) of [\d.]+ GiB": f"{plan.memory.needed / GIB:.1f}",
        r"of ([\d.]+) GiB": f"{(plan.memory.available or 0) / GIB:.1f}",
        r"([\d.]+) h\b": f"{plan.hours or 0:.1f}",
        r"(\d+) s a step": f"{plan.times.step if plan.times else 0:.0f}",
        r"([\d,]+) steps": f"{plan.job.steps or 0:,}",
    }
    for pattern, value in wanted.items():
        found = re.search(pattern, text)
        assert found is None or found[1] == value, f"{promise}: {found[0]} is {value}"
    if beside := re.search(r"two reward models take ([\d.]+) GiB", text):
        body = shape_of(base_of(promise.graph, "reward_models"))
        assert beside[1] == f"{2 * 4 * body.parameters / GIB:.1f}"


def test_there_are_promises_to_check() -> None:
    assert len(EXPECTED) > 50 and len(PREDICTED) > 50
    assert {one.stage for one in PREDICTED if one.path.parent.name == "lora"} >= {"sft1", "r1_zero", "student"}
