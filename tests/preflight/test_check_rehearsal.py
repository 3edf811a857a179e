"""The rehearsal: recipes go their whole way on miniatures, nothing is trained and nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from own_stage import Check
from small_run import ROOT, answered, recipe, write

from r1hf.commands import recipe as entry
from r1hf.commands.check_report import render
from r1hf.commands.main import main
from r1hf.core.errors import ConfigError
from r1hf.models.shapes import BUILT_IN, from_config, shape_of
from r1hf.preflight.check import Asked, Report
from r1hf.preflight.check import check as check_file
from r1hf.preflight.rehearsal.miniature import shrink, tiny_tokenizer, write_miniature
from r1hf.preflight.rehearsal.portable import leave_launcher

HUB = {
    "model": "meta-llama/Llama-3.1-8B@main",
    "prompts": [
        {
            "path": "open-r1/OpenR1-Math-220k",
            "columns": {"question": "problem"},
            "values": {"language": "en", "task": "reasoning"},
        }
    ],
    "prompt_template": {"en": "r1_zero_en"},
    **{"preset": "r1", "per_device_train_batch_size": 8, "max_steps": 1000, "bf16": True, "tf32": True},
    **{"rollout_engine": "vllm_server", "vllm_server_host": "node1", "deepspeed": "ds.json"},
    **{"model_init_kwargs": {"attn_implementation": "flash_attention_2"}, "optim": "paged_adamw_8bit"},
    **{"report_to": "wandb", "push_to_hub": True, "hub_model_id": "me/policy", "use_peft": True, "lora_r": 8},
}
HEAD = "launch: {processes: 64}\n"


def attempt(directory: Path, name: str, head: str = "", **values: Any) -> Report:
    """The rehearsal of `name` with a YAML file of these values."""
    directory.mkdir(exist_ok=True)
    config = directory / f"{name}.yaml"
    values.setdefault("output_dir", str(directory / "runs" / name))
    config.write_text(head + yaml.safe_dump(values), encoding="utf-8")
    return check_file(Asked(config, ("rehearsal",), recipe=name))


def said_of(report: Report) -> str:
    return " ".join(render(report).split())


def files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_miniature_has_the_architecture_of_its_model(name: str, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    count = write_miniature(tmp_path, BUILT_IN[name], tokenizer)
    large, small = from_config(BUILT_IN[name], name), shape_of(str(tmp_path))
    assert small.parameters == count < 1_000_000
    assert small.layers == 2 and small.vocab == len(tokenizer)
    for kept in ("model_type", "tied", "qkv_bias", "out_bias", "qk_norm", "mlp_bias", "shared_experts"):
        assert getattr(small, kept) == getattr(large, kept), kept
    assert (small.kv_heads == small.heads) == (large.kv_heads == large.heads)
    for kind in ("experts", "q_rank", "kv_rank", "rope", "nope", "value", "dense_layers"):
        assert bool(getattr(small, kind)) == bool(getattr(large, kind)), kind


def test_shrinking_what_names_no_architecture() -> None:
    with pytest.raises(ConfigError, match="names no model_type"):
        shrink({"hidden_size": 64})


def test_a_configuration_for_gpus_and_the_hub_offline_on_a_cpu(tmp_path: Path) -> None:
    report = attempt(tmp_path, "r1_zero", HEAD, **HUB)
    assert report.passed, said_of(report)
    assert not (tmp_path / "runs").exists()
    said = said_of(report)
    assert "meta-llama/Llama-3.1-8B@main → random weights, llama" in said and "Llama-3.1-8B, built in" in said
    # 512 completions a step by 64 processes x 8, and 16 minibatches to a generation: 8192 completions of groups of 16.
    assert "open-r1/OpenR1-Math-220k → 512 made-up rows" in said
    assert "built R1GRPOTrainer" in said and "32,768 of them trained" in said  # the adapter
    untried = report.stages[0].rehearsal.untried
    wanted = (
        "64 processes",
        "bf16",
        "rollout_engine: vllm_server",
        "deepspeed: ds.json",
        "tf32",
        "optim",
        "report_to",
    )
    for left in wanted:
        assert any(text.startswith(left) for text in untried), left
    assert "attn_implementation: flash_attention_2" in untried


def test_it_touches_nothing_that_is_there(tmp_path: Path) -> None:
    done = tmp_path / "runs" / "r1_zero"
    (done / "rollouts").mkdir(parents=True)
    (tmp_path / "runs" / "r1_zero.partial" / "trainer" / "checkpoint-7").mkdir(parents=True)
    for place in (done / "model.safetensors", done / "manifest.json", tmp_path / "runs" / "r1_zero.partial" / "x"):
        place.write_text("precious", encoding="utf-8")
    before = files(tmp_path / "runs")
    report = attempt(tmp_path, "r1_zero", **HUB, save_strategy="steps", save_steps=10)
    assert report.passed, said_of(report)
    assert files(tmp_path / "runs") == before
    assert (tmp_path / "runs" / "r1_zero.partial" / "trainer" / "checkpoint-7").is_dir()


def test_rows_and_tokenizer_that_are_here_are_used(tiny_base: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", answered(40))
    given = {"per_device_train_batch_size": 4, "max_length": 200, "bf16": False}
    report = attempt(tmp_path, "sft", model=str(tiny_base), data=str(rows), **given)
    assert report.passed, said_of(report)
    said = said_of(report)
    assert f"{rows} → its first 16 rows" in said and "its own tokenizer" in said and "max_length" not in said
    assert f"({tiny_base / 'config.json'})" in said


def test_the_model_that_a_stage_beside_it_will_make(tmp_path: Path) -> None:
    (tmp_path / "sft.yaml").write_text(f"model: Qwen/Qwen2.5-7B\noutput_dir: {tmp_path}/runs/sft1\n", encoding="utf-8")
    report = attempt(tmp_path, "reasoning_rl", **HUB | {"model": f"{tmp_path}/runs/sft1"})
    assert report.passed, said_of(report)
    assert f"{tmp_path}/runs/sft1 → random weights, qwen2" in said_of(report) and "Qwen2.5-7B, built in" in said_of(
        report
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"learning_rat": 1e-6}, "unknown key 'learning_rat'; did you mean 'learning_rate'?"),
        ({"per_device_train_batch_size": 12}, "12 x 64 processes = 768"),
        ({"model": "nobody/unheard-of"}, "nobody/unheard-of: its architecture is neither here nor built in"),
        ({"model": "runs/nowhere/sft1"}, "runs/nowhere/sft1"),
        ({"lora_target_modules": ["qq_proj"]}, "qq_proj"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "min_lr"),
        ({"rewards": {"acuracy": 1.0}}, "unknown reward 'acuracy'"),
    ],
)
def test_what_would_fail_is_said(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    report = attempt(tmp_path, "r1_zero", HEAD, **HUB | values)
    assert not report.passed and said in said_of(report), said_of(report)
    assert not (tmp_path / "runs" / "r1_zero").exists()


def test_a_reward_of_ones_own_beside_the_file_is_part_of_it(tmp_path: Path) -> None:
    text = "def judge(completions, **columns):\n    return [1.0] * len(completions)\n"
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    report = attempt(tmp_path, "r1_zero", HEAD, **HUB | {"rewards": {"mine.py:judge": 1.0}})
    assert report.passed, said_of(report)


def test_a_row_of_ones_own_file_that_lacks_a_column_is_named_once(tmp_path: Path) -> None:
    rows = [{key: row[key] for key in row if key != "task" or n != 3} for n, row in enumerate(answered(6))]
    report = attempt(tmp_path, "r1_zero", **HUB | {"prompts": str(write(tmp_path / "rows.jsonl", rows))})
    assert said_of(report).count("row 4: no column task") == 1


def test_a_bad_row_among_many_is_no_obstacle(tmp_path: Path) -> None:
    rows = [{"answer": "of what?"}, *({**row, "language": "en"} for row in answered(600))]
    report = attempt(tmp_path, "r1_zero", HEAD, **HUB | {"prompts": str(write(tmp_path / "rows.jsonl", rows))})
    assert report.passed, said_of(report)


def test_rows_without_an_answer_are_named(tmp_path: Path) -> None:
    rows = [row | ({"answer": "proof"} if n in (1, 4) else {}) for n, row in enumerate(answered(6))]
    report = attempt(tmp_path, "r1_zero", **HUB | {"prompts": str(write(tmp_path / "rows.jsonl", rows))})
    text = "its first 4 rows; 2 of 6 have no gold answer and are left out: row 2 ('proof'), row 5 ('proof')"
    assert any(text in by for _, by in report.stages[0].rehearsal.replaced), said_of(report)


def test_a_mistake_hides_nothing_of_the_rehearsal(tmp_path: Path) -> None:
    wrong = {"learning_rat": 1e-6, "max_steps": 0, "lora_target_modules": ["qq_proj"]}
    report = attempt(tmp_path, "r1_zero", **HUB | wrong)
    said = said_of(report)
    for text in ("did you mean 'learning_rate'?", "max_steps: 0 is below 1", "qq_proj"):
        assert text in said, said
    assert str(tmp_path / "r1_zero.yaml:") in said and "r1hf-check-" not in said


def test_a_recipe_called_with_the_key_trains_nothing(tmp_path: Path) -> None:
    words = ["--dry_run", "--output_dir", str(tmp_path / "out"), "--model", "a/b", "--data", "c/d"]
    with pytest.raises(ConfigError, match="unknown key 'dry_run'"):
        recipe("sft").main([*words, "--bf16", "false"])


def test_the_flag_and_the_launcher_are_taken_away() -> None:
    assert entry._without_flag(["--dry_run", "--config", "a"]) == ["--config", "a"]
    assert entry._without_flag(["--config", "a", "--dry-run", "true", "--x", "1"]) == ["--config", "a", "--x", "1"]
    assert entry._without_flag(["--dry_run=true", "--config=a"]) == ["--config=a"]
    environment = {"WORLD_SIZE": "8", "RANK": "0", "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "HOME": "h"}
    assert leave_launcher(environment) == (8, ["FSDP"])
    assert environment == {"HOME": "h"}


def test_stages_of_a_pipeline(check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = ROOT / "recipes" / "configs" / "tiny" / "pipeline.yaml"
    words = ("--run_dir", str(tmp_path), "--only", "rehearsal")
    found = check(graph, *words, "--stages", "sft1,r1", "--set", "r1.max_steps=60", "--set", "sft1.learning_rate=fast")
    assert [stage["name"] for stage in found.report["stages"]] == ["sft1", "r1"] and found.status == 1
    assert all(stage["rehearsal"]["built"] for stage in found.report["stages"])  # a mistake hides no rehearsal
    assert found.found("error") == ["command line: learning_rate: 'fast' is not a number"]
    assert not list(tmp_path.iterdir())
    assert main(["check", str(graph), *words, "--stages", "sft9"]) == 2
    assert "no stage 'sft9'; did you mean 'sft2'?" in capsys.readouterr().err


@pytest.mark.slow
def test_as_a_script_and_under_a_launcher(tmp_path: Path) -> None:
    """Two processes would wait for each other for ever if the rehearsal were distributed."""
    words = ["recipes/r1_zero.py", "--config", "recipes/configs/tiny/r1_zero.yaml", "--dry_run"]
    words += ["--output_dir", str(tmp_path / "made")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    two = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", *words]
    done = subprocess.run(two, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("nothing was trained") == 1 and "not tried 2 processes" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("mistake", "status"), [("--max_step", 1), ("--max_steps", 0)])
def test_a_script_ends_with_the_status_of_the_check(
    mistake: str, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = str(ROOT / "recipes" / "configs" / "tiny" / "r1_zero.yaml")
    words = ["--config", config, "--output_dir", str(tmp_path / "made"), "--dry_run", mistake, "3"]
    monkeypatch.setattr(sys, "argv", [str(ROOT / "recipes" / "r1_zero.py"), *words])
    with pytest.raises(SystemExit) as ended:
        entry.run(lambda: pytest.fail("trained"))
    assert ended.value.code == status
    assert ("did you mean 'max_steps'?" in capsys.readouterr().out) == bool(status)
    assert not list(tmp_path.iterdir())
