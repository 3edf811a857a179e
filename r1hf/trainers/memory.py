"""Out of memory: the longest rows are tried first, and a micro-batch that does not fit goes through in parts.

A part's loss is weighted so that the parts add up to the gradient of the whole; effective batch, groups and schedule
stay as they are. (Transformers' `auto_find_batch_size` starts anew with another effective batch.)
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as compute
import torch
from accelerate.utils import DistributedType
from accelerate.utils.memory import should_reduce_batch_size
from transformers import Trainer

from r1hf.core.errors import StageError

_WHOLE = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)
_ADVICE = (
    "give less to one device (per_device_train_batch_size, max_completion_length or max_length), turn "
    "gradient_checkpointing on, train an adapter (use_peft), or shard the model (recipes/accelerate)"
)


class _BrokenBackward(Exception):
    """Gradients hold a piece of a batch."""


@dataclass
class MemoryConfig:
    """Keys of this module, beside those of a trainer."""

    probe_longest: bool | None = field(
        default=None, metadata={"help": "try the longest rows before training; none: where there is a GPU"}
    )
    split_on_oom: bool = field(
        default=True, metadata={"help": "out of memory: halve the rows at once, same effective batch"}
    )


class FitsMemory(Trainer):
    """Mixin for Transformers' and TRL's trainers, before them in the bases.

    rows_at_once: rows (pairs, for pairwise models) of one forward and backward pass; None: the whole micro-batch.

    Mid-run it halves in one process only: several would have to agree while one of them is out of memory, so there
    the probe before training decides for all, and a later error says so. Raises StageError where one row is too much.
    """

    rows_at_once: int | None = None

    def __init__(self, *arguments: Any, **named: Any):
        self._passed: list[tuple[Any, Any]] = []
        super().__init__(*arguments, **named)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if return_outputs or not self._splits():
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        loss = self._in_parts(model, inputs, num_items_in_batch, self._passed)
        self._passed.append((inputs, num_items_in_batch))
        if self.accelerator.sync_gradients:
            self._passed = []
        return loss.requires_grad_()  # the gradients are there; what the trainer does with this leaf changes nothing

    def _splits(self) -> bool:
        return (
            getattr(self.args, "split_on_oom", False)
            and torch.is_grad_enabled()
            and self.model.training
            and self.accelerator.distributed_type in _WHOLE
        )

    def _in_parts(self, model: Any, inputs: Any, num_items: Any, before: list[tuple[Any, Any]]) -> torch.Tensor:
        """Forward and backward of a micro-batch in parts; the detached loss.

        before: the micro-batches of this step that are through: done again if a backward pass breaks off half way,
        because gradients then hold a piece of it.
        """
        earlier: list[tuple[Any, Any]] = []
        while True:
            try:
                for batch, items in earlier:
                    self._parts(model, batch, items)
                return self._parts(model, inputs, num_items)
            except _BrokenBackward:
                model.zero_grad()
                earlier = before

    def _parts(self, model: Any, inputs: Any, num_items: Any) -> torch.Tensor:
        total = self.rows_of(inputs)
        start, loss = 0, torch.zeros((), device=self.args.device)
        while start < total:
            stop = min(start + (self.rows_at_once or total), total)
            part: Any = None
            own: Any = None
            backward = False
            try:
                with self._last_syncs(model, stop == total):
                    part = inputs if stop - start == total else self.part_of(inputs, start, stop)
                    own = super().compute_loss(model, part, num_items_in_batch=num_items)
                    own = own if part is inputs else own * self.weight_of(inputs, part, num_items)
                    backward = True
                    self.accelerator.backward(self._scaled(own, num_items))
                loss, start = loss + own.detach(), stop
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(stop - start, str(error), inputs)
            # Outside of `except`: there the traceback still holds the tensors that did not fit.
            part = own = None
            free_memory()
            if backward:
                raise _BrokenBackward
        return loss

    def _last_syncs(self, model: Any, last: bool) -> Any:
        return contextlib.nullcontext() if last else self.accelerator.no_sync(model)

    def _scaled(self, loss: torch.Tensor, num_items: Any) -> torch.Tensor:
        """As `Trainer.training_step` scales a loss."""
        if (not self.model_accepts_loss_kwargs or num_items is None) and self.compute_loss_func is None:
            return loss / self.current_gradient_accumulation_steps
        return loss

    def _halve(self, rows: int, error: str, inputs: Any = None) -> None:
        step, reason = self.state.global_step + 1, error.split("\n")[0][:200]
        if self.args.world_size > 1 and inputs is not None:
            raise StageError(
                f"step {step}: out of memory with {rows} rows at once ({reason}). With several processes rows are "
                f"halved before training only (probe_longest true): {_ADVICE}"
            )
        if rows == 1:
            raise StageError(f"step {step}: out of memory with one row at once ({reason}): {_ADVICE}")
        if inputs is not None and (why := self.unsplittable(inputs)):
            raise StageError(f"step {step}: out of memory ({reason}), and the batch cannot be split: {why}; {_ADVICE}")
        self.rows_at_once = (rows + 1) // 2
        if self.args.process_index == 0:
            print(
                f"out of memory at step {step} with {rows} rows at once: {self.rows_at_once} from now on, "
                "the same effective batch",
                file=sys.stderr,
            )

    def log(self, logs: dict[str, float], *arguments: Any, **named: Any) -> None:
        if self.rows_at_once is not None and "loss" in logs:
            logs["rows_at_once"] = float(self.rows_at_once)
        super().log(logs, *arguments, **named)

    # What a kind of trainer knows of its batches

    def rows_of(self, inputs: Any) -> int:
        """How many rows `part_of` counts."""
        return len(inputs["input_ids"])

    def part_of(self, inputs: Any, start: int, stop: int) -> dict[str, Any]:
        return rows_between(inputs, len(inputs["input_ids"]), start, stop)

    def weight_of(self, inputs: Any, part: Any, num_items: Any) -> float:
        """What the loss of a part is multiplied by: its share of what the whole averages over."""
        labels = inputs.get("labels")
        if labels is None or labels.shape != inputs["input_ids"].shape:
            return len(part["input_ids"]) / len(inputs["input_ids"])
        if num_items is not None:  # tokens of the whole step
            return 1.0
        counts = [int((batch["labels"][:, 1:] != -100).sum()) for batch in (part, inputs)]
        return counts[0] / max(1, counts[1])

    def unsplittable(self, inputs: Any) -> str | None:
        """Why parts would not add up to the whole, or None."""
        if "pixel_values" in inputs:
            return "it has images"
        if "position_ids" in inputs and "attention_mask" not in inputs:
            return "its rows are packed into one (padding_free, packing)"
        if getattr(self, "aux_loss_enabled", False):
            return "the router's loss is over all rows at once"
        return None

    # The probe

    def probe(self) -> dict[str, Any] | None:
        """Forward and backward over the longest rows, with as much set aside as the optimizer will take.

        Leaves weights, optimizer and random states as they were, and `rows_at_once` as small as it must be. Returns
        rows, tokens of a row and peak bytes (None without a GPU); None where a model is sharded: not tried there.
        """
        if self.accelerator.distributed_type not in _WHOLE:
            return None
        inputs = self._prepare_input(self.longest_batch(self.args.per_device_train_batch_size))
        total = self.rows_of(inputs)
        cuda = self.args.device.type == "cuda"
        with _untouched(self.model):
            while True:
                rows = min(self.rows_at_once or total, total)
                if cuda:
                    torch.cuda.reset_peak_memory_stats()
                reason = self._fails(inputs if rows == total else self.part_of(inputs, 0, rows))
                if not self._anywhere(reason is not None):
                    break
                if not getattr(self.args, "split_on_oom", False) or rows == 1:
                    raise StageError(
                        f"before training: {rows} of the longest rows at once do not fit into memory "
                        f"({reason or 'on another process'}): {_ADVICE}"
                    )
                if why := self.unsplittable(inputs):
                    raise StageError(
                        f"before training: the longest rows do not fit into memory, and cannot be split: {why}; "
                        f"{_ADVICE}"
                    )
                self._halve(rows, reason or "on another process")
        tokens = max(value.shape[1] for key, value in inputs.items() if key.endswith("input_ids"))
        return {"rows": rows, "tokens": tokens, "peak": torch.cuda.max_memory_allocated() if cuda else None}

    def _fails(self, inputs: Any) -> str | None:
        """The message of the error if `inputs` do not fit."""
        reserved: list[torch.Tensor] = []
        reason = None
        try:
            if not self.optimizer or not self.optimizer.state:
                trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
                reserved = [torch.empty_like(parameter) for parameter in trained for _ in range(2)]  # Adam's moments
            with self.accelerator.autocast():
                self.probe_loss(inputs).backward()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).split("\n")[0][:200]
        reserved.clear()
        self.model.zero_grad()
        free_memory()
        return reason

    def _anywhere(self, failed: bool) -> bool:
        if self.args.world_size == 1:
            return failed
        flag = torch.tensor(float(failed), device=self.args.device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag)

    def longest_batch(self, rows: int) -> dict[str, Any]:
        """The longest row of the data, `rows` times."""
        data: Any = self.train_dataset
        name = next(name for name in data.column_names if name.endswith("input_ids") or name.endswith("_ids"))
        lengths = compute.list_value_length(data.with_format("arrow")[:][name])
        longest = lengths.to_numpy(zero_copy_only=False).argmax()
        return self.data_collator([dict(data[int(longest)]) for _ in range(rows)])

    def probe_loss(self, inputs: Any) -> torch.Tensor:
        """A loss of the size of the real one. No process waits for another in it: one may be out of memory."""
        output = self.model(**{**inputs, "use_cache": False})
        return output.loss if getattr(output, "loss", None) is not None else output.logits.float().mean()


def rows_between(inputs: Any, total: int, start: int, stop: int) -> dict[str, Any]:
    """Rows `start` to `stop` of every tensor that has `total` of them, and the rest as it is."""
    return {
        name: value[start:stop] if isinstance(value, torch.Tensor) and value.dim() and len(value) == total else value
        for name, value in inputs.items()
    }


def run_probe(trainer: Any) -> dict[str, Any] | None:
    """Probes where the configuration asks for it, and says what it found."""
    wanted = getattr(trainer.args, "probe_longest", False)
    if wanted is None:
        wanted = trainer.args.device.type == "cuda"
    if not wanted or not isinstance(trainer, FitsMemory):
        return None
    found = trainer.probe()
    if found is not None and trainer.args.process_index == 0:
        peak = f", peak {found['peak'] / 2**30:.2f} GiB" if found["peak"] is not None else ""
        print(f"the longest rows fit: {found['rows']} x {found['tokens']} tokens{peak}", file=sys.stderr)
    return found


def is_out_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, torch.OutOfMemoryError)
        or should_reduce_batch_size(error)
        or any(sign in str(error) for sign in ("CUBLAS_STATUS_ALLOC_FAILED", "can't allocate memory"))
    )


def free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def _untouched(model: Any) -> Iterator[None]:
    """Keeps random states, mode and buffers of a model."""
    training = model.training
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        model.train()
        try:
            yield
        finally:
            model.train(training)
            for name, buffer in model.named_buffers():
                buffer.data.copy_(buffers[name])
