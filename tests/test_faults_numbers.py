"""A loss or gradient that is no number: real trainings that stop before the step, the weights as they were."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_run import CPU, ROOT, answered, arguments, launched, recipe, write
from test_trainers import by_vowels, policy_trainer, same, sft_trainer, weights
from transformers import Trainer, TrainerCallback
from trl import SFTTrainer

from r1hf.core.errors import StageError
from r1hf.trainers.sft import R1SFTConfig
from r1hf.trainers.sft_rows import sft_dataset


class Poison(TrainerCallback):
    """Makes a value of the forward pass NaN or infinite in step `at`, in training as on a broken device."""

    def __init__(self, trainer: Trainer, at: int, value: float = float("nan"), gradient_only: bool = False):
        self.trainer, self.at = trainer, at
        self.before: dict[str, torch.Tensor] = {}
        norm = trainer.model.model.norm
        if gradient_only:
            norm.weight.register_hook(lambda gradient: gradient * value if self.now else gradient)
        else:
            norm.register_forward_hook(
                lambda module, inputs, output: output * value if self.now and torch.is_grad_enabled() else output
            )

    @property
    def now(self) -> bool:
        return self.trainer.state.global_step == self.at - 1

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.before = weights(self.trainer)


def stopped(trainer: Trainer, at: int, **poison: Any) -> tuple[str, Path]:
    """Trains with poison; the message and the directory of the batch. The weights must be those of the step before."""
    callback = Poison(trainer, at, **poison)
    trainer.add_callback(callback)
    trainer.failures = Path(trainer.args.output_dir) / "aside"
    with pytest.raises(StageError) as error:
        trainer.train()
    assert trainer.state.global_step == at - 1
    assert same(callback.before, weights(trainer))
    assert all(torch.isfinite(tensor).all() for tensor in weights(trainer).values())
    directory = trainer.failures / f"step-{at}"
    assert str(directory) in str(error.value)
    return str(error.value), directory


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_row_8_a_loss_that_is_no_number_stops_fine_tuning(tiny_base: Path, tmp_path: Path, value: float) -> None:
    trainer = sft_trainer(tiny_base, tmp_path, answered(16), max_steps=4, learning_rate=1e-3)
    message, directory = stopped(trainer, at=3, value=value)
    assert "step 3: the loss is nan" in message and "learning_rate" in message
    report = json.loads((directory / "process-0.json").read_text(encoding="utf-8"))
    assert report["losses"] == ["nan"]
    texts = report["micro_batches"][0]["input"]
    assert any(row["completion"].split("\n")[0] in text for row in answered(16) for text in texts)
    tensors = load_file(directory / "process-0.safetensors")
    assert tensors["0.input_ids"].shape == tensors["0.labels"].shape


def test_a_gradient_alone_is_enough_and_the_parameter_is_named(tiny_base: Path, tmp_path: Path) -> None:
    trainer = sft_trainer(tiny_base, tmp_path, answered(16), max_steps=4, gradient_accumulation_steps=2)
    message, directory = stopped(trainer, at=2, gradient_only=True)
    assert "the gradient of model.norm.weight is not" in message
    report = json.loads((directory / "process-0.json").read_text(encoding="utf-8"))
    assert report["first_bad_gradient"] == "model.norm.weight"
    assert [batch["micro_batch"] for batch in report["micro_batches"]] == [0, 1]


def test_it_is_found_without_clipping_too(tiny_base: Path, tmp_path: Path) -> None:
    trainer = sft_trainer(tiny_base, tmp_path, answered(16), max_steps=3, max_grad_norm=0.0)
    message, _ = stopped(trainer, at=2, gradient_only=True)
    assert "model.norm.weight" in message


def test_grpo_writes_texts_rewards_and_advantages(tiny_base: Path, tmp_path: Path) -> None:
    trainer = policy_trainer(tiny_base, tmp_path, [by_vowels], max_steps=3)
    _, directory = stopped(trainer, at=2)
    batch = json.loads((directory / "process-0.json").read_text(encoding="utf-8"))["micro_batches"][0]
    assert len(batch["completion"]) == len(batch["advantages"]) == 16
    assert any(advantage != 0 for advantage in batch["advantages"])
    expected = [
        float(sum(char in "aeiou" for char in text.replace("<|endoftext|>", ""))) for text in batch["completion"]
    ]
    found = batch["rewards"]["by_vowels"]
    known = [(a, b) for a, b in zip(found, expected, strict=True) if a is not None]
    assert len(known) >= 12 and all(a == b for a, b in known)


def test_clipping_is_the_same_as_before(tiny_base: Path, tmp_path: Path) -> None:
    """The norm is taken apart to look in between; the numbers must not change."""
    settings: dict[str, Any] = {"max_steps": 3, "learning_rate": 1e-2, "max_grad_norm": 0.1}
    ours = sft_trainer(tiny_base, tmp_path / "a", answered(16), **settings)
    ours.train()
    args = R1SFTConfig(output_dir=str(tmp_path / "b"), **{**CPU, **settings})
    stock = SFTTrainer(
        model=str(tiny_base),
        args=args,
        train_dataset=sft_dataset(answered(16)),
        processing_class=ours.processing_class,
    )
    stock.train()
    assert same(weights(ours), weights(stock))


SCRIPT = """
import sys, torch
sys.path.insert(0, "tests")
from pathlib import Path
from small_run import answered
from test_faults_numbers import Poison
from test_trainers import policy_trainer, by_vowels
from r1hf.core.errors import StageError
base, out = Path(sys.argv[1]), Path(sys.argv[2])
trainer = policy_trainer(base, out, [by_vowels], max_steps=3, per_device_train_batch_size=8)
if trainer.args.process_index == 1:
    trainer.add_callback(Poison(trainer, at=2))
trainer.failures = out / "aside"
before = {}
try:
    trainer.train()
except StageError as error:
    assert trainer.state.global_step == 1, trainer.state.global_step
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    print("STOPPED", trainer.args.process_index, error, flush=True)
"""


@pytest.mark.slow
def test_all_processes_stop_at_the_step_in_which_one_goes_wrong(tiny_base: Path, tmp_path: Path) -> None:
    script = write_script(tmp_path, SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    result = launched(*command, str(script), str(tiny_base), str(tmp_path / "out"), PYTHONPATH=f"{ROOT}:{ROOT}/tests")
    assert result.stdout.count("STOPPED") == 2, result.stdout + result.stderr[-3000:]
    assert {path.name for path in (tmp_path / "out" / "aside" / "step-2").glob("*.json")} == {
        "process-0.json",
        "process-1.json",
    }


def write_script(directory: Path, text: str) -> Path:
    path = directory / "script.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_recipe_keeps_the_batch_and_no_output(tiny_base: Path, tmp_path: Path) -> None:
    """A stage removes what it has not finished; the batch lies beside it."""
    rows = write(tmp_path / "rows.jsonl", answered(16))
    given = arguments(
        "sft.yaml",
        **{"model": tiny_base, "data": rows, "output_dir": tmp_path / "dev", "learning_rate": 1e30, "max_steps": 6},
        **{"per_device_train_batch_size": 4, "warmup_steps": 0, "max_grad_norm": 0},
    )
    with pytest.raises(StageError, match="dev.failed"):
        recipe("sft").main(given)
    assert not (tmp_path / "dev").exists()
    assert list((tmp_path / "dev.failed").glob("step-*/process-0.json"))
