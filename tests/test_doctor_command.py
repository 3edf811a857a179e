"""`r1hf doctor`: sound files pass, and what would fail later is a line of the table and the exit status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from test_doctor_rewards import ROWS, jsonl, tokenizer
from transformers import Qwen2Config, Qwen2ForCausalLM

from r1hf.commands.main import main
from r1hf.doctor import machine
from r1hf.doctor.batches import check_batches

CONFIGS = Path(__file__).parent.parent / "recipes" / "configs"
COMMON = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no"}
RL = COMMON | {"per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 96, "max_steps": 3}
SFT = COMMON | {"per_device_train_batch_size": 1, "max_length": 512, "num_train_epochs": 1}
TARGETS = [{"question": row["question"], "completion": "<think>Count.</think> <answer>14</answer>"} for row in ROWS]


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    directory = tmp_path_factory.mktemp("policy")
    tokenizer(directory)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = Qwen2Config(vocab_size=300, num_key_value_heads=1, eos_token_id=256, pad_token_id=256, **sizes)
    Qwen2ForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.fixture
def doctor(policy, tmp_path, capsys):
    jsonl(tmp_path / "prompts.jsonl", ROWS)
    jsonl(tmp_path / "data.jsonl", TARGETS)

    def ask(recipe, *words, model=policy, **changes):
        values = (RL if recipe == "r1_zero" else SFT) | {"model": str(model), "output_dir": str(tmp_path / "out")}
        key, file = ("prompts", "prompts.jsonl") if recipe == "r1_zero" else ("data", "data.jsonl")
        if recipe == "r1_zero":
            values["prompt_template"] = "r1_zero_short_en"
        values |= {key: str(tmp_path / file)} | changes
        config = tmp_path / f"{recipe}.yaml"
        config.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in values.items() if value != ""))
        status = main(["doctor", "--config", str(config), "--json", *words])
        return status, json.loads(capsys.readouterr().out)["checks"]

    return ask


def lines(found, what, status="fail"):
    return [line["found"] for line in found[1] if line["what"] == what and line["status"] == status]


@pytest.mark.parametrize("recipe", ["r1_zero", "sft"])
def test_a_sound_stage_passes_every_check(doctor, recipe):
    found = doctor(recipe)
    assert found[0] == 0, [line for line in found[1] if line["status"] == "fail"]
    checked = {line["what"] for line in found[1] if line["status"] in ("ok", "warn")}
    assert {"versions", "config", "settings", "batch", "steps", "template", "disk", "memory"} <= checked
    assert ("rewards" in checked) == (recipe == "r1_zero")


def test_the_arithmetic_is_written_out(doctor):
    found = doctor("r1_zero", gradient_accumulation_steps=2, num_generations=8)
    assert "4 a device x 1 process x 2 accumulated = 8 completions a step (1 prompts of 8)" in lines(
        found, "batch", "ok"
    )
    assert "4 x 2 micro-batches = 8 completions = 1 prompts a generation, for 1 step" in lines(found, "batch", "ok")
    assert "3 rows give 3 steps an epoch; 3 steps are 1 epochs" in lines(found, "steps", "ok")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("learning_rat", 1.0, "did you mean 'learning_rate'?"),
        ("learning_rate", "fast", "'fast' is not a number"),
        ("num_generations", 3, "num_generations"),
        ("prompts", "nowhere.jsonl", "nowhere.jsonl does not exist"),
    ],
)
def test_a_mistake_in_the_file_fails_with_its_place(doctor, key, value, said):
    found = doctor("r1_zero", **{key: value})
    assert found[0] == 1
    assert any(said in line for line in lines(found, "config"))


@pytest.mark.parametrize(
    ("template", "special", "said"),
    [
        ("{% for m in messages %}{{ m.content.split('</think>')[-1] + eos_token }}{% endfor %}", False, "drops part"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", False, "no end token"),
        (None, True, "as special"),
    ],
)
def test_what_the_template_would_break_fails(doctor, policy, tmp_path, template, special, said):
    broken = tmp_path / "broken"
    shutil.copytree(policy, broken)
    tokenizer(broken, template, special)
    found = doctor("sft", model=broken)
    assert found[0] == 1
    assert any(said in line for line in lines(found, "template")), found[1]


def test_a_completion_that_cannot_hold_its_own_form_fails(doctor):
    found = doctor("r1_zero", max_completion_length=8)
    assert found[0] == 1 and "no reward could be earned" in lines(found, "length")[0]


def test_settings_of_the_command_line_count_too(doctor):
    found = doctor("r1_zero", "--set", "sync_ref_model=false", "--set", "ref_model_mixup_alpha=0.5")
    assert any("sync_ref_model is off" in line for line in lines(found, "settings", "warn"))


def test_a_model_that_is_not_here_is_skipped_and_named(doctor):
    found = doctor("sft", model="nobody/nothing")
    assert any("needs nobody/nothing" in line for line in lines(found, "template", "skip"))
    assert found[0] == 0


def test_a_full_disk_fails(doctor, monkeypatch):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    found = doctor("sft")
    assert found[0] == 1 and "0.0 free" in lines(found, "disk")[0]


def test_another_version_than_the_tested_one_is_a_warning(doctor, monkeypatch):
    own = machine._version
    monkeypatch.setattr(machine, "_version", lambda name: "9.9.9" if name == "datasets" else own(name))
    found = doctor("sft")
    assert "datasets 9.9.9 (tested" in lines(found, "versions", "warn")[0]


def test_a_package_that_the_settings_need_and_is_missing_fails(doctor, monkeypatch):
    own = machine._version
    monkeypatch.setattr(machine, "_version", lambda name: None if name == "wandb" else own(name))
    found = doctor("sft", report_to="wandb")
    assert "needs wandb" in lines(found, "packages")[0]


def test_a_file_for_a_gpu_is_read_where_there_is_none(doctor):
    found = doctor("sft", use_cpu="", bf16=True)
    assert found[0] == 0
    assert any("none is here" in line for line in lines(found, "config", "warn"))


def test_vllm_is_judged_as_on_the_machine_to_come(doctor, monkeypatch):
    own = machine._version
    monkeypatch.setattr(machine, "_version", lambda name: None if name == "vllm" else own(name))
    found = doctor("r1_zero", use_cpu="", bf16=True, rollout_engine="vllm_colocate")
    assert found[0] == 0, [line for line in found[1] if line["status"] == "fail"]
    assert "use_vllm needs vllm" in lines(found, "packages", "warn")[0]


def test_processes_of_the_launch_file_count(doctor, tmp_path):
    launch = tmp_path / "launch.yaml"
    launch.write_text("num_processes: 2\n")
    found = doctor("r1_zero", "--launch", str(launch), num_generations=8)
    assert any(
        "4 a device x 2 processes x 1 accumulated = 8 completions" in line for line in lines(found, "batch", "ok")
    )


def test_an_epoch_without_a_step_fails():
    values = {"per_device_train_batch_size": 64, "num_train_epochs": 3.0}
    assert [item.status for item in check_batches(values, 1, 10)] == ["ok", "fail"]


def test_without_a_file_it_says_what_is_missing(capsys):
    assert main(["doctor"]) == 1
    assert "--config" in capsys.readouterr().err


def test_the_table_is_for_people(doctor, tmp_path, capsys):
    doctor("r1_zero")
    main(["doctor", "--config", str(tmp_path / "r1_zero.yaml")])
    text = capsys.readouterr().out
    assert "passed: 0 fail" in text and max(len(line) for line in text.splitlines()) < 120


PIPELINES = sorted(CONFIGS.glob("**/pipeline.yaml"))


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.parent.name)
def test_every_pipeline_that_is_shipped_passes(file, capsys):
    status = main(["doctor", "--config", str(file), "--json"])
    checks = json.loads(capsys.readouterr().out)["checks"]
    local = ("disk", "memory", "packages")  # of the machine that the tests run on
    failed = [line for line in checks if line["status"] == "fail" and line["what"] not in local]
    assert not [line for line in failed if "needs vLLM, which is not installed" not in line["found"]]
    assert status == 0 or any(line["status"] == "fail" for line in checks)


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.parent.name)
def test_every_pipeline_that_is_shipped_can_be_planned(file, capsys):
    main(["plan", "--config", str(file), "--shape", "Qwen2.5-0.5B", "--gpus", "8xH200", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["stages"]
    assert all("trains and samples no model" in why for why in found["skipped"].values())
