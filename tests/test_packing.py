"""Packed fine-tuning: every row stays whole, the loss is on its response alone, and rows do not see one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import CPU, SFT, answered, log, manifest, run_recipe, write

from r1hf.data.rows import Row
from r1hf.models.loading import load_model, load_tokenizer
from r1hf.trainers.sft import R1SFTConfig, R1SFTTrainer
from r1hf.trainers.sft_rows import sft_dataset
from r1hf.world import general

LONGEST = 160


def long_thought(words: int, number: int) -> Row:
    thought = " ".join(f"{number} + {step} = {number + step}" for step in range(words))
    completion = f"<think>\n{thought}\n</think>\n{number + words}"
    return {"question": f"What is {number} + {words}?", "completion": completion}


def mixed() -> list[Row]:
    return [*answered(12), *general.sft_rows(6, seed=1), *(long_thought(3 + turn, turn) for turn in range(6))]


def trainer_of(base: Path, directory: Path, rows: list[Row], **settings: Any) -> R1SFTTrainer:
    args = R1SFTConfig(output_dir=str(directory), **{**CPU, "max_steps": 1, "max_length": LONGEST, **settings})
    tokenizer = load_tokenizer(str(base))
    return R1SFTTrainer(model=str(base), args=args, train_dataset=sft_dataset(rows), processing_class=tokenizer)


def pieces(batch: dict[str, torch.Tensor]) -> list[tuple[list[int], list[int]]]:
    """(ids, labels) of each row within a packed batch of shape (1, tokens): positions begin anew with each."""
    starts = [*(batch["position_ids"][0] == 0).nonzero().flatten().tolist(), batch["input_ids"].shape[1]]
    ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
    return [(ids[a:b], labels[a:b]) for a, b in zip(starts, starts[1:], strict=False)]


@pytest.mark.parametrize("strategy", ["bfd", "bfd_split"])
def test_long_thoughts_are_packed_whole_and_masked_to_the_response(
    tiny_base: Path, tmp_path: Path, strategy: str
) -> None:
    rows = mixed()
    trainer = trainer_of(tiny_base, tmp_path, rows, packing=True, packing_strategy=strategy)
    tokenizer = trainer.processing_class
    assert len(trainer.train_dataset) < len(rows)
    assert max(map(len, trainer.train_dataset["input_ids"])) <= LONGEST
    found, lengths = [], []
    for batch in trainer.get_train_dataloader():
        for ids, labels in pieces(batch):
            lengths.append(len(ids))
            prompt = sum(label == -100 for label in labels)
            assert labels == [-100] * prompt + ids[prompt:]
            found.append((tokenizer.decode(ids[:prompt], skip_special_tokens=True), tokenizer.decode(ids[prompt:])))
    wanted = [(f"User: {row['question']}\nAssistant:\n", row["completion"] + tokenizer.eos_token) for row in rows]
    assert sorted(found) == sorted(wanted)
    assert max(lengths) > LONGEST // 2


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_rows_do_not_see_one_another(tiny_base: Path, tmp_path: Path, attention: str) -> None:
    settings = {"per_device_train_batch_size": 4, "model_init_kwargs": {"attn_implementation": attention}}
    trainer = trainer_of(tiny_base, tmp_path, mixed(), packing=True, packing_strategy="bfd_split", **settings)
    model = load_model(str(tiny_base))
    batch = next(iter(trainer.get_train_dataloader()))
    losses = []
    for ids, labels in pieces(batch):
        logits = model(torch.tensor([ids])).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(labels[1:]), reduction="none"))
    used = torch.cat(losses)[torch.cat([torch.tensor(labels[1:]) for _, labels in pieces(batch)]) != -100]
    assert len(losses) > 4
    with torch.no_grad():
        packed = trainer.compute_loss(trainer.model, dict(batch))
    assert packed.item() == pytest.approx(used.mean().item(), rel=1e-4)


def test_the_recipe_drops_what_is_too_long_and_packs_the_rest(tiny_base: Path, tmp_path: Path) -> None:
    rows = mixed()
    given = {"model": tiny_base, "data": write(tmp_path / "rows.jsonl", [*rows, long_thought(100, 5)])}
    packing = {"packing": True, "packing_strategy": "bfd", "max_length": LONGEST, "per_device_train_batch_size": 1}
    out = run_recipe("distill", "distill.yaml", output_dir=tmp_path / "out", **given, **{**SFT, **packing})
    assert manifest(out)["metrics"]["rows"] == len(rows)
    assert log(out)[-1]["epoch"] > 2 / len(rows), "two steps of one row each see more rows than two"
