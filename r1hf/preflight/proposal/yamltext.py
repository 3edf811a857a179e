"""The configuration that trains R1-Zero's way on a person's own rows, in at most 25 lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1hf.core.hardware import has_gpu
from r1hf.data.any_table import Row
from r1hf.preflight.proposal.rows import languages
from r1hf.text.language.han import is_traditional

_OWN = ("choice", "code", "countdown", "gym", "text")  # tasks with a reward of their name; accuracy judges the rest


@dataclass(frozen=True)
class Proposal:
    """keys: of the YAML, in order. about: how each is commented."""

    keys: Mapping[str, Any]
    about: Mapping[str, str]

    def text(self, head: Sequence[str]) -> str:
        lines = [f"# {line}" for line in head]
        for key, value in self.keys.items():
            if key == "prompts" and isinstance(value, dict):
                lines += ["prompts:", *(f"  {name}: {_flow(item)}" for name, item in value.items())]
                continue
            comment = f"  # {self.about[key]}" if key in self.about else ""
            lines.append(f"{key}: {_flow(value)}{comment}")
        return "\n".join(lines) + "\n"


def propose(rows: Sequence[Row], prompts: Any, model: str, name: str) -> Proposal:
    """The recipe's keys for these rows. prompts: the key of that name, a path or a mapping."""
    group = 8
    tasks = dict.fromkeys(row["task"] for row in rows)
    rewards = {task if task in _OWN else "accuracy": 1.0 for task in tasks} | {"format": 1.0, "language": 0.0}
    small = _positions(model)
    count, micro = max(1, min(8, len(rows))), 8 if small and small <= 2048 else 2
    keys: dict[str, Any] = {
        "recipe": "r1_zero",
        "output_dir": f"runs/{name}",
        "model": model,
        "prompts": prompts,
        **_template(rows),
        "rewards": rewards,
        "max_steps": 200,
        "num_generations": group,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": count * group // micro,
        "max_completion_length": min(1024, small // 2) if small else 1024,
        "learning_rate": 1e-6 if not small or small > 2048 else 3e-4,
        "save_steps": 50,
        "save_total_limit": 2,
    }
    about = {
        "model": "a base: a directory, or org/name on the Hub",
        "rewards": "language is measured, not paid",
        "per_device_train_batch_size": "completions at once: memory",
        "gradient_accumulation_steps": f"so that a step has {count} prompts with {group} completions each",
        "max_steps": "a first look; thousands for a result",
    }
    if has_gpu():
        about["max_completion_length"] = "faster: rollout_engine: vllm_colocate (docs/gpu.md)"
    else:
        keys |= {"use_cpu": True, "bf16": False}
        about["use_cpu"] = "no GPU is here; leave out both lines on a machine that has one"
    return Proposal(keys, about)


def _template(rows: Sequence[Row]) -> dict[str, Any]:
    """The paper's prompt: as chat template where all is English, else by language."""
    count = languages(rows)
    if count["zh"] == 0:
        return {"chat_template": "r1_zero"}
    hant = any(is_traditional(row["question"]) for row in rows[:50] if not row["question"].isascii())
    chinese = "r1_zero_zh_hant" if hant else "r1_zero_zh_hans"
    if count["zh"] == count.total():
        return {"prompt_template": chinese}
    others = [code for code in count if code not in (None, "zh", "en")]
    return {"prompt_template": {"en": "r1_zero_en", "zh": chinese, **dict.fromkeys(others, "r1_zero_en")}}


def _positions(model: str) -> int | None:
    """Of a model that is a directory here: how many tokens it takes."""
    try:
        found = json.loads((Path(model) / "config.json").read_text("utf-8")).get("max_position_embeddings")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None


def _flow(value: Any) -> str:
    """A value as YAML writes it on one line; text in quotes where YAML could read something else."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, float) and 0 < abs(value) < 1e-3:
        return f"{value:.1e}"
    if isinstance(value, str):
        plain = value.replace("_", "").replace("/", "").replace(".", "").replace("-", "")
        bare = (
            plain.isalnum()
            and value[0].isalpha()
            and value.lower() not in ("yes", "no", "on", "off", "null", "true", "false")
        )
        return value if bare else json.dumps(value, ensure_ascii=False)
    return str(value)
