"""Real stages on data as it comes: rows without a gold answer, columns of several types, columns that come late."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from small_run import GRPO, answered, manifest, run_recipe, write

from r1hf.core.errors import ConfigError, NothingKept

HOLES = [None, float("nan"), "", "proof", r"\text{Not found}", "N/A"]
SHORT = {"samples": 1, "max_new_tokens": 8}
STAGES: dict[str, dict[str, Any]] = {
    "r1_zero": {**GRPO, "max_steps": 1},
    "reasoning_rl": {**GRPO, "max_steps": 1},
    "cold_start": {**SHORT, "zero": "{model}", "problems": 4},
    "rejection_sampling": {**SHORT, "general": "{rows}"},
    "evaluate": {"k": 1, "max_new_tokens": 8, "shown": "[]", "general_prompts": "null", "longer_prompts": "null"},
}


def run(name: str, model: Path, rows: Path, out: Path) -> None:
    paths = {"{model}": model, "{rows}": rows}
    given = {key: paths.get(value, value) if isinstance(value, str) else value for key, value in STAGES[name].items()}
    models = {"models": f'["{model}"]'} if name == "evaluate" else {"model": model}
    run_recipe(name, **{**models, "prompts": rows, **given, "output_dir": out})


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_that_judges_names_and_leaves_out_the_same_rows(
    name: str, tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [row | {"extra": n if n % 2 else str(n)} for n, row in enumerate(answered(20))]
    good[7]["late"] = "only here"
    holes = [good[0] | {"answer": hole, "question": f"hole {n}?"} for n, hole in enumerate(HOLES)]
    rows = write(tmp_path / "rows.jsonl", [*good[:3], *holes, *good[3:]])
    with contextlib.suppress(NothingKept):  # of eight tokens by an untrained model
        run(name, tiny_base, rows, tmp_path / "out")
    said = capsys.readouterr().out
    assert (
        f"prompts: 6 of 26 rows of {rows} have no gold answer, left out: line 4 (None), line 5 (nan), line 6 ('')"
        in said
    )
    assert "column 'extra' holds values of several types" in said
    if (tmp_path / "out").exists():
        found = manifest(tmp_path / "out")["metrics"]["data"]["prompts"][str(rows)]
        assert found == {"rows": 26, "dropped": {"no gold answer": 6}, "used": 20}

    write(rows, holes)
    with pytest.raises(ConfigError, match="prompts: .* none of 6 rows has an answer to compare with"):
        run(name, tiny_base, rows, tmp_path / "none")
    assert not (tmp_path / "none").exists()
