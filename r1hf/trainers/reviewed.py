"""Rows as people decided on them: rejected ones leave, edited ones say what was written. The manifest tells who."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from r1hf.core.config import Parsed
from r1hf.core.errors import DataError
from r1hf.core.files import is_file
from r1hf.core.source import paths_of
from r1hf.data.agreement import about, agreements, outcome, shares
from r1hf.data.decisions import Decided, files_of, key_of, latest, read
from r1hf.data.review_queue import DATA, REVIEW, Item, left_out
from r1hf.data.rows import Row
from r1hf.stage.stage import Stage

INPUT = "review"
Undecided = Literal["keep", "drop"]


def add_reviews(parsed: Parsed) -> None:
    """Makes the decisions about the rows of `data` an input of their own, where there are any.

    Another decision is then another input, for which the stage runs again. Files that hold none are problems.
    """
    found: list[str] = []
    for path in map(Path, paths_of(parsed.inputs.get("data", []))):
        files = files_of(path.parent) if path.name == DATA else []
        for file in files:
            try:
                read(file)
            except DataError as error:
                parsed.problems.append(f"{INPUT}: {error}")
        review = path.parent / REVIEW
        found += [str(file) for file in files] + ([str(review)] if files and is_file(review) else [])
    if found:
        parsed.inputs[INPUT] = list(dict.fromkeys(found))


def reviewed(stage: Stage, rows: list[Row], undecided: Undecided) -> list[Row]:
    """The rows to train on, by the decisions about them; all where nobody has reviewed them.

    What was found of decisions and reviewers goes to the manifest. Raises DataError where no row is left.
    """
    files = [Path(path) for path in stage.parsed.inputs.get(INPUT, [])]
    if not files:
        if undecided == "drop":
            raise DataError("undecided: drop leaves no row, since nobody has reviewed data: r1hf review STAGE first")
        return rows
    keys = [key_of(row["question"], row["completion"]) for row in rows]
    # Read by one process for all: a person may be deciding at this moment.
    by_reviewer, extra = stage.agreed(_decisions)(files, set(keys))
    stage.read_whole(INPUT)
    made, figures = applied(rows, keys, extra, by_reviewer, undecided)
    for name, value in figures.items():
        stage.note(INPUT, name, value)
    stage.say(told(figures))
    if not made:
        raise DataError(f"no row is left to train on: {told(figures)}")
    return made


def _decisions(files: Sequence[Path], keys: set[str]) -> tuple[dict[str, Decided], list[Item]]:
    by_reviewer: dict[str, Decided] = {}
    extra: list[Item] = []
    for path in files:
        if path.parent.suffix != ".review":  # the stage's own list; a reviewer may be called so, too
            extra += left_out(path, keys)
        else:
            by_reviewer.setdefault(path.stem, {}).update(latest(read(path)[0]))
    decided = {key for one in by_reviewer.values() for key in one}
    return by_reviewer, [item for item in extra if item.key in decided]


def applied(
    rows: Sequence[Row],
    keys: Sequence[str],
    extra: Sequence[Item],
    by_reviewer: Mapping[str, Decided],
    undecided: Undecided,
) -> tuple[list[Row], dict[str, Any]]:
    """(the rows to train on, figures for the manifest).

    keys: those of `rows`. extra: rows that the stage itself did not keep, trained on only where that was decided.
    A row on which reviewers disagree is left out.
    """
    made: list[Row] = []
    counts: Counter[str] = Counter()
    candidates = [*zip(keys, rows, strict=True), *((item.key, item.row) for item in extra)]
    for place, (key, row) in enumerate(candidates):
        brought_back = place >= len(rows)
        said = about(key, by_reviewer)
        held = outcome(said) if said else None
        kind = "undecided" if not said else "conflict" if held is None else held.kind
        counts[kind] += not brought_back
        if held is not None and held.text is not None:
            row = {**row, "completion": held.text}
        if kind in ("accept", "edit") or (kind == "undecided" and undecided == "keep" and not brought_back):
            made.append(row)
            counts["brought_back"] += brought_back
    known = list(dict.fromkeys(key for key, _ in candidates))
    figures = {
        "rows": len(rows),
        **{name: counts[name] for name in ("accept", "edit", "reject", "undecided", "conflict", "brought_back")},
        "undecided_rows_are": {"keep": "trained on", "drop": "left out"}[undecided],
        "trained_on": len(made),
        "by_reviewer": shares(by_reviewer, known),
        "agreement": agreements(by_reviewer, known),
        "of_other_rows": len({key for one in by_reviewer.values() for key in one} - {*known}),
    }
    return made, figures


def told(figures: Mapping[str, Any]) -> str:
    """The figures as a sentence for people."""
    people = ", ".join(f"{name} {one['decided']}" for name, one in figures["by_reviewer"].items())
    others = figures["of_other_rows"]
    return (
        f"review: {figures['accept']} rows accepted, {figures['edit']} edited, {figures['reject']} rejected, "
        f"{figures['conflict']} in conflict and left out, {figures['undecided']} undecided and "
        f"{figures['undecided_rows_are']}, {figures['brought_back']} brought back (decisions: {people})"
        + (f"; decisions about {others} rows that are not there count for nothing" if others else "")
    )
