"""Which samples are good enough to learn from: right, well formed, in one language, not rambling, not twice.

The paper keeps correct samples and drops mixed languages, long paragraphs and code blocks (arXiv 2501.12948v2,
section 3.2.2 and B.3). Every rejected sample is counted under the first reason that it fails by.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from r1hf.data.rows import Row
from r1hf.models.sampling import Completion
from r1hf.text.forms import is_well_formed
from r1hf.text.grammar import Mode, parse
from r1hf.text.language import target_of, target_share
from r1hf.verify import read_answer, verify_math


@dataclass
class SampleFilter:
    """Judges samples one by one and keeps the counts.

    form: what a kept sample looks like, "think_answer" or "cold_start". max_tokens: longer ones ramble.
    min_language_share: least share of words, in the thinking and in the answer, in the row's language; the question's
    where the row names none, and not judged where neither is known.
    """

    form: Mode = "think_answer"
    max_tokens: int = 1024
    min_language_share: float = 1.0
    rejected: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def keeps(self, row: Row, sample: Completion) -> bool:
        reason = self.reason(row, sample)
        if reason is None:
            self._seen.add((row["question"], sample.text.strip()))
            self.kept += 1
        else:
            self.rejected[reason] += 1
        return reason is None

    def reason(self, row: Row, sample: Completion) -> str | None:
        """Why the sample is not kept, or None."""
        response = parse(sample.text)
        if sample.truncated:
            return "truncated"
        if not is_well_formed(sample.text, self.form):
            return "malformed"
        verdict = verify_math(read_answer(sample.text), row["answer"])
        if not verdict:
            return "unjudged" if verdict is None else "wrong_answer"
        target = target_of(row["language"], row["question"])
        parts = (response.reasoning, response.answer) if target else ()
        shares = [target_share(part or "", str(target)) for part in parts]
        if any(share is not None and share < self.min_language_share for share in shares):
            return "mixed_language"
        if sample.tokens > self.max_tokens:
            return "rambling"
        if "```" in sample.text:
            return "code_block"
        if (row["question"], sample.text.strip()) in self._seen:
            return "duplicate"
        return None

    def counts(self) -> dict[str, int]:
        """Rejections by reason, the commonest first."""
        return dict(self.rejected.most_common())
