"""Everything that is checked of a stage, and of a pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from r1hf.core.config import StageConfig
from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.source import paths_of
from r1hf.core.yamlfile import read_yaml
from r1hf.data.rows import NO_GOLD, Row, load_rows, without_gold
from r1hf.models.shapes import Shape
from r1hf.models.tensor_parallel import check_values
from r1hf.preflight.estimate.cost import model_shape
from r1hf.preflight.estimate.one_stage import Given, StagePlan, kind_of, plan_stage
from r1hf.preflight.estimate.workload import read_launch
from r1hf.preflight.finding import Item
from r1hf.preflight.rewards.verdicts import check_rewards
from r1hf.preflight.settings.machine import check_disk, check_memory, check_packages, check_versions, here
from r1hf.preflight.settings.round_trip import check_template, find_tokenizer
from r1hf.preflight.settings.rules import check_settings
from r1hf.preflight.settings.steps import check_batches
from r1hf.preflight.stages import Loaded, assume_gpu
from r1hf.stage.manifest import is_hub_id

_SHOWN = 5


def examine(stage: Loaded, rows: int = 4, shapes: dict[str, Shape] | None = None) -> list[Item]:
    """All checks of one stage. rows: of each prompt file, for the rewards. shapes: models of the stages before."""
    items = _config(stage)
    config = stage.parsed.configs[0] if stage.parsed is not None else None
    if not isinstance(config, StageConfig) or any(one is None for one in stage.parsed.configs):  # type: ignore[union-attr]
        return [*items, Item("skip", "the rest", "the configuration could not be built", "mend it first")]
    values = stage.values
    data = _rows(stage)
    processes = read_launch(stage.launch)[0]
    launch_text = stage.launch.read_text(encoding="utf-8") if stage.launch is not None else ""
    items += check_settings(values, _given(stage), None if data is None else {row.get("language") for row in data})
    items += check_batches(values, processes, None if data is None else len(data))
    shapes = {} if shapes is None else shapes
    plan = _plan(stage, values, None if data is None else len(data), shapes)
    if stage.name in shapes:  # the preflight knows only a model that is here
        parts = [text for text in check_values(values, shapes[stage.name]) if text not in stage.problems]
        items += [Item("fail", "settings", text) for text in parts]
    items += _model(stage, values, data)
    items += _rewards(stage, rows)
    steps = plan.job.steps if isinstance(plan, StagePlan) else None
    shape = plan.job.shape if isinstance(plan, StagePlan) else None
    items += _context(plan)
    items += check_disk(values, shape, steps)
    items += check_memory(plan, bool(values.get("use_cpu")))
    items += check_packages(values, launch_text, stage.without_gpu)
    return items


def common() -> list[Item]:
    """Checks that are the same for all stages."""
    return check_versions()


def _config(stage: Loaded) -> list[Item]:
    items = [Item("fail", "config", problem) for problem in stage.problems]
    if not items:
        items = [Item("ok", "config", f"every key of {stage.config} is known to {stage.recipe.name}")]
    if stage.parsed is not None:
        items += [Item("warn", "config", note) for note in stage.parsed.notes]
    if stage.without_gpu:
        items.append(Item("warn", "config", "asks for a GPU, and none is here", "launch it where there is one"))
    return items


def _given(stage: Loaded) -> set[str]:
    overrides = {text.partition("=")[0].removeprefix("--") for text in stage.sets}
    return set(read_yaml(stage.config).values) | overrides


def _local(stage: Loaded, key: str) -> Any:
    """An input whose files are here, or None."""
    source = stage.parsed.inputs.get(key) if stage.parsed is not None else None
    return source if source and all(Path(path).is_file() for path in paths_of(source)) else None


def _rows(stage: Loaded) -> list[Row] | None:
    for key in ("prompts", "data", "helpful"):
        source = _local(stage, key)
        if source is not None:
            try:
                rows = load_rows(source)
                return rows if key == "data" else [row for row in rows if not without_gold(row)]
            except R1Error:
                return None  # the preflight has said so
    return None


def _plan(
    stage: Loaded, values: dict[str, Any], rows: int | None, shapes: dict[str, Shape]
) -> StagePlan | ConfigError | None:
    if kind_of(values) is None:
        return None
    try:
        shape = model_shape(stage, values, shapes, Given())
        if shape is not None:
            shapes[stage.name] = shape
        return plan_stage(stage.name, stage.recipe.stem, values, here(), stage.launch, rows, Given(), shape)
    except ConfigError as error:
        planned = [key for key in ("model", "models") if stage.is_planned(key)]
        return ConfigError(f"needs {values[planned[0]]}, which is still to be made") if planned else error


def _model(stage: Loaded, values: dict[str, Any], rows: list[Row] | None) -> list[Item]:
    source = values.get("model")
    if not isinstance(source, str) or kind_of(values) is None:
        return []
    if stage.is_planned("model") and not Path(source).is_dir():
        return [Item("skip", "template", f"{source} is still to be made")]
    try:
        tokenizer = find_tokenizer(source)
    except (OSError, ValueError) as error:
        found = f"no tokenizer can be loaded from {source}: {' '.join(str(error).split())[:120]}"
        return [Item("fail", "template", found, "save the model's tokenizer beside it")]
    if tokenizer is None:
        return [
            Item("skip", "template", f"needs {source}, which is not here", f"hf download {source.partition('@')[0]}")
        ]
    return [*check_template(values, tokenizer, source), *_length(values, tokenizer, rows)]


def _length(values: dict[str, Any], tokenizer: Any, rows: list[Row] | None) -> list[Item]:
    """Whether the shortest well-formed completion of each row fits into max_completion_length."""
    most = values.get("max_completion_length")
    if not most or not rows:
        return []
    answers = {str(row.get("answer") or "") for row in rows}
    longest = max(sorted(answers), key=len)
    text = f"<think> </think> <answer> {longest} </answer>"
    count = len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1
    if count > int(most):
        found = f"max_completion_length {most}: {text[:60]!r} alone has {count} tokens: no reward could be earned"
        return [Item("fail", "length", found, f"at least {count}, and room to think")]
    if count * 2 > int(most):
        found = f"max_completion_length {most} leaves {int(most) - count} tokens to think ({count} are the form)"
        return [Item("warn", "length", found, "raise it")]
    return [Item("ok", "length", f"the form takes {count} of max_completion_length {most} tokens")]


def _context(plan: StagePlan | ConfigError | None) -> list[Item]:
    if not isinstance(plan, StagePlan) or not plan.job.shape.context:
        return []
    row, context = plan.job.completion, plan.job.shape.context
    if row > context:
        found = f"rows of up to {row} tokens; {plan.job.shape.name} has positions for {context}"
        return [Item("warn", "length", found, "a shorter length, or a model with a longer context")]
    return []


def _rewards(stage: Loaded, count: int) -> list[Item]:
    """`r1hf doctor rewards` on a few rows."""
    if not callable(getattr(stage.module, "rewards", None)) or stage.parsed is None:
        return []
    prompts = [key for key in stage.parsed.inputs if key.endswith("prompts")]
    away = [key for key in prompts if _local(stage, key) is None]
    if not prompts or away:
        names = ", ".join(path for key in away for path in paths_of(stage.parsed.inputs[key]))
        kind = "still to be made" if any(stage.is_planned(key) for key in away) else "not here"
        return [Item("skip", "rewards", f"needs {names}, which is {kind}")]
    model = str(stage.values.get("model"))
    if not Path(model).is_dir() and is_hub_id(model) and find_tokenizer(model) is None:
        return [Item("skip", "rewards", f"needs {model}, which is not here")]
    try:
        with assume_gpu(stage.without_gpu):
            report = check_rewards(stage.config, str(stage.recipe), _overrides(stage), rows=count)
    except R1Error as error:
        text = "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)
        return [Item("fail", "rewards", text[:300], "r1hf doctor rewards")]
    items = [Item("fail", "rewards", fault, "r1hf doctor rewards shows all") for fault in report.faults[:_SHOWN]]
    items += [
        Item("warn", "rewards", note) for note in report.notes if note.startswith("not checked") or NO_GOLD in note
    ]
    total = sum(report.rows.values())
    if not items:
        items.append(Item("ok", "rewards", f"golden completions earn most in {total} rows, cheats less"))
    return items


def _overrides(stage: Loaded) -> list[str]:
    """What a pipeline adds to the file, in the form of `--set`."""
    import json

    assert stage.parsed is not None
    paths = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in stage.parsed.inputs.items()
    ]
    return [f"output_dir={stage.values['output_dir']}", *paths, *stage.sets]


def failures(items: Iterable[Item]) -> int:
    return sum(item.status == "fail" for item in items)
