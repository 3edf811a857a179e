"""A person's own stage for the checks: rows, a tokenizer of bytes, a policy of one layer, and the command."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from r1hf.commands.main import main
from r1hf.text.chat_templates import chat_template
from r1hf.text.grammar import TAGS

ROWS = [
    {"question": "What is 2 + 3 * 4?", "answer": "14", "language": "en", "task": "reasoning"},
    {"question": "2 + 3 * 4 等于多少？", "answer": "14", "language": "zh", "task": "reasoning"},
    {"question": "What is 6 - 9?", "answer": "-3", "language": "en", "task": "reasoning"},
]
TARGETS = [{"question": row["question"], "completion": "<think>Count.</think> <answer>14</answer>"} for row in ROWS]
COMMON = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no"}
RL = COMMON | {"per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 96, "max_steps": 3}
RL |= {"prompt_template": "r1_zero_short_en"}
SFT = COMMON | {"per_device_train_batch_size": 1, "max_length": 512, "num_train_epochs": 1}


def tokenizer(directory: Path, template: str | None = None, special: bool = False) -> Path:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE({piece: number for number, piece in enumerate([*alphabet, "<end>"])}, []))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    raw.add_tokens([AddedToken(tag, special=special, normalized=False) for tag in TAGS])
    made = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<end>")
    made.chat_template = template or chat_template()
    made.save_pretrained(directory)
    return directory


def make_policy(directory: Path) -> Path:
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = Qwen2Config(vocab_size=300, num_key_value_heads=1, eos_token_id=256, pad_token_id=256, **sizes)
    Qwen2ForCausalLM(config).save_pretrained(tokenizer(directory))
    return directory


def jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def configured(directory: Path, recipe: str, model: Path | str, **changes: Any) -> Path:
    """A YAML file of a stage with its rows beside it; a change to "" leaves a key out."""
    key, rows = ("data", TARGETS) if recipe == "sft" else ("prompts", ROWS)
    given = {"model": str(model), "output_dir": str(directory / "out"), key: str(directory / f"{key}.jsonl")}
    jsonl(directory / f"{key}.jsonl", rows)
    values = (SFT if recipe == "sft" else RL) | given | changes
    config = directory / f"{recipe}.yaml"
    config.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in values.items() if value != ""))
    return config


@dataclass(frozen=True)
class Checked:
    """What `r1hf check --json` said."""

    status: int
    report: dict[str, Any]

    def found(self, grade: str, what: str = "", part: str = "") -> list[str]:
        """Findings of a grade, with the place in front."""
        return [
            f"{one['where']}: {one['found']}".removeprefix(": ")
            for one in self.report["findings"]
            if one["grade"] == grade and what in ("", one["what"]) and part in ("", one["part"])
        ]

    @property
    def estimates(self) -> list[dict[str, Any]]:
        return [stage["estimate"] for stage in self.report["stages"] if stage["estimate"] is not None]


class Check:
    """`r1hf check FILE --json`, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]):
        self._capsys = capsys

    def __call__(self, file: Path | str, *words: str) -> Checked:
        status = main(["check", str(file), "--json", *words])
        return Checked(status, json.loads(self._capsys.readouterr().out))
