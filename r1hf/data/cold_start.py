"""The three ways to cold-start data (arXiv 2501.12948v2, section 3.1; v1, section 2.3.1).

Few-shot prompting with long reasoning, direct prompting that asks for reflection and verification, and R1-Zero's
readable outputs rewritten. Each gives candidates in the form `| special_token | ... | special_token | Summary: ...`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from r1hf.data.rewrite import rewrite
from r1hf.data.rows import Row
from r1hf.models.sampling import Completion, Sampler
from r1hf.text.forms import to_cold_start
from r1hf.text.grammar import parse
from r1hf.verify import read_answer

# A base that was shown examples goes on with a problem of its own; the completion ends before it.
_NEXT_PROBLEM = re.compile(r"\n\s*(Problem:|User:|用户：).*", re.DOTALL)

Candidate = tuple[Row, Completion]


def prompted(
    sampler: Sampler, rows: Sequence[Row], template: str, n: int, max_new_tokens: int, seed: int, name: str
) -> list[Candidate]:
    """Samples of a prompt template (few-shot or direct), cut where the base starts another problem."""
    prompts = sampler.chat([row["question"] for row in rows], template)
    samples = sampler.sample(prompts, n, max_new_tokens=max_new_tokens, seed=seed, name=name)
    return [(row, _cut(sample)) for row, group in zip(rows, samples, strict=True) for sample in group]


def rewritten(
    sampler: Sampler, rows: Sequence[Row], n: int, max_new_tokens: int, seed: int, queue: list[Row]
) -> list[Candidate]:
    """R1-Zero's samples rewritten by rule; `queue` gets each pair of before and after, for people to review."""
    samples = sampler.sample(
        sampler.chat([row["question"] for row in rows]), n, max_new_tokens=max_new_tokens, seed=seed, name="rewrite"
    )
    candidates = []
    for row, group in zip(rows, samples, strict=True):
        for sample in group:
            answer = read_answer(sample.text)
            parts = rewrite(parse(sample.text).reasoning or "", answer or "", row["language"])
            text = to_cold_start(*parts) if parts else sample.text
            if parts:
                queue.append({"id": row.get("id"), "question": row["question"], "before": sample.text, "after": text})
            candidates.append((row, Completion(text, sample.tokens, sample.truncated)))
    return candidates


def _cut(sample: Completion) -> Completion:
    text = _NEXT_PROBLEM.sub("", sample.text)
    return sample if text == sample.text else Completion(text, sample.tokens, truncated=False)


def take(
    candidates: Sequence[Candidate], keeps: Callable[[Row, Completion], bool], method: str, most: int
) -> list[Row]:
    """Up to `most` rows that the filter keeps; every candidate is judged and counted."""
    kept = [
        {**row, "completion": sample.text.strip(), "method": method}
        for row, sample in candidates
        if keeps(row, sample)
    ]
    return kept[:most]
