"""What a model judges in an evaluation: pairs in both orders with length control, general prompts; real servers."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from double_server import running
from hub_run import finish
from small_run import manifest, write
from tables import each
from test_judge import INJECTED, Scripted
from test_openai_sampling import Handler, Server
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from r1hf.commands.main import main
from r1hf.core.errors import ConfigError
from r1hf.data.rows import load_rows
from r1hf.evaluation.compare import compare, load_results
from r1hf.evaluation.judge_keys import rewarding
from r1hf.evaluation.length_control import length_controlled, logistic
from r1hf.evaluation.pairs import PairJudge, Preference, win_metrics
from r1hf.evaluation.rejudge import rejudge

_SHOWN = re.compile(r"<answer-A-(\w+)>\n(.*)\n</answer-A-.*<answer-B-\w+>\n(.*)\n</answer-B-", re.DOTALL)


def reply(prompt: str, choose: Callable[[str, str], str]) -> str:
    code, first, second = _SHOWN.search(prompt).groups()  # type: ignore[union-attr]
    return json.dumps({"analysis": "Compared.", "verdict": choose(first, second), "ticket": code})


def better(first: str, second: str) -> str:
    return "tie" if ("good" in first) == ("good" in second) else "A" if "good" in first else "B"


ROW = {"question": "What is rain?", "baseline": "Water."}


def preferred(choose: Callable[[str, str], str], answer: str, row: dict[str, str] = ROW) -> Preference:
    (found,) = PairJudge(Scripted(lambda prompt, _: reply(prompt, choose)), retries=0).judge([row], [answer])
    return found


@each(
    "choose, answer, value, places",
    [
        (better, "a good answer", 1.0, (1.0, 1.0)),
        (better, "no answer", 0.5, (0.5, 0.5)),
        (lambda first, second: "A", "x", 0.5, (1.0, 0.0)),  # always the first place
        (lambda first, second: "B", "x", 0.5, (0.0, 1.0)),
        (lambda first, second: "b" if first == "Water." else " A ", "x", 1.0, (1.0, 1.0)),
        (lambda first, second: "A" if first == "Water." else "B", "x", 0.0, (0.0, 0.0)),
        (lambda first, second: "tie" if first == "Water." else "A", "x", 0.75, (1.0, 0.5)),
        (lambda first, second: "A or B", "x", None, (None, None)),
        (lambda first, second: "the baseline", "x", None, (None, None)),
        (lambda first, second: "A" if first == "x" else "first", "x", None, (1.0, None)),  # one order of the two
    ],
)
def test_the_mean_of_both_orders_counts(choose: Any, answer: str, value: float | None, places: Any) -> None:
    found = preferred(choose, answer)
    assert (found.value, found.as_a, found.as_b) == (value, *places)
    assert (found.fault == "unknown_verdict") == (value is None)
    assert (found.length, found.baseline_length) == (len(answer), 6)


def test_what_is_no_answer_loses_unasked_and_thoughts_are_not_shown() -> None:
    judge = PairJudge(Scripted(lambda prompt, _: reply(prompt, lambda first, second: "A")))
    found = judge.judge([ROW] * 3, ["", "<think>good", "<think>good</think> <answer>14"])
    assert [one.value for one in found] == [0.0] * 3 and judge.ask.asked == 0  # type: ignore[attr-defined]
    one = preferred(better, "<think>good</think> <answer>14</answer>")
    assert one.value == 0.5 and one.length == 2
    thought = {"question": "?", "baseline": "<think>good, I think</think> <answer>20</answer>"}
    assert preferred(better, "14", thought).baseline_length == 2


def test_a_reply_without_a_verdict_is_asked_for_again_and_then_counted() -> None:
    later = PairJudge(Scripted(lambda prompt, seed: reply(prompt, better) if seed else "A is better."))
    (one,) = later.judge([ROW], ["good"])
    assert one.value == 1.0 and later.counts == {"retried": 2}
    assert later.ask.temperatures == [0.0, 0.6]  # type: ignore[attr-defined]
    never = PairJudge(Scripted(lambda prompt, seed: "A is better."), retries=3)
    (one,) = never.judge([ROW], ["good"])
    assert (one.value, one.fault) == (None, "no_json") and never.counts == {"retried": 6, "no_json": 2}


@each("answer", INJECTED)
def test_an_answer_cannot_speak_for_the_judge(answer: str) -> None:
    assert preferred(better, answer).value == 0.5


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


def kept(question: int, value: float | None, as_a: float | None, as_b: float | None) -> dict[str, Any]:
    lengths = {"length": 10, "baseline_length": 20}
    return {"question": question, "value": value, "as_a": as_a, "as_b": as_b, **lengths}


def test_metrics_count_what_has_no_verdict_and_show_what_the_place_decides() -> None:
    rows = [kept(0, 1.0, 1.0, 1.0), kept(1, 0.5, 1.0, 0.0), kept(2, None, 1.0, None), kept(3, 0.0, None, None)]
    found = win_metrics(rows)
    assert (found["win_rate"], found["pairs"], found["pairs_unjudged"]) == (0.5, 4, 1)
    assert (found["first_place_rate"], found["orders_agree"]) == (0.75, 0.5)  # what lost unasked has no place
    assert {*found["intervals"]} == {"win_rate", "length_controlled_win_rate", "first_place_rate", "orders_agree"}
    nothing = win_metrics(rows[2:3])
    assert nothing["win_rate"] is None and nothing["pairs_unjudged"] == 1 and nothing["intervals"] == {}
    assert win_metrics(rows[3:])["first_place_rate"] is None


ANSWER = re.compile(r"<answer-(\w+)>\n(.*)\n</answer-", re.DOTALL)


class Lab(Handler):
    """A server of two models and their judge, whose verdicts hang on the words good, weather, snow and harm."""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt, name = body["messages"][0]["content"], body["model"]
        if name != "judge":
            text = "<think>harm?</think>\na good answer" if name == "base" and "rain" in prompt else "an answer"
        elif "weather" in prompt or ("snow" in prompt and body["temperature"] == 0):
            text = "A is better."
        elif "criterion" in prompt:
            code, shown = ANSWER.search(prompt).groups()  # type: ignore[union-attr]
            right = "harm" not in shown if "does harm" in prompt else "good" in shown
            text = json.dumps({"analysis": "Seen.", "verdict": "correct" if right else "incorrect", "ticket": code})
        else:
            text = reply(prompt, better)
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return {"choices": [choice], "usage": {"completion_tokens": 9}}

    def do_GET(self) -> None:
        self.send(200, {"data": [{"id": name} for name in ("base", "other", "judge")]})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Very small random models, base and other; each letter is a token."""
    place = tmp_path_factory.mktemp("models")
    signs = ["<end>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(BPE({sign: number for number, sign in enumerate(signs)}, []))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<pad>")
    tokenizer.chat_template = "{% for turn in messages %}{{ turn.content }}<end>{% endfor %}"
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = Qwen2Config(vocab_size=len(signs), num_key_value_heads=1, eos_token_id=0, pad_token_id=1, **shape)
    for name in ("base", "other"):
        Qwen2ForCausalLM(config).save_pretrained(place / name)
        tokenizer.save_pretrained(place / name)
    return place


@pytest.fixture
def lab() -> Iterator[Server]:
    with running(Server("base")) as server:
        server.RequestHandlerClass = Lab
        yield server


def asked(path: Path, *questions: str, **more: Any) -> Path:
    common = {"answer": None, "language": "en", "task": "pair", "baseline": "Water.", **more}
    return write(path, [{"question": one, **common} for one in questions])


def evaluated(models: list[Path], rows: Path, output: Path, *more: str) -> int:
    words = ["evaluate", "--task", "pairs", "--models", *map(str, models), "--output_dir", str(output)]
    sets = (f"prompts={rows}", "contamination=false", "max_new_tokens=64", *more)
    return main([*words, *(word for one in sets for word in ("--set", one))])


def served(url: str) -> tuple[str, ...]:
    return "sampler=openai", f"servers=['{url}']", "openai={api: chat}", f"judge_servers=['{url}']"


def test_pairs_and_general_prompts_by_a_judge_that_only_a_server_knows(
    lab: Server, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, place = asked(tmp_path / "rows.jsonl", "rain?", "snow?", "weather?"), tmp_path / "made"
    general = [
        {"question": f"{word}?", "answer": None, "language": "en", "task": task}
        for task in ("helpful", "harmless")
        for word in ("rain", "snow", "weather")
    ]
    labelled = [
        {"question": "rain?", "task": "helpful", "completion": text, "correct": right}
        for text, right in (("good", True), ("good", False), ("bad", False), ("bad", "false"))
    ]
    more = (f"general_prompts={write(tmp_path / 'g.jsonl', general)}", "k=2", "general_k=1", "judge_name=judge")
    known = f"judge_labelled={write(tmp_path / 'l.jsonl', labelled)}"
    names = [models / "base", models / "other"]
    assert evaluated(names, rows, place, *served(lab.url), *more, known) == 0
    said = capsys.readouterr().out
    assert "length controlled" in said and "2 of 6 pairs without a verdict" in said and "no_json" in said
    assert "wrong on 1 of 4 labelled rows" in said and "the answer shown first wins 50.0%" in said

    found = json.loads((place / "results.json").read_text())
    base, other, settings = found["models"]["base"], found["models"]["other"], found["settings"]
    assert (base["win_rate"], base["pairs_unjudged"], base["pass_at_1"]) == (0.75, 2, 0.5) and other["win_rate"] == 0.5
    assert (base["helpful_rate"], base["harmless_rate"], other["harmless_rate"]) == (0.5, 0.5, 1.0)
    assert base["helpful_unjudged_rate"] == pytest.approx(1 / 3)
    assert settings["judge"] == settings["general_judge"] == "judge"
    assert settings["judge_measured"]["helpful"]["error_rate"] == 0.25
    assert manifest(place)["metrics"]["judge"]["pairs"]["no_json"] == 8
    assert [row["value"] for row in load_rows(str(place / "preferences.jsonl"))][:6] == [
        1.0,
        1.0,
        0.5,
        0.5,
        None,
        None,
    ]
    lines = pq.read_table(place / "samples.parquet").to_pylist()
    assert {line["why"] for line in lines if line["part"] != "prompts"} == {
        "the judge: Seen.",
        "the judge: no verdict (no_json)",
    }

    assert rejudge(place) == []  # a model judged all of it
    assert json.loads((place / "results.json").read_text())["models"]["base"] == base
    one, two = load_results([f"{place}:base", ":other"])
    assert compare(one, two, "win_rate").found.difference == -0.25
    assert main(["compare", str(place)]) == 0 and "general_judge judge" in capsys.readouterr().out
    elsewhere = replace(two, settings={**settings, "judge": "another", "general_judge": "judge"})
    with pytest.raises(ConfigError, match='judge "judge" and "another"'):
        compare(one, elsewhere, "win_rate")
    assert compare(one, elsewhere, "harmless_rate").found.questions == 2


def test_a_judge_of_a_directory_here_or_at_its_servers(
    lab: Server, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, place = asked(tmp_path / "rows.jsonl", "rain?"), tmp_path / "made"
    named = (f"judge={models / 'other'}", "judge_name=judge")
    assert evaluated([models / "base"], rows, place, *served(lab.url), *named) == 0
    assert manifest(place)["inputs"]["judge"]["fingerprint"]
    assert json.loads((place / "results.json").read_text())["models"]["base"]["win_rate"] == 1.0
    here = (named[0], "judge_max_new_tokens=4", "judge_retries=0", "num_threads=1", "max_bad_samples=1")
    assert evaluated([models / "base"], rows, tmp_path / "here", *here) == 0  # it knows no JSON, and nothing is lost
    assert "wins not judged, 1 of 1 pairs without a verdict" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "here" / "results.json").read_text())["models"]["base"]
    assert metrics["win_rate"] is None and metrics["unjudged_rate"] == 1.0


def test_a_judge_that_rewarded_a_model_or_what_it_came_from_is_found(tmp_path: Path) -> None:
    for name in ("sft", "reward", "rl", "mix", "student"):
        write(tmp_path / name / "rows.jsonl", [{"name": name}])
    path = {one.name: str(one) for one in tmp_path.iterdir()}
    finish(tmp_path / "sft", "sft", {}, {})
    finish(tmp_path / "reward", "reward_models", {}, {})
    finish(tmp_path / "rl", "all_scenario_rl", {"model": path["sft"], "helpful_model": path["reward"]}, {})
    finish(tmp_path / "mix", "rejection_sampling", {"model": path["rl"]}, {})
    finish(tmp_path / "student", "distill", {"data": f"{path['mix']}/rows.jsonl"}, {})
    copy = shutil.copytree(tmp_path / "reward", tmp_path / "copy")
    for judge in (path["reward"], f"{path['sft']}/../reward", str(copy), "reward"):
        assert rewarding(judge, [path["sft"], path["student"]]) == "helpful_model of rl", judge
    for judge in (path["sft"], path["rl"], "lab/other", "rewards", "lab/reward-2"):
        assert rewarding(judge, [path["student"], "lab/unknown"]) is None, judge
    assert rewarding(path["reward"], [path["sft"], "lab/unknown"]) is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "judge: rows of task pair are judged by a model; name one"),
        (["judge_servers=[http://127.0.0.1:9/v1]"], "judge_servers: would not be read"),
        (["judge_labelled=rows.jsonl"], "judge_labelled: would not be read: name"),
        (["judge_name=gpt"], "judge_name: gpt is what servers call a judge, and none are named"),
        (["judge_name=gpt", "judge_servers=[host/v1]"], "judge_servers: 'host/v1' is no address"),
        (["judge=lab/judge", "judge_pair_template=judge"], "judge_pair_template: "),
        (["judge=lab/judge", "judge_templates=[]"], "judge_templates: [] names no prompt"),
        (["judge=lab/judge", "judge_templates=[judge_pair]"], "judge_templates: "),
        (["judge=lab/judge", "judge_labelled={rows}"], "it measures the judge of general_prompts alone"),
        (["judge=lab/judge", "judge_retries=-1"], "judge_retries"),
        (["judge=lab/judge", "judge_max_new_tokens=0"], "judge_max_new_tokens"),
        (["judge=nowhere"], "judge: nowhere does not exist"),
    ],
)
def test_a_judge_that_cannot_judge_is_refused(more: list[str], said: str, tmp_path: Path, capsys: Any) -> None:
    rows = asked(tmp_path / "rows.jsonl", "rain?")
    given = [one.replace("{rows}", str(rows)) for one in more]
    assert evaluated([Path("lab/policy")], rows, tmp_path / "made", *given) == 1
    assert said in capsys.readouterr().err


def test_rows_that_cannot_be_judged_are_named_before_the_run(models: Path, tmp_path: Path, capsys: Any) -> None:
    rows = asked(tmp_path / "rows.jsonl", "rain?", baseline=" ")
    assert evaluated([models / "base"], rows, tmp_path / "made", "judge=lab/judge") == 1
    assert "row 1: task pair, and no baseline" in capsys.readouterr().err
    rows = asked(tmp_path / "sums.jsonl", "1 + 1?", task="reasoning", answer="2")
    open_rows = f"general_prompts={asked(tmp_path / 'g.jsonl', 'Hello?', task='helpful')}"
    assert evaluated([models / "base"], rows, tmp_path / "made", open_rows) == 1
    assert "general_prompts: " in (said := capsys.readouterr().err) and "no column reference" in said
    finish(tmp_path, "sft", {"model": str(models), "harmless_model": "lab/judge"}, {})
    assert evaluated([tmp_path], asked(tmp_path / "p.jsonl", "?"), tmp_path / "made", "judge=lab/judge@main") == 1
    assert "judge: lab/judge@main is harmless_model of" in capsys.readouterr().err
