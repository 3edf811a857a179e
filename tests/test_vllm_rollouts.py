"""Rollouts by vLLM on a CPU: the policy's own weights, random numbers and end tokens, for real."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from small_run import CPU, GRPO, log, run_recipe
from transformers import AutoModelForCausalLM, AutoTokenizer

from r1hf.core.errors import DataError, StageError
from r1hf.stage.manifest import verify
from r1hf.trainers.vllm_cpu import CpuRollouts

slow = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
]


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    """What vLLM would be given, without vLLM."""
    rollouts = object.__new__(CpuRollouts)
    rollouts.model = model
    return {name: weight.clone() for name, weight in rollouts._iter_named_params()}


@pytest.mark.parametrize("whole", [None, ["lm_head"]])
def test_an_adapter_is_added_to_copies(tiny_base: Path, whole: list[str] | None) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.bfloat16)
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    given = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], modules_to_save=whole, task_type="CAUSAL_LM")
    model = get_peft_model(base, given)
    model.add_adapter("ref", given)
    model.set_adapter("default")
    for name, parameter in model.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter)
    found = weights_of(model)
    again = weights_of(model)
    assert all(torch.equal(found[name], again[name]) for name in found)
    assert not torch.equal(found["model.layers.0.mlp.down_proj.weight"], before["model.layers.0.mlp.down_proj.weight"])
    assert torch.equal(found["model.layers.0.mlp.up_proj.weight"], before["model.layers.0.mlp.up_proj.weight"])
    model.delete_adapter("ref")
    merged = dict(model.merge_and_unload().named_parameters())
    assert set(found) == set(merged)
    assert all(torch.allclose(found[name], merged[name]) for name in merged)


@pytest.fixture(scope="module")
def policy(tiny_base: Path, request: pytest.FixtureRequest) -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(tiny_base, tie_word_embeddings=getattr(request, "param", True))
    return model, AutoTokenizer.from_pretrained(tiny_base)


def opened(policy: tuple[Any, Any], **more: Any) -> CpuRollouts:
    model, tokenizer = policy
    given = {"max_num_seqs": 8, "max_completion_length": 12, "logprobs": 0, **more}
    return CpuRollouts(model=model, accelerator=Accelerator(cpu=True), processing_class=tokenizer, **given)


@pytest.fixture(scope="module")
def rollouts(policy: tuple[Any, Any]) -> Iterator[CpuRollouts]:
    made = opened(policy)
    yield made
    made.close()


@pytest.fixture
def prompts(policy: tuple[Any, Any]) -> list[list[int]]:
    texts = ["What is 2 + 3?", "Say hello to Bob and to Ann, who came today."]
    return [ids for ids in policy[1](texts)["input_ids"] for _ in range(4)]


class TestEngine:
    pytestmark = slow

    def test_nothing_else_in_the_process_changes(self, policy: tuple[Any, Any]) -> None:
        pytest.importorskip("llvmlite.binding")  # vLLM searches all modules, and falls over this one
        others = set(psutil.Process().children(recursive=True))  # of the tests before it
        environment, set_threads, threads = dict(os.environ), torch.set_num_threads, torch.get_num_threads()
        torch.manual_seed(3)
        wanted = torch.rand(2)
        torch.manual_seed(3)
        made = opened(policy)
        found = torch.rand(2)
        seen = dict(os.environ), torch.set_num_threads, torch.get_num_threads()
        assert not set(psutil.Process().children(recursive=True)) - others
        made.close()
        made.close()
        assert torch.equal(found, wanted) and seen == (environment, set_threads, threads)
        assert not torch.distributed.is_initialized()
        assert all(not thread.name.startswith("VLLM") for thread in threading.enumerate())

    @pytest.mark.parametrize("policy", [True, False], indirect=True, ids=["tied", "untied"])
    def test_new_weights_seeds_and_ends(
        self, rollouts: CpuRollouts, policy: tuple[Any, Any], prompts: list[list[int]]
    ) -> None:
        model, _ = policy
        seen = []
        for seed in (1, 1, 2):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(1.5)  # all of them: what is not taken shows
            rollouts.sync_weights()
            torch.manual_seed(seed)
            first = rollouts.generate(prompts, None, 4)
            torch.manual_seed(seed)
            assert rollouts.generate(prompts, None, 4) == first
            _, completions, logprobs, _ = first
            for ids, made, logps in zip(prompts, completions, logprobs, strict=True):
                with torch.no_grad():
                    logits = model(torch.tensor([ids + list(made)])).logits[0, len(ids) - 1 : -1]
                wanted = logits.log_softmax(-1).gather(1, torch.tensor(made)[:, None])[:, 0]
                assert torch.allclose(torch.tensor(logps)[:, 0], wanted, atol=1e-3)
            seen.append(completions)
        assert seen[0] != seen[2]
        rollouts.generation_kwargs["stop_token_ids"] = [seen[2][0][1]]
        torch.manual_seed(2)
        stopped = rollouts.generate(prompts, None, 4)[1][0]
        assert list(stopped) == list(seen[2][0])[: len(stopped)] and stopped[-1] == seen[2][0][1]

    def test_top_k_is_heeded(
        self, rollouts: CpuRollouts, policy: tuple[Any, Any], prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rollouts, "top_k", 1)
        made = rollouts.generate(prompts[:1], None, 1)[1][0]
        greedy = policy[0].generate(torch.tensor(prompts[:1]), max_new_tokens=12, do_sample=False)
        assert list(made) == greedy[0, len(prompts[0]) :].tolist()[: len(made)]

    def test_a_prompt_without_room_is_named(self, rollouts: CpuRollouts) -> None:
        with pytest.raises(DataError, match="prompt too long: one of 9999 tokens leaves no room"):
            rollouts.generate([[5] * 9999], None, 1)

    def test_what_is_closed_opens_with_the_present_weights(
        self, rollouts: CpuRollouts, policy: tuple[Any, Any], prompts: list[list[int]]
    ) -> None:
        torch.manual_seed(1)
        before = rollouts.generate(prompts, None, 4)
        rollouts.close()
        torch.manual_seed(1)
        assert rollouts.generate(prompts, None, 4) == before

    def test_what_vllm_refuses_is_said(self, policy: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(CpuRollouts, "options", {"dtype": "none"})
        with pytest.raises(StageError, match="vLLM does not start with this policy: .*dtype"):
            opened(policy)


MOVING = {"learning_rate": 1e-2, "weight_decay": 0.5}  # without a reward too


def trained(base: Path, directory: Path, **more: Any) -> Path:
    given = {
        **{"model": base, "prompts": base / "data" / "train.jsonl", "output_dir": directory, **CPU, **GRPO, **MOVING},
        **{"rollout_engine": "vllm_colocate", "save_strategy": "steps", "save_steps": 2, "max_steps": 4, **more},
    }
    return run_recipe("r1_zero", **given)


class TestTraining:
    pytestmark = slow

    def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
        self, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = trained(tiny_base, tmp_path / "whole")
        metrics = verify(whole).metrics
        assert metrics["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=1e-3)
        assert metrics["sampling/sampling_logp_difference/max"] < 0.01

        calls = []

        def fails(self: Any, *arguments: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) > 2:
                raise StageError("stopped")
            return generate(self, *arguments, **named)

        generate = CpuRollouts.generate
        with monkeypatch.context() as patch, pytest.raises(StageError, match="stopped"):
            patch.setattr(CpuRollouts, "generate", fails)
            trained(tiny_base, tmp_path / "stopped")
        assert [row["step"] for row in log(tmp_path / "stopped.partial")] == [1, 2]
        resumed = trained(tiny_base, tmp_path / "stopped")

        def rows(directory: Path) -> list[dict[str, Any]]:
            return [{k: v for k, v in row.items() if "time" not in k and "second" not in k} for row in log(directory)]

        assert rows(resumed) == rows(whole)
        assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()

    def test_an_adapter_with_all_that_spares_work(self, tiny_base: Path, tmp_path: Path) -> None:
        spare = {"compact_generation": True, "share_prompts": True, "skip_zero_advantage": True, "beta": 0.0}
        adapter = {"use_peft": True, "lora_r": 4, "sync_ref_model": False}
        vllm = '{"dtype": "bfloat16"}'
        metrics = verify(trained(tiny_base, tmp_path / "made", vllm=vllm, **spare, **adapter)).metrics
        assert metrics["optimizer_steps"] == 4
        assert 0.8 < metrics["sampling/importance_sampling_ratio/mean"] < 1.2
        assert 0 < metrics["sampling/sampling_logp_difference/max"] < 1
