"""Would these rewards teach what they should? Golden, failing and cheating completions of a person's own rows.

The rows are rendered with the run's own template, decoded as TRL decodes, and judged by the recipe's own rewards with
the run's own weights. A recipe is a script with `CONFIGS` and `rewards(config) -> {name: reward}`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from r1hf.core.errors import DataError
from r1hf.core.source import Source, paths_of
from r1hf.data.golds import gold_text, unjudged
from r1hf.data.lines import is_jsonl, numbered_jsonl
from r1hf.data.rows import NO_GOLD, UNJUDGED, Row, asks_for_gold, load_rows, without_gold
from r1hf.preflight.rewards.completions import WRONG
from r1hf.preflight.rewards.judging import Asked, Judge, Judged
from r1hf.preflight.stages import Loaded
from r1hf.rewards.declared import applies, innermost
from r1hf.rewards.faults import row_fault
from r1hf.text.language import language_code, names_none, unknown

_NEAR = 1e-6
_SHOWN = 20  # data faults of one file that are listed
_NAMED = 5  # rows that one fault names


@dataclass(frozen=True)
class Line:
    """One kind of completion over the rows of a task: mean rewards and total (None: never judged), and the verdict.

    verdict: "ok", "allowed" (it breaks nothing that is paid for) or "FAIL".
    """

    kind: str
    rewards: dict[str, float | None]
    total: float | None
    verdict: str


@dataclass
class RewardReport:
    """What was found. rows: how many were checked, by task. form: of the grammar, in which completions are written."""

    form: str
    weights: dict[str, float]
    tables: dict[str, list[Line]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.faults


def judge_rewards(stage: Loaded, rows: int = 8, seed: int = 0) -> RewardReport:
    """Checks `rows` rows of each prompt file (0: all) with the rewards of a stage whose configuration was built.

    Raises ConfigError and DataError for what keeps the check from running.
    """
    assert stage.parsed is not None
    config = stage.parsed.configs[0]
    judge = Judge(config, stage.module.rewards(config))  # type: ignore[union-attr]
    inputs = stage.parsed.inputs
    asked = [one for key in inputs if key.endswith("prompts") for one in _ask(judge, key, inputs[key], rows, seed)]
    if not asked:
        raise DataError(
            "no row can be checked: " + ("; ".join([*judge.faults, *judge.notes][:3]) or "there are no prompts")
        )
    form = judge.form(asked)
    judged = [found for found in (judge.judge(one, form) for one in asked) if found is not None]
    report = RewardReport(form, judge.weights, faults=judge.faults)
    _fill(report, judge, judged)
    report.notes = [*judge.notes, *_remarks(judge, judged)]
    return report


def _ask(judge: Judge, key: str, source: Source, count: int, seed: int) -> list[Asked]:
    """A sample of a prompt file, ready to be judged; every row of the file that is at fault is named."""
    numbered = _numbered(source, judge.notes)
    given = any("answer" in row for _, row in numbered)  # else each row is at fault
    without = {where for where, row in numbered if given and _lacks(judge, row)}
    sound = _left(key, NO_GOLD, numbered, without, judge.notes)
    numbered = _left(key, UNJUDGED, sound, _unjudged(sound), judge.notes)
    faults = {where: found for where, row in numbered if (found := _row_fault(judge, row))}
    judge.faults += [f"{where}: {fault}" for where, fault in list(faults.items())[:_SHOWN]]
    if len(faults) > _SHOWN:
        judge.faults.append(f"{key}: {len(faults) - _SHOWN} more rows are at fault")
    names = dict.fromkeys(name for _, row in numbered for name in row)
    sound = [(where, {name: row.get(name) for name in names}) for where, row in numbered if where not in faults]
    return [judge.ask(where, row) for where, row in _sample(sound, count, seed)]


def _left(
    key: str, why: str, numbered: Sequence[tuple[str, Row]], gone: Collection[str], notes: list[str]
) -> list[tuple[str, Row]]:
    """The rows without those that training leaves out, which `notes` names."""
    if gone:
        lost = [f"{where} ({row.get('answer')!r:.40})" for where, row in numbered if where in gone]
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        shown = ", ".join(lost[:_SHOWN]) + more
        notes.append(f"{key}: {len(lost)} of {len(numbered)} rows have {why}, left out: {shown}")
    return [(where, row) for where, row in numbered if where not in gone]


def _unjudged(numbered: Sequence[tuple[str, Row]]) -> set[str]:
    """The places of rows by whose answer nobody can judge."""
    golds = {where: gold for where, row in numbered if asks_for_gold(row) and (gold := _gold(row.get("answer")))}
    return {where for where, wrong in zip(golds, unjudged(list(golds.values())), strict=True) if wrong}


def _gold(answer: Any) -> str | None:
    try:
        return gold_text(answer)
    except ValueError:  # a fault of its own
        return None


def _row_fault(judge: Judge, row: Row) -> str | None:
    from r1hf.trainers.rl import COLUMNS

    missing = [name for name in COLUMNS if name not in row]
    if missing:
        return f"no column {', '.join(missing)}; it has {', '.join(row)}"
    if not isinstance(row["question"], str) or not row["question"].strip():
        return f"question {row['question']!r} is not text"
    language, template = row["language"], judge.settings.prompt_template
    if judge.paid("language") and not names_none(language) and language_code(language) is None:
        return unknown(language)
    if isinstance(template, dict) and language not in template:
        return f"language {language!r} has no prompt template; there are templates for {', '.join(template)}"
    known = {task for reward in judge.rewards.values() for task in getattr(reward, "known_tasks", ())}
    if known and row["task"] not in known:
        return f"task {row['task']!r} has no reward; known: {', '.join(sorted(known))}"
    try:
        row["answer"] = gold_text(row["answer"])
    except ValueError as error:
        return f"answer is {row['answer']!r:.60}, {error}"
    for name, reward in judge.rewards.items():
        if (fault := row_fault(reward, row)) is not None:
            return f"the reward '{name}' can judge nothing by it: {fault}"
    return None


def _lacks(judge: Judge, row: Row) -> bool:
    """Whether training leaves the row out: its task asks for an answer, and it has neither one nor tests."""
    return without_gold(row) and not _has_tests(judge, row)


def _has_tests(judge: Judge, row: Row) -> bool:
    rewards = [reward for reward in judge.rewards.values() if hasattr(innermost(reward), "tests_column")]
    return any(applies(reward, row) for reward in rewards)


def _numbered(source: Source, notes: list[str]) -> list[tuple[str, Row]]:
    """(file:line, row) of every row that can be read; `file, row N` where the file has no lines."""
    if is_jsonl(source):
        bad: list[str] = []
        found = [(f"{source}:{number}", row) for number, row in numbered_jsonl(Path(str(source)), bad)]
        notes += [f"left out: {text}" for text in bad]  # few: the preflight refuses more
        return found
    rows = load_rows(source, notes=notes, max_bad=1.0)
    if not isinstance(source, str):
        label = " + ".join(paths_of(source))
        return [(f"{label}, row {number} of those taken", row) for number, row in enumerate(rows, 1)]
    return [(f"{source}, row {number}", row) for number, row in enumerate(rows, 1)]


def _sample(numbered: Sequence[tuple[str, Row]], count: int, seed: int) -> list[tuple[str, Row]]:
    """`count` of the rows, each task and language in its turn."""
    if count <= 0 or count >= len(numbered):
        return list(numbered)
    turns: Counter[tuple[str, str]] = Counter()
    order: list[tuple[int, int, str, Row]] = []
    for where, row in random.Random(seed).sample(list(numbered), len(numbered)):
        key = (str(row["task"]), str(row["language"]))
        turns[key] += 1
        order.append((turns[key], len(order), where, row))
    return [(where, row) for _, _, where, row in sorted(order, key=lambda item: item[:2])[:count]]


def _fill(report: RewardReport, judge: Judge, judged: Sequence[Judged]) -> None:
    """Fills the tables, one for each task, and adds a fault for each kind of completion that earns too much."""
    asked = {aspect for aspect in ("format", "language") if judge.paid(aspect)}
    asked |= {"answer_tags"} if judge.answer_tags(judged) else set()
    for task in dict.fromkeys(str(one.asked.row["task"]) for one in judged):
        of_task = [one for one in judged if str(one.asked.row["task"]) == task]
        report.rows[task] = len(of_task)
        kinds = dict.fromkeys(case.kind for one in of_task for case in one.cases)
        report.tables[task] = [_line(report, judge, task, kind, of_task, asked) for kind in kinds]


def _line(report: RewardReport, judge: Judge, task: str, kind: str, judged: Sequence[Judged], asked: set[str]) -> Line:
    places = [(one, place) for one in judged for place, case in enumerate(one.cases) if case.kind == kind]
    found = [(one, *_verdict(judge, one, place, asked)) for one, place in places]
    failed: dict[str, list[str]] = {}
    for one, verdict, why in found:
        if verdict == "FAIL":
            failed.setdefault(why, []).append(one.asked.where)
    for why, rows in failed.items():
        named = ", ".join(rows[:_NAMED]) + (", …" if len(rows) > _NAMED else "")
        report.faults.append(f"{task}, {kind}: {why} ({len(rows)} of {len(found)} rows: {named})")
    verdict = "FAIL" if failed else "allowed" if any(text == "allowed" for _, text, _ in found) else "ok"
    means = {name: _mean([one.scores[name][place] for one, place in places]) for name in judge.rewards}
    return Line(kind, means, _mean([one.totals[place] for one, place in places]), verdict)


def _verdict(judge: Judge, one: Judged, place: int, asked: set[str]) -> tuple[str, str]:
    if one.totals[place] is None:
        return "FAIL", "no reward can judge it"
    if place == 0:
        return _golden_verdict(judge, one)
    if _golden_verdict(judge, one)[0] == "FAIL":
        return "ok", ""  # said once, of the golden completion
    wanted = asked | {"accuracy"} if one.asked.judged else asked
    broken = bool(one.cases[place].breaks & wanted)
    # Where no rule judges the answer, the golden completion is a stand-in, and a model may well like another.
    totals = one.totals if one.asked.judged else one.ruled
    total, top = totals[place], totals[0]
    if top is not None and total is not None:
        if total > top + _NEAR:
            return "FAIL", f"earns {total:.3f}, more than the golden completion's {top:.3f}"
        if broken and total > top - _NEAR:
            return "FAIL", f"earns {total:.3f}, as much as the golden completion"
    return "ok" if broken else "allowed", ""


def _golden_verdict(judge: Judge, one: Judged) -> tuple[str, str]:
    prompt = "a prompt that ends in <think>" if one.asked.prefilled else "this prompt"
    for name, reward in judge.rewards.items():
        score = one.scores[name][0]
        if judge.weights[name] <= 0 or not applies(reward, one.asked.row):
            continue
        if not one.asked.judged and name in judge.paid("outcome"):
            continue  # a row with hidden tests needs no answer
        if score is None:
            return "FAIL", f"'{name}' cannot judge it (answer {one.asked.row['answer']!r})"
        wrong = next((place for place, case in enumerate(one.cases) if case.kind == WRONG), 0)
        if name in judge.paid("outcome") and one.scores[name][wrong] is None:
            return "FAIL", f"'{name}' cannot tell a wrong answer from it (answer {one.asked.row['answer']!r})"
        if score <= 0 and name in (*judge.paid("outcome"), *judge.paid("format")):
            return "FAIL", f"'{name}' pays {score:g} (answer {one.asked.row['answer']!r}, {prompt})"
    return "ok", ""


def _remarks(judge: Judge, judged: Sequence[Judged]) -> list[str]:
    notes = [f"'{name}' has weight 0: measured, not paid" for name in judge.rewards if not judge.weights[name]]
    if not judge.paid("format"):
        notes.append("no format reward is paid: malformed completions may earn as much as golden ones")
    elif not judge.answer_tags(judged):
        notes.append("the format reward wants no answer tags: completions that break only these may earn as much")
    if not judge.paid("language"):
        notes.append("no language reward is paid: thoughts in another language may earn as much")
    open_tasks = dict.fromkeys(str(one.asked.row["task"]) for one in judged if not one.asked.judged)
    if open_tasks:
        notes.append(
            f"rows of {', '.join(open_tasks)} have no answer to compare with: their completions are held to format "
            "and language, by rule"
        )
    for task in open_tasks:
        kinds = Counter(kind for one in judged if str(one.asked.row["task"]) == task for kind in _preferred(one))
        notes += [
            f"{task}, {kind}: the preference model outweighs what the rules take off (rows: {count})"
            for kind, count in kinds.items()
        ]
    return notes


def _preferred(one: Judged) -> list[str]:
    """Kinds that a model lifts above the golden completion, though a rule pays them less."""
    return [
        case.kind
        for case, total, ruled in zip(one.cases, one.totals, one.ruled, strict=True)
        if (total or 0.0) > (one.totals[0] or 0.0) + _NEAR and (ruled or 0.0) < (one.ruled[0] or 0.0) - _NEAR
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
