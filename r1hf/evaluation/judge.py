"""A generative judge: a model is given the question, the reference and the answer, and replies with JSON.

As in the paper's rejection sampling, where rules cannot judge (arXiv 2501.12948v2, section 3.2.2 and B.3). Each answer
is put to the model in two orders, reference first and answer first, with the two verdicts named in either order; only
what both say counts. A reply that is no verdict is asked for again, then counted, and never guessed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from r1hf.data.drawing import Asking
from r1hf.data.filters import Verdict
from r1hf.data.rows import Row
from r1hf.evaluation.replies import VERDICTS, Reply, read_reply
from r1hf.models.sampling import Limits
from r1hf.text import prompt_templates as templates
from r1hf.text.grammar import parse
from r1hf.text.quoting import quoted

FIELDS = ("question", "reference", "answer", "ticket")
TEMPLATES = ("judge", "judge_swapped")
DISAGREE, NO_ANSWER = "orders_disagree", "no_answer"
_RETRY_TEMPERATURE = 0.6

Key = tuple[int, int]  # which answer, in which order


@dataclass(frozen=True)
class Judgement:
    """right: None where the judge said nothing that counts; `fault` is then why. reason: the judge's own words."""

    right: bool | None
    reason: str = ""
    fault: str = ""

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.right, None, "judge")


def shown_answer(text: str) -> str:
    """What a reader sees of a completion: not the thought, nor an answer that was never closed."""
    response = parse(text)
    if response.truncated or (response.reasoning is not None and response.answer is None):
        return ""
    return quoted(response.visible)


def shown_whole(text: str) -> str:
    """A completion with its thought, for what must stand nowhere in it; "" where `shown_answer` is."""
    return quoted(text) if shown_answer(text) else ""


@dataclass
class Asker:
    """Asks one model for verdicts. retries: further tries for a reply without one. max_new_tokens: of a reply and its
    thought. name: of what is kept of the replies. temperature: of the first try. `counts` says what became of them."""

    ask: Asking
    retries: int = 2
    max_new_tokens: int = 1024
    seed: int = 0
    name: str = "judge"
    temperature: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    def replies(
        self,
        keys: Sequence[Key],
        prompt: Callable[[Key, int], tuple[str, str]],
        verdicts: Mapping[str, bool | float] = VERDICTS,
    ) -> dict[Key, Reply]:
        """A reply for each key; those without a verdict are asked for again, and counted as `retried`.

        prompt: of a key and a seed, with its ticket. verdicts: the words that count, and what each means.
        """
        found: dict[Key, Reply] = {}
        left = list(keys)
        for turn in range(self.retries + 1):
            if not left:
                break
            if turn:
                self.counts["retried"] += len(left)
            prompts, tickets = zip(*(prompt(key, self.seed + turn) for key in left), strict=True)
            limits = Limits(_RETRY_TEMPERATURE if turn else self.temperature, max_new_tokens=self.max_new_tokens)
            samples = self.ask(prompts, limits, self.seed + turn, f"{self.name}_{turn + 1}")
            for key, sample, code in zip(left, samples, tickets, strict=True):
                found[key] = read_reply(sample.text, code, truncated=sample.truncated, verdicts=verdicts)
            left = [key for key in left if found[key].verdict is None]
        return found


@dataclass
class Judge(Asker):
    """templates: prompts by name or file, one an order. shown: what the judge sees of a completion; "" where it is no
    answer."""

    templates: Sequence[str] = TEMPLATES
    shown: Callable[[str], str] = shown_answer

    def judge(self, rows: Sequence[Row], answers: Sequence[str]) -> list[Judgement]:
        """A judgement of each answer by the row's `question` and `answer`, the reference."""
        shown = [self.shown(text) for text in answers]
        asked = [place for place, text in enumerate(shown) if text]

        def prompt(key: Key, seed: int) -> tuple[str, str]:
            row, answer = rows[key[0]], shown[key[0]]
            code = ticket(row["question"], answer, seed)
            return judging_prompt(self.templates[key[1]], row, answer, code), code

        orders = range(len(self.templates))
        replies = self.replies([(place, order) for place in asked for order in orders], prompt)
        found = [Judgement(False, "there is no answer", NO_ANSWER)] * len(shown)
        for place in asked:
            found[place] = _together([replies[place, order] for order in orders])
        for one in found:
            self.counts[one.fault or ("correct" if one.right else "incorrect")] += 1
        return found


def judging_prompt(template: str, row: Row, answer: str, code: str) -> str:
    """The prompt for one order. Nothing in the row or the answer can end its quotation: none knows the ticket."""
    return templates.fill(
        template,
        question=quoted(row["question"]),
        reference=quoted(str(row["answer"])),
        answer=quoted(answer),
        ticket=code,
    )


def ticket(question: str, answer: str, seed: int) -> str:
    """Eight signs that stand in neither text, the same for the same texts and seed."""
    digest = hashlib.sha256(f"{seed}\0{question}\0{answer}".encode(errors="replace")).hexdigest()
    starts = range(len(digest) - 8)
    return next((digest[i : i + 8] for i in starts if digest[i : i + 8] not in question + answer), digest)


def _together(replies: Sequence[Reply]) -> Judgement:
    for reply in replies:
        if reply.verdict is None:
            return Judgement(None, fault=reply.fault)
    if len({reply.verdict for reply in replies}) > 1:
        return Judgement(None, " / ".join(reply.reason for reply in replies), DISAGREE)
    return Judgement(replies[0].verdict, replies[0].reason)
