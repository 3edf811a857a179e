"""Preference pairs: four judgements in both orders, margins, lengths; the recipe against a server that answers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from double_server import running
from small_run import manifest, recipe, write
from tables import each
from test_evaluation_judge import models, reply  # noqa: F401 (a fixture)
from test_judge import Scripted
from test_openai_sampling import Handler, Server

from r1hf.core.errors import ConfigError, NothingKept
from r1hf.data.rows import load_rows
from r1hf.selection.preferred import MARGINS, MarginJudge, Pair, balanced


def marked(first: str, second: str) -> str:
    """By the number in an answer."""
    gap = int(first.split()[-1]) - int(second.split()[-1])
    word = {0: "", 1: "slightly better", 2: "better"}.get(abs(gap), "much better")
    return f"{'A' if gap > 0 else 'B'} {word}" if gap else "equal"


def judged(first: str, second: str, choose: Callable[[str, str], str] = marked) -> Pair:
    ask = Scripted(lambda prompt, _: reply(prompt, choose))
    (found,) = MarginJudge(ask, retries=0).judge([Pair({"question": "Why?"}, first, second)])
    return found


@each(
    "first, second, choose, margin, fault",
    [
        ("answer 5", "answer 1", marked, 3.0, ""),
        ("answer 1", "answer 3", marked, -2.0, ""),
        ("answer 2", "answer 1", marked, 1.0, "too_close"),
        ("answer 1", "other 1", marked, 0.0, "too_close"),
        ("x", "y", lambda first, second: "A much better", 0.0, "too_close"),  # the place alone decides
        ("answer 1", "answer 1", marked, None, "same_answers"),
        ("<think>1</think><answer>a 1</answer>", "<think>2</think><answer>a 1</answer>", marked, None, "same_answers"),
        ("", "answer 1", marked, None, "no_answer"),
        ("<think>it never ends 9", "answer 1", marked, None, "no_answer"),
        ("x", "y", lambda first, second: "tie", None, "unknown_verdict"),
    ],
)
def test_the_mean_of_four_judgements_decides(
    first: str, second: str, choose: Any, margin: float | None, fault: str
) -> None:
    found = judged(first, second, choose)
    assert (found.margin, found.fault) == (margin, fault)
    if margin and not fault:
        assert (found.chosen, found.rejected) == ((first, second) if margin > 0 else (second, first))


def test_each_order_is_shown_twice_and_thoughts_are_not() -> None:
    seen: list[str] = []

    def choose(first: str, second: str) -> str:
        seen.append(first)
        return "equal"

    for number in range(6):
        judged(f"<think>secret</think><answer>one {number}</answer>", f"two {number}", choose)
    assert sorted(seen) == sorted([f"one {n}" for n in range(6)] * 2 + [f"two {n}" for n in range(6)] * 2)


def test_judgements_of_one_order_are_drawn_apart() -> None:
    ask = Scripted(lambda prompt, _: reply(prompt, marked))
    MarginJudge(ask, retries=0).judge([Pair({"question": "Why?"}, "answer 5", "answer 1")])
    assert ask.asked == 4 and min(ask.temperatures) > 0


def test_many_pairs_are_balanced_at_once() -> None:
    rng = random.Random(5)
    pairs = [Pair({}, "x" * rng.randint(9, 30), "y" * rng.randint(9, 20), 2.0) for _ in range(20_000)]
    assert 10_000 < len(balanced(pairs, 0.01)) < 20_000


def test_every_margin_has_its_mirror() -> None:
    assert all(MARGINS[f"b{name[1:]}"] == -margin for name, margin in MARGINS.items() if name[0] == "a")
    assert sorted(MARGINS.values()) == [-3, -2, -1, 0, 1, 2, 3]


def test_lengths_end_alike_and_no_pair_goes_without_need() -> None:
    rng = random.Random(3)
    pairs = [
        Pair({"question": str(n)}, "x" * rng.randint(20, 400), "y" * rng.randint(20, 200), 2.0) for n in range(300)
    ]
    kept = balanced(pairs, 0.05)

    def mean(some: list[Pair]) -> float:
        return sum(math.log(len(one.chosen) / len(one.rejected)) for one in some) / len(some)

    assert mean(pairs) > 0.3 and abs(mean(kept)) <= 0.05 and len(kept) > 150
    assert balanced(kept, 0.05) == kept and balanced([], 0.05) == []


class Lab(Handler):
    """Answers with numbers, and judges by them; of weather it says nothing that counts."""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["messages"][0]["content"]
        if "analysis" not in prompt:
            text = f"<think>thought</think> <answer>an answer {1 + body['seed'] % 4}</answer>"
        elif "weather" in prompt:
            text = "A is better."
        else:
            text = reply(prompt, marked)
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return {"choices": [choice], "usage": {"completion_tokens": 9}}

    def do_GET(self) -> None:
        self.send(200, {"data": [{"id": name} for name in ("base", "other")]})


@pytest.fixture
def lab() -> Iterator[Server]:
    with running(Server("base")) as server:
        server.RequestHandlerClass = Lab
        yield server


def run(models: Path, lab: Server, output: Path, prompts: Path, **more: Any) -> Path:  # noqa: F811
    given = {"model": models / "base", "judge": models / "other", "prompts": prompts, "output_dir": output}
    words = [word for key, value in (given | more).items() for word in (f"--{key}", str(value))]
    served = ["--sampler", "openai", "--servers", f"['{lab.url}']", "--openai", "{api: chat}"]
    recipe("preference_pairs").main([*words, *served])
    return output


def test_the_recipe_keeps_clear_pairs_and_says_why_not_others(models: Path, lab: Server, tmp_path: Path) -> None:  # noqa: F811
    rows = [{"question": f"{'weather' if n % 8 == 0 else 'rain'} {n}?", "language": "en", "id": n} for n in range(80)]
    labelled = [
        {"question": "rain?", "chosen": f"a {good}", "rejected": f"b {bad}"} for good, bad in ((4, 1), (1, 4), (2, 2))
    ]
    known = {"judge_labelled": write(tmp_path / "l.jsonl", labelled), "test_share": 0.3, "length_tolerance": 1}
    made = run(models, lab, tmp_path / "made", write(tmp_path / "p.jsonl", rows), **known)
    data, test = load_rows(str(made / "data.jsonl")), load_rows(str(made / "test.jsonl"))
    reasons = manifest(made)["metrics"]["reasons"]
    assert reasons["kept"] == len(data) + len(test) > 10 and len(test) > 2
    assert reasons["no_json"] >= 5 and reasons["too_close"] > 5 and sum(reasons.values()) == 80
    assert not {row["question"] for row in data} & {row["question"] for row in test}
    for row in data:
        better, worse = (int(row[side].split()[-1].rstrip("</answer>")) for side in ("chosen", "rejected"))
        assert better - worse == row["margin"] > 1 and row["chosen"].startswith("<think>")
    assert manifest(made)["metrics"]["judge"]["measured"] == {"pairs": 3, "agrees": 1, "differs": 1, "equal": 1}


def test_nothing_kept_and_bad_keys_are_sentences(models: Path, lab: Server, tmp_path: Path) -> None:  # noqa: F811
    prompts = write(tmp_path / "p.jsonl", [{"question": f"weather {n}?"} for n in range(4)])
    with pytest.raises(NothingKept, match="no pair of 4 prompts was kept.*no_json"):
        run(models, lab, tmp_path / "made", prompts)
    with pytest.raises(ConfigError, match="judgements: 3 is not even"):
        run(models, lab, tmp_path / "made", prompts, judgements=3)
    with pytest.raises(ConfigError, match="judge_margin_template: template 'nothing' is neither"):
        run(models, lab, tmp_path / "made", prompts, judge_margin_template="nothing")
