"""Muon and AdamW as one optimizer: each steps as it would alone, and a run that was stopped ends the same."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import BASE, CPU, MODELS, log, manifest, recipe, run_recipe
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM, TrainingArguments

from r1hf.trainers.muon import MOMENTUM, MuonAdamW, muon_adamw

RATE, MUON_RATE, DECAY, BETAS = 3e-3, 0.02, 0.1, (0.9, 0.95)
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 24,
}
ROWS = torch.arange(48).reshape(4, 12) * 7 % 24


def model_of(tied: bool) -> PreTrainedModel:
    torch.manual_seed(3)
    return Qwen2ForCausalLM(Qwen2Config(**SIZES, num_key_value_heads=1, tie_word_embeddings=tied))


def joined(model: PreTrainedModel, directory: Path) -> MuonAdamW:
    given = {"learning_rate": RATE, "weight_decay": DECAY, "adam_beta1": BETAS[0], "adam_beta2": BETAS[1]}
    return muon_adamw(model, TrainingArguments(str(directory), **given, use_cpu=True), MUON_RATE)


def halves(optimizers: list[torch.optim.Optimizer]) -> list[torch.optim.lr_scheduler.LambdaLR]:
    return [torch.optim.lr_scheduler.LambdaLR(one, lambda step: 0.5**step) for one in optimizers]


def stepped(model: PreTrainedModel, optimizers: list[Any], schedules: list[Any], count: int) -> None:
    for _ in range(count):
        model(input_ids=ROWS, labels=ROWS).loss.backward()
        for one in [*optimizers, *schedules]:
            one.step()
        model.zero_grad()


def same(one: PreTrainedModel, two: PreTrainedModel) -> bool:
    other = two.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("tied", [True, False])
def test_it_steps_as_the_two_alone(tied: bool, tmp_path: Path) -> None:
    together, apart = model_of(tied), model_of(tied)
    matrices = [p for name, p in apart.named_parameters() if ".layers." in name and p.ndim == 2]
    ends = [p for name, p in apart.named_parameters() if "embed" in name or "lm_head" in name]
    rest = [p for name, p in apart.named_parameters() if ".layers." not in name or p.ndim == 1]
    rest = [p for p in rest if not any(p is one for one in ends)]
    assert len(matrices) == 14 and len(ends) == 2 - tied and len(rest) == 11
    muon = torch.optim.Muon(matrices, lr=MUON_RATE, momentum=MOMENTUM, weight_decay=DECAY * RATE / MUON_RATE)
    groups = [{"params": ends, "weight_decay": DECAY}, {"params": rest, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=1e-8, fused=True)
    one = joined(together, tmp_path)
    stepped(together, [one], halves([one]), 4)
    stepped(apart, [muon, adamw], halves([muon, adamw]), 4)
    assert same(together, apart) and not same(together, model_of(tied))
    rates = {group["lr"] for group in one.param_groups}
    assert rates == {RATE / 16, MUON_RATE / 16} == {g["lr"] for part in one.parts for g in part.param_groups}


def test_its_state_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    straight = model_of(True)
    first = joined(straight, tmp_path)
    schedules = halves([first])
    stepped(straight, [first], schedules, 2)
    torch.save({"optimizer": first.state_dict(), "schedule": schedules[0].state_dict()}, tmp_path / "saved.pt")
    again = copy.deepcopy(straight)
    stepped(straight, [first], schedules, 2)
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)
    second = joined(again, tmp_path)
    resumed = halves([second])
    second.load_state_dict(saved["optimizer"])
    resumed[0].load_state_dict(saved["schedule"])
    stepped(again, [second], resumed, 2)
    assert same(straight, again)


def test_a_base_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_resume import Crash

    base = recipe("base")
    given = {**CPU, **BASE, "models": {"base": MODELS["base"]}, "datasets": False, "tokenizer_documents": 100}
    given |= {"muon_learning_rate": MUON_RATE, "warmup_steps": 1, "save_strategy": "steps", "save_steps": 1}
    straight = run_recipe("base", output_dir=tmp_path / "straight", **given)

    class Stopped(base.ExactResume):  # type: ignore[name-defined,misc]
        def __init__(self, *arguments: Any, **named: Any):
            super().__init__(*arguments, **named)
            self.add_callback(Crash(3))

    with monkeypatch.context() as stop, pytest.raises(KeyboardInterrupt):
        stop.setattr(base, "ExactResume", Stopped)
        run_recipe("base", output_dir=tmp_path / "resumed", **given)
    resumed = run_recipe("base", output_dir=tmp_path / "resumed", **given)
    assert manifest(resumed)["outputs"]["model.safetensors"] == manifest(straight)["outputs"]["model.safetensors"]
    assert [row["loss"] for row in log(resumed) if "loss" in row] == [r["loss"] for r in log(straight) if "loss" in r]
    rows = [row["learning_rate"] for row in log(resumed) if "learning_rate" in row]
    assert len(rows) == BASE["max_steps"] and not (straight / "data").exists()
