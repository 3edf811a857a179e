"""Out of memory, with real exceptions from the model's forward or backward pass: parts add up to the whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import CPU, ROOT, answered, launched
from test_trainers import by_vowels, policy_trainer, same, sft_trainer, weights
from transformers import Trainer

from r1hf.core.errors import StageError
from r1hf.models.loading import load_tokenizer
from r1hf.trainers.memory import run_probe
from r1hf.trainers.reward_model import R1RewardConfig, new_reward_model, pairwise_trainer, pointwise_trainer

MESSAGE = "CUDA out of memory. Tried to allocate 2.00 GiB."


class Small:
    """A device that holds `rows` rows of a training forward pass (or of a backward pass), and no more."""

    def __init__(self, trainer: Trainer, rows: int, backward: bool = False, from_call: int = 0):
        self.rows, self.backward, self.from_call = rows, backward, from_call
        self.seen: list[int] = []
        body = trainer.model.model
        body.embed_tokens.register_forward_hook(self.check)

    def check(self, module: Any, inputs: Any, output: torch.Tensor) -> None:
        if not output.requires_grad:
            return
        self.seen.append(len(output))
        too_much = len(output) > self.rows and len(self.seen) > self.from_call
        if too_much and not self.backward:
            raise torch.OutOfMemoryError(MESSAGE)
        if too_much:
            output.register_hook(self.fail)

    def fail(self, gradient: torch.Tensor) -> None:
        raise torch.OutOfMemoryError(MESSAGE)


def near(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(one[name], other[name], atol=2e-5, rtol=1e-3) for name in one)


SGD = {"optim": "sgd", "learning_rate": 0.05, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}
LOSSES = [
    {"loss_type": "grpo"},
    {"loss_type": "bnpo"},
    {"loss_type": "dr_grpo"},
    {"loss_type": "dapo"},
    {"loss_type": "cispo"},
    {"loss_type": "grpo", "importance_sampling_level": "sequence"},
    {"loss_type": "grpo", "beta": 0.0, "sync_ref_model": False, "skip_zero_advantage": True},
]


def grpo_weights(
    base: Path, directory: Path, rows: int | None, **settings: Any
) -> tuple[dict[str, torch.Tensor], Any]:
    settings = {
        **SGD,
        "beta": 0.1,
        "max_steps": 2,
        "gradient_accumulation_steps": 2,
        "share_prompts": False,
        **settings,
    }
    settings |= {"per_device_train_batch_size": 8}
    trainer = policy_trainer(base, directory, [by_vowels], **settings)
    device = Small(trainer, rows or 10**6, backward=bool(rows and rows % 2))
    trainer.train()
    return weights(trainer), device


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: "-".join(map(str, loss.values())))
def test_parts_give_the_gradient_of_the_whole(tiny_base: Path, tmp_path: Path, loss: dict[str, Any]) -> None:
    whole, _ = grpo_weights(tiny_base, tmp_path / "a", None, **loss)
    parts, device = grpo_weights(tiny_base, tmp_path / "b", 3, **loss)
    assert max(device.seen[-4:]) <= 3
    assert near(whole, parts) and not same(whole, grpo_start(tiny_base))


def grpo_start(base: Path) -> dict[str, torch.Tensor]:
    from r1hf.models.loading import load_model

    return load_model(str(base)).state_dict()


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("from_call", [0, 1])
def test_row_14_fine_tuning_goes_on_with_half_the_rows(
    tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], backward: bool, from_call: int
) -> None:
    """In a backward pass that breaks off half way too, also after a micro-batch that went through."""
    settings = {**SGD, "max_steps": 2, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}
    whole = sft_trainer(tiny_base, tmp_path / "a", answered(32), **settings)
    whole.train()
    trainer = sft_trainer(tiny_base, tmp_path / "b", answered(32), **settings)
    Small(trainer, 4, backward, from_call)
    trainer.train()
    assert trainer.state.global_step == 2 and trainer.rows_at_once == 4
    assert near(weights(whole), weights(trainer))
    losses = [[row["loss"] for row in each.state.log_history if "loss" in row] for each in (whole, trainer)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert "out of memory at step 1 with 8 rows at once: 4 from now on" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["pairwise", "pointwise"])
def test_reward_models_too(tiny_base: Path, tmp_path: Path, kind: str) -> None:
    made = []
    for rows in (None, 4):
        torch.manual_seed(3)
        tokenizer = load_tokenizer(str(tiny_base))
        model = new_reward_model(str(tiny_base), tokenizer)
        args = R1RewardConfig(
            output_dir=str(tmp_path / str(rows)), **{**CPU, **SGD, "max_steps": 2, "per_device_train_batch_size": 4}
        )
        question = [{"question": f"What is {n} + 1?", "safe": n % 2 == 0} for n in range(8)]
        data = [
            {**row, "chosen": f"<answer> {n} </answer>", "rejected": "no " * (n + 1), "response": "yes " * (n + 1)}
            for n, row in enumerate(question)
        ]
        trainer = (pairwise_trainer if kind == "pairwise" else pointwise_trainer)(model, tokenizer, args, data)
        if rows:
            Small(trainer, rows if kind == "pairwise" else 2)
        trainer.train()
        assert trainer.rows_at_once == (2 if rows else None)
        made.append(weights(trainer))
    assert near(*made)


def test_one_row_that_does_not_fit_ends_the_run(tiny_base: Path, tmp_path: Path) -> None:
    trainer = sft_trainer(tiny_base, tmp_path, answered(8), per_device_train_batch_size=4)
    Small(trainer, 0)
    with pytest.raises(StageError, match="one row at once.*gradient_checkpointing"):
        trainer.train()


def test_another_error_is_not_taken_for_it(tiny_base: Path, tmp_path: Path) -> None:
    trainer = sft_trainer(tiny_base, tmp_path, answered(8))
    trainer.model.model.norm.register_forward_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        trainer.train()


@pytest.mark.parametrize("kind", ["sft", "grpo"])
def test_the_probe_leaves_no_trace(tiny_base: Path, tmp_path: Path, kind: str) -> None:
    made = []
    for probe in (False, True):
        if kind == "sft":
            trainer: Any = sft_trainer(tiny_base, tmp_path, answered(16), max_steps=2, probe_longest=probe)
        else:
            trainer = policy_trainer(tiny_base, tmp_path, [by_vowels], probe_longest=probe)
        found = run_probe(trainer)
        assert (found is not None) == probe
        trainer.train()
        made.append(weights(trainer))
    assert same(*made)


def test_the_probe_is_as_long_as_the_longest_row_and_halves_before_training(tiny_base: Path, tmp_path: Path) -> None:
    trainer = policy_trainer(tiny_base, tmp_path, [by_vowels], probe_longest=True, share_prompts=False)
    longest = max(len(ids) for ids in trainer._tokenize_prompts(list(trainer.train_dataset["prompt"]))[0])
    device = Small(trainer, 5)
    assert run_probe(trainer) == {"rows": 4, "tokens": longest + 12, "peak": None}
    assert device.seen == [16, 8, 4] and trainer.rows_at_once == 4
    trainer.train()
    assert max(device.seen) == 16 and set(device.seen[3:]) == {4}


def test_the_probe_shares_prompts_as_training_does(tiny_base: Path, tmp_path: Path) -> None:
    trainer = policy_trainer(tiny_base, tmp_path, [by_vowels], probe_longest=True)
    device = Small(trainer, 4)  # 16 completions in groups of 4: a row for each prompt
    assert run_probe(trainer)["rows"] == 16 and device.seen == [4]


def test_the_probe_of_sft_takes_the_longest_row(tiny_base: Path, tmp_path: Path) -> None:
    rows = [*answered(8), {"question": "Count.", "completion": "one two three " * 30}]
    trainer = sft_trainer(tiny_base, tmp_path, rows, probe_longest=True)
    assert run_probe(trainer)["tokens"] == max(map(len, trainer.train_dataset["input_ids"]))
    Small(trainer, 0)
    with pytest.raises(StageError, match="before training.*do not fit"):
        run_probe(trainer)


SCRIPT = """
import sys
sys.path.insert(0, "tests")
from pathlib import Path
import torch
from test_faults_memory import SGD, Small, near
from test_trainers import policy_trainer, by_vowels, same, weights
from r1hf.trainers.memory import run_probe
made = []
for small in (False, True):
    torch.manual_seed(7)
    trainer = policy_trainer(Path(sys.argv[1]), Path(sys.argv[2]), [by_vowels], per_device_train_batch_size=8,
                             gradient_accumulation_steps=2, probe_longest=True, share_prompts=False, **SGD)
    start = weights(trainer)
    if small and trainer.args.process_index == 1:
        Small(trainer, 3)
    run_probe(trainer)
    trainer.train()
    made.append(weights(trainer))
right = near(*made) and not same(start, made[0])
print("DONE", trainer.args.process_index, trainer.rows_at_once, trainer.state.global_step, right, flush=True)
"""


@pytest.mark.slow
def test_processes_agree_on_the_rows_and_parts_add_up_over_them(tiny_base: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    result = launched(*command, str(script), str(tiny_base), str(tmp_path / "out"), PYTHONPATH=f"{ROOT}:{ROOT}/tests")
    assert "DONE 0 2 2 True" in result.stdout and "DONE 1 2 2 True" in result.stdout, (
        result.stdout + result.stderr[-3000:]
    )
