"""Exact resume: a run that was stopped and goes on gives the losses, rewards and weights of one that was not.

Transformers saves weights, optimizer, schedule and random states. What it and TRL leave out is saved here: the
rollouts of a generation cycle that is under way, a reference model that has moved, sums for the next row of the log,
and how often the sampler has shuffled. A checkpoint is whole or not there (`r1hf.trainers.checkpoints`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from r1hf.core.errors import StageError
from r1hf.core.foreign_code import WEIGHTS
from r1hf.stage.locks import leave_terminal
from r1hf.trainers import checkpoints
from r1hf.trainers.sharded import gather, spread

_COUNTERS = ("_step", "_total_train_tokens")  # TRL's: micro-batches of GRPO; tokens of SFT and reward models
_EXTRA = "r1hf_{rank}.pt"
_REFERENCE = "reference.safetensors"


class ExactResume(Trainer):
    """A `Trainer`, and a mixin for TRL's and Transformers' trainers, before them in the bases.

    stateful: name -> object with `state_dict()` and `load_state_dict(state)`, saved with every checkpoint; register
    what has a state of its own (a sampler, a schedule) before training.
    """

    def __init__(self, *arguments: Any, **named: Any):
        self.stateful: dict[str, Any] = {}
        self._saving: Path | None = None
        self._extra: dict[str, Any] | None = None
        super().__init__(*arguments, **named)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._saving) if self._saving is not None else super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Raises StageError where it cannot be written; the checkpoint before stays as it is."""
        directory = Path(self.args.output_dir)
        self._saving = directory / checkpoints.SAVING
        saved = self._saving / f"checkpoint-{self.state.global_step}"
        try:
            if self.args.should_save:
                shutil.rmtree(self._saving, ignore_errors=True)
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            torch.save(self._extra_state(), saved / _EXTRA.format(rank=self.args.process_index))
            self._save_reference(saved)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                checkpoints.complete(saved)
                checkpoints.publish(saved, directory, self.args.save_total_limit)
            self.accelerator.wait_for_everyone()
        except (OSError, SafetensorError, RuntimeError) as error:
            if not checkpoints.is_write_error(error):
                raise
            raise StageError(
                f"the checkpoint of step {self.state.global_step} cannot be written to {directory}: {error}; "
                "those before it are kept: make room and repeat the same command to go on from the last one"
            ) from error
        finally:
            if self.args.should_save:
                shutil.rmtree(self._saving, ignore_errors=True)
            self._saving = None

    def _extra_state(self) -> dict[str, Any]:
        return {
            "world_size": self.args.world_size,
            "loss": (self._tr_loss, self._total_loss_scalar, self._globalstep_last_logged),
            "stateful": {name: item.state_dict() for name, item in self.stateful.items()},
            "counters": {name: getattr(self, name) for name in _COUNTERS if hasattr(self, name)},
            "metrics": {name: list(values) for name, values in getattr(self, "_metrics", {}).get("train", {}).items()},
            "rollouts": self._rollouts_under_way(),
        }

    def _rollouts_under_way(self) -> Any:
        """GRPO's buffer, unless the next step would fill it anew."""
        step = getattr(self, "_step", 0)
        if step == 0 or step % (self.args.steps_per_generation * self.num_iterations) == 0:
            return None
        return self._buffered_inputs

    def _save_reference(self, saved: Path) -> None:
        """The reference model, once it has been replaced: TRL would load it from its first source again."""
        reference = getattr(self, "ref_model", None)
        if reference is not None and getattr(self.args, "sync_ref_model", False):
            weights = gather(reference, self.accelerator)
            if self.args.should_save:
                save_file({name: tensor.contiguous().clone() for name, tensor in weights.items()}, saved / _REFERENCE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Experts lie one by one in the file and fused in the model: `Trainer` would keep those of the start."""
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        target = self.accelerator.unwrap_model(model or self.model)
        files = sorted(Path(resume_from_checkpoint).glob("model*.safetensors"))  # one, or shards
        if not isinstance(target, PreTrainedModel) or not files:
            return
        known = set(target.state_dict())
        if all(set(_names(file)) <= known for file in files):
            return
        saved = type(target).from_pretrained(resume_from_checkpoint, dtype=target.dtype, **WEIGHTS)
        target.load_state_dict(saved.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with _one_cpu(self.args):
            super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        path = Path(checkpoint) / _EXTRA.format(rank=self.args.process_index)
        if not path.is_file():
            raise StageError(f"{checkpoint} has no {path.name}: it was saved by fewer processes, or not by r1hf")
        with _one_cpu(self.args):
            state = torch.load(path, map_location=self.args.device, weights_only=True)
        if state["world_size"] != self.args.world_size:
            raise StageError(
                f"{checkpoint} was saved by {state['world_size']} processes and there are {self.args.world_size}: "
                "data and random numbers would not go on where they stopped; use as many, or start anew"
            )
        for name, item in self.stateful.items():
            if name in state["stateful"]:
                item.load_state_dict(state["stateful"][name])
        for name, value in state["counters"].items():
            setattr(self, name, value)
        if state["metrics"]:
            self._metrics["train"].update(state["metrics"])
        if state["rollouts"] is not None:
            self._buffered_inputs = state["rollouts"]
        reference = Path(checkpoint) / _REFERENCE
        if reference.is_file():
            spread(self.ref_model, self.accelerator, load_file(reference))
        self._extra = state  # the sums of the loss are set to zero once more before the first step

    def _run_epoch(self, *arguments: Any, **named: Any) -> Any:
        if self._extra is not None:
            self._tr_loss, self._total_loss_scalar, self._globalstep_last_logged = self._extra["loss"]
            self._extra = None
            _shuffle_again(named["train_dataloader"], named["epoch"])
        return super()._run_epoch(*arguments, **named)


def _names(file: Path) -> list[str]:
    with safe_open(file, "pt") as stored:
        return list(stored.keys())


@contextlib.contextmanager
def _one_cpu(args: TrainingArguments) -> Iterator[None]:
    """With several processes on CPU, accelerate names the device `cpu:1`, which torch.load does not know."""
    device = args.device
    if device.type != "cpu":
        yield
        return
    args.__dict__["_setup_devices"] = torch.device("cpu")
    try:
        yield
    finally:
        args.__dict__["_setup_devices"] = device


def _shuffle_again(loader: Any, epochs: int) -> None:
    """TRL's sampler draws an order for each epoch from one generator: draw those of the epochs that are past."""
    sampler: Any = getattr(loader, "batch_sampler", None)
    for _ in range(3):  # accelerate's shard, then torch's batches, then TRL's sampler
        if isinstance(getattr(sampler, "generator", None), torch.Generator) and hasattr(sampler, "mini_repeat_count"):
            for _ in range(epochs):
                torch.randperm(sampler.num_samples, generator=sampler.generator)
            return
        sampler = getattr(sampler, "batch_sampler", None) or getattr(sampler, "sampler", None)


class StopOnSignal(TrainerCallback):
    """Saves and stops at the end of the step in which SIGTERM or Ctrl-C came, or what counts as SIGTERM
    (`r1hf.stage.locks.STOPS`); all processes at the same step.

    A second signal goes to the handler that was there before, which ends the stage at once. One within `ECHO` seconds
    is the first one again: a scheduler signals every process, and torchrun passes on what it got.
    """

    ECHO = 2.0

    def __init__(self) -> None:
        self.number: int | None = None
        self._old: dict[int, Any] = {}
        self._first = 0.0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handles the two signals; does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._old = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in self._old.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        leave_terminal()  # a pipeline's stage has a session of its own, which no closed terminal tells
        if self.number is None:
            self.number, self._first = number, time.monotonic()
        elif time.monotonic() - self._first > self.ECHO:
            for each, handler in self._old.items():
                signal.signal(each, handler)
            os.kill(os.getpid(), number)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        asked = self.number is not None
        if args.world_size > 1:
            flag = torch.tensor(float(asked), device=args.device)
            torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
            asked = bool(flag)
            self.number = self.number or (signal.SIGTERM if asked else None)
        if asked:
            control.should_save = control.should_training_stop = True
        return control
