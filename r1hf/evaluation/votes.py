"""pass@k and cons@k of one question's samples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple


def pass_at_k(right: int, samples: int, k: int) -> float:
    """The chance that one of k of the samples, drawn without replacement, is right: 1 - C(n - c, k) / C(n, k).

    Without bias for any k up to `samples` (Chen et al., arXiv 2107.03374). Raises ValueError for a larger k.
    """
    if not (0 <= right <= samples and 1 <= k <= samples):
        raise ValueError(f"pass@{k} of {right} right ones among {samples} samples is not defined")
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)


class Vote(NamedTuple):
    """`right`: the chance that the most frequent answer is right, a tie being broken by lot. `tied`: how many led."""

    right: float
    tied: int


def majority(answers: Sequence[Hashable | None], right: Sequence[bool]) -> Vote:
    """The vote of the samples. An answer of None does not vote; where nobody votes, nothing is right.

    Samples of one answer have one verdict, that of the first of them.
    """
    verdicts: dict[Hashable, bool] = {}
    for answer, verdict in zip(answers, right, strict=True):
        if answer is not None:
            verdicts.setdefault(answer, verdict)
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        return Vote(0.0, 0)
    most = max(counts.values())
    leading = [answer for answer, count in counts.items() if count == most]
    return Vote(sum(verdicts[answer] for answer in leading) / len(leading), len(leading))


def by_value(texts: Sequence[str | None], same: Callable[[str, str], bool | None]) -> list[int | None]:
    """Texts as numbers of their values: 1/2, 0.5 and \\frac12 get one number. None and empty texts get None.

    The more frequent text stands for its value; `same` compares each other text with those.
    """
    counts = Counter(text for text in texts if text)
    numbers: dict[str, int] = {}
    heads: list[str] = []
    for text, _ in counts.most_common():
        found = next((i for i, head in enumerate(heads) if same(text, head) or same(head, text)), None)
        if found is None:
            found = len(heads)
            heads.append(text)
        numbers[text] = found
    return [numbers[text] if text else None for text in texts]
