"""What became of the samples of a run's data stages, what people decided of them, and how often a judge is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from r1hf.core.errors import DataError
from r1hf.data.audit import FILE, STEPS, WORDS
from r1hf.explain.funnel import funnel_of
from r1hf.explain.report.load import Row, RunData
from r1hf.explain.report.text import cut, number, percent, plain, visible, words

MOST = 24  # rows of a list: a damaged audit may hold any number of names
LONGEST_QUESTION, LONGEST_EXCERPT = 300, 400  # characters
_PARTS = {"by_method": "methods", "by_language": "languages", "by_judged_by": "judged by"}


@dataclass
class Bar:
    """A row of a list: its name, its number in words, and how much of the bar is filled."""

    name: str
    text: str
    share: float


@dataclass
class Reason(Bar):
    """Why samples were rejected. examples: the question, what it repeats (of), what was read, the sample's excerpt."""

    says: str = ""
    examples: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Funnel:
    """One stage. lists: (title, bars)."""

    stage: str
    summary: str
    steps: list[Bar]
    lists: list[tuple[str, list[Bar]]]
    reasons: list[Reason]
    more_reasons: int


@dataclass
class Reviewed:
    """Decisions about the rows that a stage trains on. agreement: a sentence for each two reviewers."""

    stage: str
    summary: str
    bars: list[Bar]
    agreement: list[str]


def funnels(run: RunData) -> list[Funnel]:
    """Of each stage that left an audit, in the graph's order. A damaged one becomes a note of the run."""
    found = []
    for stage in run.graph:
        path = run.run_dir / stage / FILE
        if not path.is_file():
            continue
        try:
            found.append(_funnel(stage, funnel_of(path)))
        except DataError as error:
            run.notes.append(f"{str(error).replace(f'{run.run_dir}/', '')}.")
    return found


def _funnel(stage: str, told: Mapping[str, Any]) -> Funnel:
    sampled = told["steps"][STEPS[0]]
    lists = [("prompts by the share of right samples", _counted(told["pass_rates"], told["prompts"]))]
    for key, title in _PARTS.items():
        made = told[key]
        if len(made) > 1 or (key == "by_judged_by" and made):
            lists.append((f"{title}: kept of sampled", [_kept(*one) for one in list(made.items())[:MOST]]))
    rejected = list(told["reasons"].items())[:MOST]
    reasons = [_reason(name, count, sampled, told["examples"].get(name, [])) for name, count in rejected]
    return Funnel(
        stage,
        f"{plain(sampled)} samples of {plain(told['prompts'])} prompts{_lengths(told['tokens'])}",
        _counted(told["steps"], sampled),
        lists,
        reasons,
        len(told["reasons"]) - len(reasons),
    )


def _counted(counts: Mapping[str, int], whole: int) -> list[Bar]:
    return [
        Bar(name, f"{plain(count)} ({percent(count / whole)})" if whole else plain(count), count / max(whole, 1))
        for name, count in counts.items()
    ]


def _kept(name: str, made: Mapping[str, int]) -> Bar:
    share = made["kept"] / max(made["sampled"], 1)
    return Bar(_name(name), f"{plain(made['kept'])} of {plain(made['sampled'])}", share)


def _lengths(tokens: Mapping[str, Mapping[str, int]]) -> str:
    said = [f"{plain(made['median'])} {name}" for name, made in tokens.items() if made]
    return f"; median tokens: {', '.join(said)}" if said else ""


def _reason(name: str, count: int, sampled: int, examples: Iterable[Row]) -> Reason:
    rows = [
        {
            "question": cut(visible(row["question"]), LONGEST_QUESTION)[0],
            "of": visible(row["of"] or "")[:LONGEST_QUESTION],
            "read": visible(row["answer"] or "")[:LONGEST_QUESTION],
            "excerpt": cut(visible(row["excerpt"]), LONGEST_EXCERPT)[0],
        }
        for row in examples
    ]
    share = count / max(sampled, 1)
    says = WORDS.get(name, "").replace("`", "")
    return Reason(_name(words(name)), f"{plain(count)} ({percent(share)})", share, says, rows)


def _name(name: str) -> str:
    return visible(name)[:60] or "unnamed"


def reviews(run: RunData) -> list[Reviewed]:
    """Of each stage whose manifest says what people decided about its rows."""
    found = []
    for stage, told in _told(run, "review"):
        rows = number(told.get("rows")) or 0
        shares = _rows_of(told.get("by_reviewer"))
        bars = [
            Bar(words(name), plain(told[name]), (number(told[name]) or 0) / max(rows, 1))
            for name in ("accept", "edit", "reject", "conflict", "undecided", "brought_back")
            if number(told.get(name)) is not None
        ]
        people = [
            f"{_name(name)} decided {plain(one.get('decided'))} ({percent(one.get('share'))})"
            for name, one in list(shares)[:MOST]
        ]
        said = [f"{plain(rows)} rows", f"trained on {plain(told.get('trained_on'))}", *people]
        pairs = told.get("agreement")
        agreed = [_agreed(one) for one in pairs[:MOST] if isinstance(one, dict)] if isinstance(pairs, list) else []
        found.append(Reviewed(stage, "; ".join(said), bars, agreed))
    return found


def _agreed(pair: Row) -> str:
    names = pair.get("reviewers")
    names = [_name(str(name)) for name in names[:2]] if isinstance(names, list) else []
    kappa = number(pair.get("kappa"))
    beyond = "undefined, since each gave one answer to all" if kappa is None else f"{kappa:.2f}"
    return f"{' and '.join(names)}: {plain(pair.get('alike'))} of {plain(pair.get('rows'))} alike, Cohen's κ {beyond}"


def judges(run: RunData) -> list[tuple[str, str, list[str]]]:
    """(stage, the judging model, sentences) of each stage that measured its judge on labelled rows."""
    found = []
    for stage, told in _told(run, "judge"):
        measured = told.get("measured")
        if not isinstance(measured, dict):
            continue
        lines = [
            f"{said}: {percent(measured.get(f'{name}_rate'))}{_interval(measured.get(f'{name}_interval'))}"
            for name, said in (
                ("error", "wrong"),
                ("wrong_called_correct", "wrong answers called correct"),
                ("right_called_incorrect", "right answers called incorrect"),
            )
        ]
        judged, labelled = plain(measured.get("judged")), plain(measured.get("labelled"))
        lines.append(
            f"verdicts on {judged} of {labelled} labelled rows; asked about {plain(told.get('asked'))} samples"
        )
        found.append((stage, cut(visible(told.get("model") or "a model"), 100)[0].rpartition("/")[2], lines))
    return found


def _interval(bounds: Any) -> str:
    if not isinstance(bounds, list) or len(bounds) != 2:
        return ""
    return f" (95% interval {percent(bounds[0])} to {percent(bounds[1])})"


def _told(run: RunData, group: str) -> Iterable[tuple[str, Row]]:
    for stage in run.graph:
        metrics = run.manifests.get(stage, {}).get("metrics")
        told = metrics.get(group) if isinstance(metrics, dict) else None
        if isinstance(told, dict):
            yield stage, told


def _rows_of(value: Any) -> list[tuple[str, Row]]:
    return (
        [(str(name), one) for name, one in value.items() if isinstance(one, dict)] if isinstance(value, dict) else []
    )
