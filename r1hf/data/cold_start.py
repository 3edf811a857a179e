"""The three ways to cold-start data (arXiv 2501.12948v2, section 3.1; v1, section 2.3.1).

Few-shot prompting with long reasoning, direct prompting that asks for reflection and verification, and R1-Zero's
readable outputs rewritten. Each gives candidates in the form `| special_token | ... | special_token | Summary: ...`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from r1hf.data.rewrite import rewrite
from r1hf.data.rows import Row
from r1hf.models.generation import generate
from r1hf.models.sampler_config import SamplingConfig
from r1hf.models.sampling import Completion, Limits, Sampler
from r1hf.stage.stage import Stage
from r1hf.text.forms import to_cold_start
from r1hf.text.grammar import parse
from r1hf.verify import read_answer

# A base that was shown examples goes on with a problem of its own; the completion ends before it.
_NEXT_PROBLEM = re.compile(r"\n\s*(Problem:|User:|用户：).*", re.DOTALL)

Candidate = tuple[Row, Completion]


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn, and where they are kept: `n` of each row, in a folder of the stage for each method."""

    stage: Stage
    config: SamplingConfig
    n: int
    max_new_tokens: int

    def __call__(
        self, sampler: Sampler, rows: Sequence[Row], template: str | None, seed: int, name: str
    ) -> list[Candidate]:
        """Each row with its samples, but for those that are no answer, which are counted."""
        prompts, ids = sampler.chat([row["question"] for row in rows], template), [row.get("id") for row in rows]
        limits = Limits(max_new_tokens=self.max_new_tokens)
        made = generate(
            self.stage.checkpoints / name, sampler, prompts, self.n, limits, self.config, seed=seed, ids=ids, name=name
        )
        if made.fault_counts:
            self.stage.note("no_answer", name, made.fault_counts)
        pairs = ((row, one) for row, group in zip(rows, made.groups(), strict=True) for one in group)
        return [(row, one) for row, one in pairs if not one.fault]


def prompted(
    draw: Drawing, sampler: Sampler, rows: Sequence[Row], template: str, seed: int, name: str
) -> list[Candidate]:
    """Samples of a prompt template (few-shot or direct), cut where the base starts another problem."""
    return [(row, _cut(sample)) for row, sample in draw(sampler, rows, template, seed, name)]


def rewritten(draw: Drawing, sampler: Sampler, rows: Sequence[Row], seed: int, queue: list[Row]) -> list[Candidate]:
    """R1-Zero's samples rewritten by rule; `queue` gets each pair of before and after, for people to review."""
    candidates = []
    for row, sample in draw(sampler, rows, None, seed, "rewrite"):
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
