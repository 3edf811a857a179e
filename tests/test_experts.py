"""Experts: their load, the balancing bias, and a miniature of DeepSeek-V3 on disk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, MixtralConfig, MixtralForCausalLM, PreTrainedModel

from r1hf.core.yamlfile import read_yaml
from r1hf.models.loading import load_model, save_model
from r1hf.text.chat_templates import chat_template
from r1hf.trainers.experts import BIAS, ExpertLoad, routers
from r1hf.trainers.packed import pack_groups
from r1hf.world.models import build_model, train_tokenizer

CONFIGS = Path(__file__).parent.parent / "recipes" / "configs" / "tiny-moe"


def shape() -> dict[str, Any]:
    return dict(read_yaml(CONFIGS / "base.yaml").values["models"]["base"])


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made = train_tokenizer(["What is 2 + 3 * 4? 数是多少？ wait, check"] * 9, 300)
    made.chat_template = chat_template()
    return made


@pytest.fixture
def model(tokenizer: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    values = shape()
    return build_model(values.pop("architecture"), tokenizer, values).train()


def forward(model: PreTrainedModel, mask: torch.Tensor | None = None, tokens: int = 24) -> None:
    ids = torch.randint(0, model.config.vocab_size, (4, tokens), generator=torch.Generator().manual_seed(1))
    model(input_ids=ids, attention_mask=mask)


def step(load: ExpertLoad) -> None:
    load.on_step_end(SimpleNamespace(), SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]


def test_shares_of_each_layer_sum_to_one_over_all_micro_batches(model: PreTrainedModel) -> None:
    load = ExpertLoad(model)
    assert len(load.routers) == 2, "the first layer is dense"
    forward(model)
    forward(model)
    assert all(counts.sum() == 2 * 4 * 24 * 2 for counts in load._step.values())
    step(load)
    row = load.values()
    assert set(row) == {f"experts/layer_{n}/{what}" for n in (1, 2) for what in ("load", "imbalance")}
    for layer in (1, 2):
        shares = row[f"experts/layer_{layer}/load"]
        assert len(shares) == 8 and sum(shares) == pytest.approx(1, abs=1e-4)
        assert row[f"experts/layer_{layer}/imbalance"] == pytest.approx(max(shares) * 8, abs=1e-3)
    assert load.values() == {}, "the next row starts anew"


def test_padding_generation_and_evaluation_do_not_count(model: PreTrainedModel) -> None:
    load = ExpertLoad(model)
    mask = torch.ones(4, 24, dtype=torch.long)
    mask[:, :10] = 0
    forward(model, mask)
    assert all(counts.sum() == 4 * 14 * 2 for counts in load._step.values())
    with torch.no_grad():
        forward(model)
    model.eval()
    forward(model)
    assert all(counts.sum() == 4 * 14 * 2 for counts in load._step.values())
    load.close()
    model.train()
    forward(model)
    assert all(counts.sum() == 4 * 14 * 2 for counts in load._step.values())


def test_padding_of_packed_groups_does_not_count(model: PreTrainedModel) -> None:
    ids, mask = torch.arange(4 * 12).reshape(4, 12) % 90 + 5, torch.ones(4, 12, dtype=torch.long)
    ids[1, :6] = ids[0, :6]  # one prompt with two completions, and two with one each
    mask[2, :5] = 0  # a prompt of one token
    mask[0, 8:] = mask[3, 7:] = 0  # completions of two tokens and of one
    packed = pack_groups(ids, mask, 6)
    load = ExpertLoad(model)
    model(input_ids=packed.ids, attention_mask=packed.mask, position_ids=packed.positions)
    real = (5 + 2 + 6) + (0 + 6) + (5 + 1)
    assert real < packed.ids.numel()
    assert all(counts.sum() == real * 2 for counts in load._step.values())


def test_the_bias_moves_the_load_toward_balance(model: PreTrainedModel) -> None:
    for router in routers(model).values():
        with torch.no_grad():
            router.get_buffer(BIAS)[0] = 0.3  # everybody wants the first expert
    load = ExpertLoad(model, speed=0.01)
    found = []
    for _ in range(60):
        forward(model)
        step(load)
        found.append(load.values()["experts/layer_1/imbalance"])
    assert found[0] > 3 and found[-1] < 2
    still = ExpertLoad(model)
    before = [router.get_buffer(BIAS).clone() for router in routers(model).values()]
    forward(model)
    step(still)
    assert all(torch.equal(a, b.get_buffer(BIAS)) for a, b in zip(before, routers(model).values(), strict=True))


def test_routers_of_mixtral_are_found_and_dense_models_get_no_hook(tokenizer: Any) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    mixtral = MixtralForCausalLM(MixtralConfig(vocab_size=50, num_key_value_heads=2, num_local_experts=4, **sizes))
    load = ExpertLoad(mixtral.train())
    forward(mixtral)
    step(load)
    assert sum(load.values()["experts/layer_0/load"]) == pytest.approx(1, abs=1e-4)
    dense = build_model("llama", tokenizer, sizes)
    hooks = ExpertLoad(dense)
    assert not hooks.routers and not hooks._handles and not dense._forward_pre_hooks


def test_the_miniature_comes_back_from_disk_with_biases_and_tokenizer(
    model: PreTrainedModel, tokenizer: Any, tmp_path: Path
) -> None:
    for router in routers(model).values():
        with torch.no_grad():
            router.get_buffer(BIAS).copy_(torch.linspace(-0.2, 0.2, 8))
    save_model(model, tokenizer, tmp_path)
    back = load_model(str(tmp_path))
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(model.eval()(ids).logits, back(ids).logits, atol=1e-6)
    assert all(torch.equal(router.get_buffer(BIAS), torch.linspace(-0.2, 0.2, 8)) for router in routers(back).values())
    text = "<think> 2 + 3 * 4 = 1234? wait </think> 数是多少"
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"] and again.decode(again(text)["input_ids"]) == text
    made = AutoModelForCausalLM.from_pretrained(tmp_path).generate(ids, max_new_tokens=4, do_sample=False)
    assert made.shape[1] > 20
