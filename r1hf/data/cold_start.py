"""The three ways to cold-start data (arXiv 2501.12948v2, section 3.1; v1, section 2.3.1).

Few-shot prompting with long reasoning, direct prompting that asks for reflection and verification, and R1-Zero's
readable outputs rewritten. Each gives candidates in the form `| special_token | ... | special_token | Summary: ...`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from r1hf.core.errors import DataError, NothingKept
from r1hf.data.audit import NOT_CHOSEN, Audit
from r1hf.data.cleaning import LEAK
from r1hf.data.decisions import key_of
from r1hf.data.drawing import Asking, Drawing
from r1hf.data.filters import SampleFilter, Verdict, described
from r1hf.data.rewrite import rewrite
from r1hf.data.rows import Row
from r1hf.models.sampling import Completion, Limits, Sampler
from r1hf.text import prompt_templates as templates
from r1hf.text.forms import to_cold_start
from r1hf.text.grammar import SEPARATORS, TAGS, parse
from r1hf.text.language import is_traditional, target_of
from r1hf.text.prompt_templates import Templates
from r1hf.text.quoting import quoted
from r1hf.verify import read_answer

# A base that was shown examples goes on with a problem of its own; the completion ends before it.
_NEXT_PROBLEM = re.compile(
    r"\n[ \t]{0,8}(?:Problem(?: Examples[^\n:]{0,40})?|Question|User|Human|用户|用戶|问题|問題|题目|題目"
    r"|问题示例[^\n：]{0,40}|問題範例[^\n：]{0,40})[ \t]{0,4}\d{0,3}[ \t]{0,4}[:：]"
)
REWRITE_FIELDS = ("question", "draft", "verdict")
_VERDICTS = {
    "en": ("Its final answer is right.", "Its final answer is wrong.", "Nobody has checked its final answer."),
    "zh": ("草稿的最终答案是正确的。", "草稿的最终答案是错误的。", "草稿的最终答案还没有人检查过。"),
    "zh-Hant": ("草稿的最終答案是正確的。", "草稿的最終答案是錯誤的。", "草稿的最終答案還沒有人檢查過。"),
}

Candidate = tuple[Row, Completion]


def template_for(template: Templates, row: Row) -> str:
    """The prompt template for a row. Raises DataError where there is none for its language."""
    name = templates.chosen(template, row.get("language"), row["question"])
    if name is None:
        raise DataError(
            f"no prompt template for language {row.get('language')!r} (question {row['question']!r:.60}); "
            f"there are {', '.join(template)}"
        )
    return name


def check_templates(
    problems: list[str], key: str, template: Templates, rows: Iterable[Row], fields: Sequence[str] = ("prompt",)
) -> None:
    """Adds what is wrong with a key that names prompt templates, and rows whose language has none."""
    for name in sorted({template} if isinstance(template, str) else set(template.values())):
        templates.check(problems, key, name, fields)
    if template == {}:
        problems.append(f"{key}: {{}} names no template")
        return
    lacking = {
        str(row.get("language"))
        for row in rows
        if not templates.chosen(template, row.get("language"), row["question"])
    }
    if lacking:
        problems.append(
            f"{key}: no template for prompts in {', '.join(sorted(lacking))}; there are {', '.join(template)}"
        )


def prompted(
    draw: Drawing,
    sampler: Sampler,
    rows: Sequence[Row],
    template: Templates,
    n: int,
    limits: Limits,
    seed: int,
    name: str,
) -> list[Candidate]:
    """Samples of a prompt template (few-shot or direct), cut where the base starts another problem."""
    prompts = [templates.render(template_for(template, row), row["question"]) for row in rows]
    groups = draw.groups(sampler, prompts, n, limits, seed, name, rows)
    return [(row, _cut(sample)) for row, sample in _answers(rows, groups)]


def drafts(draw: Drawing, sampler: Sampler, rows: Sequence[Row], n: int, limits: Limits, seed: int) -> list[Candidate]:
    """R1-Zero's samples, as they are."""
    prompts = sampler.chat([row["question"] for row in rows])
    return _answers(rows, draw.groups(sampler, prompts, n, limits, seed, "rewrite", rows))


def _answers(rows: Sequence[Row], groups: Sequence[Sequence[Completion]]) -> list[Candidate]:
    """Each row with its samples, but for those that are no answer, which are counted already."""
    return [(row, one) for row, group in zip(rows, groups, strict=True) for one in group if not one.fault]


def rewritten_by_rule(found: Iterable[Candidate], queue: list[Row]) -> list[Candidate]:
    """Drafts of sums written anew by rule; `queue` gets each pair of before and after, for people to review."""
    candidates = []
    for row, sample in found:
        language = target_of(row.get("language"), row["question"]) or ""
        parts = rewrite(parse(sample.text).reasoning or "", read_answer(sample.text) or "", language)
        text = to_cold_start(*parts) if parts else sample.text
        if parts:
            queue.append(_pair(row, sample.text, text))
        candidates.append((row, replace(sample, text=text)))
    return candidates


def rewritten_by_model(
    ask: Asking,
    found: Sequence[Candidate],
    verdicts: Sequence[Verdict],
    template: Templates,
    limits: Limits,
    seed: int,
    queue: list[Row],
) -> list[Candidate]:
    """Drafts that a language model writes anew, told whether their answer is right; it may correct them.

    A draft that was cut off is left out of what the model is asked, and stays a candidate as it is.
    """
    asked = [place for place, (_, sample) in enumerate(found) if sample.text.strip() and not sample.truncated]
    prompts = [rewriting_prompt(template, *found[place], verdicts[place]) for place in asked]
    samples = ask(prompts, limits, seed, "rewriter")
    candidates = list(found)
    for place, sample in zip(asked, samples, strict=True):
        row, before = found[place]
        candidates[place] = (row, replace(sample, text=_edited(sample.text)))
        queue.append(_pair(row, before.text, candidates[place][1].text))
    return candidates


def rewriting_prompt(template: Templates, row: Row, draft: Completion, verdict: Verdict) -> str:
    """What the rewriter is asked: the draft is quoted, so that it cannot give orders."""
    name, language = template_for(template, row), target_of(row.get("language"), row["question"]) or ""
    traditional = language == "zh" and is_traditional(row["question"])
    said = _VERDICTS.get("zh-Hant" if traditional else language, _VERDICTS["en"])
    right = {True: said[0], False: said[1], None: said[2]}[verdict.right]
    return templates.fill(name, question=quoted(row["question"]), draft=quoted(draft.text), verdict=right)


def _edited(text: str) -> str:
    """The rewriting without the editor's own thought, a fence round it, or words before it."""
    response = parse(text)
    if response.form != "cold_start" and response.reasoning is not None and response.answer is not None:
        text = response.answer
    start = SEPARATORS.search(text)
    text = text[start.start() :] if start and not any(tag in text[: start.start()] for tag in TAGS) else text
    return text.strip().removesuffix("```").rstrip()


def _pair(row: Row, before: str, after: str) -> Row:
    return {**row, "method": "rewrite", "before": before, "after": after}


def _cut(sample: Completion) -> Completion:
    found = _NEXT_PROBLEM.search(sample.text)
    return sample if found is None else Completion(sample.text[: found.start()].rstrip(), sample.tokens, False)


class Taken(NamedTuple):
    """Rows that are kept, their places in the audit, and why a row of a key (`key_of`) is not among them."""

    rows: list[Row]
    places: list[int]
    reasons: dict[str, str]


def take(
    candidates: Sequence[Candidate],
    verdicts: Sequence[Verdict],
    judge: SampleFilter,
    method: str,
    most: int,
    audit: Audit,
) -> Taken:
    """Up to `most` rows that the filter keeps; all are judged and counted."""
    taken = Taken([], [], {})
    for (row, sample), verdict in zip(candidates, verdicts, strict=True):
        reason = judge.counted(row, sample, verdict)
        place = audit.add(row, sample, verdict, reason, method)
        taken.reasons.setdefault(key_of(row["question"], sample.text), reason or NOT_CHOSEN)
        if reason is None and len(taken.rows) < most:
            taken.rows.append({**row, "completion": sample.text.strip(), "method": method})
            taken.places.append(place)
        elif reason is None:
            judge.rejected[NOT_CHOSEN] += 1
            audit.drop(place, NOT_CHOSEN)
    return taken


def review_rows(queue: Iterable[Row], reasons: Mapping[str, str], kept: Iterable[Row]) -> list[Row]:
    """What people look at: each rewriting once, with the reason for which it is not among the `kept` rows, or None.

    Leaks of benchmarks are not shown: nobody is to bring one back.
    """
    taken = {key_of(row["question"], row["completion"]) for row in kept}
    rows: dict[str, Row] = {}
    for row in queue:
        key = key_of(row["question"], row["after"])
        reason = None if key in taken else reasons[key]
        if reason != LEAK:
            rows.setdefault(key, {**row, "reason": reason})
    return list(rows.values())


def check_floor(filters: Mapping[str, SampleFilter], floor: int, problems: int) -> None:
    """Raises NothingKept where a method keeps fewer than `floor` rows, or all together none: counts and examples."""
    short = [method for method, item in filters.items() if item.kept < floor]
    kept = sum(item.kept for item in filters.values())
    if kept and not short:
        return
    told = "; ".join(f"{method} {item.counts()}" for method, item in filters.items())
    shown = [method for method in filters if method in short or not kept]
    examples = "\n".join(f"{method}:\n{described(filters[method].shown)}" for method in shown)
    if not kept:
        raise NothingKept(f"no cold-start sample was kept of {problems} problems: {told}\n{examples}")
    counts = ", ".join(f"{method} {filters[method].kept}" for method in short)
    raise NothingKept(
        f"fewer rows than min_rows_per_method ({floor}) were kept of a method: {counts}. Look at what was rejected, "
        f"and mend the prompts or the model, or set a smaller floor. Rejected: {told}\n{examples}"
    )
