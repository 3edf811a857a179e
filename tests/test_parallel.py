"""vLLM holds a model in parts only where heads, widths and vocabulary divide: said before the run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from small_run import ROOT, recipe
from tables import each

from r1hf.core.config import parse
from r1hf.core.given import said
from r1hf.models.shapes import BUILT_IN, built_in, shape_of
from r1hf.models.tensor_parallel import check_parts, indivisible
from r1hf.preflight.check import Asked, check

FILES = sorted((ROOT / "recipes" / "configs").rglob("*.yaml"))
PARTS = re.compile(r"tensor_parallel_size['\"]?: *(\d+)")
NAMED = [path for path in FILES if PARTS.search(path.read_text(encoding="utf-8"))]
QWEN_7B = "Qwen/Qwen2.5-7B"


@each(
    "name, fitting",
    [
        ("Qwen2.5-0.5B", {1, 2}),
        ("Qwen2.5-1.5B", {1, 2, 4}),
        ("Qwen2.5-7B", {1, 2, 4}),
        ("Qwen2.5-32B", {1, 2, 4, 8}),
        ("Llama-3.1-8B", {1, 2, 4, 8, 16}),  # 16: each of 8 key-value heads stands twice
        ("DeepSeek-V3-Base", {1, 2, 4, 8, 16}),
    ],
)
def test_parts_of_known_models(name: str, fitting: set[int]) -> None:
    shape = built_in(name)
    assert shape is not None
    assert {parts for parts in range(1, 17) if indivisible(shape, parts) is None} == fitting


def base_of(graph: Path, stage: str) -> str:
    """The public model that a stage's own goes back to."""
    told = said(["--config", str(graph), "--stage", stage])
    key = "model" if "model" in told.values else "models"
    if key in told.inputs:
        return base_of(graph, told.inputs[key][0])
    return str(told.values[key].value)


@pytest.mark.parametrize("path", NAMED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_number_in_a_configuration_divides_its_model(path: Path) -> None:
    told = said(["--config", str(path)])
    assert told.graph is not None and told.stage is not None
    source = base_of(told.graph, told.stage)
    assert shape_of(source).name in BUILT_IN
    for found in PARTS.finditer(path.read_text(encoding="utf-8")):
        assert check_parts(path.name, int(found[1]), [source]) == []


def test_there_are_such_configurations_and_documents_name_none_that_fits_nowhere() -> None:
    assert len(NAMED) >= 3
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md"):
        for found in PARTS.finditer(page.read_text(encoding="utf-8")):
            assert check_parts(page.name, int(found[1]), [QWEN_7B]) == []


@pytest.mark.parametrize(
    ("parts", "said"), [(8, "28 attention heads"), (7, "4 key-value heads"), (4, None), (0, "not a number")]
)
def test_a_sampler_is_refused_what_its_model_cannot(parts: int, said: str | None) -> None:
    module = recipe("rejection_sampling")
    words = ["--output_dir=o", f"--model={QWEN_7B}", "--prompts=org/p", "--general=org/g", "--sampler=vllm"]
    parsed = parse(module.CONFIGS, [*words, f"--vllm={{tensor_parallel_size: {parts}}}"])
    module.preflight(parsed)
    found = [text for text in parsed.problems if "tensor_parallel_size" in text]
    assert bool(found) == bool(said) and all(str(said) in text for text in found)


def test_vllm_beside_the_trainer_must_divide_the_processes_too() -> None:
    module = recipe("r1_zero")
    words = ["--output_dir=o", f"--model={QWEN_7B}", "--prompts=org/p", "--use_cpu", "--bf16=false"]
    words += ["--rollout_engine=vllm_colocate", "--vllm_tensor_parallel_size=8", "--per_device_train_batch_size=16"]
    parsed = parse(module.CONFIGS, words)
    module.preflight(parsed)
    found = " ".join(text for text in parsed.problems if "tensor_parallel_size" in text)
    assert "8 does not divide the 28 attention heads of Qwen2.5-7B; 1, 2, 4 would do" in found.replace(
        QWEN_7B, "Qwen2.5-7B"
    )
    assert "does not divide the number of processes of the launch, 1" in found


def test_the_model_that_a_pipeline_is_still_to_make_is_known() -> None:
    sets = ("rejection_sampling.sampler=vllm", "rejection_sampling.vllm={tensor_parallel_size: 8}")
    pipeline = ROOT / "recipes/configs/qwen2.5-7b/pipeline.yaml"
    report = check(Asked(pipeline, ("settings",), stages=("rejection_sampling",), sets=sets))
    assert [one.grade for _, _, one in report.findings if "28 attention heads" in one.found] == ["error"]
