"""A run's evaluations as Markdown: every number with its interval, and the comparisons that the run's story claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1hf.core.errors import StageError
from r1hf.evaluation.contamination import sentences
from r1hf.evaluation.story import Told, evaluations, tell
from r1hf.explain.report.stages import paper_name
from r1hf.explain.report.summary import bounds
from r1hf.explain.report.text import MISSING, number

_SHARES = {
    "pass_at_1": "pass@1",
    "format_rate": "format",
    "language_consistency": "language",
    "truncation_rate": "cut",
    "helpful_rate": "helpful",
    "harmless_rate": "harmless",
    "win_rate": "wins",
    "length_controlled_win_rate": "wins, length controlled",
}
_SETTINGS = (
    "problems",
    "general_prompts",
    "k",
    "general_k",
    "temperature",
    "top_p",
    "max_new_tokens",
    "seed",
    "sampler",
    "judge",
    "general_judge",
)


def markdown(run: Path) -> str:
    """All evaluations of a run. Raises StageError where there is none that can be read."""
    places, notes = evaluations(run)
    if not places:
        raise StageError(" ".join([f"{run} holds no finished evaluation;", *notes, "recipes/evaluate.py makes one"]))
    return "\n".join([*(_section(tell(place, run)) for place in places), *(f"Note: {text}." for text in notes)])


def _section(told: Told) -> str:
    settings = told.content["settings"]
    said = ", ".join(f"{key} {settings[key]}" for key in _SETTINGS if settings.get(key) not in (None, 0))
    lines = [f"### {settings.get('benchmark') or told.place.name}", "", *_scores(told.content["models"]), ""]
    lines += [f"In percent, with 95% intervals over questions; {said}."]
    looked = settings.get("contamination")
    keys = [key for key in ("prompts", "general_prompts") if looked and key in looked]
    lines += ["", *(f"Contamination, {text}." for text in sentences(looked, keys))] if looked else []
    if told.found:
        lines += ["", *_compared(told), ""]
        lines += [
            f"Differences in points, question by question. Of {len(told.found)} comparisons one in "
            "twenty would be shown by chance alone."
        ]
    else:
        lines += ["", "No two of these models are held against each other by what their manifests say."]
    return "\n".join([*lines, *(f"\nNot compared: {text}." for text in told.notes), ""])


def _scores(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    extra = dict.fromkeys(key for row in models.values() for key in row if _is_many(key))
    keys = {**_SHARES, **{key: key.replace("_at_", "@") for key in extra}}
    keys = {
        key: label for key, label in keys.items() if any(number(row.get(key)) is not None for row in models.values())
    }
    rows = [[_named(name), *(_share(row, key) for key in keys), _tokens(row)] for name, row in models.items()]
    return _table(["model", *keys.values(), "tokens"], rows)


def _is_many(key: str) -> bool:
    head, _, tail = key.rpartition("_at_")
    return head in ("pass", "cons") and tail.isdecimal() and tail != "1"


def _named(name: str) -> str:
    paper = paper_name(name)
    return f"{name} ({paper})" if paper else name


def _share(row: Mapping[str, Any], key: str) -> str:
    value, found = number(row.get(key)), bounds(row, key)
    if value is None:
        return MISSING
    return f"{100 * value:.1f}" + (f" ({100 * found[0]:.1f} to {100 * found[1]:.1f})" if found else "")


def _tokens(row: Mapping[str, Any]) -> str:
    value = number(row.get("mean_completion_tokens"))
    return MISSING if value is None else f"{value:.1f}"


def _compared(told: Told) -> list[str]:
    rows = []
    for claim, one in told.found:
        found = one.found
        rows.append(
            [
                f"{claim.second} − {claim.first}",
                claim.about,
                _SHARES[one.metric],
                f"{100 * found.difference:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})",
                str(found.questions),
                ("higher" if found.difference > 0 else "lower") if found.shown else "no difference shown",
            ]
        )
    return _table(["models", "what", "number", "difference", "questions", "shown"], rows, left=3)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """A Markdown table; the first `left` columns begin at the left."""
    marks = ["---" if place < left else "--:" for place in range(len(head))]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (head, marks, *rows)]
