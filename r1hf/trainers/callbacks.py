"""What every training stage has around its trainer: progress, a log on disk, and proof that it trained."""

from __future__ import annotations

from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from r1hf.errors import StageError
from r1hf.progress import Progress
from r1hf.stage import Stage, sibling
from r1hf.trainers.finite import FiniteSteps
from r1hf.trainers.memory import run_probe

_TIMES = (
    *("train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "step_time"),
    *("tokens_per_second/generation", "tokens_per_second/overall"),
)


class StageCallback(TrainerCallback):
    """Shows progress and appends every logged row to the stage's `log.jsonl`."""

    def __init__(self, stage: Stage, label: str):
        self.stage, self.label = stage, label
        self.rows: list[dict[str, Any]] = []
        self._progress: Progress | None = None
        self._note = ""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self._progress = Progress(self.label, state.max_steps, "step")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._progress is not None:
            self._progress.update(1, self._note)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        row = {"step": state.global_step, **(logs or {})}
        if not state.is_world_process_zero or "train_runtime" in row:
            return
        self.rows.append(row)
        self.stage.log.write(row if self.label == self.stage.name else {"run": self.label, **row})
        shown = {"reward": row.get("reward"), "loss": row.get("loss"), "tokens": row.get("completions/mean_length")}
        if shown["reward"] is not None:
            del shown["loss"]  # GRPO's loss says little: it is near zero by construction
        self._note = "  ".join(f"{name} {float(value):.3g}" for name, value in shown.items() if value is not None)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._progress is not None:
            self._progress.close()


def train(trainer: Trainer, stage: Stage, label: str | None = None) -> dict[str, Any]:
    """Trains and returns metrics for the manifest: no times, so that equal runs give equal manifests.

    Raises StageError where no optimizer step was made, or fewer than `max_steps` asked for: TRL's GRPO trains on
    nothing, and says nothing, where the prompts do not fill one generation batch.
    """
    for unwanted in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(unwanted)
    callback = StageCallback(stage, label or stage.name)
    trainer.add_callback(callback)
    if isinstance(trainer, FiniteSteps):
        trainer.failures = sibling(stage.output_dir, "failed")
    run_probe(trainer)
    trainer.train()
    steps, wanted = trainer.state.global_step, trainer.args.max_steps
    if steps == 0 or steps < wanted:
        raise StageError(
            f"stage {stage.name} made {steps} optimizer steps"
            + (f" of the {wanted} asked for" if wanted > 0 else "")
            + "; the data do not fill the batches: give more rows, or a smaller batch"
        )
    return {"optimizer_steps": steps, **_last_values(callback.rows)}


def _last_values(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Each logged number, averaged over the last tenth of the log (at least one row)."""
    tail = rows[-max(1, len(rows) // 10) :]
    names = dict.fromkeys(name for row in tail for name in row if name not in ("step", "epoch", *_TIMES))
    means = {}
    for name in names:
        values = [float(row[name]) for row in tail if row.get(name) is not None]
        if values and all(value == value for value in values):
            means[name] = sum(values) / len(values)
    return means
