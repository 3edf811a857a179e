"""LoRA and QLoRA (arXiv 2106.09685, 2305.14314) through peft, and what a stage makes of an adapter.

A stage's output is an ordinary merged model by default, so that the next stage, serving and evaluation read it like
any other, with the adapter itself in `adapter/`.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from peft import LoraConfig, PeftModel
from transformers import (
    BitsAndBytesConfig,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from trl import GRPOTrainer

from r1hf.core.errors import ConfigError, StageError
from r1hf.core.hardware import has_gpu
from r1hf.models.loading import load_model, save_model
from r1hf.trainers.sharded import whole_weights

if TYPE_CHECKING:
    from r1hf.stage.stage import Stage

REFERENCE = "ref"  # TRL's name for the adapter that is the reference


@dataclass(kw_only=True)
class AdapterConfig:
    """Keys of an adapter, by the names of TRL's `ModelConfig`."""

    use_peft: bool = field(default=False, metadata={"help": "train a LoRA adapter and leave the model as it is"})
    lora_r: int = field(default=16, metadata={"help": "rank"})
    lora_alpha: int = field(default=32, metadata={"help": "the adapter counts lora_alpha / lora_r"})
    lora_dropout: float = field(default=0.0, metadata={"help": "dropout before the adapter"})
    lora_target_modules: list[str] | str = field(
        default="all-linear", metadata={"help": "names of the layers that get an adapter"}
    )
    lora_modules_to_save: list[str] | None = field(
        default=None, metadata={"help": "layers trained whole beside the adapter, e.g. lm_head"}
    )
    load_in_4bit: bool = field(default=False, metadata={"help": "QLoRA: the model in 4 bits (NVIDIA GPU)"})
    export: Literal["merged", "adapter", "both"] = field(
        default="both", metadata={"help": "merged: a plain model; adapter: it alone; both: it in adapter/ too"}
    )


def check_adapter(problems: list[str], config: AdapterConfig | None, args: Any) -> None:
    """Adds what cannot be trained."""
    if config is None or not config.use_peft:
        if config is not None and config.load_in_4bit:
            problems.append("load_in_4bit: a model in 4 bits cannot be trained itself; set use_peft true")
        return
    if config.load_in_4bit and not has_gpu():
        problems.append(
            "load_in_4bit: needs an NVIDIA GPU, and none is here; train in full precision (load_in_4bit false)"
        )
    if getattr(args, "sync_ref_model", False) and args.ref_model_mixup_alpha != 1.0:
        problems.append(
            f"ref_model_mixup_alpha: {args.ref_model_mixup_alpha} of two adapters is no mixture of two models; with "
            "use_peft set 1.0 (the reference becomes the policy)"
        )


def lora(config: AdapterConfig, task: str = "CAUSAL_LM") -> LoraConfig | None:
    """peft's configuration, or None without an adapter."""
    if not config.use_peft:
        return None
    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=config.lora_target_modules,
        modules_to_save=config.lora_modules_to_save,
        task_type=task,
    )


def quantization(config: AdapterConfig) -> Any:
    """QLoRA's 4 bits (NF4, quantised twice), or None. Raises ConfigError without bitsandbytes."""
    if not (config.use_peft and config.load_in_4bit):
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError("load_in_4bit: bitsandbytes is not installed; make install EXTRAS=dev,quant")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_quant_storage=torch.bfloat16,
    )


def write_model(stage: Stage, trainer: Trainer) -> None:
    """What a stage has trained, with its tokenizer, at the root of its output. Every process calls it."""
    config: Any = stage.config
    weights = whole_weights(trainer)
    if trainer.accelerator.is_main_process:
        model = trainer.accelerator.unwrap_model(trainer.model)
        export(model, trainer.processing_class, stage.work, config, config.model, weights)


def export(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    config: AdapterConfig,
    source: str,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Writes what `export` asks for into the stage's directory, and a whole model where none was adapted.

    source: the base as configured, `path` or `org/name@revision`. A quantised base is read again in full precision
    and merged there: rounding must not stay in the weights. weights: those of a sharded model (`whole_weights`), whose
    base is read again too.
    """
    if not isinstance(model, PeftModel):
        save_model(model, tokenizer, directory, weights)
        return
    if REFERENCE in model.peft_config:
        model.delete_adapter(REFERENCE)
    adapter = model.peft_config["default"]
    name, _, revision = source.partition("@")
    adapter.base_model_name_or_path, adapter.revision = name, revision or None
    place = directory if config.export == "adapter" else directory / "adapter"
    model.save_pretrained(place, state_dict=weights)
    (place / "README.md").unlink(missing_ok=True)  # peft's empty card
    tokenizer.save_pretrained(place)
    if config.export == "adapter":
        return
    if config.load_in_4bit or weights is not None:
        model = PeftModel.from_pretrained(load_model(source), place)
    merged = model.merge_and_unload(safe_merge=True)
    save_model(merged, tokenizer, directory)
    if config.export == "merged":
        for path in place.iterdir():
            path.unlink()
        place.rmdir()


class AdapterReference(GRPOTrainer):
    """GRPO whose reference follows an adapter, which TRL refuses (`sync_ref_model` with PEFT, huggingface/trl#3108).

    The reference is the adapter "ref", which TRL takes where there is one: at first the new adapter itself, equal to
    the base, then a copy of the trained one every `ref_model_sync_steps`. A checkpoint holds both. Before the bases.
    """

    def __init__(self, *arguments: Any, **named: Any):
        args: Any = named.get("args")
        peft_config = named.get("peft_config")
        follows = peft_config is not None and args is not None and args.sync_ref_model and args.beta != 0.0
        if not follows:
            super().__init__(*arguments, **named)
            return
        if args.ref_model_mixup_alpha != 1.0:
            raise ConfigError(
                f"ref_model_mixup_alpha: {args.ref_model_mixup_alpha} of two adapters is no mixture of two models; "
                "with an adapter set 1.0"
            )
        args.sync_ref_model = False  # for TRL's eyes only
        try:
            super().__init__(*arguments, **named)
        finally:
            args.sync_ref_model = True
        with torch.random.fork_rng():
            self.model.add_adapter(REFERENCE, peft_config)
        self.model.set_adapter("default")
        follow(self.model)
        self.add_callback(FollowAdapter())

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Transformers loads "ref" alone where a checkpoint has it, and leaves the trained adapter as it began."""
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        adapted = self.model if model is None else model
        if REFERENCE in getattr(adapted, "peft_config", {}) and (Path(resume_from_checkpoint) / REFERENCE).is_dir():
            adapted.load_adapter(resume_from_checkpoint, "default", is_trainable=True)
            adapted.set_adapter("default")


class FollowAdapter(TrainerCallback):
    """As TRL's `SyncRefModelCallback`, between adapters: after every `ref_model_sync_steps`-th step."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step % args.ref_model_sync_steps == 0:
            model = kwargs["model"]
            follow(getattr(model, "module", model))


@torch.no_grad()
def follow(model: Any) -> None:
    """The reference adapter := the trained one. Raises StageError where a sharded model hides its weights."""
    parameters = dict(model.named_parameters())
    pairs = [
        (parameters[name.replace(".default.", f".{REFERENCE}.")], parameter)
        for name, parameter in parameters.items()
        if ".default." in name
    ]
    if not pairs or any(old.shape != new.shape for old, new in pairs):
        raise StageError(
            "the reference cannot follow an adapter that is sharded; set sync_ref_model false (the reference is then "
            "the base), or train without FSDP or ZeRO-3"
        )
    for old, new in pairs:
        old.copy_(new)
        old.requires_grad_(False)
