"""The stage: every sample kept, a killed run that goes on, verdicts done again, results compared or refused."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small_run import answered, manifest, recipe, write

from r1hf.commands.main import main
from r1hf.core.errors import ConfigError, DataError, StageError
from r1hf.evaluation import judged
from r1hf.evaluation.compare import compare, load_results
from r1hf.evaluation.rejudge import rejudge
from r1hf.explain.report.summary import scored
from r1hf.models.transformers_sampling import TransformersSampler

K, PROBLEMS = 2, 24
CHOICE = {
    **{"question": "Which is a fruit?", "choices": ["a stone", "an apple", "a car"], "answer": "B"},
    **{"language": "en", "task": "choice"},
}


def arguments(output: Path, **more: Any) -> list[str]:
    given = {"k": K, "max_new_tokens": 12, "batch_size": 3, "num_threads": 1, "output_dir": output, **more}
    return [f"--{key}={json.dumps(value, default=str)}".replace('"', "'") for key, value in given.items()]


def evaluated(output: Path, **more: Any) -> Path:
    recipe("evaluate").main(arguments(output, **more))
    return output


@pytest.fixture(scope="module")
def asked(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    rows = [{key: value for key, value in row.items() if key != "completion"} for row in answered(PROBLEMS - 1)]
    path = write(tmp_path_factory.mktemp("asked") / "rows.jsonl", [*rows, CHOICE])
    return {"models": [str(tiny_base), str(tiny_base / "student_llama_base")], "prompts": path}


@pytest.fixture(scope="module")
def whole(asked: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed evaluation of two models."""
    return evaluated(tmp_path_factory.mktemp("whole") / "evaluate", **asked)


def test_every_sample_is_kept_with_its_verdict(whole: Path) -> None:
    lines = pq.read_table(whole / "samples.parquet").to_pylist()
    assert len(lines) == 2 * PROBLEMS * K
    assert len({(line["model"], line["question"], line["sample"]) for line in lines}) == len(lines)
    for line in lines:
        assert line["visible"] is not None and line["prompt"] and line["why"] and line["template"]
        assert line["finish"] == ("length" if line["tokens"] == 12 else "stop")
        assert line["engine"].startswith("transformers 5.") and json.loads(line["row"])["question"]
        assert "cut at the limit" in line["why"] or line["finish"] == "stop" or line["correct"] is not False


def test_results_say_how_sure_and_how_measured(whole: Path) -> None:
    content = json.loads((whole / "results.json").read_text())
    settings = content["settings"]
    assert {"k": K, "temperature": 0.6, "top_p": 0.95, "seed": 42, "problems": PROBLEMS}.items() <= settings.items()
    assert settings["questions"]["prompts"] and settings["engine"]["torch"] and settings["judges"]["math-verify"]
    for metrics in content["models"].values():
        low, high = metrics["intervals"]["pass_at_1"]
        assert low <= metrics["pass_at_1"] <= high and high > 0 and metrics["questions"] == PROBLEMS
        assert metrics["pass_at_2"] >= metrics["pass_at_1"] and "cons_at_2" in metrics["intervals"]
    assert manifest(whole)["metrics"]["models"] == content["models"]


def test_longer_problems_are_asked_alike_and_counted_apart(asked: dict[str, Any], tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "completion"} for row in answered(5)]
    given = {"models": asked["models"][:1], "prompts": write(tmp_path / "rows.jsonl", rows[:3])}
    longer = write(tmp_path / "longer.jsonl", [row | {"kind": "6"} for row in rows[3:]])
    alone = json.loads((evaluated(tmp_path / "alone", **given) / "results.json").read_text())
    made = evaluated(tmp_path / "both", **given, longer_prompts=longer)
    text = (made / "results.json").read_text()
    content = json.loads(text)
    (metrics,), (before,) = content["models"].values(), alone["models"].values()
    found = metrics.pop("longer")
    assert metrics == before and found["questions"] == 2 and metrics["questions"] == 3
    low, high = found["intervals"]["pass_at_1"]
    assert low <= found["pass_at_1"] <= high
    assert metrics["by_kind"]["2"]["questions"] == 3 and "6" not in metrics["by_kind"]
    assert content["settings"]["longer_prompts"] == 2 and content["settings"]["questions"]["longer_prompts"]
    lines = pq.read_table(made / "samples.parquet").to_pylist()
    assert [line["part"] for line in lines].count("longer_prompts") == 2 * K
    assert rejudge(made) == [] and (made / "results.json").read_text() == text
    bad = write(tmp_path / "bad.jsonl", [rows[3] | {"task": "code", "tests": None}])
    with pytest.raises(ConfigError, match="longer_prompts: row 1: task code, and no tests"):
        evaluated(tmp_path / "bad", **given, longer_prompts=bad)


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """`at`: the draws before which a Ctrl-C comes. `drawn`: the prompts that were sampled to the end."""
    state: dict[str, Any] = {"at": [], "drawn": []}
    real = TransformersSampler.answers

    def answers(self: TransformersSampler, asks: Any, limits: Any) -> Any:
        if state["at"] and state["at"][0] == 0:
            state["at"].pop(0)
            raise KeyboardInterrupt
        state["at"][:1] = [count - 1 for count in state["at"][:1]]
        found = list(real(self, asks, limits))
        state["drawn"] += {(id(self.tokenizer), ask.place) for ask, _ in found}
        return iter(found)

    monkeypatch.setattr(TransformersSampler, "answers", answers)
    yield state


def test_a_run_killed_ten_times_ends_with_the_same_file(
    asked: dict[str, Any], whole: Path, tmp_path: Path, kills: dict[str, Any]
) -> None:
    kills["at"] = random.Random(4).sample([0] * 5 + [1] * 5, 10)  # draws between two kills; there are eight in all
    interruptions = 0
    while kills["at"]:
        with pytest.raises(KeyboardInterrupt):
            evaluated(tmp_path / "evaluate", **asked)
        interruptions += 1
        assert not (tmp_path / "evaluate").exists()
        if interruptions == 8:  # a power cut in a write
            newest = max((tmp_path / "evaluate.partial").rglob("checkpoint-*.parquet"))
            newest.write_bytes(newest.read_bytes()[:100])
    evaluated(tmp_path / "evaluate", **asked)
    assert interruptions == 10 and len(kills["drawn"]) <= 2 * PROBLEMS + 6
    for name in ("samples.parquet", "results.json", "samples.jsonl"):
        assert (tmp_path / "evaluate" / name).read_bytes() == (whole / name).read_bytes(), name


def test_another_request_does_not_go_on_from_kept_samples(
    asked: dict[str, Any], tmp_path: Path, kills: dict[str, Any]
) -> None:
    kills["at"] = [1]
    with pytest.raises(KeyboardInterrupt):
        evaluated(tmp_path / "evaluate", **asked)
    with pytest.raises(StageError, match="temperature None -> 0.2|temperature 0.6 -> 0.2"):
        evaluated(tmp_path / "evaluate", temperature=0.2, **asked)
    with pytest.raises(StageError, match="half finished"):
        load_results([str(tmp_path / "evaluate")])


# Verdicts again


def test_verdicts_are_done_again_and_what_changed_is_listed(
    asked: dict[str, Any], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = lambda answers, golds: [True] * len(answers)  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(judged, "verify_math_batch", broken)
        made = evaluated(tmp_path / "evaluate", **asked)
    before = json.loads((made / "results.json").read_text())["models"]["base"]["pass_at_1"]
    assert before > 0.9
    assert main(["evaluate", "--rejudge", str(made)]) == 0
    changes = [json.loads(line) for line in (made / "rejudged.jsonl").read_text().splitlines()]
    assert changes and all(one["before"]["correct"] and one["after"]["correct"] is False for one in changes)
    for name in ("samples.parquet", "results.json"):
        assert (made / name).read_bytes() == (whole / name).read_bytes(), "as if it had been judged so at first"
    assert manifest(made)["metrics"]["models"] == json.loads((made / "results.json").read_text())["models"]
    load_results([f"{made}:base"])  # its files are proved by the new manifest
    assert rejudge(made) == []


@pytest.mark.parametrize("what", ["nothing", "another stage"])
def test_what_is_no_evaluation_is_not_judged_again(what: str, tiny_base: Path, tmp_path: Path) -> None:
    place = tmp_path / "lacking" if what == "nothing" else tiny_base
    with pytest.raises(StageError, match="no directory|not an evaluation"):
        rejudge(place)
    assert not list(tmp_path.iterdir())


# Comparisons


def test_two_models_of_one_evaluation_are_compared(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = load_results([f"{whole}:base", ":student_llama_base"])
    found = compare(first, second, "truncation_rate", 0.05)
    both = [result.metrics["truncation_rate"] for result in (first, second)]
    assert found.found.difference == pytest.approx(both[1] - both[0]) and found.found.questions == PROBLEMS
    assert main(["compare", f"{whole}:base", ":student_llama_base", "--difference", "0.05"]) == 0
    shown = capsys.readouterr().out
    assert "no difference shown" in shown and "questions" in shown
    assert main(["compare", str(whole)]) == 0
    assert "95% intervals over questions" in capsys.readouterr().out


def test_a_model_does_not_differ_from_itself(whole: Path, asked: dict[str, Any], tmp_path: Path) -> None:
    again = evaluated(tmp_path / "again", seed=7, **{**asked, "models": asked["models"][:1]})
    found = compare(*load_results([f"{whole}:base", str(again)]))
    assert found.verdict == "no difference shown" and found.found.low < 0 < found.found.high
    assert any(note.startswith("seed 42 and 7") for note in found.notes)


@pytest.mark.parametrize(
    "other", [{"temperature": 1.0}, {"max_new_tokens": 8}, {"instruction": "{question} Be quick."}, {"fewer": 3}]
)
def test_results_of_other_settings_are_not_compared(
    other: dict[str, Any], whole: Path, asked: dict[str, Any], tmp_path: Path
) -> None:
    more = {**asked, "models": asked["models"][:1], **other}
    if fewer := more.pop("fewer", None):
        more["prompts"] = write(tmp_path / "rows.jsonl", answered(fewer))
    made = evaluated(tmp_path / "other", **more)
    with pytest.raises(ConfigError, match="different settings and are not compared") as refused:
        compare(*load_results([f"{whole}:base", str(made)]))
    assert next(iter(other)).replace("fewer", "questions") in str(refused.value)


def test_an_old_result_is_refused_with_a_sentence(whole: Path, tmp_path: Path) -> None:
    import shutil

    from r1hf.stage.manifest import fingerprint, hash_outputs, read_manifest, write_manifest

    old = tmp_path / "old"
    shutil.copytree(whole, old)
    (old / "samples.parquet").unlink()
    found, outputs = read_manifest(old), hash_outputs(old)
    found.outputs, found.fingerprint = outputs, fingerprint(outputs)
    write_manifest(old, found)
    with pytest.raises(StageError, match="earlier version, which kept no samples"):
        load_results([f"{old}:base"])


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([":base"], "no directory stands before it"),
        (["{whole}:bass"], "did you mean 'base'"),
        (["{whole}", "{whole}:base"], "several models"),
        (["{whole}:base"], "name a second"),
        (["/nowhere:base", ":b"], "no finished evaluation"),
    ],
)
def test_a_place_that_says_too_little(places: list[str], said: str, whole: Path, capsys: Any) -> None:
    assert main(["compare", *(place.format(whole=whole) for place in places)]) == 1
    assert said in capsys.readouterr().err


# Rows that cannot be judged


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"task": "choice", "answer": None}, "the answer None names no option"),
        ({"task": "code", "answer": None}, "task code, and no tests"),
        ({"task": "gym", "answer": None}, "no column gym"),
        ({"task": "poetry", "answer": "x"}, "task poetry is not known here"),
    ],
)
def test_a_row_that_nothing_can_judge_is_refused_before_the_run(
    row: dict[str, Any], said: str, asked: dict[str, Any], tmp_path: Path
) -> None:
    rows = write(tmp_path / "rows.jsonl", [{"question": "q?", "language": "en", **row}])
    with pytest.raises((ConfigError, DataError), match=said):
        evaluated(tmp_path / "evaluate", **{**asked, "prompts": rows})


# The base, and what is shown elsewhere


def test_the_base_is_evaluated_first_through_a_text_template(asked: dict[str, Any], tmp_path: Path) -> None:
    first, second = asked["models"]
    more = {**asked, "models": [second], "base_model": first, "base_template": "plain_en", "k": 1}
    made = evaluated(tmp_path / "evaluate", **more, instruction="{question} Be brief.")
    assert list(json.loads((made / "results.json").read_text())["models"]) == ["base", "student_llama_base"]
    prompts = {line["model"]: line["prompt"] for line in pq.read_table(made / "samples.parquet").to_pylist()}
    assert prompts["base"] != prompts["student_llama_base"] and all("Be brief." in text for text in prompts.values())
    with pytest.raises(ConfigError, match="base_template: template 'plain_fr'"):
        evaluated(tmp_path / "other", **{**more, "base_template": "plain_fr"})
    with pytest.raises(ConfigError, match="two have the same name"):
        evaluated(tmp_path / "other", **{**more, "models": [first]})


def test_a_prompt_may_be_made_to_end_in_a_thought(asked: dict[str, Any], tmp_path: Path) -> None:
    made = evaluated(tmp_path / "evaluate", **{**asked, "models": asked["models"][:1]}, force_think=True, k=1)
    for line in pq.read_table(made / "samples.parquet").to_pylist():
        assert line["prompt"].endswith("<think>\n") and line["completion"].startswith("<think>")


def test_a_score_is_shown_with_its_interval_or_the_error_of_an_old_result() -> None:
    row = {"pass_at_1": 0.891, "stderr": 0.006, "intervals": {"pass_at_1": [0.879, 0.902]}}
    assert scored(row, "pass_at_1") == "89.1% (87.9–90.2)"
    assert scored({**row, "intervals": {}}, "pass_at_1") == "89.1 ± 0.6%"
    assert scored({"helpful_rate": 0.5, "helpful_stderr": 0.1}, "helpful_rate") == "50.0 ± 10.0%"
    assert scored({**row, "intervals": {"pass_at_1": ["x", None]}}, "pass_at_1") == "89.1 ± 0.6%"
    assert scored({"pass_at_1": None, "intervals": {"pass_at_1": None}}, "pass_at_1") == "–"
