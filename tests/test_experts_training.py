"""A miniature of DeepSeek-V3 through the trainers: loads in the log, and biases that go on exactly after a stop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import test_resume
import torch
from safetensors.torch import load_file
from test_experts import CONFIGS

from r1hf.core.config import StageConfig
from r1hf.core.yamlfile import read_yaml
from r1hf.models.loading import save_model
from r1hf.text.chat_templates import chat_template
from r1hf.trainers.experts import BIAS
from r1hf.world.models import build_model, train_tokenizer

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "moe_intermediate_size": 16,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
}
KINDS = {
    "sft": ("sft", {}),
    "grpo economical": ("grpo economical", {}),  # with share_prompts: a mask of four dimensions
}


@dataclass(kw_only=True)
class Balanced(StageConfig):
    expert_bias_speed: float = 0.001


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["What is 2 + 3 * 4? <think> 14, wait, check </think> 数是多少？"] * 9, 300)
    tokenizer.chat_template = chat_template()
    values = {**read_yaml(CONFIGS / "base.yaml").values["models"]["base"], **SMALL}
    directory = tmp_path_factory.mktemp("moe")
    save_model(build_model(values.pop("architecture"), tokenizer, values), tokenizer, directory)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_loads_are_logged_and_a_stopped_run_goes_on_exactly(name: str, miniature: Path, tmp_path: Path) -> None:
    kind, changes = KINDS[name]
    given: dict[str, Any] = {"schema": Balanced, **changes}
    straight = (tmp_path / "straight", *test_resume.run(kind, miniature, tmp_path / "straight", **given))
    for row in straight[2]:
        for layer in (1, 2):
            load = row[f"experts/layer_{layer}/load"]
            assert len(load) == 8 and sum(load) == pytest.approx(1, abs=1e-4)
    assert straight[1]["experts/layer_1/imbalance"] >= 1 and "experts/layer_1/load" not in straight[1]
    biases = [v for k, v in load_file(straight[0] / "model.safetensors").items() if k.endswith(BIAS)]
    assert len(biases) == 2 and all(bias.any() and bias.abs().max() <= 0.0061 for bias in biases)
    with pytest.raises(SystemExit):  # between two rows of the log
        test_resume.run(kind, miniature, tmp_path / "made", test_resume.StopAt(3), **given)
    test_resume.check_equal(
        kind, tmp_path / "made", test_resume.run(kind, miniature, tmp_path / "made", **given), straight
    )
