"""A loss or gradient that is no number stops the run before the optimizer step, with the batch written aside.

Transformers goes on: `logging_nan_inf_filter` hides such a loss in the log, clipping spreads one bad gradient to all
(a norm of NaN scales each of them), and the optimizer writes it into every weight.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate.utils import DistributedType
from safetensors.torch import save_file
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from transformers import Trainer

from r1hf.core.errors import StageError

_PLAIN = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)
_CAUSES = (
    "likely causes: a learning rate too high, float16 (use bfloat16 or float32), a damaged checkpoint, rows that are "
    "all masked or far too long. Look at the batch, lower learning_rate or max_grad_norm, and repeat the command; "
    "checkpoints that the run has saved are kept"
)


class FiniteSteps(Trainer):
    """Mixin for Transformers' and TRL's trainers, before them in the bases.

    failures: directory for the batch; beside the stage's output, so that it outlives the failed stage.

    Raises StageError in every process, before the optimizer step and before gradients are clipped. Under float16 a
    gradient that overflows is the loss scaler's business, which skips the step; only the loss is judged then.
    DeepSpeed steps within backward: there the loss of each micro-batch is judged before it.
    """

    failures: Path | None = None

    def __init__(self, *arguments: Any, **named: Any):
        self._window: list[tuple[dict[str, Any], torch.Tensor]] = []
        super().__init__(*arguments, **named)

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **named: Any) -> Any:
        result = super().compute_loss(model, inputs, *arguments, **named)
        if not torch.is_grad_enabled():
            return result
        loss = (result[0] if isinstance(result, tuple) else result).detach()
        self._window.append((inputs, loss))
        if self.is_deepspeed_enabled:
            self._judge(None)
            self._window.clear()
        return result

    def _clip_grad_norm(self, model: Any) -> Any:
        return self._checked_norm(model, self.args.max_grad_norm) if self._is_plain(model) else self._clip(model)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        if grad_norm is None and self._is_plain(model):
            return self._checked_norm(model, math.inf)
        grad_norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if not self._is_plain(model) and not self.is_deepspeed_enabled:
            self._judge(grad_norm)
            self._window.clear()
        return grad_norm

    def _clip(self, model: Any) -> Any:
        return super()._clip_grad_norm(model)

    def _is_plain(self, model: Any) -> bool:
        return self.accelerator.distributed_type in _PLAIN and not self._has_mixed_mesh_grads(model)

    def _checked_norm(self, model: Any, limit: float) -> torch.Tensor:
        """`clip_grad_norm_` in its two halves, and the check between them, while the bad gradient is still alone."""
        self.accelerator.unscale_gradients()
        parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
        norm = get_total_norm([parameter.grad for parameter in parameters])
        self._judge(norm)
        self._window.clear()
        if limit != math.inf:
            clip_grads_with_norm_(parameters, limit, norm)
        return norm

    def _judge(self, norm: Any) -> None:
        """One number per step leaves the device; every process learns of a fault in any of them."""
        device = self.args.device
        bad = torch.zeros((), device=device)
        for _, loss in self._window:
            bad = bad + (~torch.isfinite(loss)).any()
        if norm is not None and self.accelerator.scaler is None:
            bad = bad + (~torch.isfinite(torch.as_tensor(norm, device=device)))
        if self.args.world_size > 1:
            torch.distributed.all_reduce(bad)
        if bad > 0:
            self._stop(norm)

    def _stop(self, norm: Any) -> NoReturn:
        step = self.state.global_step + 1
        losses = [loss.float().mean().item() for _, loss in self._window]
        parameter = _first_bad(self.model.named_parameters())
        lost = [index for index, loss in enumerate(losses) if not math.isfinite(loss)]
        directory = (self.failures or Path(self.args.output_dir) / "failed") / f"step-{step}"
        report = {
            "step": step,
            "process": self.args.process_index,
            "learning_rate": self._get_learning_rate(),
            "gradient_norm": _text(norm),
            "first_bad_gradient": parameter,
            "losses": [_text(loss) for loss in losses],
            "micro_batches": [self._described(index) for index in lost or range(len(self._window))],
        }
        where = f"; the batch is in {directory}"
        try:
            self._write(directory, report, lost)
        except OSError as error:
            where = f"; the batch could not be written to {directory}: {error}"
        if lost:
            what = f"the loss is {_text(losses[lost[0]])}"
        elif parameter:
            what = f"the loss is finite ({losses[-1]:.4g}) and the gradient of {parameter} is not"
        else:
            what = (
                f"the gradient's norm is {_text(norm)}" if norm is not None else "the loss of another process is bad"
            )
        raise StageError(
            f"step {step}: {what}. Stopped before the optimizer step: the weights are those of step {step - 1}"
            f"{where}; {_CAUSES}"
        )

    def _write(self, directory: Path, report: dict[str, Any], lost: list[int]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        name = f"process-{self.args.process_index}"
        tensors = {
            f"{index}.{key}": value.detach().cpu().contiguous().clone()
            for index in lost or range(len(self._window))
            for key, value in self._window[index][0].items()
            if isinstance(value, torch.Tensor)
        }
        save_file(tensors, directory / f"{name}.safetensors")
        text = json.dumps(report, ensure_ascii=False, indent=2)
        (directory / f"{name}.json").write_text(text + "\n", encoding="utf-8")

    def _described(self, index: int) -> dict[str, Any]:
        """A micro-batch for people: texts, and what stands beside each row."""
        inputs = self._window[index][0]
        rows: dict[str, Any] = {"micro_batch": index}
        decode = getattr(self.processing_class, "batch_decode", None)
        for key, value in inputs.items():
            if not isinstance(value, torch.Tensor):
                continue
            if decode and key.endswith("input_ids") or key in ("prompt_ids", "completion_ids"):
                mask = inputs.get(key.replace("input_ids", "attention_mask").replace("_ids", "_mask"))
                rows[key.removesuffix("_ids")] = decode(_real(value, mask)) if decode else None
            elif value.dim() == 1 and key not in ("labels",):
                rows[key] = [_text(item) for item in value.tolist()]
        return rows | self._rewards(rows.get("completion") or [])

    def _rewards(self, completions: list[str]) -> dict[str, Any]:
        """GRPO keeps rewards beside texts, and shuffles the batch: found again by text."""
        logs = getattr(self, "_logs", None)
        if not completions or not logs or not logs.get("rewards"):
            return {}
        known = {_content(text): place for place, text in enumerate(logs["completion"])}
        ends = set(getattr(self.processing_class, "all_special_tokens", []))
        places = [known.get(_without(text, ends)) for text in completions]
        return {
            "rewards": {
                name: [None if place is None else _text(values[place]) for place in places]
                for name, values in ((name, list(values)) for name, values in logs["rewards"].items())
            }
        }


def _first_bad(parameters: Iterable[tuple[str, torch.nn.Parameter]]) -> str | None:
    for name, parameter in parameters:
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            return name
    return None


def _real(ids: torch.Tensor, mask: torch.Tensor | None) -> list[list[int]]:
    if mask is None or mask.shape != ids.shape:
        return ids.tolist()
    return [row[keep.bool()].tolist() for row, keep in zip(ids, mask, strict=True)]


def _content(completion: Any) -> str:
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def _without(text: str, tokens: set[str]) -> str:
    for token in tokens:
        text = text.replace(token, "")
    return text


def _text(value: Any) -> Any:
    """A number for JSON: `nan` and `inf` as words."""
    if value is None or isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else str(number)
