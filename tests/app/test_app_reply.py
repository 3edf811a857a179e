"""Replies as they stream: the grammar in every form, verdicts, counts; judging and counting votes."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("httpx", reason="httpx is not installed: make install EXTRAS=dev,app")
pytest.importorskip("math_verify")

from hypothesis import given
from hypothesis import strategies as st
from r1chat.backend import BackendError, Piece
from r1chat.judge import Judge, answer_of, count_votes
from r1chat.render import measures, reward_reasons
from r1chat.reply import Reply, opening
from r1chat.texts import LANGUAGES, translator
from tables import each

COLD = "| special_token | Multiply first. | special_token | Summary: 14"


def read(pieces: list[Piece], form: str | None = None, **end: object) -> Reply:
    ticks = itertools.count()
    reply = Reply(form=form, model="r1", clock=lambda: next(ticks) / 10)
    for piece in pieces:
        reply.feed(piece)
    reply.end(**end)
    return reply


def text(whole: str, size: int = 3) -> list[Piece]:
    return [Piece(whole[start : start + size]) for start in range(0, len(whole), size)]


@pytest.mark.parametrize(
    ("form", "pieces", "found", "thought"),
    [
        ("inline", text("<think>Multiply first.</think> <answer>14</answer>"), "inline", "Multiply first."),
        (None, text("<think>Multiply first.</think> 14"), "inline", "Multiply first."),
        ("prefilled", text("Multiply first.</think>\n\n14"), "prefilled", "Multiply first."),
        (None, text("Multiply first.</think>\n\n14"), "prefilled", "Multiply first."),
        ("cold_start", text(COLD), "cold_start", "Multiply first."),
        (None, [Piece(reasoning="Multiply "), Piece(reasoning="first."), Piece("14")], "split", "Multiply first."),
        ("inline", text("14"), "none", None),
    ],
)
def test_every_form_is_split(form: str | None, pieces: list[Piece], found: str, thought: str | None) -> None:
    shown = read(pieces, form, error=None).snapshot()
    assert (shown["form"], shown["thought"], shown["answer"]) == (found, thought, "14")
    assert shown["verdict"] == ("complete" if thought else "no_thinking")


SPOKEN_OF = "Write `<think>` to open a thought and `</think>` to close it."
WHOLE = ["<think>a b</think> <answer>14</answer>", "a b</think>\n\n14", COLD, "plain", SPOKEN_OF]
WHOLE += ["Use the <think>a</think> 14", "`<think>a</think> 14", "Use:\n```\n<think>a</think>\n```\nso."]
WHOLE += ["I speak of `</think>`.\nDone </think> 14", "All done </think>"]


def test_tags_that_an_answer_speaks_of_are_its_text() -> None:
    shown = read(text(SPOKEN_OF)).snapshot()
    assert (shown["form"], shown["thought"], shown["answer"]) == ("none", None, SPOKEN_OF)


@given(st.sampled_from(WHOLE), st.data())
def test_pieces_of_any_size_give_the_same(whole: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)))))
    pieces = [Piece(whole[a:b]) for a, b in itertools.pairwise([0, *cuts, len(whole)]) if a < b]
    whole_reply, torn = read([Piece(whole)]).snapshot(), read(pieces).snapshot()
    assert (torn["thought"], torn["answer"], torn["form"]) == tuple(
        whole_reply[k] for k in ("thought", "answer", "form")
    )


@pytest.mark.parametrize(
    ("whole", "finish", "end", "verdict"),
    [
        ("<think>and so on", "length", {}, "cut_thinking"),
        ("<think>and so on", "stop", {}, "no_answer"),
        ("<think>x</think>", "stop", {}, "no_answer"),
        ("<think>x</think> <answer>1", "length", {}, "cut_answer"),
        ("<think>x", None, {"stopped": True}, "stopped"),
        ("<think>x", None, {"error": BackendError("cut")}, "failed"),
        ("", "stop", {}, "no_answer"),
    ],
)
def test_verdicts(whole: str, finish: str | None, end: dict[str, object], verdict: str) -> None:
    assert read([*text(whole), Piece(finish=finish)], **end).verdict == verdict


def test_a_stopped_or_failed_answer_keeps_its_text() -> None:
    shown = read(text("<think>Multiply first.</think> four"), error=BackendError("cut", "gone")).snapshot()
    assert (shown["thought"], shown["answer"]) == ("Multiply first.", "four")
    assert shown["problem"]["kind"] == "cut"


def test_the_servers_token_counts_are_preferred_and_thinking_is_counted_apart() -> None:
    pieces = [
        Piece("<think>a", tokens=5),
        Piece(" b", tokens=9),
        Piece("</think> 1", tokens=12),
        Piece("4", tokens=20),
    ]
    shown = read(pieces).snapshot()
    assert (shown["tokens"], shown["thinking_tokens"]) == (20, 9)
    assert read([Piece("<think>"), Piece("a"), Piece("</think>"), Piece("14")]).tokens == 4


@each(
    "pieces, rate",
    [
        ([(0.0, 30)], None),  # one piece, whatever its size
        ([(0.0, 30), (0.0005, 61)], None),  # read at once
        ([(0.0, None), (0.01, None), (0.02, None)], None),
        ([(0.0, 1), (0.1, 11), (0.2, 21)], 100.0),
        ([(0.0, 20), (0.2, 40), (0.4, 60)], 100.0),  # large pieces: those of the first were not timed
        ([(0.0, None), (0.5, None), (1.0, None)], 2.0),
        ([(0.0, 14), (0.3, 14)], None),
    ],
)
def test_a_rate_is_shown_where_it_can_be_measured(pieces: list[tuple[float, int | None]], rate: float | None) -> None:
    times = iter([0.0, *(at for at, _ in pieces), 9.0])
    reply = Reply(clock=lambda: next(times, 9.0))
    for _, tokens in pieces:
        reply.feed(Piece("word ", tokens=tokens))
    reply.end()
    assert reply.snapshot()["tokens_per_second"] == rate
    assert ("tokens/s" in measures(reply.snapshot(), translator("en"))) == (rate is not None)


def test_the_clock_of_a_thought_stands_still_after_it() -> None:
    times = iter([0.0, *[1.0] * 20, *[3.5] * 20, *[60.0] * 20])
    reply = Reply(clock=lambda: next(times))
    now = itertools.chain([1.0, 3.5], itertools.repeat(60.0))
    reply.clock = lambda: next(now)
    reply.feed(Piece("<think>a"))
    reply.feed(Piece("</think> 14"))
    assert reply.thinking_seconds == 2.5
    assert reply.phase == "answering"


def test_a_thought_over_its_budget_is_closed_and_goes_on() -> None:
    reply = Reply(form="inline")
    reply.feed(Piece("<think>word word", tokens=2))
    assert reply.close_thought() == "</think>"
    reply.feed(Piece(" <answer>14</answer>", tokens=3, finish="stop"))
    reply.end()
    shown = reply.snapshot()
    assert (shown["thought"], shown["answer"], shown["tokens"]) == ("word word", "14", 5)
    assert shown["over_budget"] and shown["verdict"] == "complete"


def test_the_opening_tag_is_written_unless_the_prompt_has_it() -> None:
    assert opening(["Ass", "istant", ":", "Ċ"]) == "<think>\n"
    assert opening(["Ċ", "<", "think", ">", "Ċ"]) == ""
    assert opening(None) == "<think>\n"


Rewarding = Callable[[Reply, str], tuple[float | None, ...]]


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    judge = Judge()
    yield judge
    judge.close()


@pytest.fixture
def rewards(judge: Judge) -> Rewarding:
    return lambda reply, gold: tuple(asyncio.run(judge.judged("What is 2 + 3 * 4?", reply, gold)).rewards)


def test_rewards_are_those_of_training(rewards: Rewarding) -> None:
    good = read(text("<think>Multiply first.</think> <answer>14</answer>"), "inline")
    assert rewards(good, "14") == (1.0, 1.0, 1.0)
    assert rewards(good, "20") == (0.0, 1.0, 1.0)
    assert rewards(good, "") == (None, 1.0, 1.0)
    mixed = read(text("<think>先算乘法 then add</think> <answer>14</answer>"), "inline")
    assert rewards(mixed, "14")[2] == pytest.approx(2 / 6)
    assert rewards(read(text("14"), "inline"), "14") == (0.0, 0.0, None)
    assert rewards(read(text(COLD), "cold_start"), "14") == (1.0, 1.0, 1.0)
    assert rewards(read(text("Multiply first.</think>\n\nIt is \\boxed{14}"), "prefilled"), "14") == (1.0, 1.0, 1.0)
    assert rewards(read([Piece(reasoning="Multiply."), Piece("\\boxed{14}")]), "14") == (1.0, 1.0, 1.0)


@each(
    "form, whole, gold, accuracy, shape, language",
    [
        ("inline", "<think>Multiply.</think> <answer>14</answer>", "14", "is 14: the same", "was trained", "100%"),
        ("inline", "<think>Multiply.</think> <answer>20</answer>", "14", "is 20, and the right one is 14", "", "(en)"),
        ("inline", "<think>先算乘法 then add</think> <answer>14</answer>", "", "is 14. No right answer", "", "33% of"),
        ("inline", "14", "14", "", "no closed <think>", "no thought"),
        ("inline", "<think></think> <answer>14</answer>", "14", "", "nothing in <think>", "no thought"),
        ("inline", "<think>So.</think> 14", "14", "", "in no <answer>", "100%"),
        ("inline", "<think>So.</think> <answer>14</answer> or 15", "", "", "text around them", ""),
        ("inline", "<think>So.</think> <answer>14</answer><answer>15</answer>", "14", "or several", "twice", ""),
        ("prefilled", "So it is.</think> 14", "14", "is 14: the same", "was trained", "100%"),
        ("prefilled", "</think> 14", "14", "", "nothing in <think>", "no thought"),
        ("cold_start", "Step 1: 12.", "14", "", "no | special_token |", ""),
        ("cold_start", COLD, "14", "the same", "was trained", ""),
    ],
)
def test_each_reward_says_what_it_was_paid_for(
    judge: Judge, form: str, whole: str, gold: str, accuracy: str, shape: str, language: str
) -> None:
    found = asyncio.run(judge.judged("What is 2 + 3 * 4?", read(text(whole), form), gold))
    for said, part in zip(reward_reasons(found, translator("en")), (accuracy, shape, language), strict=True):
        assert part in said
    assert (found.fault is None) == bool(found.rewards.format)
    assert all(reward_reasons(found, translator(code)) for code in LANGUAGES)


def test_a_symbolic_gold_is_judged_too(rewards: Rewarding) -> None:
    reply = read(text("<think>Factor it.</think> <answer>(x+1)^2</answer>"), "inline")
    assert rewards(reply, "x^2+2x+1")[0] == 1.0
    assert rewards(reply, "x^2+2x+2")[0] == 0.0


def test_a_worker_that_dies_judges_nothing_and_is_replaced(judge: Judge) -> None:
    assert asyncio.run(judge.agrees("14.0", "14")) is True
    for process in judge._pool._processes.values():  # type: ignore[union-attr]
        process.kill()
        process.join()
    answers = [asyncio.run(judge.agrees("14", "14")) for _ in range(2)]
    assert answers[-1] is True


def test_the_worker_does_not_outlive_a_killed_page() -> None:
    code = """import asyncio, sys; sys.path[:0] = %r
from r1chat.judge import Judge
if __name__ == "__main__":
    judge = Judge()
    asyncio.run(judge.agrees("14", "14"))
    print(*judge._pool._processes, flush=True)
    sys.stdin.read()"""
    command = [sys.executable, "-c", code % sys.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        worker = int(page.stdout.readline())
        page.kill()
    deadline = time.monotonic() + 300
    while _lives(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(worker)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or ") Z " not in status.read_text()


def test_votes_are_grouped_by_value() -> None:
    votes = count_votes(["14", "20", None, "14.0", "28/2", "Yes", "yes"])
    assert [(vote.answer, vote.samples) for vote in votes] == [
        ("14", [0, 3, 4]),
        ("Yes", [5, 6]),
        ("20", [1]),
        (None, [2]),
    ]


def test_an_answer_votes_only_when_it_has_ended() -> None:
    reply = Reply(form="inline")
    reply.feed(Piece("<think>a</think> <answer>1</answer>"))
    assert answer_of(reply) is None
    reply.end()
    assert answer_of(reply) == "1"
