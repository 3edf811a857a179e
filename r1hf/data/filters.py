"""Which samples are good enough to learn from: right, well formed, in one language, not rambling, not twice.

The paper keeps correct samples and drops mixed languages, long paragraphs and code blocks (arXiv 2501.12948v2,
section 3.2.2 and B.3). Every rejected sample is counted under the first reason that it fails by.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from r1hf.data.form_faults import form_fault, verifies
from r1hf.data.readability import has_code, is_garbled, is_messy, language_fault, longest_paragraph, rambles
from r1hf.data.rows import Row
from r1hf.text.grammar import Mode, parse
from r1hf.text.language import target_of
from r1hf.text.repetition import repeats_itself
from r1hf.verify import read_answer, verify_math

if TYPE_CHECKING:  # torch comes with it
    from r1hf.models.sampling import Completion

SHOWN = 3  # samples that stand for a reason
_SHOWN_LENGTH = 400  # characters

# reason -> what it says of a sample, in the order in which they are looked for
REASONS = {
    "truncated": "cut at the limit of tokens",
    "empty": "nothing was written",
    "think_tags": "`<think>` or `<answer>` tags in the cold-start form",
    "no_separator": "no `| special_token |` in it",
    "one_separator": "one `| special_token |` alone, so that nothing parts the reasoning from the summary",
    "too_many_separators": "more than two `| special_token |`",
    "text_before": "text before the first `| special_token |`",
    "no_reasoning": "no reasoning between the special tokens, or only the answer",
    "no_summary": "nothing after the second `| special_token |`",
    "no_summary_label": "the last part does not begin with Summary:, 总结： or 總結：",
    "no_thought": "no closed `<think>`",
    "empty_thought": "nothing in `<think>`",
    "no_answer_tag": "the answer stands in no `<answer>`",
    "malformed": "tags twice, in the wrong order, or text around them",
    "garbled": "broken or invisible characters",
    "no_answer": "no answer to read, or several",
    "wrong_answer": "another answer than the gold one",
    "unjudged": "nobody could tell whether it is right",
    "repetition": "sentences or paragraphs again and again",
    "wrong_language": "written in another language than the row's",
    "mixed_language": "words of another language among the row's",
    "rambling": "sentence after sentence of doubt",
    "messy": "fillers and trailing off, as spoken to oneself",
    "code": "program code, and the question is about none",
    "no_verification": "no part that verifies the result, which the prompt asked for",
    "long_paragraph": "a paragraph too long to read",
    "too_long": "more tokens than max_tokens",
    "duplicate": "the same sample again for the same question",
}


class Verdict(NamedTuple):
    """Whether a sample is right (None: nobody can tell), the answer that was read, and who judged."""

    right: bool | None
    answer: str | None = None
    by: str = "rule"


@dataclass
class SampleFilter:
    """Judges samples one by one and keeps the counts, and the first samples of each reason.

    form: what a kept sample looks like, "think_answer" or "cold_start". max_tokens: longer ones are too long.
    min_language_share: least share of words, in the thinking and in the answer, in the row's language; the question's
    where the row names none, and not judged where neither is known. verification: a part that checks the result is
    wanted. max_paragraph: words and signs of a paragraph, 0 for any number.
    """

    form: Mode = "think_answer"
    max_tokens: int = 1024
    min_language_share: float = 1.0
    verification: bool = False
    max_paragraph: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    shown: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def keeps(self, row: Row, sample: Completion, verdict: Verdict | None = None) -> bool:
        return self.counted(row, sample, verdict) is None

    def counted(self, row: Row, sample: Completion, verdict: Verdict | None = None) -> str | None:
        """`reason`, which is counted; the samples that come after are held against this one."""
        reason = self.reason(row, sample, verdict)
        if reason is None:
            self._seen.add((row["question"], _plain(sample.text)))
            self.kept += 1
            return None
        self.rejected[reason] += 1
        if len(self.shown[reason]) < SHOWN:
            text = sample.text if len(sample.text) <= _SHOWN_LENGTH else f"{sample.text[:_SHOWN_LENGTH]}…"
            self.shown[reason].append({"question": row["question"], "answer": row.get("answer"), "completion": text})
        return reason

    def reason(self, row: Row, sample: Completion, verdict: Verdict | None = None) -> str | None:
        """Why the sample is not kept, or None. verdict: by the rule of maths where none is given."""
        if fault := self.form_reason(sample):
            return fault
        right, answer, by = verdict or by_rule(row, sample)
        if not right:
            return "unjudged" if right is None else "wrong_answer" if answer or by == "judge" else "no_answer"
        if fault := self._unreadable(row, sample):
            return fault
        if sample.tokens > self.max_tokens:
            return "too_long"
        return "duplicate" if (row["question"], _plain(sample.text)) in self._seen else None

    def form_reason(self, sample: Completion) -> str | None:
        """What is wrong with a sample whatever the question was."""
        if sample.truncated:
            return "truncated"
        return form_fault(sample.text, self.form) or ("garbled" if is_garbled(sample.text) else None)

    def _unreadable(self, row: Row, sample: Completion) -> str | None:
        response = parse(sample.text)
        reasoning, answer = response.reasoning or "", response.answer or ""
        if repeats_itself(reasoning) or repeats_itself(answer):
            return "repetition"
        if target := target_of(row["language"], row["question"]):
            for part in (reasoning, answer):
                if fault := language_fault(part, row["question"], target, self.min_language_share):
                    return fault
        if rambles(reasoning):
            return "rambling"
        if self.form == "cold_start" and is_messy(reasoning):
            return "messy"
        # Of a program one may speak in code.
        if row.get("task") != "code" and (has_code(reasoning) or has_code(answer)) and not has_code(row["question"]):
            return "code"
        if self.verification and not verifies(reasoning):
            return "no_verification"
        return "long_paragraph" if 0 < self.max_paragraph < longest_paragraph(sample.text) else None

    def counts(self) -> dict[str, int]:
        """Rejections by reason, the commonest first."""
        return dict(self.rejected.most_common())


def by_rule(row: Row, sample: Completion) -> Verdict:
    """The verdict of maths: the answer as a person would read it, against the row's."""
    answer = read_answer(sample.text)
    return Verdict(verify_math(answer, row["answer"]), answer)


def described(shown: Mapping[str, list[Row]]) -> str:
    """The first samples of each reason, a line each, for people."""
    return "\n".join(
        f"  {reason} ({REASONS[reason]}):\n"
        + "\n".join(
            f"    {row['question']!r:.100} (gold {row['answer']!r:.40}) -> {row['completion']!r:.300}" for row in rows
        )
        for reason, rows in shown.items()
    )


def rejected_rows(shown: Mapping[str, list[Row]], **more: str) -> list[Row]:
    """The first samples of each reason as rows of a file."""
    return [{**more, "reason": reason, **row} for reason, rows in shown.items() for row in rows]


def _plain(text: str) -> str:
    return " ".join(text.split())
