"""Rows that are too long, through the recipes: dropped, printed and counted, or cut where that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_run import GRPO, SFT, answered, manifest, run_recipe, write

from r1hf.data.lengths import token_counts
from r1hf.models.loading import load_tokenizer
from r1hf.trainers.rl import prompt_rows

LONG = "What is 2 + 3 * 4? " * 20


def test_r1_zero_drops_prompts_over_max_prompt_length(tiny_base: Path, tmp_path: Path, capsys: object) -> None:
    template = {"en": "r1_zero_short_en", "zh": "r1_zero_short_zh"}
    rows = answered(16)
    most = max(token_counts([row["prompt"] for row in prompt_rows(rows, template)], load_tokenizer(str(tiny_base))))
    long = [row | {"question": LONG} for row in rows[:3]]
    prompts = write(tmp_path / "prompts.jsonl", [*rows, *long])
    settings = {**GRPO, "max_steps": 1, "max_completion_length": 8, "max_prompt_length": most}
    made = run_recipe("r1_zero", model=tiny_base, prompts=prompts, output_dir=tmp_path / "made", **settings)
    metrics = manifest(made)["metrics"]
    assert metrics["too_long"] == {"prompts": 3} and metrics["optimizer_steps"] == 1
    said = capsys.readouterr().out  # type: ignore[attr-defined]
    assert f"prompts: 3 of 19 rows dropped, longer than max_prompt_length {most}" in said


@pytest.mark.parametrize(("too_long", "kept", "noted"), [("drop", 8, {"data": 2}), ("truncate", 10, None)])
def test_sft_drops_or_cuts_rows_over_max_length(
    too_long: str, kept: int, noted: dict[str, int] | None, tiny_base: Path, tmp_path: Path
) -> None:
    rows = answered(8)
    data = write(tmp_path / "data.jsonl", [*rows, *(row | {"completion": row["completion"] * 30} for row in rows[:2])])
    settings = {**SFT, "max_steps": 1, "max_length": 256, "too_long": too_long}
    made = run_recipe("sft", model=tiny_base, data=data, output_dir=tmp_path / "made", **settings)
    metrics = manifest(made)["metrics"]
    assert metrics["rows"] == kept and metrics.get("too_long") == noted
