"""What every training stage has around its trainer: progress, a log on disk, and proof that it trained."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import SaveStrategy

from r1hf.core.errors import StageError
from r1hf.core.files import sibling
from r1hf.core.progress import Progress
from r1hf.models.grouped_attention import for_training
from r1hf.stage.stage import Stage
from r1hf.trainers.build_only import builder
from r1hf.trainers.checkpoints import Checkpoint, last_whole
from r1hf.trainers.experts import ExpertLoad
from r1hf.trainers.flat import warnings_of
from r1hf.trainers.memory import run_probe
from r1hf.trainers.nonfinite import FiniteSteps
from r1hf.trainers.resume import ExactResume, StopOnSignal

_TIMES = (
    *("train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "step_time"),
    *("tokens_per_second/generation", "tokens_per_second/overall"),
)


HELD_OUT = "held_out/problems"  # stands in the log's rows of held-out problems, and in no other (held_out.py)


class StageCallback(TrainerCallback):
    """Shows progress and appends every logged row to the stage's `log.jsonl`."""

    def __init__(self, stage: Stage, label: str):
        self.stage, self.label = stage, label
        self.experts: ExpertLoad | None = None
        self.rows: list[dict[str, Any]] = []
        self._progress: Progress | None = None
        self._note = ""

    def go_on(self, step: int) -> None:
        """Takes up the log of an interrupted run; what it logged after `step` is logged again."""
        run = None if self.label == self.stage.name else self.label
        logged = _logged(self.stage.log.path) if self.stage.main_process else []
        rows = [row for row in logged if row.get("run") != run or row["step"] <= step]
        self.stage.log.rewrite(rows)
        self.rows = [{k: v for k, v in row.items() if k != "run"} for row in rows if row.get("run") == run]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self._progress = Progress(self.label, state.max_steps, "step", state.global_step)

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
        if self.experts is not None:
            row |= self.experts.values()
        self.rows.append(row)
        self.stage.log.write(row if self.label == self.stage.name else {"run": self.label, **row})
        shown = {"reward": row.get("reward"), "loss": row.get("loss"), "tokens": row.get("completions/mean_length")}
        if shown["reward"] is not None:
            del shown["loss"]  # GRPO's loss says little: it is near zero by construction
        if HELD_OUT in row:  # the note of the step before stays
            return
        self._note = "  ".join(f"{name} {float(value):.3g}" for name, value in shown.items() if value is not None)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._progress is not None:
            self._progress.close()


def _logged(path: Path) -> list[dict[str, Any]]:
    """The rows of a log as far as a run wrote them: a broken log is no reason to lose the run.

    Raises StageError where it is not a regular file: a pipe would be waited for.
    """
    if not path.exists():
        return []
    if not path.is_file():
        raise StageError(f"{path} is not a regular file; move it away, then repeat the command to go on")
    lines = path.read_bytes().split(b"\n")[:-1]  # a last line that a kill cut short is no row
    rows = [_row(line) for line in lines]
    strange = [number for number, row in enumerate(rows, 1) if row is None]
    if strange:
        print(
            f"note: {path}: {len(strange)} of {len(rows)} lines are no rows of a run and are dropped, the first of "
            f"them line {strange[0]}",
            file=sys.stderr,
        )
    return [row for row in rows if row is not None]


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int or not isinstance(row.get("run"), str | None):
        return None
    return row if all(_is_logged(value) for name, value in row.items() if name != "run") else None


def _is_logged(value: Any) -> bool:
    """What `StageLog` writes of a number, or of a list of numbers."""
    if isinstance(value, list):
        return all(_is_logged(item) for item in value)
    if value is None or isinstance(value, str | bool):
        return value is None
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def train(trainer: Trainer, stage: Stage, label: str | None = None) -> dict[str, Any]:
    """Trains and returns metrics for the manifest: no times, so that equal runs give equal manifests.

    In a stage that was interrupted it goes on from the last whole checkpoint. SIGTERM and Ctrl-C save one and end the
    process with status 143 or 130, if the trainer saves checkpoints at all.

    Raises StageError where no optimizer step was made, or fewer than `max_steps` asked for: TRL's GRPO trains on
    nothing, and says nothing, where the prompts do not fill one generation batch.
    """
    only = builder()
    if only is not None:
        only.build(trainer)
        return {"optimizer_steps": 0}
    for unwanted in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(unwanted)
    callback = StageCallback(stage, label or stage.name)
    trainer.add_callback(callback)
    if isinstance(trainer, FiniteSteps):
        trainer.failures = sibling(stage.output_dir, "failed")
    start = last_whole(Path(trainer.args.output_dir)) if stage.resumed else None
    _check_named(trainer, start)
    if stage.resumed:
        callback.go_on(start.step if start else 0)
    if start is not None and start.step >= start.last_step:
        _load_finished(trainer, start)
    else:
        run_probe(trainer)  # before the experts are counted: its forwards are no training
        callback.experts = ExpertLoad(trainer.model, getattr(stage.config, "expert_bias_speed", 0.0))
        if callback.experts.routers:
            trainer.add_callback(callback.experts)
            if isinstance(trainer, ExactResume):
                trainer.stateful["experts"] = callback.experts
        try:
            with for_training(trainer.model):
                _run(trainer, start)
        finally:
            callback.experts.close()
    steps, wanted = trainer.state.global_step, trainer.args.max_steps
    if steps == 0 or steps < wanted or (start and steps == start.step < start.last_step):
        raise StageError(
            f"stage {stage.name} made {steps} optimizer steps"
            + (f" of the {wanted} asked for" if wanted > 0 else "")
            + (f", {start.step} of them before it was interrupted" if start else "")
            + "; the data do not fill the batches: give more rows, or a smaller batch"
        )
    limit = getattr(trainer.args, "max_completion_length", None)
    own = [row for row in callback.rows if HELD_OUT not in row]
    asked = [row for row in callback.rows if HELD_OUT in row]
    _warn(stage, warnings_of(own, limit, getattr(trainer, "declared", None)))
    return {"optimizer_steps": steps, **_last_values(own), **_last_values(asked[-1:])}


def _check_named(trainer: Trainer, start: Checkpoint | None) -> None:
    """Raises StageError where `resume_from_checkpoint` names one of this trainer's that it would not go on from."""
    named, own = trainer.args.resume_from_checkpoint, Path(trainer.args.output_dir).resolve()
    if not named:
        return
    if str(named).lower() == "true":
        refused = start is None and any(own.glob("checkpoint-*"))
    else:
        path = Path(named).resolve()
        refused = path.parent == own and (start is None or start.path.name != path.name)
    if refused:
        rest = f"the last whole one, {start.path}" if start else "the beginning, since no checkpoint is whole"
        raise StageError(
            f"resume_from_checkpoint: {named} cannot be gone on from; leave the key out to go on from {rest}"
        )


def _warn(stage: Stage, found: dict[str, str]) -> None:
    """To the terminal, and to the metrics of the manifest, from which pipeline and report repeat them."""
    for name, text in found.items():
        stage.note("warnings", name, text)
        if stage.main_process:
            print(f"WARNING {stage.name}: {text}", file=sys.stderr)


def _run(trainer: Trainer, start: Checkpoint | None) -> None:
    """Trains to the end, or to a signal that asks for it."""
    if trainer.args.save_strategy == SaveStrategy.NO:
        trainer.train()
        return
    stop = StopOnSignal()
    trainer.add_callback(stop)
    with stop.listening():
        trainer.train(resume_from_checkpoint=str(start.path) if start else None)
    if stop.number is not None and trainer.state.global_step < trainer.state.max_steps:
        if trainer.state.is_world_process_zero:
            step, last = trainer.state.global_step, trainer.state.max_steps
            print(f"stopped at step {step} of {last}, saved; repeat the same command to go on", file=sys.stderr)
        raise SystemExit(128 + stop.number)


def _load_finished(trainer: Trainer, end: Checkpoint) -> None:
    """The run was killed between its last checkpoint and its output: nothing is left to train."""
    trainer._load_from_checkpoint(str(end.path))
    trainer.state = TrainerState.load_from_json(str(end.path / "trainer_state.json"))


def _last_values(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Each logged number, averaged over the last tenth of the log (at least one row)."""
    tail = rows[-max(1, len(rows) // 10) :]
    names = dict.fromkeys(name for row in tail for name in row if name not in ("step", "epoch", *_TIMES))
    means = {}
    for name in names:
        values = [float(row[name]) for row in tail if row.get(name) is not None and not isinstance(row[name], list)]
        if values and all(value == value for value in values):
            means[name] = sum(values) / len(values)
    return means
