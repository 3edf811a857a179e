"""Replies as the messages, cards and charts that a person sees. Text of a model passes `defang` on every way in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from r1chat import defang
from r1chat.history import Turn
from r1chat.judge import Judged, Vote
from r1chat.texts import Translator
from r1hf.stage.names import MAIN_LINE, display_name

LATEX = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
]
Snapshot = dict[str, Any]
LONGEST_ANSWER = 80  # characters of an answer within a sentence


def model_label(model: str) -> str:
    """A stage by its name in the paper, a student by what it is, a stranger by its own name."""
    return display_name(model.rpartition("/")[2]) or model


def stage_order(model: str) -> tuple[int, str]:
    """Sorts models as the pipeline makes them: the main line, the students, and others by name."""
    name, line = model.rpartition("/")[2], list(MAIN_LINE)
    return (line.index(name) if name in line else len(line) + (display_name(name) is None), model)


def problem_sentence(problem: dict[str, Any], t: Translator) -> str:
    """What happened and what to do, in words; the server's own message only where it says more."""
    kind = str(problem.get("kind"))
    detail = str(problem.get("detail") or "")
    context = problem.get("context")
    known = kind if kind in PROBLEMS else "broken"
    sentence = t(f"problem_{known}", model=problem.get("model") or "?", context=context or "?", **_times(problem))
    return f"{sentence} ({detail})" if detail and known in ("invalid", "broken", "no_budget") else sentence


PROBLEMS = (
    "down loading busy too_long timeout cut unknown_model refused invalid broken no_budget interrupted "
    "too_fast question_too_long crowded"
).split()


def _times(problem: dict[str, Any]) -> dict[str, Any]:
    return {"seconds": problem.get("seconds", "?"), "limit": problem.get("limit", "?")}


def thought_title(reply: Snapshot, t: Translator) -> str:
    """The line over a thought: a running clock while it goes on, then how long it took."""
    seconds, tokens = _seconds(reply["thinking_seconds"]), reply["thinking_tokens"]
    if reply["phase"] == "thinking":
        return t("thinking_now", seconds=seconds, tokens=tokens)
    if reply["verdict"] in ("cut_thinking", "no_answer"):
        return t("thought_cut", seconds=seconds, tokens=tokens)
    if reply["verdict"] == "stopped" and not reply["answer"]:
        return t("thought_stopped", seconds=seconds, tokens=tokens)
    return t("thought_for", seconds=seconds, tokens=tokens)


def _seconds(value: float | None) -> str:
    value = value or 0.0
    return f"{value:.1f}" if value < 1 else f"{value:.0f}"


def measures(reply: Snapshot, t: Translator) -> str:
    """Tokens a second, time to first token, count, finish reason: as text, with · between."""
    if reply["first_token_seconds"] is None:
        return ""
    shown = [t("m_tokens", n=reply["tokens"])]
    if reply["tokens_per_second"]:
        shown.append(t("m_rate", n=f"{reply['tokens_per_second']:.0f}"))
    shown.append(t("m_first", n=f"{reply['first_token_seconds']:.2f}"))
    if reply["finish"]:
        shown.append(t("m_finish", reason=reply["finish"]))
    return " · ".join(shown)


def foot(reply: Snapshot, t: Translator) -> str:
    """The line under an answer: its state if there is something to say, and its measures."""
    parts = []
    if reply["phase"] == "waiting":
        key = f"waiting_{reply['waiting_for']}" if reply["waiting_for"] in ("loading", "busy") else "waiting"
        return _line(f"r1-wait {key}", t(key, seconds=_seconds(reply["seconds"])))
    if reply["phase"] != "done":
        return ""
    if reply["problem"]:
        parts.append(_line("r1-problem", problem_sentence(reply["problem"], t)))
    elif reply["verdict"] != "complete":
        parts.append(_line(f"r1-state r1-{reply['verdict']}", t(f"verdict_{reply['verdict']}")))
    if reply["over_budget"]:
        parts.append(_line("r1-state r1-over_budget", t("verdict_over_budget")))
    if numbers := measures(reply, t):
        parts.append(_line("r1-measures", numbers))
    return "\n".join(parts)


def _line(classes: str, text: str) -> str:
    return f'<div class="r1-foot {classes}">{defang.line(text)}</div>'


def chat_messages(turns: Sequence[Turn], t: Translator) -> tuple[list[dict[str, Any]], list[int]]:
    """Messages for gr.Chatbot, and for each the turn that it belongs to."""
    messages: list[dict[str, Any]] = []
    owners: list[int] = []
    for index, turn in enumerate(turns):
        reply = turn["reply"]
        rows = [{"role": "user", "content": defang.markdown(turn["question"])}]
        if reply["thought"] is not None:
            running = reply["phase"] == "thinking"
            status = "pending" if running else "done"
            metadata = {"title": thought_title(reply, t), "status": status}
            rows.append({"role": "assistant", "content": defang.markdown(reply["thought"]), "metadata": metadata})
        if reply["answer"]:
            rows.append({"role": "assistant", "content": defang.markdown(reply["answer"])})
        if under := foot(reply, t):
            rows.append({"role": "assistant", "content": under})
        messages += rows
        owners += [index] * len(rows)
    return messages, owners


def card(title: str, reply: Snapshot, t: Translator, marks: str = "") -> str:
    """One completion as a card of Markdown: the thought folds, `marks` are rewards or votes in HTML."""
    lines = [f'<div class="r1-card-title">{defang.line(title)}</div>']
    if reply["thought"] is not None:
        running = reply["phase"] == "thinking"
        summary = defang.line(thought_title(reply, t))
        fold = "open" if running else ""
        lines.append(f'<details class="r1-thought" {fold}><summary>{summary}</summary>')
        lines.append(f"{defang.markdown(reply['thought'])}\n\n</details>")
    if reply["answer"]:
        lines.append(defang.markdown(reply["answer"]))
    elif reply["phase"] == "done" and not reply["problem"]:
        lines.append(f'<div class="r1-none">{defang.line(t("no_text"))}</div>')
    lines += [part for part in (marks, foot(reply, t)) if part]
    return "\n\n".join(lines)


def reward_marks(judged: Judged, t: Translator) -> str:
    """The three rewards as labelled values, which open what each was paid for; "could not judge" is a dash and never
    a zero."""
    cells, reasons = [], []
    for (name, value), why in zip(judged.rewards._asdict().items(), reward_reasons(judged, t), strict=True):
        grade = "blank" if value is None else "good" if value >= 0.9 else "bad" if value < 0.5 else "fair"
        shown = "–" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")
        hint = t("reward_unjudged") if value is None else t(f"reward_{name}_hint")
        label, shown = defang.line(t(f"reward_{name}")), defang.line(shown)
        cells.append(f'<span class="r1-reward r1-{grade}" title="{defang.line(hint)}"><b>{label}</b> {shown}</span>')
        reasons.append(f"<li><b>{label} {shown}</b> {defang.line(why)}</li>")
    return (
        f'<details class="r1-why"><summary class="r1-rewards">{"".join(cells)}'
        f'<span class="r1-ask-why">{defang.line(t("why"))}</span></summary><ul>{"".join(reasons)}</ul></details>'
    )


def reward_reasons(judged: Judged, t: Translator) -> list[str]:
    """A sentence for each reward, in the order of `Rewards`."""
    if judged.failed:
        return [t("why_failed")] * 3
    accuracy, language = judged.rewards.accuracy, judged.rewards.language
    read, gold = _short(judged.read or ""), _short(judged.gold)
    if not gold:
        first = t("why_no_gold_read", read=read) if read else t("why_no_gold")
    elif accuracy is None:
        first = t("why_unjudged", gold=gold)
    elif not read:
        first = t("why_unread", gold=gold)
    else:
        first = t("why_right" if accuracy else "why_wrong", read=read, gold=gold)
    last = t("why_no_words")
    if language is not None:
        last = t("why_language", share=f"{language:.0%}", language=judged.target or "?")
    return [first, t("why_form") if judged.fault is None else t(f"fault_{judged.fault}"), last]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]}…"


def vote_chart(votes: Sequence[Vote], asked: int, gold: str, t: Translator) -> str:
    """The distribution of answers as bars (a table to a screen reader), the majority and its agreement with gold."""
    done = sum(len(vote.samples) for vote in votes)
    head = [f'<p class="r1-vote-done">{defang.html(t("vote_done", done=done, asked=asked))}</p>']
    rows = []
    for rank, vote in enumerate(votes):
        share = len(vote.samples) / done
        answer = t("vote_no_answer") if vote.answer is None else vote.answer
        mark = {True: " ✓", False: " ✗", None: ""}[vote.gold]
        state = {True: "r1-good", False: "r1-bad", None: ""}[vote.gold]
        first = "r1-majority" if rank == 0 and vote.answer is not None else ""
        rows.append(
            f'<tr class="{first} {state}"><th scope="row">{defang.html(answer[:60])}{mark}</th>'
            f'<td class="r1-bar"><span style="width:{share * 100:.1f}%"></span></td>'
            f"<td>{len(vote.samples)} · {share:.0%}</td></tr>"
        )
    if votes and votes[0].answer is not None:
        tie = len(votes) > 1 and votes[1].answer is not None and len(votes[1].samples) == len(votes[0].samples)
        majority = t("vote_tie") if tie else t("vote_majority", answer=votes[0].answer[:60])
        head.append(f'<p class="r1-vote-majority">{defang.html(majority)}</p>')
    if gold and votes:
        right = sum(len(vote.samples) for vote in votes if vote.gold)
        verdict = {True: "vote_gold_right", False: "vote_gold_wrong", None: "vote_gold_unjudged"}[votes[0].gold]
        text = f"{t(verdict, gold=gold[:60])} {t('vote_gold_share', share=f'{right / done:.0%}')}"
        head.append(f'<p class="r1-vote-gold">{defang.html(text)}</p>')
    caption = f"<caption>{defang.html(t('vote_caption'))}</caption>"
    table = f'<table class="r1-votes">{caption}<tbody>{"".join(rows)}</tbody></table>' if rows else ""
    return "".join(head) + table
