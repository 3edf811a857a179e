"""vLLM holds a model in parts only where heads, widths and vocabulary divide: said before the run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from small_run import ROOT, recipe
from tables import each

from r1hf.core.config import parse
from r1hf.core.yamlfile import read_yaml
from r1hf.doctor.load import load
from r1hf.doctor.stage import examine
from r1hf.plan.parallel import check_parts, indivisible
from r1hf.plan.shapes import BUILT_IN, built_in, shape_of

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


def base_of(path: Path) -> str:
    """The public model that a configuration's own goes back to, by the stages beside it."""
    made = {read_yaml(other).values.get("output_dir"): other for other in path.parent.glob("*.yaml")}
    values = read_yaml(path).values
    source = values.get("model") or values["models"][0]
    return base_of(made[source]) if source in made else str(source)


@pytest.mark.parametrize("path", NAMED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_number_in_a_configuration_divides_its_model(path: Path) -> None:
    source = base_of(path)
    assert shape_of(source).name in BUILT_IN
    for found in PARTS.finditer(path.read_text(encoding="utf-8")):
        assert check_parts(path.name, int(found[1]), [source]) == []


def test_there_are_such_configurations_and_documents_name_none_that_fits_nowhere() -> None:
    assert len(NAMED) >= 3
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md"):
        for found in PARTS.finditer(page.read_text(encoding="utf-8")):
            assert check_parts(page.name, int(found[1]), [QWEN_7B]) == []


@pytest.mark.parametrize(
    ("parts", "said"), [(8, "28 attention heads"), (7, "4 key-value heads"), (4, None), (0, "no number")]
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


def test_the_doctor_knows_the_model_that_a_pipeline_is_still_to_make() -> None:
    sets = ("rejection_sampling.sampler=vllm", "rejection_sampling.vllm={tensor_parallel_size: 8}")
    stages, _ = load(ROOT / "recipes/configs/qwen2.5-7b/pipeline.yaml", sets=sets)
    shapes: dict = {}
    for stage in stages:
        found = examine(stage, 0, shapes)
        if stage.name == "rejection_sampling":
            break
    assert [item.status for item in found if "28 attention heads" in item.found and item.what == "settings"] == [
        "fail"
    ]
