"""A finished cold-start stage of a few rows, as `recipes/cold_start.py` leaves one, for people to review."""

from __future__ import annotations

from pathlib import Path

from test_manifest import manifest_of

from r1hf.data.rows import Row, write_rows
from r1hf.stage.manifest import write_manifest

ROW: Row = {"question": "What is 2 + 3 * 4?", "answer": "14", "language": "en", "task": "reasoning"}
DRAFT = "<think>  ummm... multiply 3 and 4... get 12... then add 2...</think>\n<answer> 14 </answer>"


def good(number: int = 1, answer: str = "14") -> str:
    return (
        f"| special_token | Reasoning: multiplication comes first ({number}).\nStep 1: 3 * 4 = 12.\n"
        f"Step 2: 2 + 12 = 14.\nVerification: 14 - 2 = 12. | special_token | Summary: The answer is {answer}."
    )


def rows() -> list[Row]:
    """Four kept rows of three methods; the text of the first stands there twice."""
    methods = ("rewrite", "few_shot", "direct", "rewrite", "direct")
    texts = (good(1), good(2), good(3), good(4), good(1))
    return [{**ROW, "completion": text, "method": method} for text, method in zip(texts, methods, strict=True)]


def review_rows() -> list[Row]:
    """Two rewritings that are kept, one that is wrong, and one beyond what was wanted."""
    afters = ((good(1), None), (good(4), None), (good(5, "20"), "wrong_answer"), (good(6), "not_chosen"))
    return [{**ROW, "method": "rewrite", "before": DRAFT, "after": text, "reason": why} for text, why in afters]


def cold_start(
    place: Path, recipe: str = "cold_start", data: list[Row] | None = None, reviewed: list[Row] | None = None
) -> Path:
    """The stage's directory, with its manifest."""
    write_rows(place / "data.jsonl", rows() if data is None else data)
    write_rows(place / "review.jsonl", review_rows() if reviewed is None else reviewed)
    write_manifest(place, manifest_of(place, recipe=f"recipes/{recipe}.py"))
    return place
