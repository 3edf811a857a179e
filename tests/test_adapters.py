"""LoRA: what a stage writes, that merged weights are base plus adapter, and a reference that follows an adapter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from small_run import CPU, GRPO, ROOT, SFT, answered, arguments, launched, manifest, recipe, run_recipe, write
from test_trainers import by_vowels

from r1hf.core.errors import ConfigError
from r1hf.models.loading import load_model, load_tokenizer
from r1hf.trainers.adapters import AdapterConfig, follow
from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer
from r1hf.trainers.rl import prompt_rows

LORA: dict[str, Any] = {"use_peft": True, "lora_r": 4, "lora_alpha": 8}


def tuned(base: Path, directory: Path, **settings: Any) -> Path:
    rows = write(directory / "rows.jsonl", answered(16))
    settings = {**SFT, **LORA, "max_steps": 4, "learning_rate": 1e-2, **settings}
    return run_recipe("sft", model=base, data=rows, output_dir=directory / "dev", **settings)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.arange(2, 42).reshape(2, 20)).logits


def test_a_stage_writes_a_merged_model_and_its_adapter(tiny_base: Path, tmp_path: Path) -> None:
    made = tuned(tiny_base, tmp_path)
    merged, base = load_model(str(made)), load_model(str(tiny_base))
    changed = logits(merged)
    assert not torch.allclose(changed, logits(base), atol=1e-3)
    adapted = PeftModel.from_pretrained(base, made / "adapter").eval()
    assert torch.allclose(changed, logits(adapted), atol=1e-5)
    assert adapted.peft_config["default"].base_model_name_or_path == str(tiny_base)
    assert {"model.safetensors", "adapter/adapter_model.safetensors"} <= set(manifest(made)["outputs"])
    assert manifest(made)["config"]["lora_r"] == 4
    weights = {name: value for name, value in merged.state_dict().items() if "layers" in name}
    assert weights and not any("lora" in name for name in merged.state_dict())
    assert load_tokenizer(str(made)).chat_template


def test_a_stage_refuses_an_adapter_as_its_model(tiny_base: Path, tmp_path: Path) -> None:
    made = tuned(tiny_base, tmp_path, export="adapter")
    with pytest.raises(ConfigError, match="is an adapter alone.*--export both"):
        tuned(made, tmp_path / "next")


@pytest.mark.parametrize("export", ["merged", "adapter"])
def test_one_of_the_two(tiny_base: Path, tmp_path: Path, export: str) -> None:
    made = tuned(tiny_base, tmp_path, export=export)
    assert not (made / "adapter").exists()
    assert (made / "model.safetensors").exists() == (export == "merged")
    assert (made / "adapter_config.json").exists() == (export == "adapter")


def test_the_server_takes_an_adapter_as_a_stage_writes_it(tiny_base: Path, tmp_path: Path) -> None:
    from r1hf.serving.models import resolve

    made = tuned(tiny_base, tmp_path, export="adapter")
    (found,) = resolve([str(made)])
    assert found.base == tiny_base.resolve() and found.lora_rank == 4


def test_keys_that_cannot_go_together_are_named(tiny_base: Path, tmp_path: Path) -> None:
    prompts = write(tmp_path / "prompts.jsonl", answered(64))
    given = {"model": tiny_base, "prompts": prompts, "output_dir": tmp_path / "out", **LORA, "lora_r": 0}
    given |= {"load_in_4bit": True, "beta": 0.1, "sync_ref_model": True, "ref_model_mixup_alpha": 0.6}
    with pytest.raises(ConfigError) as error:
        recipe("reasoning_rl").main(arguments("reasoning_rl.yaml", **given))
    text = str(error.value)
    assert "lora_r: 0" in text and "ref_model_mixup_alpha: 0.6" in text
    assert torch.cuda.is_available() or "load_in_4bit: needs an NVIDIA GPU" in text


def test_the_recipe_of_rl_with_an_adapter_whose_reference_moves(tiny_base: Path, tmp_path: Path) -> None:
    prompts = write(tmp_path / "prompts.jsonl", answered(64))
    settings = {**GRPO, **LORA, "beta": 0.1, "sync_ref_model": True, "ref_model_sync_steps": 1, "learning_rate": 1e-2}
    made = run_recipe("reasoning_rl", model=tiny_base, prompts=prompts, output_dir=tmp_path / "dev2", **settings)
    assert not (made / "adapter" / "ref").exists()
    adapted = PeftModel.from_pretrained(load_model(str(tiny_base)), made / "adapter").eval()
    assert torch.allclose(logits(load_model(str(made))), logits(adapted), atol=1e-5)


def adapter_trainer(base: Path, directory: Path, **settings: Any) -> R1GRPOTrainer:
    given = {**CPU, "per_device_train_batch_size": 16, "num_generations": 4, "max_completion_length": 12}
    given |= {"max_steps": 4, "learning_rate": 1e-2, "beta": 0.1, "ref_model_sync_steps": 2}
    return R1GRPOTrainer(
        model=str(base),
        reward_funcs=[by_vowels],
        args=R1GRPOConfig(output_dir=str(directory), **{**given, **settings}),
        train_dataset=Dataset.from_list(prompt_rows(answered(16), "r1_zero_short_en")),
        processing_class=load_tokenizer(str(base)),
        peft_config=LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )


def reference(trainer: R1GRPOTrainer) -> torch.Tensor:
    from trl.trainer.utils import use_adapter

    with use_adapter(trainer.model, "ref"):
        return logits(trainer.model)


def test_the_reference_is_the_base_until_it_follows(tiny_base: Path, tmp_path: Path) -> None:
    trainer = adapter_trainer(tiny_base, tmp_path)
    assert trainer.args.sync_ref_model
    assert torch.equal(reference(trainer), logits(load_model(str(tiny_base))))
    trained = [name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]
    assert trained and all(".default." in name for name in trained)

    seen: list[tuple[int, bool, bool]] = []
    start = reference(trainer)
    original = trainer._generate_and_score_completions

    def spied(inputs: Any) -> Any:
        output = original(inputs)
        with torch.no_grad():
            ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
            mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
            width = output["completion_ids"].shape[1]
            policy, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, width)
        real = output["completion_mask"].bool()
        equal = torch.allclose(output["ref_per_token_logps"][real], policy[real], atol=1e-6)
        seen.append((trainer.state.global_step, equal, torch.equal(reference(trainer), start)))
        return output

    trainer._generate_and_score_completions = spied
    trainer.train()
    # step 0: policy == reference == base; 1: the policy has left; 2: the reference has followed; 3: left again
    assert seen == [(0, True, True), (1, False, True), (2, True, False), (3, False, False)]
    assert not any(p.requires_grad for name, p in trainer.model.named_parameters() if ".ref." in name)


def test_a_checkpoint_keeps_the_reference(tiny_base: Path, tmp_path: Path) -> None:
    trainer = adapter_trainer(tiny_base, tmp_path, max_steps=3, save_strategy="steps", save_steps=3)
    trainer.train()
    moved = reference(trainer)
    again = adapter_trainer(tiny_base, tmp_path, max_steps=3)
    assert not torch.equal(reference(again), moved)
    again._load_from_checkpoint(str(tmp_path / "checkpoint-3"))
    assert torch.equal(reference(again), moved)
    assert torch.equal(logits(again.model), logits(trainer.model))
    trained = [name for name, parameter in again.model.named_parameters() if parameter.requires_grad]
    assert trained and all(".default." in name for name in trained)


def test_following_copies_every_weight(tiny_base: Path, tmp_path: Path) -> None:
    trainer = adapter_trainer(tiny_base, tmp_path)
    for name, parameter in trainer.model.named_parameters():
        if ".default." in name:
            parameter.data.normal_()
    follow(trainer.model)
    parameters = dict(trainer.model.named_parameters())
    pairs = [(name, name.replace(".default.", ".ref.")) for name in parameters if ".default." in name]
    assert len(pairs) == 2 * 7 * 2
    assert all(torch.equal(parameters[one], parameters[other]) for one, other in pairs)


def test_without_keys_nothing_changes() -> None:
    assert not AdapterConfig().use_peft


SCRIPT = """
import sys
sys.path.insert(0, "tests")
from pathlib import Path
import torch
from test_adapters import adapter_trainer, logits, reference
trainer = adapter_trainer(Path(sys.argv[1]), Path(sys.argv[2]), per_device_train_batch_size=8)
start = reference(trainer)
trainer.train()
followed = torch.equal(reference(trainer), logits(trainer.model)) and not torch.equal(reference(trainer), start)
print("DONE", trainer.args.process_index, trainer.state.global_step, followed, float(logits(trainer.model).sum()))
"""


@pytest.mark.slow
def test_two_processes_hold_the_same_adapter_and_reference(tiny_base: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    result = launched(*command, str(script), str(tiny_base), str(tmp_path / "out"), PYTHONPATH=f"{ROOT}:{ROOT}/tests")
    lines = sorted(line.split() for line in result.stdout.splitlines() if line.startswith("DONE"))
    assert [line[1:4] for line in lines] == [["0", "4", "True"], ["1", "4", "True"]], (
        result.stdout + result.stderr[-3000:]
    )
    assert lines[0][4] == lines[1][4]


@pytest.mark.slow
def test_a_sharded_model_is_saved_whole(tiny_base: Path, tmp_path: Path) -> None:
    start = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    done = launched(*start, "tests/sharded_run.py", str(tiny_base), str(tmp_path))
    assert done.returncode == 0, done.stderr
    whole = load_model(str(tmp_path / "whole")).state_dict()
    for name, value in torch.load(tmp_path / "whole.pt").items():
        assert torch.equal(whole[name], value), name
    base = load_model(str(tiny_base))
    adapted = PeftModel.from_pretrained(base, tmp_path / "adapter" / "adapter").eval()
    saved = torch.load(tmp_path / "adapter.pt")
    factors = {name: value for name, value in adapted.state_dict().items() if "lora" in name}
    assert factors and all(torch.equal(value, saved[name]) for name, value in factors.items())
    assert torch.allclose(logits(load_model(str(tmp_path / "adapter"))), logits(adapted), atol=1e-5)
