"""Recipes one by one: one that keeps nothing fails and says why, and equal seeds give equal results."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_run import (
    BASE,
    GRAPH,
    GRPO,
    MODELS,
    answered,
    arguments,
    launched,
    log,
    make_base,
    manifest,
    run_recipe,
    write,
)
from transformers import AutoConfig, AutoTokenizer

from r1hf.core.errors import StageError
from r1hf.core.yamlfile import read_yaml
from r1hf.data.rows import load_rows
from r1hf.stage.manifest import verify


def kept_nothing(run: Callable[[], Path], directory: Path) -> str:
    with pytest.raises(StageError) as caught:
        run()
    assert [path.name for path in directory.iterdir() if path.name.startswith("made")] == ["made.partial"]
    return str(caught.value)


def test_cold_start_of_an_untrained_model_says_why_nothing_was_kept(tiny_base: Path, tmp_path: Path) -> None:
    prompts = write(tmp_path / "rows.jsonl", answered(6))
    given = {"problems": 6, "samples": 2, "max_new_tokens": 12, "output_dir": tmp_path / "made"}
    said = kept_nothing(
        lambda: run_recipe("cold_start", model=tiny_base, zero=tiny_base, prompts=prompts, **given), tmp_path
    )
    assert "no cold-start sample was kept of 6 problems" in said
    assert all(f"{method} {{'truncated': " in said for method in ("few_shot", "direct", "rewrite"))


def test_rejection_sampling_of_an_untrained_model_says_why_nothing_was_kept(tiny_base: Path, tmp_path: Path) -> None:
    prompts = write(tmp_path / "rows.jsonl", answered(6))
    given = {"samples": 2, "max_new_tokens": 12, "output_dir": tmp_path / "made"}
    source = tiny_base / "data" / "general_sft.jsonl"
    said = kept_nothing(
        lambda: run_recipe("rejection_sampling", model=tiny_base, prompts=prompts, general=source, **given), tmp_path
    )
    assert "no sample of 6 prompts was kept: {'truncated': " in said and "is" in said and str(tiny_base) in said


def comparable(directory: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    found = manifest(directory)
    clock = ("step_time", "tokens_per_second")
    rows = [{key: value for key, value in row.items() if not key.startswith(clock)} for row in log(directory)]
    return found["fingerprint"], found["metrics"], rows


def test_the_same_seed_gives_the_same_policy_metrics_and_log(tiny_base: Path, memorised: Path, tmp_path: Path) -> None:
    given = {"model": memorised, "prompts": tiny_base / "data" / "train.jsonl", **GRPO}
    one, two = (comparable(run_recipe("r1_zero", **given, output_dir=tmp_path / name)) for name in ("one", "two"))
    other = comparable(run_recipe("r1_zero", **given, output_dir=tmp_path / "other", seed=43))
    assert one == two
    assert one[0] != other[0] and one[1] != other[1]


def test_the_same_seed_gives_the_same_base_and_data(tiny_base: Path, tmp_path: Path) -> None:
    again = make_base(tmp_path / "base")
    other = make_base(tmp_path / "other", seed=43)
    assert comparable(again) == comparable(tiny_base)
    assert manifest(other)["fingerprint"] != manifest(again)["fingerprint"]
    outputs = manifest(again)["outputs"]
    for name in ("data/held_out.jsonl", "data/train.jsonl"):
        assert manifest(other)["outputs"][name] == outputs[name], "the split is no matter of the seed"


def test_the_models_of_the_base_stage(tiny_base: Path) -> None:
    found = manifest(tiny_base)["metrics"]
    assert set(found["models"]) == set(MODELS)
    assert found["models"]["base"]["optimizer_steps"] == BASE["max_steps"]
    assert found["models"]["student_llama_base"]["optimizer_steps"] == BASE["max_steps"] * 0.5
    assert found["vocabulary"] == len(AutoTokenizer.from_pretrained(tiny_base))
    for name, count in found["rows"].items():
        assert len(load_rows(str(tiny_base / "data" / f"{name}.jsonl"))) == count


def test_a_students_base_has_the_tokenizer_of_the_base(tiny_base: Path, tmp_path: Path) -> None:
    alone = {"models": {"student": MODELS["student_llama_base"]}, "datasets": False, "max_steps": 1}
    student = make_base(tmp_path / "student", **alone)
    made, wanted = (manifest(path)["outputs"] for path in (student, tiny_base))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert made[name] == wanted[name]
    assert AutoConfig.from_pretrained(student).model_type == "llama" and not (student / "data").exists()
    stages = {name: read_yaml(str(stage.configs[0])).values for name, stage in GRAPH.items() if name.endswith("base")}
    assert set(stages) == {"base", "student_qwen_base", "student_llama_base"}
    for values in stages.values():
        assert all(values[key] == stages["base"][key] for key in ("vocab_size", "tokenizer_documents"))
    assert [values.get("datasets", True) for values in stages.values()].count(True) == 1


@pytest.mark.slow
def test_a_recipe_under_accelerate_launch(tiny_base: Path, tmp_path: Path) -> None:
    """The command that each recipe's own text gives."""
    accelerate = Path(sys.executable).with_name("accelerate")
    launcher = [str(accelerate)] if accelerate.exists() else [shutil.which("accelerate") or "accelerate"]
    given = {"model": tiny_base, "prompts": tiny_base / "data" / "train.jsonl", **GRPO}
    words = arguments("r1_zero.yaml", **given, output_dir=tmp_path / "made")
    done = launched(*launcher, "launch", "recipes/r1_zero.py", *words, HF_HOME=str(tmp_path / "hf"))
    assert done.returncode == 0, done.stderr
    assert verify(tmp_path / "made").metrics["optimizer_steps"] == 2
    here = run_recipe("r1_zero", **given, output_dir=tmp_path / "here")
    assert manifest(here)["fingerprint"] == verify(tmp_path / "made").fingerprint
