"""What trainers log at each step, under TRL's present names: trainer_state.json, JSON lines, consoles of TRL, Unsloth
and verl.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, DataError
from r1hf.core.files import open_plain, read_object, reason_of
from r1hf.data.lines import numbered_jsonl
from r1hf.explain.runs.columns import number
from r1hf.explain.runs.table import RunTable, Step

_OLD_NAMES = {  # of earlier versions of TRL
    "completion_length": "completions/mean_length",
    "completions/completion_length": "completions/mean_length",
    "clip_ratio": "clip_ratio/region_mean",
}
_VERL = {
    "critic/score/mean": "reward",
    "actor/kl_loss": "kl",
    "actor/reward_kl_penalty": "kl",
    "actor/grad_norm": "grad_norm",
    "actor/lr": "learning_rate",
    "actor/entropy": "entropy",
    "actor/entropy_loss": "entropy",
    "actor/kl_coef": "beta",
    "response_length/mean": "completions/mean_length",
    "response_length/max": "completions/max_length",
    "response_length/clip_ratio": "completions/clipped_ratio",
    "prompt_length/mean": "prompt_length",
}
VERL_CONSOLE = "verl's console log"
_VERL_STEP = re.compile(r"\bstep:(\d+) - (.*)")
_VERL_PAIR = re.compile(r"([\w/@().+-]+?):(?:np\.\w+\()?(-?(?:\d[\d.]*(?:[eE][+-]?\d+)?|nan|inf))\)?")
_VERL_HELD_OUT = re.compile(r"val(?:-core)?/.*(?:mean@\d+|/test_score/.*|/reward|/acc)$|val/test_score/.*")
_DICT = re.compile(r"\{'(?:loss|reward|rewards/|num_tokens|grad_norm|eval_).*?\}")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BARE = re.compile(r"(?<=[ :\[,(])(nan|-?inf)(?=[,}\] )])")


def add_trainer_state(run: RunTable, path: Path) -> None:
    """The log of a Transformers or TRL trainer. Raises DataError where it is none."""
    try:
        state = read_object(path)
    except (ConfigError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    history = state.get("log_history")
    if not isinstance(history, list):
        raise DataError(f"{path} has no log_history: it is no trainer_state.json of Transformers")
    add_steps(run, (row for row in history if isinstance(row, Mapping)))
    run.kinds.append("Transformers' trainer_state.json")
    run.taken.append(("the log", str(path)))


def add_json_lines(run: RunTable, path: Path) -> None:
    """r1hf's log.jsonl, or a log of one JSON object a step, such as ms-swift's logging.jsonl."""
    bad: list[str] = []
    rows = [row for _, row in numbered_jsonl(path, bad)]
    add_steps(run, (row for row in rows if row.get("run") is None))
    if bad:
        run.notes.append(f"{len(bad)} broken line{'s' if len(bad) != 1 else ''} left out, the first {bad[0]}")
    run.taken.append(("the log", str(path)))


def add_console(run: RunTable, path: Path) -> bool:
    """What a trainer printed: TRL's and Unsloth's dictionaries, verl's "step:1 - …". False where there is neither."""
    try:
        with open_plain(path) as stream:
            lines = stream.read(1 << 30).decode("utf-8", "replace").replace("\r", "\n").split("\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}") from error
    rows = [*_printed(lines)]
    if not rows:
        return False
    add_steps(run, rows)
    verl = any("critic/score/mean" in row for row in rows)
    run.kinds.append(VERL_CONSOLE if verl else "a console log of TRL")
    run.taken.append(("the log", str(path)))
    return True


def _printed(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    count = 0
    for line in lines:
        text = _COLOUR.sub("", line)
        if match := _VERL_STEP.search(text):
            yield {"step": int(match[1]), **{name: value.rstrip(".") for name, value in _VERL_PAIR.findall(match[2])}}
        for found in _DICT.findall(text):
            row = _literal(found)
            if row is not None:
                count += "reward" in row
                yield {"step": count, **row}


def _literal(text: str) -> dict[str, Any] | None:
    try:
        row = ast.literal_eval(_BARE.sub(r"'\1'", text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return row if isinstance(row, dict) and all(isinstance(key, str) for key in row) else None


def add_steps(run: RunTable, rows: Iterable[Mapping[str, Any]]) -> None:
    """Merges rows by step, the later ones over the earlier, and keeps apart what was not finite."""
    merged: dict[int, Step] = {int(row["step"] or 0): row for row in run.steps}
    for place, row in enumerate(rows, 1):
        given = number(row.get("step", row.get("global_step")))
        step = place if given is None else int(given)
        own = merged.setdefault(step, {"step": step})
        for key, value in row.items():
            name = _name(key)
            amount = number(value)
            if amount is not None:
                own[name] = amount
            elif _is_not_finite(value):
                run.non_finite.append((step, name))
    run.steps = [merged[step] for step in sorted(merged)]


def _name(key: str) -> str:
    held_out, bare = key.startswith("eval_"), key.removeprefix("eval_")
    if _VERL_HELD_OUT.fullmatch(key):
        return "eval_reward"
    bare = _VERL.get(bare, _OLD_NAMES.get(bare, bare))
    if bare.startswith("rewards/") and bare.count("/") == 1:  # TRL before 0.16
        bare = f"{bare}/mean"
    return f"eval_{bare}" if held_out else bare


def _is_not_finite(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and not math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def add_model_facts(run: RunTable, directory: Path) -> None:
    """How long a text the model knows, and which tokens vanish in decoding, where its files lie beside the log."""
    config = _object(directory / "config.json")
    inner = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    positions = number((inner or {}).get("max_position_embeddings"))
    run.context = int(positions) if positions else run.context
    tokens = _object(directory / "tokenizer_config.json")
    listed = tokens.get("added_tokens_decoder")
    decoder = [one for one in listed.values() if isinstance(one, dict)] if isinstance(listed, dict) else []
    special = [one.get("content") for one in decoder if one.get("special")]
    for key in ("extra_special_tokens", "additional_special_tokens"):
        more = tokens.get(key)
        values = more.values() if isinstance(more, dict) else more if isinstance(more, list) else []
        special += [one.get("content") if isinstance(one, dict) else one for one in values]
    listed = _object(directory / "tokenizer.json").get("added_tokens")
    added = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    special += [one.get("content") for one in added if one.get("special")]
    run.special = tuple(dict.fromkeys([*run.special, *(text for text in special if isinstance(text, str))]))


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except (ConfigError, OSError, json.JSONDecodeError):
        return {}
