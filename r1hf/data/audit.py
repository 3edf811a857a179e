"""What became of every sample of a data stage: one parquet file, a row for each sample.

Its columns: prompt and sample (numbers), id, question, method (of cold start), task, language, tokens, excerpt (the
sample's beginning), right (null: nobody could tell), answer (as it was read), judged_by, reason (null: kept), of (what
a removed row repeats) and step, the last of STEPS that the sample reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.data.cleaning import LEAK, NEAR, Removed
from r1hf.data.filters import REASONS, Verdict
from r1hf.data.rows import Row
from r1hf.text.language import target_of

if TYPE_CHECKING:  # torch comes with it, and what reads an audit needs none
    from r1hf.models.sampling import Completion

FILE = "audit.parquet"
STEPS = ("sampled", "parsed", "right", "readable", "chosen", "kept")
SPARE, NOT_CHOSEN = "spare", "not_chosen"
_EXCERPT = 400  # characters
# What each reason says of a sample, in words.
WORDS = {
    **REASONS,
    NOT_CHOSEN: "good, and more than the stage was asked to keep",
    NEAR: "good, and says nearly what another row says",
    LEAK: "good, and its question is one that models are tested on",
    SPARE: "good, and more than the mix had room for",
}
_FIRST = {"no_answer": "parsed", "repetition": "right", "duplicate": "readable"}  # the first reasons beyond each step
_AFTER = {NOT_CHOSEN: "readable", NEAR: "chosen", LEAK: "chosen", SPARE: "chosen"}


def step_of(reason: str | None) -> str:
    """The last step that a sample reached which was rejected for this."""
    if reason is None:
        return STEPS[-1]
    if reason in _AFTER:
        return _AFTER[reason]
    step = STEPS[0]
    for name in REASONS:
        step = _FIRST.get(name, step)
        if name == reason:
            break
    return step


@dataclass
class Audit:
    """Collects the samples of one stage in their order."""

    rows: list[Row] = field(default_factory=list)
    _prompts: dict[str, int] = field(default_factory=dict)
    _samples: Counter[tuple[int, str]] = field(default_factory=Counter)

    def add(self, row: Row, sample: Completion, verdict: Verdict, reason: str | None, method: str = "") -> int:
        """The place of the sample's row here, for `drop`."""
        prompt = self._prompts.setdefault(row["question"], len(self._prompts))
        self._samples[prompt, method] += 1
        self.rows.append(
            {
                "prompt": prompt,
                "sample": self._samples[prompt, method] - 1,
                "id": None if row.get("id") is None else str(row["id"]),
                "question": row["question"],
                "method": method or None,
                "task": row.get("task"),
                "language": target_of(row.get("language"), row["question"]),
                "tokens": sample.tokens,
                "excerpt": sample.text[:_EXCERPT],
                "right": verdict.right,
                "answer": verdict.answer,
                "judged_by": verdict.by,
                "reason": reason,
                "of": None,
                "step": step_of(reason),
            }
        )
        return len(self.rows) - 1

    def drop(self, place: int, reason: str, of: str | None = None) -> None:
        """A sample that was kept until now is not."""
        self.rows[place] |= {"reason": reason, "of": of, "step": step_of(reason)}

    def drop_removed(self, places: Sequence[int], removed: Sequence[Removed]) -> None:
        """places: those of the rows that `removed` counts; rows beyond them are no samples."""
        for one in removed:
            if one.number < len(places):
                self.drop(places[one.number], one.reason, self._named(one.of, places))

    def _named(self, of: int | str, places: Sequence[int]) -> str:
        if isinstance(of, str):
            return of
        if of >= len(places):
            return "a row that is no sample"
        other = self.rows[places[of]]
        name = f"prompt {other['prompt']}, sample {other['sample']}"
        return f"{name}, {other['method']}" if other["method"] else name

    def write(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(self.rows, _schema()), path, compression="zstd")


def _schema() -> Any:
    import pyarrow as pa

    kinds = {"prompt": pa.int64(), "sample": pa.int32(), "tokens": pa.int32(), "right": pa.bool_()}
    names = "prompt sample id question method task language tokens excerpt right answer judged_by reason of step"
    return pa.schema([(name, kinds.get(name, pa.string())) for name in names.split()])
