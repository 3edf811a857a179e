"""Estimates: what they say of a configuration, and that they move the right way when the configuration does."""

from __future__ import annotations

import pytest
from own_stage import ROWS, Check, jsonl, tokenizer

from r1hf.commands.main import main

GRPO = """# accelerate launch recipes/r1_zero.py --config x.yaml
model: Qwen/Qwen2.5-1.5B
output_dir: {out}
prompts: org/data
max_prompt_length: 256
max_steps: 100
per_device_train_batch_size: 4
gradient_accumulation_steps: 8
num_generations: 8
max_completion_length: 1024
bf16: true
use_cpu: true
"""


@pytest.fixture
def plan(check: Check, tmp_path):
    def ask(*words, text=GRPO):
        config = tmp_path / "r1_zero.yaml"
        config.write_text(text.format(out=tmp_path / "out"))
        gpus = () if "--gpus" in words else ("--gpus", "1xH100")
        return check(config, "--only", "estimate", *gpus, *words)

    return ask


def needed(found):
    return found.estimates[0]["needed"]


def seconds(found, part):
    return found.estimates[0]["seconds"][part]


def test_a_stage_has_memory_time_and_cost(plan):
    found = plan("--price", "2")
    stage = found.estimates[0]
    assert found.status == 0
    assert list(stage["memory"]) == ["generation", "reference", "forward and backward", "optimizer step"]
    weights = 4 * 1543714304
    assert all(parts["weights"] == weights and parts["optimizer"] == 2 * weights for parts in stage["memory"].values())
    total = found.report["total"]
    assert total["gpu_hours"] == pytest.approx(100 * stage["seconds"]["step"] / 3600)
    assert total["cost"] == pytest.approx(2 * total["gpu_hours"])


SAMPLE = """# python recipes/rejection_sampling.py --config x.yaml
model: Qwen/Qwen2.5-7B
output_dir: {out}
prompts: org/data
general: org/general
samples: 4
max_new_tokens: 4096
"""


def test_a_stage_that_samples_with_vllm(plan):
    words = ("--recipe", "rejection_sampling", "--set", "sampler=vllm")
    usual, one, four = (
        plan(*given, text=SAMPLE).estimates[0]
        for given in (words[:2], words, (*words, "--set", "vllm={tensor_parallel_size: 4}"))
    )
    times = [stage["seconds"]["step"] for stage in (usual, one, four)]
    assert times[1] < times[0] / 4 and times[2] < times[1] / 2
    assert list(one["memory"]["generation"]) == ["vLLM"]
    assert any("vLLM in bfloat16 on 4 GPUs" in line for line in four["assumed"])


def test_a_model_is_not_planned_in_parts_that_it_does_not_have(plan):
    found = plan(
        *("--recipe", "rejection_sampling", "--set", "sampler=vllm", "--set", "vllm={tensor_parallel_size: 8}"),
        text=SAMPLE,
    )
    said = str(found.report)
    assert "8 does not divide the 28 attention heads" in said and "1, 2, 4 would do" in said


def test_what_does_not_fit_is_said_with_what_to_change(plan):
    found = plan("--gpus", "RTX4090")
    assert (found.status, found.estimates[0]["fits"]) == (1, False)
    assert any("use_peft" in line for line in found.estimates[0]["advice"])


def test_memory_goes_the_way_of_the_settings(plan):
    usual = needed(plan())
    assert needed(plan("--set", "gradient_checkpointing=false")) > usual
    assert needed(plan("--set", "per_device_train_batch_size=8")) > usual
    assert needed(plan("--set", "beta=0", "--set", "sync_ref_model=false")) == pytest.approx(
        usual - 1.05 * 4 * 1543714304
    )
    assert needed(plan("--set", "optim=adafactor")) < usual


def test_vllm_makes_generation_faster_and_takes_its_share(plan):
    text = GRPO.replace("use_cpu: true\n", "")  # on a CPU vLLM has no share to give back
    colocate = ("--set", "rollout_engine=vllm_colocate")
    usual, vllm = plan(), plan(*colocate, "--set", "vllm_enable_sleep_mode=false", text=text)
    assert seconds(vllm, "generation") < seconds(usual, "generation") / 5
    assert vllm.estimates[0]["memory"]["optimizer step"]["vLLM"] == pytest.approx(0.3 * 79 * 2**30)
    asleep = plan(*colocate, text=text)
    assert "vLLM" not in asleep.estimates[0]["memory"]["optimizer step"]


@pytest.mark.parametrize("kind", ["fsdp", "zero2", "zero3"])
def test_sharding_divides_the_states(plan, tmp_path, kind):
    launch = tmp_path / "launch.yaml"
    body = (
        "distributed_type: FSDP\n"
        if kind == "fsdp"
        else f"distributed_type: DEEPSPEED\ndeepspeed_config: {{zero_stage: {kind[-1]}}}\n"
    )
    launch.write_text(body + "num_processes: 8\n")
    parts = plan("--gpus", "8xH100", "--launch", str(launch)).estimates[0]["memory"]["optimizer step"]
    assert parts["optimizer"] == pytest.approx(8 * 1543714304 / 8)
    width = {"fsdp": 4 / 8, "zero2": 2, "zero3": 2 / 8}[kind]
    assert parts["weights"] == pytest.approx(width * 1543714304)


def test_the_longest_prompt_is_counted_where_rows_and_tokenizer_are_here(plan, tmp_path):
    tokenizer(tmp_path / "policy")  # a token a byte
    jsonl(tmp_path / "prompts.jsonl", [dict(ROWS[0], question="x" * size) for size in (40, 300)])
    text = GRPO.replace("Qwen/Qwen2.5-1.5B", str(tmp_path / "policy")).replace("max_prompt_length: 256\n", "")
    text = text.replace("org/data", str(tmp_path / "prompts.jsonl"))
    found = plan("--shape", "Qwen2.5-1.5B", text=text)
    cache = found.estimates[0]["memory"]["generation"]["KV cache"]
    tokens = cache / (32 * 28 * 2 * 2 * 128 * 4)  # completions, layers, keys and values, heads, sizes, bytes
    assert 1024 + 300 < tokens < 1024 + 400


def test_a_model_that_nobody_knows_is_not_estimated(plan):
    text = GRPO.replace("Qwen/Qwen2.5-1.5B", "nobody/nothing")
    found = plan(text=text)
    assert found.status == 0 and not found.estimates and "--shape" in found.found("skipped", "memory")[0]
    assert plan("--shape", "Llama-3.1-8B", text=text).estimates


def test_a_pipeline_takes_the_shape_of_the_stage_before(tmp_path, check):
    (tmp_path / "r1_zero.yaml").write_text(GRPO.format(out=tmp_path / "out"))
    second = GRPO.replace("Qwen/Qwen2.5-1.5B", "nobody/nothing")
    (tmp_path / "second.yaml").write_text(second.format(out=tmp_path / "out"))
    (tmp_path / "pipeline.yaml").write_text(
        f"run_dir: {tmp_path}/run\nstages:\n"
        "  first: {recipe: r1_zero, config: r1_zero.yaml}\n"
        "  second: {recipe: r1_zero, config: second.yaml, inputs: {model: first}}\n"
    )
    found = check(tmp_path / "pipeline.yaml", "--only", "estimate", "--gpus", "H200")
    assert [stage["parameters"] for stage in found.estimates] == [1543714304, 1543714304]
    both = sum(stage["gpu_hours"] for stage in found.estimates)
    assert found.report["total"]["gpu_hours"] == pytest.approx(both)


def test_the_short_name_prints_tables_for_people(plan, tmp_path, capsys):
    plan()
    main(["plan", str(tmp_path / "r1_zero.yaml"), "--gpus", "8xA100"])
    text = capsys.readouterr().out
    assert "GiB per device" in text and "none was measured" in text and "assumed" in text


def test_devices_that_nobody_named_are_assumed_and_refuse_nothing(check, tmp_path):
    config = tmp_path / "r1_zero.yaml"
    config.write_text(GRPO.format(out=tmp_path / "out").replace("use_cpu: true", "").replace("1.5B", "32B"))
    found = check(config, "--only", "estimate")
    if any("which is assumed" in text for text in found.found("warning", "memory")):
        assert found.status == 0, found.found("error")
        assert found.estimates[0]["fits"] is False
    else:
        assert found.estimates[0]["gpus"] != "1xH100"  # a GPU is here
