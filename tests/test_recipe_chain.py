"""The chain of stages at toy size, each on the real output of those before it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import (
    BASE,
    GRAPH,
    GRPO,
    SFT,
    answered,
    head,
    log,
    make_base,
    manifest,
    run_recipe,
    write,
)
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, GenerationConfig

from r1hf.core.errors import DataError
from r1hf.data.decisions import Decision, Journal, key_of
from r1hf.data.rows import load_rows
from r1hf.explain.report.curves import points
from r1hf.explain.report.load import load_run
from r1hf.stage.manifest import verify
from r1hf.text.chat_templates import chat_template
from r1hf.text.forms import is_well_formed


@pytest.fixture(scope="module")
def chain(tiny_base: Path, memorised: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every stage once. The memorised model stands for the base: an untrained one earns and keeps nothing."""
    runs = tmp_path_factory.mktemp("chain")
    data = tiny_base / "data"
    known = write(runs / "known.jsonl", answered(8))
    train = head(data / "train.jsonl", runs / "train.jsonl", 48)
    general_train = head(data / "general_train.jsonl", runs / "general.jsonl", 40)
    made: dict[str, Path] = {"base": tiny_base}

    def make(stage: str, name: str, **given: Any) -> None:
        made[stage] = run_recipe(name, output_dir=runs / stage, **given)

    make("r1_zero", "r1_zero", model=memorised, prompts=train, **GRPO)
    sampling = {"samples": 3, "batch_size": 64, "max_new_tokens": 60}
    make(
        "cold_start", "cold_start", model=tiny_base, zero=memorised, prompts=known, problems=8, **sampling,
        min_rows_per_method=0,
    )  # fmt: skip
    (first, *_) = load_rows(str(made["cold_start"] / "data.jsonl"))
    person = Journal(made["cold_start"], "ann")
    person.decide(Decision(key_of(first["question"], first["completion"]), "reject"))
    person.close()
    make("sft1", "sft", model=memorised, data=made["cold_start"] / "data.jsonl", **SFT)
    make("reasoning_rl", "reasoning_rl", model=made["sft1"], prompts=train, **GRPO)
    general_sft = head(data / "general_sft.jsonl", runs / "general_sft.jsonl", 30)
    made["rejection_sampling"] = run_recipe(
        "rejection_sampling", model=memorised, prompts=known, general=general_sft, **sampling,
        output_dir=runs / "rejection_sampling",
    )  # fmt: skip
    make("sft2", "sft", config="sft.yaml", model=memorised, data=made["rejection_sampling"] / "data.jsonl", **SFT)
    preference = {key: head(data / f"{name}.jsonl", runs / f"{name}.jsonl", 24) for key, name in PREFERENCE.items()}
    make("reward_models", "reward_models", model=tiny_base, **preference, **SFT)
    make(
        "r1", "all_scenario_rl", model=made["sft2"], prompts=train, general_prompts=general_train,
        helpful_model=made["reward_models"] / "helpful", harmless_model=made["reward_models"] / "harmless",
        **{**GRPO, "max_steps": 3, "preference_steps": 1, "general_share": 0.5},
    )  # fmt: skip
    student = tiny_base / "student_llama_base"
    make("student_llama", "distill", model=student, data=made["rejection_sampling"] / "data.jsonl", **SFT)
    make("student_llama_direct_rl", "r1_zero", model=student, prompts=train, **GRPO)
    make(
        "evaluate", "evaluate", models=[str(memorised), str(made["r1"]), str(student)], prompts=known,
        longer_prompts=head(data / "held_out_longer.jsonl", runs / "held_out_longer.jsonl", 4),
        general_prompts=head(data / "general_held_out.jsonl", runs / "general_held_out.jsonl", 6),
        **{"k": 2, "general_k": 2, "max_new_tokens": 60, "batch_size": 64, "temperature": 0.1},
        shown=[answered(8)[3]["question"], load_rows(str(runs / "general_held_out.jsonl"))[0]["question"]],
    )  # fmt: skip
    return made


PREFERENCE = {
    **{"helpful": "helpful_pairs", "helpful_test": "helpful_pairs_test"},
    **{"harmless": "harmless", "harmless_test": "harmless_test"},
}
POLICIES = ("r1_zero", "sft1", "reasoning_rl", "sft2", "r1", "student_llama", "student_llama_direct_rl")
ALL = ("base", *POLICIES, "cold_start", "rejection_sampling", "reward_models", "evaluate")


@pytest.mark.parametrize("stage", ALL)
def test_a_stage_leaves_a_manifest_that_holds(chain: dict[str, Path], stage: str) -> None:
    found = verify(chain[stage])
    assert (found.stage, found.seed) == (stage, 42)
    assert found.seconds > 0 and found.peak_rss_mb > 0 and found.config["num_threads"] == 1
    assert set(found.inputs) - {"review"} == set(GRAPH[stage].inputs)  # people are no part of the graph
    assert not [path for path in chain[stage].rglob("*") if path.name == "trainer" and any(path.iterdir())]
    assert all(math.isfinite(value) for value in numbers(found.metrics))
    assert not [name for name in json.dumps(found.metrics).split('"') if name.endswith(("_time", "runtime"))]


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict | list):
        return [number for item in (value.values() if isinstance(value, dict) else value) for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


def test_inputs_are_recorded_by_the_fingerprint_of_the_stage_that_made_them(chain: dict[str, Path]) -> None:
    recorded = manifest(chain["reasoning_rl"])["inputs"]["model"]
    assert recorded["fingerprint"] == manifest(chain["sft1"])["fingerprint"]
    assert manifest(chain["evaluate"])["inputs"]["models"][1]["fingerprint"] == manifest(chain["r1"])["fingerprint"]


@pytest.mark.parametrize("stage", ["base", *POLICIES])
def test_a_model_of_a_stage_loads_as_any_other(chain: dict[str, Path], stage: str) -> None:
    places = [chain[stage]] + ([chain["base"] / "student_llama_base"] if stage == "base" else [])
    for place in places:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
        assert model.config.model_type == ("llama" if "llama" in str(place) else "qwen2")
        assert tokenizer.chat_template == chat_template()
        assert (
            tokenizer("<think>7</think>")["input_ids"]
            == AutoTokenizer.from_pretrained(chain["base"])("<think>7</think>")["input_ids"]
        )
        generation = GenerationConfig.from_pretrained(place)
        assert (generation.temperature, generation.top_p) == (0.6, 0.95)
        assert generation.eos_token_id == tokenizer.eos_token_id
        assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


@pytest.mark.parametrize("stage", [stage for stage in POLICIES if stage != "student_llama_direct_rl"])
def test_training_changed_the_model(chain: dict[str, Path], stage: str) -> None:
    start = manifest(chain[stage])["inputs"]["model"]["path"]
    before, after = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (start, chain[stage]))
    assert any(not torch.equal(before[name], after[name]) for name in after)
    wanted = 3 if stage == "r1" else 2
    assert manifest(chain[stage])["metrics"]["optimizer_steps"] == wanted


@pytest.mark.parametrize("stage", ["r1_zero", "reasoning_rl", "r1"])
def test_the_log_of_an_rl_stage_has_what_the_report_reads(chain: dict[str, Path], stage: str) -> None:
    rows = log(chain[stage])
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    for key in ("reward", "completions/mean_length", "completions/clipped_ratio", "kl", "entropy", "loss"):
        assert all(isinstance(row[key], float) for row in rows), key
    for reward in ("accuracy", "format", "language_consistency"):
        assert points(rows, f"rewards/{reward}_reward/mean"), reward
        assert all(f"rewards/{reward}_reward/unjudged" in row for row in rows)


@pytest.mark.parametrize("stage", ["base", "sft1", "sft2", "student_llama", "reward_models"])
def test_the_log_of_other_training_has_what_the_report_reads(chain: dict[str, Path], stage: str) -> None:
    assert points(log(chain[stage]), "loss")


def test_the_report_draws_the_bases_own_loss(tmp_path: Path) -> None:
    """Students are trained in the same stage; their rows in its log are no steps of the base."""
    make_base(tmp_path / "base", logging_steps=1)
    rows = log(tmp_path / "base")
    own = [(row["step"], row["loss"]) for row in rows if "run" not in row]
    assert len(own) == BASE["max_steps"] < len(rows)
    assert points(load_run(tmp_path, {"base": []}).logs["base"], "loss") == own


def test_r1_zero_measures_language_and_does_not_pay_it(chain: dict[str, Path]) -> None:
    for row in log(chain["r1_zero"]):
        paid = row["rewards/accuracy_reward/mean"] + row["rewards/format_reward/mean"]
        assert row["reward"] == pytest.approx(paid, abs=1e-6)


def test_cold_start_keeps_good_rows_with_their_method(chain: dict[str, Path]) -> None:
    rows = load_rows(str(chain["cold_start"] / "data.jsonl"), ("question", "completion", "method", "answer"))
    found = manifest(chain["cold_start"])["metrics"]
    assert found["kept"] == len(rows) == sum(found["by_method"].values()) > 0
    assert set(found["by_method"]) == {"few_shot", "direct", "rewrite"} and found["by_method"]["rewrite"] == len(rows)
    assert all(is_well_formed(row["completion"], "cold_start") for row in rows)
    assert {row["question"] for row in rows} <= {row["question"] for row in answered(8)}
    for method, kept in found["by_method"].items():
        assert kept + sum(found["rejected"][method].values()) == 8 * 3
    review = load_rows(str(chain["cold_start"] / "review.jsonl"), ("id", "question", "before", "after"))
    assert len(review) >= len(rows)
    assert all(is_well_formed(row["after"], "cold_start") and row["before"] != row["after"] for row in review)


def test_the_first_fine_tuning_learns_think_and_answer(chain: dict[str, Path]) -> None:
    kept, found = manifest(chain["cold_start"])["metrics"]["kept"], manifest(chain["sft1"])
    assert found["metrics"]["rows"] == kept - 1  # a person rejected one
    review = found["metrics"]["review"]
    assert (review["reject"], review["undecided"], review["trained_on"]) == (1, kept - 1, kept - 1)
    assert [Path(one["path"]).name for one in found["inputs"]["review"]] == ["ann.jsonl", "review.jsonl"]


def test_rejection_sampling_counts_all_and_mixes_three_to_one(chain: dict[str, Path]) -> None:
    rows = load_rows(str(chain["rejection_sampling"] / "data.jsonl"), ("question", "completion"))
    found = manifest(chain["rejection_sampling"])["metrics"]
    assert found["sampled"] == 24 == found["kept"] + sum(found["rejected"].values())
    assert "duplicate" in found["rejected"]
    reasoning = [row for row in rows if row["task"] == "reasoning"]
    spare = load_rows(str(chain["rejection_sampling"] / "spare.jsonl")) if found.get("spare") else []
    assert len(reasoning) == 3 * found["general"] == 3 * (len(rows) - len(reasoning)) > 0
    assert len(reasoning) + len(spare) == found["kept"] and len(spare) < 3
    prompts = load_rows(str(chain["rejection_sampling"] / "prompts.jsonl"), ("question", "answer", "pass_rate"))
    assert len(prompts) == 8 and all(row["samples"] == 3 and row["pass_rate"] == row["right"] / 3 for row in prompts)
    assert {row["judged_by"] for row in reasoning} == {"rule"}
    assert all(is_well_formed(row["completion"]) for row in reasoning)
    assert len({(row["question"], row["completion"]) for row in reasoning}) == len(reasoning)
    assert [row["task"] for row in rows] != sorted((row["task"] for row in rows), reverse=True), "shuffled"


def test_reward_models_are_two_classifiers_with_held_out_accuracy(chain: dict[str, Path]) -> None:
    found = manifest(chain["reward_models"])["metrics"]
    assert 0 <= found["helpful_accuracy"] <= 1 and 0 <= found["harmless_accuracy"] <= 1
    assert {run: part["optimizer_steps"] for run, part in found["training"].items()} == {"helpful": 2, "harmless": 2}
    for name in ("helpful", "harmless"):
        place = chain["reward_models"] / name
        assert AutoModelForSequenceClassification.from_pretrained(place).config.num_labels == 1
        assert AutoTokenizer.from_pretrained(place).chat_template == chat_template()


def test_preference_rewards_enter_in_the_last_steps_only(chain: dict[str, Path]) -> None:
    *early, last = log(chain["r1"])
    for row in early:
        for reward in ("helpful_reward", "harmless_reward"):
            assert row[f"rewards/{reward}/unjudged"] == 1.0 and row[f"rewards/{reward}/mean"] is None
        assert row["rewards/accuracy_reward/unjudged"] == 0.0
    judged = [1 - last[f"rewards/{name}/unjudged"] for name in ("helpful_reward", "harmless_reward")]
    assert sum(judged) == 0.5 and last["rewards/accuracy_reward/unjudged"] == 0.5
    assert last["rewards/format_reward/unjudged"] == 0.0


def test_evaluation_tells_a_trained_model_from_an_untrained_one(chain: dict[str, Path], memorised: Path) -> None:
    found = json.loads((chain["evaluate"] / "results.json").read_text(encoding="utf-8"))
    assert set(found["models"]) == {memorised.name, "r1", "student_llama_base"}
    assert {"k": 2, "general_k": 2, "problems": 8, "general_prompts": 6, "temperature": 0.1}.items() <= found[
        "settings"
    ].items()
    known, unknown = found["models"][memorised.name], found["models"]["student_llama_base"]
    assert known["pass_at_1"] > 0.9 and known["format_rate"] > 0.9 and known["language_consistency"] > 0.9
    assert unknown["pass_at_1"] < 0.2 and unknown["truncation_rate"] > known["truncation_rate"]
    for metrics in found["models"].values():
        assert metrics["longer"]["questions"] == 4 and metrics["questions"] == 8
        assert 0 <= metrics["helpful_rate"] <= 1 and metrics["stderr"] >= 0 and metrics["helpful_stderr"] >= 0
    assert manifest(chain["evaluate"])["metrics"]["models"] == found["models"]


def test_every_model_answers_the_shown_questions(chain: dict[str, Path], memorised: Path) -> None:
    rows = load_rows(str(chain["evaluate"] / "samples.jsonl"))
    shown = answered(8)[3]
    assert [row["model"] for row in rows if row["question"] == shown["question"]] == [
        memorised.name,
        "r1",
        "student_llama_base",
    ]
    assert len(rows) == 6 and {row["task"] for row in rows} == {"reasoning", "helpful"} | {rows[1]["task"]}
    for row in rows:
        assert {
            "model",
            "question",
            "answer",
            "language",
            "completion",
            "correct",
            "well_formed",
            "language_share",
        } <= set(row)
    assert (rows[0]["completion"], rows[0]["correct"], rows[0]["well_formed"]) == (shown["completion"], True, True)


def test_problems_that_nobody_can_judge_are_named_before_anything_is_sampled(memorised: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", [row | {"answer": r"\frac{"} for row in answered(2)])
    with pytest.raises(DataError, match="no row has an answer that a completion could be judged by: .*row 1"):
        run_recipe(
            "evaluate", models=[str(memorised)], prompts=rows, general_prompts="null", longer_prompts="null",
            shown="[]", k=1, max_new_tokens=60, output_dir=tmp_path / "evaluate",
        )  # fmt: skip
