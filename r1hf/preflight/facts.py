"""What several parts of a check ask about one stage, each found once: its file, rows, tokenizer and estimate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.given import COMMAND_LINE
from r1hf.core.given import Given as Value
from r1hf.core.gpus import Cluster, here, parse_gpus
from r1hf.core.hardware import has_gpu
from r1hf.core.source import paths_of
from r1hf.data.rows import Row, load_rows, without_gold
from r1hf.models.loading import find_tokenizer
from r1hf.models.shapes import Shape, shape_of
from r1hf.preflight.estimate.one_stage import Given, StagePlan, kind_of, plan_stage
from r1hf.preflight.stages import Loaded

_ASSUMED = "H100"  # for a stage that asks for GPUs, where none is here and none is named


@dataclass(frozen=True)
class Machine:
    """What the stages are meant for. cluster: as named; None: this machine, or what the launch asks for."""

    cluster: Cluster | None = None
    given: Given = Given()
    price: float | None = None


class Facts:
    """Of one stage. shapes: stage -> model, of the stages before it; this one's is added once it is known."""

    def __init__(self, stage: Loaded, machine: Machine, shapes: dict[str, Shape]):
        self.stage, self.machine, self._shapes = stage, machine, shapes

    @cached_property
    def values(self) -> dict[str, Any]:
        return self.stage.values

    @cached_property
    def given(self) -> dict[str, Value]:
        """Every key that a person gave, and where."""
        return self.stage.parsed.said.values if self.stage.parsed is not None else {}

    def where(self, key: str) -> str:
        """`file:line` of a key; empty for one that nobody gives."""
        if key not in self.given:
            return ""
        where = self.given[key].where
        return f"--set {key}" if where == COMMAND_LINE else where

    def local(self, key: str) -> Any:
        """An input whose files are here, or None."""
        source = self.stage.parsed.inputs.get(key) if self.stage.parsed is not None else None
        return source if source and all(Path(path).is_file() for path in paths_of(source)) else None

    @cached_property
    def rows(self) -> list[Row] | None:
        """The rows that a run would train on or ask, where they are files here."""
        for key in ("prompts", "data", "helpful"):
            source = self.local(key)
            if source is not None:
                try:
                    rows = load_rows(source)
                    return rows if key == "data" else [row for row in rows if not without_gold(row)]
                except R1Error:
                    return None  # the preflight has said so
        return None

    @cached_property
    def row_count(self) -> int | None:
        return None if self.rows is None else len(self.rows)

    @cached_property
    def cluster(self) -> Cluster:
        """The devices that the stage is estimated for."""
        if self.machine.cluster is not None:
            return self.machine.cluster
        if self.values.get("use_cpu"):
            return Cluster(1, None)
        return here() if has_gpu() else parse_gpus(f"{self.stage.processes}x{_ASSUMED}")

    @property
    def assumed_cluster(self) -> bool:
        return self.machine.cluster is None and self.cluster.device is not None and not has_gpu()

    @cached_property
    def shape(self) -> Shape | None:
        """The stage's model: given, on disk, or that of the stage which makes it. Raises ConfigError if unknown."""
        if self.machine.given.shape is not None:
            return shape_of(self.machine.given.shape)
        for key in ("model", "models"):
            known = [self._shapes[parent] for parent in self.stage.upstream.get(key, []) if parent in self._shapes]
            if known:
                return known[0]
            paths = paths_of(self.values.get(key))
            if paths:
                return shape_of(paths[0])
        return None

    @cached_property
    def plan(self) -> StagePlan | ConfigError | None:
        """The estimate, why there is none, or None for a stage that neither trains nor samples a language model."""
        try:
            if self.shape is not None:
                self._shapes[self.stage.name] = self.shape
            if kind_of(self.values) is None:
                return None
            given = self.machine.given
            own = given if given.prompt else replace(given, prompt=self._longest_prompt())
            stage, rows = self.stage, given.rows or self.row_count
            return plan_stage(stage, self.values, self.cluster, rows, own, self.shape)
        except ConfigError as error:
            planned = [key for key in ("model", "models") if self.stage.is_planned(key)]
            if planned:
                return ConfigError(f"needs {self.values[planned[0]]}, which is still to be made")
            return error

    def _longest_prompt(self, most: int = 512) -> int | None:
        """Tokens of the longest of the first `most` prompts, where rows and tokenizer are here and no limit is set."""
        values, model = self.values, self.values.get("model")
        if kind_of(values) != "grpo" or values.get("max_prompt_length") or not isinstance(model, str) or not self.rows:
            return None
        from r1hf.data.lengths import token_counts
        from r1hf.trainers.rl import prompt_rows

        try:
            tokenizer = find_tokenizer(model)
            if tokenizer is None:
                return None
            rows = prompt_rows(self.rows[:most], values.get("prompt_template"))
            return max(token_counts([row["prompt"] for row in rows], tokenizer, add_generation_prompt=True))
        except (R1Error, OSError, ValueError, KeyError):
            return None  # the settings say why
