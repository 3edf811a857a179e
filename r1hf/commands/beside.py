"""A result of r1hf beside another harness's log, as a table, and where the two judge one text otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from r1hf.commands.table import bullets, short, table

if TYPE_CHECKING:
    from r1hf.evaluation.foreign import Beside, Otherwise
    from r1hf.evaluation.statistics import Interval

MOST = 50  # lines of a list on the terminal


def shown(both: Beside) -> str:
    log, result = both.log, both.result
    rows = [
        ["r1hf's samples, judged by r1hf", str(both.questions), _share(both.own)],
        [f"inspect's samples, judged by its {log.scorer}", str(both.questions), _share(both.other)],
        ["inspect's samples, judged by r1hf", str(both.questions), _share(both.again)],
    ]
    found = both.found
    verdict = "no difference shown" if not found.shown else f"r1hf is {'higher' if found.difference > 0 else 'lower'}"
    difference = f"{_points(found.difference)} ({_points(found.low)} to {_points(found.high)})"
    lines = [
        f"{result.label}, and {log.model} in {log.path}",
        table(["pass@1 in percent", "questions", "with 95% interval"], rows),
        f"  r1hf minus inspect, in points: {difference}: {verdict}",
    ]
    notes = [f"{one}, of r1hf and of inspect" for one in both.apart]
    if both.left_out:
        notes.append(f"{both.left_out} samples of the log ask what the result has no verdict on, and are left out")
    if notes:
        lines.append(bullets("Not the same", notes))
    lines.append(f"{len(both.otherwise)} of {both.samples} samples of inspect are judged otherwise by r1hf")
    if both.otherwise:
        more = len(both.otherwise) - MOST
        listed = [*map(_line, both.otherwise[:MOST]), *([f"and {more} more"] if more > 0 else [])]
        lines.append(bullets("Judged otherwise", listed))
    return "\n".join(lines)


def _line(one: Otherwise) -> str:
    theirs, ours = (repr(short(text, 60)) if text else "nothing" for text in (one.answer, one.ours.answer))
    verdict = "right" if one.ours.correct else "wrong"
    return (
        f"question {one.question}, {short(one.asked, 60)}: inspect {one.theirs:g} (read {theirs}), "
        f"r1hf {verdict} (read {ours}; {one.ours.why})"
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _share(found: Interval) -> str:
    return f"{100 * (found.mean or 0):.1f} ({100 * (found.low or 0):.1f} to {100 * (found.high or 0):.1f})"
