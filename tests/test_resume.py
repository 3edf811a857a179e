"""Stopped and resumed, a run gives what it would have given: log, metrics and weights, bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import load_file
from small_run import CPU, answered, log
from transformers import Trainer, TrainerCallback

from r1hf.core.config import StageConfig, parse
from r1hf.core.errors import StageError
from r1hf.data.rows import write_rows
from r1hf.models.loading import load_tokenizer, save_model
from r1hf.stage.libraries import set_seed
from r1hf.stage.stage import Stage
from r1hf.trainers import checkpoints
from r1hf.trainers.callbacks import train
from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer
from r1hf.trainers.resume import StopOnSignal
from r1hf.trainers.rl import prompt_rows
from r1hf.trainers.sft import R1SFTConfig, R1SFTTrainer
from r1hf.trainers.sft_rows import sft_dataset

STEPS = 6
SAVED = {**CPU, "save_strategy": "steps", "save_steps": 1, "max_steps": STEPS, "num_threads": 1}
SFT = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "learning_rate": 1e-3, "logging_steps": 2}
GRPO = {
    **{"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 12, "learning_rate": 1e-3},
    **{"gradient_accumulation_steps": 2, "steps_per_generation": 4, "num_iterations": 2, "logging_steps": 2},
    **{"beta": 0.1, "sync_ref_model": True, "ref_model_sync_steps": 4, "loss_type": "grpo"},
}
KINDS = {
    "sft": SFT,
    "grpo": GRPO,  # a cycle of generation is four optimizer steps
    "grpo over epochs": {**GRPO, "steps_per_generation": 2, "num_iterations": 1},  # an epoch is two steps
    "grpo economical": {
        **{**GRPO, "beta": 0.0, "sync_ref_model": False, "loss_type": "dapo", "epsilon": 0.2},
        **{"compact_generation": True, "share_prompts": True, "skip_zero_advantage": True},
    },
}


def by_vowels(completions: list[str], **_: Any) -> list[float]:
    return [float(sum(text.count(vowel) for vowel in "aeiou")) for text in completions]


def sft_trainer(base: Path, args: Any) -> Trainer:
    return R1SFTTrainer(
        model=str(base), args=args, train_dataset=sft_dataset(answered(12)), processing_class=load_tokenizer(str(base))
    )


def grpo_trainer(base: Path, args: Any) -> Trainer:
    return R1GRPOTrainer(
        model=str(base),
        reward_funcs=[by_vowels],
        args=args,
        train_dataset=Dataset.from_list(prompt_rows(answered(8), "plain_en")),
        processing_class=load_tokenizer(str(base)),
    )


@dataclass(kw_only=True)
class WithData(StageConfig):
    prompts: str = field(default="", metadata={"input": True})


class StopAt(TrainerCallback):
    """SIGTERM in the middle of the step after `step`, in the backward pass of its last micro-batch."""

    def __init__(self, step: int):
        self.step = step

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


class Crash(TrainerCallback):
    """Dies as with SIGKILL, as far as the disk can tell: nothing is saved after `step`."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def run(
    kind: str,
    base: Path,
    output: Path,
    *callbacks: TrainerCallback,
    data: Path | None = None,
    schema: type[StageConfig] = StageConfig,
    **given: Any,
):
    """A stage as recipes have it. Returns its metrics and the rows of its log."""
    config, make = (R1SFTConfig, sft_trainer) if kind == "sft" else (R1GRPOConfig, grpo_trainer)
    settings = {**SAVED, **KINDS[kind], **given}
    words = [f"--{name}={value}" for name, value in settings.items()]
    schemas = (schema if data is None else WithData, config)
    words += [f"--prompts={data}"] if data else []
    with Stage(parse(schemas, [f"--output_dir={output}", *words]), __file__) as stage:
        args = stage.parsed.configs[1]
        args.output_dir = str(stage.checkpoints)
        trainer = make(base, args)
        for callback in callbacks:
            trainer.add_callback(callback)
        metrics = train(trainer, stage)
        save_model(trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class, stage.work)
        stage.finish(metrics)
    rows = [{k: v for k, v in row.items() if "time" not in k and "per_second" not in k} for row in log(output)]
    return metrics, rows


@pytest.fixture(scope="module")
def undisturbed(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any, Any]]:
    made: dict[str, tuple[Path, Any, Any]] = {}

    def get(kind: str) -> tuple[Path, Any, Any]:
        if kind not in made:
            output = tmp_path_factory.mktemp("straight") / "made"
            made[kind] = (output, *run(kind, tiny_base, output))
        return made[kind]

    return get


def check_equal(kind: str, output: Path, result: tuple[Any, Any], straight: tuple[Path, Any, Any]) -> None:
    for row, wanted in zip(result[1], straight[2], strict=True):
        assert {k: (row.get(k), wanted.get(k)) for k in {*row, *wanted} if row.get(k) != wanted.get(k)} == {}
    assert [row["step"] for row in result[1]] == [2, 4, 6]
    assert result[0] == straight[1] and result[0]["optimizer_steps"] == STEPS
    one, two = (load_file(path / "model.safetensors") for path in (output, straight[0]))
    assert all(torch.equal(one[name], two[name]) for name in two)
    assert not list(output.rglob("checkpoint-*")) and not (output / "trainer").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [(1, 3, 4), (2, 5)], ids=repr)  # every step once, after runs of one to three steps
def test_row_4_sigterm_at_any_step(
    kind: str, steps: tuple[int, ...], tiny_base: Path, tmp_path: Path, undisturbed: Any
) -> None:
    output = tmp_path / "made"
    for step in steps:
        with pytest.raises(SystemExit) as stop:
            run(kind, tiny_base, output, StopAt(step))
        assert stop.value.code == 143 and not output.exists()
        assert checkpoints.last_whole(tmp_path / "made.partial/trainer").step == step
    check_equal(kind, output, run(kind, tiny_base, output), undisturbed(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_row_5_a_crash_falls_back_to_the_last_checkpoint(
    kind: str, tiny_base: Path, tmp_path: Path, undisturbed: Any
) -> None:
    """Twice, with checkpoints two steps apart, so that steps are repeated and their rows of the log with them."""
    output = tmp_path / "made"
    for step in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            run(kind, tiny_base, output, Crash(step), save_steps=2)
    check_equal(kind, output, run(kind, tiny_base, output, save_steps=2), undisturbed(kind))


def test_the_end_was_reached_but_not_published(tiny_base: Path, tmp_path: Path, undisturbed: Any) -> None:
    class AtTheEnd(TrainerCallback):
        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            raise KeyboardInterrupt

    output = tmp_path / "made"
    with pytest.raises(KeyboardInterrupt):
        run("grpo", tiny_base, output, AtTheEnd())
    check_equal("grpo", output, run("grpo", tiny_base, output), undisturbed("grpo"))


def stopped(base: Path, output: Path, kind: str, **given: Any) -> Path:
    with pytest.raises(SystemExit):
        run(kind, base, output, StopAt(4), **given)
    return output.with_name(f"{output.name}.partial")


@cache
def stopped_once(base: Path, kind: str) -> tempfile.TemporaryDirectory[str]:
    place = tempfile.TemporaryDirectory()
    stopped(base, Path(place.name) / "made", kind)
    return place


def interrupted(base: Path, output: Path, kind: str = "sft", **given: Any) -> Path:
    """The checkpoints 1 to 4 of a run that was stopped at step 4; if nothing is given, of a copy of one such run."""
    if given:
        return stopped(base, output, kind, **given) / "trainer"
    partial = output.with_name(f"{output.name}.partial")
    shutil.copytree(Path(stopped_once(base, kind).name) / "made.partial", partial)
    return partial / "trainer"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink], ids=["cut", "flipped", "missing"])
def test_a_damaged_checkpoint_is_named_and_passed_over(
    harm: Callable[[Path], None], tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = interrupted(tiny_base, tmp_path / "made")
    newest = saved / "checkpoint-4"
    names = [str(path.relative_to(newest)) for path in newest.rglob("*") if path.is_file()]
    assert {"model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json", "r1hf_0.pt"} <= set(names)
    for name in names:
        copy = tmp_path / "copy"
        shutil.copytree(saved, copy)
        harm(copy / "checkpoint-4" / name)
        capsys.readouterr()
        assert checkpoints.last_whole(copy).step == 3
        said = capsys.readouterr().err
        assert "checkpoint-4 is passed over" in said and name in said
        shutil.rmtree(copy)


def test_with_a_damaged_checkpoint_the_end_is_the_same(
    tiny_base: Path, tmp_path: Path, undisturbed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = interrupted(tiny_base, tmp_path / "made", "grpo")
    flip(saved / "checkpoint-4" / "model.safetensors")
    cut(saved / "checkpoint-3" / "optimizer.pt")
    check_equal("grpo", tmp_path / "made", run("grpo", tiny_base, tmp_path / "made"), undisturbed("grpo"))
    said = capsys.readouterr().err
    assert "checkpoint-4 is passed over: model.safetensors has other content" in said
    assert "checkpoint-3 is passed over: optimizer.pt has" in said


def test_with_no_whole_checkpoint_it_starts_anew(tiny_base: Path, tmp_path: Path, undisturbed: Any) -> None:
    saved = interrupted(tiny_base, tmp_path / "made")
    for path in saved.glob("checkpoint-*"):
        (path / checkpoints.COMPLETE).unlink()
    check_equal("sft", tmp_path / "made", run("sft", tiny_base, tmp_path / "made"), undisturbed("sft"))


def test_only_the_newest_are_kept_and_never_none(tiny_base: Path, tmp_path: Path) -> None:
    saved = interrupted(tiny_base, tmp_path / "made", save_total_limit=2)
    assert sorted(path.name for path in saved.iterdir() if path.is_dir()) == ["checkpoint-3", "checkpoint-4"]


def test_other_code_is_noted(tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interrupted(tiny_base, tmp_path / "made")
    note = tmp_path / "made.partial" / ".request.json"
    before = json.loads(note.read_text())
    before["made_by"]["torch"] = "2.0.0"
    note.write_text(json.dumps(before))
    capsys.readouterr()
    run("sft", tiny_base, tmp_path / "made")
    assert f"other code than before the interruption (torch 2.0.0 -> {torch.__version__.partition('+')[0]}" in (
        capsys.readouterr().err
    )


def test_an_echo_of_the_signal_is_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun passes on a SIGTERM that the processes have had already."""
    stop, before = StopOnSignal(), signal.getsignal(signal.SIGTERM)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    try:
        with stop.listening():
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGTERM)
            assert stop.number == signal.SIGTERM and not ended
            monkeypatch.setattr(StopOnSignal, "ECHO", 0.0)
            os.kill(os.getpid(), signal.SIGTERM)
            assert ended == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_data_that_changed_since_are_an_error_and_the_checkpoints_stay(tiny_base: Path, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    write_rows(data, answered(8))
    saved = interrupted(tiny_base, tmp_path / "made", data=data)
    write_rows(data, answered(7))
    with pytest.raises(StageError, match="holds checkpoints of a run .*: the data in prompts; put that back"):
        run("sft", tiny_base, tmp_path / "made", data=data)
    assert checkpoints.last_whole(saved).step == 4
    run("sft", tiny_base, tmp_path / "made", data=data, restart=True)
    assert (tmp_path / "made" / "manifest.json").is_file()


def test_other_settings_are_an_error_that_names_them(tiny_base: Path, tmp_path: Path) -> None:
    interrupted(tiny_base, tmp_path / "made")
    with pytest.raises(StageError, match=r"max_steps 6 -> 3; put that back to go on from them, or .*--restart true"):
        run("sft", tiny_base, tmp_path / "made", max_steps=3)


def test_another_number_of_processes_is_an_error(tiny_base: Path, tmp_path: Path) -> None:
    saved = interrupted(tiny_base, tmp_path / "made")
    extra = saved / "checkpoint-4" / "r1hf_0.pt"
    state = torch.load(extra, weights_only=True)
    torch.save({**state, "world_size": 2}, extra)
    checkpoints.complete(saved / "checkpoint-4")
    with pytest.raises(StageError, match="saved by 2 processes and there are 1"):
        run("sft", tiny_base, tmp_path / "made")


def test_what_registers_itself_is_saved_along(tiny_base: Path, tmp_path: Path) -> None:
    class Counter(TrainerCallback):
        count = 0

        def state_dict(self) -> dict[str, int]:
            return {"count": self.count}

        def load_state_dict(self, state: dict[str, int]) -> None:
            self.count = state["count"]

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.begun = self.count

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.count += 1

    args = R1SFTConfig(output_dir=str(tmp_path), **{k: v for k, v in {**SAVED, **SFT}.items() if k != "num_threads"})
    counters = []
    for start in (None, str(tmp_path / "checkpoint-4")):
        trainer, counter = sft_trainer(tiny_base, args), Counter()
        trainer.stateful["counter"] = counter
        trainer.callback_handler.callbacks.insert(0, counter)
        trainer.train(resume_from_checkpoint=start)
        counters.append((counter.begun, counter.count))
    assert counters == [(0, STEPS), (4, STEPS)]


@pytest.mark.parametrize("kind", ["sft", "grpo"])
def test_adapters_and_their_reference_go_on(kind: str, tiny_base: Path, tmp_path: Path) -> None:
    """LoRA: the trained adapter, and in GRPO the one that is the reference, which has moved at step 4."""

    def trained(name: str, start: str | None = None) -> Trainer:
        given = {k: v for k, v in {**SAVED, **KINDS[kind]}.items() if k != "num_threads"}
        shared = {"peft_config": LoraConfig(r=4, target_modules="all-linear"), "model": str(tiny_base)}
        shared["processing_class"] = load_tokenizer(str(tiny_base))
        set_seed(7)
        if kind == "sft":
            args: Any = R1SFTConfig(output_dir=str(tmp_path / name), **given)
            trainer: Any = R1SFTTrainer(args=args, train_dataset=sft_dataset(answered(12)), **shared)
        else:
            args = R1GRPOConfig(output_dir=str(tmp_path / name), **given)
            data = Dataset.from_list(prompt_rows(answered(8), "plain_en"))
            trainer = R1GRPOTrainer(reward_funcs=[by_vowels], args=args, train_dataset=data, **shared)
        trainer.train(resume_from_checkpoint=start)
        return trainer

    straight = trained("straight")
    one = dict(straight.model.named_parameters())
    names = [name for name in one if "lora" in name]
    assert any(".ref." in name for name in names) is (kind == "grpo")
    for step in (3, 5):
        again = trained("again", start=str(tmp_path / "straight" / f"checkpoint-{step}"))
        two = dict(again.model.named_parameters())
        assert all(torch.equal(one[name], two[name]) for name in names)
        rows = [
            [{k: v for k, v in row.items() if "loss" in k or "reward" in k or k in ("kl", "grad_norm")} for row in log]
            for log in (straight.state.log_history[:-1], again.state.log_history[:-1])
        ]
        assert rows[0] == rows[1]
