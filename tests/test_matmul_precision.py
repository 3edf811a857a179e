"""`matmul_precision`: set for a stage and its workers, undone by the next one, and with attention that it suits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tables import each
from transformers import LlamaConfig, LlamaForCausalLM

from r1hf.core.config import StageConfig, parse
from r1hf.models.grouped_attention import NAME, for_training
from r1hf.models.sampler_config import SamplingConfig, settings_of
from r1hf.stage.libraries import set_matmul_precision
from r1hf.stage.stage import Stage

ABLE = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()


@pytest.fixture(autouse=True)
def untouched() -> Any:
    yield
    torch.set_float32_matmul_precision("highest")


def seen_in(output: Path, *words: str) -> str:
    with Stage(parse((StageConfig,), ["--output_dir", str(output), *words]), __file__) as stage:
        seen = torch.get_float32_matmul_precision()
        (stage.work / "made.txt").write_text("made")
        stage.finish({})
    return seen


def test_a_stage_has_its_own(tmp_path: Path) -> None:
    assert seen_in(tmp_path / "a", "--matmul_precision", "medium") == ("medium" if ABLE else "highest")
    assert torch.get_float32_matmul_precision() == "highest"
    assert seen_in(tmp_path / "b") == "highest"
    assert parse((StageConfig,), ["--output_dir", "c", "--matmul_precision", "fast"]).problems


def test_products_are_near_and_sums_exact() -> None:
    """Whole numbers below 256 are bfloat16's own, and their sums far beyond it."""
    torch.manual_seed(0)
    left, right = torch.randint(256, (64, 300)).float(), torch.randint(256, (300, 32)).float()
    set_matmul_precision("medium")
    assert torch.equal(left @ right, (left.double() @ right.double()).float())


@each("precision, wanted", [("highest", "sdpa"), ("medium", NAME if ABLE else "sdpa")])
def test_attention_while_training(precision: str, wanted: str) -> None:
    config = LlamaConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    model = LlamaForCausalLM(config)
    set_matmul_precision(precision)
    with for_training(model):
        assert model.config._attn_implementation == wanted
    assert model.config._attn_implementation == "sdpa"


def test_a_worker_is_told() -> None:
    plain = settings_of(SamplingConfig(output_dir="x"))
    assert "matmul_precision" not in plain  # a request of before goes on
    assert settings_of(SamplingConfig(output_dir="x", matmul_precision="medium"))["matmul_precision"] == "medium"
