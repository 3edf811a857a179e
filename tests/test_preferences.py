"""Answers held against a baseline's: both orders, replies that are none, length control, the task over servers."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import manifest, write
from tables import each
from test_judge import INJECTED, Scripted
from test_openai_sampling import Handler, Server
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from r1hf.commands.main import main
from r1hf.data.rows import load_rows
from r1hf.evaluation.preferences import compared, length_controlled, logistic, win_metrics
from r1hf.evaluation.rejudge import rejudge

_SHOWN = re.compile(r"<answer-A-(\w+)>\n(.*)\n</answer-A-.*<answer-B-\w+>\n(.*)\n</answer-B-", re.DOTALL)


def reply(prompt: str, choose: Callable[[str, str], str]) -> str:
    code, first, second = _SHOWN.search(prompt).groups()  # type: ignore[union-attr]
    return json.dumps({"analysis": "Compared.", "verdict": choose(first, second), "ticket": code})


def better(first: str, second: str) -> str:
    return "tie" if ("good" in first) == ("good" in second) else "A" if "good" in first else "B"


ROW = {"question": "What is rain?", "baseline": "Water."}


@each(
    "choose, answer, value",
    [
        (better, "a good answer", 1.0),
        (better, "no answer", 0.5),
        (lambda first, second: "A", "x", 0.5),  # always the first place
        (lambda first, second: "B", "x", 0.5),
        (lambda first, second: "b" if first == "Water." else " A ", "x", 1.0),
        (lambda first, second: "A" if first == "Water." else "B", "x", 0.0),
        (lambda first, second: "tie" if first == "Water." else "A", "x", 0.75),
        (lambda first, second: "A or B", "x", None),
        (lambda first, second: "the baseline", "x", None),
        (lambda first, second: "first" if first == "x" else "A", "x", None),  # one order of the two
    ],
)
def test_the_mean_of_both_orders_counts(choose: Any, answer: str, value: float | None) -> None:
    (found,), faults = compared(Scripted(lambda prompt, _: reply(prompt, choose)), [ROW], [answer], retries=0)
    assert found.value == value and (found.fault == "unknown_verdict") == (value is None) == bool(faults)
    assert (found.length, found.baseline_length) == (len(answer), 6)


def test_what_is_no_answer_loses_unasked_and_a_thought_is_not_shown() -> None:
    judge = Scripted(lambda prompt, _: reply(prompt, lambda first, second: "A"))
    found, _ = compared(judge, [ROW] * 3, ["", "<think>good", "<think>good</think> <answer>14"])
    assert [one.value for one in found] == [0.0] * 3 and judge.asked == 0
    seen = Scripted(lambda prompt, _: reply(prompt, better))
    (one,), _ = compared(seen, [ROW], ["<think>good</think> <answer>14</answer>"])
    assert one.value == 0.5 and one.length == 2


def test_a_reply_without_a_verdict_is_asked_for_again_and_then_counted() -> None:
    later = Scripted(lambda prompt, seed: reply(prompt, better) if seed % 1000 else "A is better.")
    (one,), counts = compared(later, [ROW], ["good"])
    assert one.value == 1.0 and counts == {"retried": 2} and set(later.temperatures) == {0.0, 0.6}
    never = Scripted(lambda prompt, seed: "A is better.")
    (one,), counts = compared(never, [ROW], ["good"], retries=3)
    assert (one.value, one.fault) == (None, "no_json") and counts == {"retried": 6, "no_json": 2} and never.asked == 8


@each("answer", INJECTED)
def test_an_answer_cannot_speak_for_the_judge(answer: str) -> None:
    (one,), _ = compared(Scripted(lambda prompt, _: reply(prompt, better)), [ROW], [answer])
    assert one.value == 0.5


def test_newtons_method_finds_what_a_search_finds() -> None:
    draw = np.random.default_rng(3)
    for ridge in (1e-2, 1.0):
        x = np.stack([np.ones(40), np.tanh(draw.normal(size=40))], axis=1)
        y = draw.choice([0.0, 0.25, 0.5, 1.0], size=40)

        def loss(weights: Any, x: Any = x, y: Any = y, ridge: float = ridge) -> float:
            z = x @ weights
            return float((np.logaddexp(0, z) - y * z).sum() + ridge * weights @ weights / 2)

        best, step = np.zeros(2), 1.0
        while step > 1e-7:  # the best of a grid about the best so far
            grid = [best + step * np.array([a, b]) for a in range(-4, 5) for b in range(-4, 5)]
            best, step = min(grid, key=loss), step / 2
        assert logistic(x, y, ridge) == pytest.approx(best, abs=1e-5)


def test_length_is_taken_out_of_the_win_rate() -> None:
    """A judge that loves length, an answer no better than the baseline: mostly longer ones win, and it counts half."""
    draw = random.Random(5)
    longer = [draw.gauss(300, 400) for _ in range(4000)]
    won = [float(draw.random() < 1 / (1 + np.exp(-3 * np.tanh(one / 400)))) for one in longer]
    share, low, high = length_controlled(won, longer, range(4000))
    assert sum(won) / 4000 > 0.65 and low < 0.5 < high and abs(share - 0.5) < 0.04
    plain, *_ = length_controlled(won, [100] * 4000, range(4000))
    assert plain == pytest.approx(sum(won) / 4000, abs=1e-3)


@each("won, n", [(1.0, 30), (0.0, 30), (1.0, 1), (0.5, 1), (0.5, 500)])
def test_an_interval_is_never_a_point(won: float, n: int) -> None:
    share, low, high = length_controlled([won] * n, [0.0] * n, range(n))
    assert 0 <= low <= share <= high <= 1 and high - low > (0.1 if n == 30 else 0.01)
    assert abs(share - won) < (0.2 if n == 1 else 0.01)


def test_samples_of_one_prompt_are_no_more_prompts() -> None:
    draw = random.Random(2)
    won = [float(draw.random() < 0.6) for _ in range(40)]
    one, many = length_controlled(won, [0.0] * 40, range(40)), length_controlled(
        won * 8, [0.0] * 320, [*range(40)] * 8
    )  # fmt: skip
    assert many[2] - many[1] == pytest.approx(one[2] - one[1], rel=0.05)


def test_intervals_hold_the_truth() -> None:
    draw, held = np.random.default_rng(1), 0
    for _ in range(400):
        longer = draw.normal(0, 100, 80)
        p = 1 / (1 + np.exp(-(0.6 + np.tanh(longer / longer.std()))))
        _, low, high = length_controlled(list((draw.random(80) < p) * 1.0), list(longer), range(80))
        held += low <= 1 / (1 + np.exp(-0.6)) <= high
    assert 0.92 <= held / 400 <= 0.985


def test_metrics_count_what_has_no_verdict() -> None:
    rows = [
        {"question": n, "value": value, "length": 10, "baseline_length": 20}
        for n, value in enumerate([1.0, 0.5, None])
    ]
    found = win_metrics(rows)
    assert (found["win_rate"], found["pairs"], found["pairs_unjudged"]) == (0.75, 3, 1)
    assert win_metrics(rows[2:])["win_rate"] is None


class Lab(Handler):
    """Two models of one server: one answers, one judges."""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["messages"][0]["content"]
        if body["model"] == "judge":
            broken = "weather" in prompt or ("snow" in prompt and body["temperature"] == 0)
            text = "A is better." if broken else reply(prompt, better)
        else:
            text = "<think>Hm.</think>\na good answer" if "rain" in prompt else "an answer"
        message = {"role": "assistant", "content": text}
        return {
            "choices": [{"message": message, "finish_reason": "stop"}],
            "usage": {"completion_tokens": 9},
        }

    def do_GET(self) -> None:
        self.send(200, {"data": [{"id": name} for name in ("base", "judge")]})


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's directory without a model, which is at the server; its template is looked at before the start."""
    place = tmp_path_factory.mktemp("models") / "base"
    signs = ["<end>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(BPE({sign: number for number, sign in enumerate(signs)}, []))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<pad>")
    tokenizer.chat_template = "{% for turn in messages %}{{ turn.content }}<end>{% endfor %}"
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture
def lab() -> Iterator[Server]:
    server = Server("base")
    server.RequestHandlerClass = Lab
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def pairs(path: Path, *questions: str) -> Path:
    common = {"answer": None, "language": "en", "task": "pair", "baseline": "Water."}
    return write(path, [{"question": one, **common} for one in questions])


def evaluated(model: Path, rows: Path, output: Path, url: str, *more: str) -> int:
    words = ["evaluate", "--task", "pairs", "--models", str(model), "--output_dir", str(output)]
    sets = [f"prompts={rows}", "sampler=openai", f"servers=['{url}']", "openai={api: chat}", "max_new_tokens=64"]
    return main([*words, *(word for one in (*sets, "contamination=false", *more) for word in ("--set", one))])


def hosted(url: str) -> str:
    return f"judge_sampling={{model: judge, sampler: openai, servers: ['{url}'], openai: {{api: chat}}}}"


def test_the_task_with_a_judge_that_only_a_server_knows(
    lab: Server, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, place = pairs(tmp_path / "rows.jsonl", "rain?", "snow?", "weather?"), tmp_path / "made"
    assert evaluated(policy, rows, place, lab.url, hosted(lab.url), "k=2") == 0
    said = capsys.readouterr().out
    assert "length controlled" in said and "2 of 6 without a verdict" in said and "no_json" in said
    found = json.loads((place / "results.json").read_text())
    metrics = found["models"][policy.name]
    assert (metrics["win_rate"], metrics["pairs_unjudged"], metrics["pass_at_1"]) == (0.75, 2, 0.5)
    assert found["settings"]["judge"] == "judge" and manifest(place)["metrics"]["judge"]["judge"]["no_json"] == 4
    kept = load_rows(str(place / "preferences.jsonl"))
    assert [row["value"] for row in kept] == [1.0, 1.0, 0.5, 0.5, None, None]
    assert rejudge(place) == []
    assert json.loads((place / "results.json").read_text())["models"][policy.name] == metrics


def test_a_judge_of_a_directory_and_one_that_never_gives_a_verdict(
    lab: Server, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, served = pairs(tmp_path / "rows.jsonl", "rain?"), f"openai: {{api: chat, models: {{{policy}: judge}}}}"
    own = f"judge_sampling={{sampler: openai, servers: ['{lab.url}'], {served}}}"
    assert evaluated(policy, rows, tmp_path / "made", lab.url, f"judge={policy}", own) == 0
    assert manifest(tmp_path / "made")["inputs"]["judge"]["fingerprint"]
    rows = pairs(tmp_path / "w.jsonl", "weather?")
    assert evaluated(policy, rows, tmp_path / "w", lab.url, hosted(lab.url)) == 1
    assert "gave no verdict on any of 1 pairs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "judge: rows of task pair are judged by a model; name one"),
        (["judge_sampling={sampler: openai}"], "judge_sampling: would not be read"),
        (["judge=lab/judge", "judge_template=judge"], "judge_template: "),
        (["judge=lab/judge", "judge_sampling={sampler: opnai}"], "did you mean 'openai'"),
        (["judge=lab/judge", "judge_sampling={server: x}"], "server is unknown"),
        (["judge=lab/judge", "judge_sampling={sampler: openai}"], "judge_sampling: servers: sampler openai needs"),
        (["judge=lab/judge", "judge_sampling={servers: x}"], "is of the wrong kind"),
        (["judge=lab/judge", "judge_sampling={model: x}"], "judge names lab/judge already"),
        (["judge_sampling={model: x, sampler: transformers}"], "only servers know it"),
        (["judge=nowhere"], "judge: nowhere does not exist"),
    ],
)
def test_a_judge_that_cannot_judge_is_refused(more: list[str], said: str, tmp_path: Path, capsys: Any) -> None:
    rows, url = pairs(tmp_path / "rows.jsonl", "rain?"), "http://127.0.0.1:9/v1"
    assert evaluated(Path("lab/policy"), rows, tmp_path / "made", url, *more) == 1
    assert said in capsys.readouterr().err


def test_a_row_without_a_baseline_is_named(tmp_path: Path, capsys: Any) -> None:
    rows = write(tmp_path / "rows.jsonl", [{"question": "rain?", "answer": None, "language": "en", "task": "pair"}])
    assert evaluated(Path("lab/a"), rows, tmp_path / "made", "http://127.0.0.1:9/v1", "judge=lab/judge") == 1
    assert "row 1: task pair, and no baseline" in capsys.readouterr().err
