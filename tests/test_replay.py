"""The replayed trainer: TRL's numbers on a real training step, the formulas, and completions that stay as they are."""

import math
import statistics

import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from r1hf.explain.groups import LOSS_TYPES, SCALINGS
from r1hf.trainers.advantage import TRL_EPS, group_advantages
from r1hf.trainers.replay import replay


class Recorder(GRPOTrainer):
    """The stock trainer; notes in `seen` what a step saw, and its losses of every kind."""

    seen: dict

    def _generate_and_score_completions(self, inputs):
        batch = super()._generate_and_score_completions(inputs)
        self.seen["rows"] = [dict(row) for row in inputs]
        # The old policy and the reference are moved away, so that ratios and KL are not trivial.
        noise = torch.randn(batch["completion_ids"].shape, generator=torch.Generator().manual_seed(1))
        batch["old_per_token_logps"] = batch["ref_per_token_logps"] - 0.4 * noise
        return batch

    def _compute_loss(self, model, inputs):
        logps = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1),
            inputs["completion_ids"].size(1),
        )[0]
        lengths = inputs["completion_mask"].sum(1).tolist()
        self.seen["logps"] = [
            [row[:length] for row, length in zip(part.tolist(), lengths, strict=True)]
            for part in (logps, inputs["old_per_token_logps"], inputs["ref_per_token_logps"])
        ]
        self.seen["texts"] = self.processing_class.batch_decode(
            [ids[:length] for ids, length in zip(inputs["completion_ids"].tolist(), lengths, strict=True)],
            skip_special_tokens=True,
        )
        self.seen["advantages"][self.scale_rewards] = inputs["advantages"].tolist()
        for loss_type in LOSS_TYPES:
            self.loss_type = loss_type
            self.seen["losses"][loss_type, self.scale_rewards] = super()._compute_loss(model, inputs).item()
        return super()._compute_loss(model, inputs)


def small_model(directory):
    """A model of one layer with random weights, and its tokenizer of bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE({piece: number for number, piece in enumerate([*alphabet, "<end>"])}, []))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<end>")
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), **shape, **heads)).save_pretrained(directory)
    return tokenizer


@pytest.fixture(scope="module")
def real_step(tmp_path_factory):
    """One step of the stock trainer, with log-probabilities that differ: what it saw, and its losses."""
    directory = tmp_path_factory.mktemp("real")
    tokenizer = small_model(directory)
    Recorder.seen = {"losses": {}, "advantages": {}}
    for scaling in SCALINGS:
        args = GRPOConfig(
            **{"output_dir": str(directory / "out"), "use_cpu": True, "bf16": False, "report_to": "none"},
            **{"gradient_checkpointing": False, "save_strategy": "no", "max_steps": 1, "disable_tqdm": True},
            **{"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 9},
            **{"beta": 0.04, "epsilon": 0.2, "use_bias_correction_kl": False, "learning_rate": 0.0, "seed": 3},
            **{"scale_rewards": scaling, "shuffle_dataset": False},
        )
        rows = Dataset.from_list([{"prompt": "What is 2 + 3?"}, {"prompt": "And 4 * 5?"}])
        Recorder(str(directory), [vowels], args, rows, processing_class=tokenizer).train()
    return Recorder.seen


def vowels(completions, **columns):
    return [len(text) / 10 + sum(text.count(vowel) for vowel in "aeiou") for text in completions]


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_replayed_losses_are_those_of_a_real_training_step(real_step, scaling, loss_type):
    trainer = replay(
        [{"prompt": "p"}] * len(real_step["texts"]),
        real_step["texts"],
        tuple(real_step["logps"]),
        {"vowels": vowels},
        {"num_generations": 4, "beta": 0.04, "epsilon": 0.2, "max_completion_length": 9},
    )
    batch = trainer.score("group")
    batch["advantages"] = torch.tensor(real_step["advantages"][scaling])
    assert trainer.loss(batch, loss_type) == pytest.approx(real_step["losses"][loss_type, scaling], abs=1e-6)


@settings(max_examples=25)
@given(st.lists(st.floats(-1, 1).map(lambda value: round(value, 2)), min_size=8, max_size=8))
def test_advantages_are_trls_and_those_of_the_formula(scores):
    rows = [{"prompt": "p", "score": score} for score in scores]
    trainer = replay(
        rows,
        ["text"] * 8,
        ([[-1.0]] * 8,) * 3,
        {"score": lambda completions, score, **columns: score},
        {"num_generations": 4},
    )
    found = {scaling: trainer.score(scaling)["advantages"].tolist() for scaling in SCALINGS}
    halves = [scores[:4], scores[4:]]
    spread = statistics.stdev(scores) + TRL_EPS
    by_hand = {
        "group": [value for half in halves for value in group_advantages(half, eps=TRL_EPS)],
        "batch": [value / spread for half in halves for value in group_advantages(half, std="none")],
        "none": [value for half in halves for value in group_advantages(half, std="none")],
    }
    for scaling in SCALINGS:
        # TRL's float32 mean of equal rewards is off by a rounding error, which 1e-4 does not hide completely.
        assert found[scaling] == pytest.approx(by_hand[scaling], abs=2e-3 if scaling != "none" else 1e-6)


logps = st.lists(st.floats(-6, -0.05), min_size=1, max_size=4)
pairs = logps.flatmap(
    lambda new: st.tuples(st.just(new), *[st.lists(st.floats(-6, -0.05), min_size=len(new), max_size=len(new))] * 2)
)


@settings(max_examples=40)
@given(st.lists(pairs, min_size=2, max_size=4), st.sampled_from([0.2, 0.9, 10.0]), st.sampled_from([0.0, 0.001, 0.5]))
def test_terms_are_those_of_the_formula(policies, epsilon, beta):
    new, old, ref = ([one[part] for one in policies] for part in range(3))
    rows = [{"prompt": "p", "score": float(place % 2)} for place in range(len(new))]
    trainer = replay(
        rows,
        ["some text"] * len(new),
        (new, old, ref),
        {"score": lambda completions, score, **columns: score},
        {"num_generations": len(new), "epsilon": epsilon, "beta": beta},
    )
    batch = trainer.score("none")
    loss = 0.0
    for place, term in enumerate(trainer.terms(batch, "grpo")):
        advantage = batch["advantages"][place].item()
        objective, kl = [], []
        for now, before, reference in zip(new[place], old[place], ref[place], strict=True):
            ratio = math.exp(now - before)
            objective.append(min(ratio * advantage, min(max(ratio, 1 - epsilon), 1 + epsilon) * advantage))
            kl.append(math.exp(reference - now) - (reference - now) - 1)
        assert term.objective == pytest.approx(statistics.fmean(objective), rel=1e-4, abs=1e-5)
        assert term.kl == pytest.approx(statistics.fmean(kl), rel=1e-4, abs=1e-5)
        loss -= (statistics.fmean(objective) - beta * statistics.fmean(kl)) / len(new)
    assert trainer.loss(batch, "grpo") == pytest.approx(loss, rel=1e-4, abs=1e-5)


def test_completions_reach_the_rewards_unchanged():
    texts = ["<end>", "  <think> a\n</think>\t<answer>十四</answer> ", "", "<end>x", " . , ! don't "]
    got = []

    def reward(completions, **columns):
        got.extend(completions)
        return [0.0] * len(completions)

    numbers = [[-1.0] * count for count in (1, 7, 3, 2, 40)]
    replay([{"prompt": "p"}] * 5, texts, (numbers,) * 3, {"r": reward}, {"num_generations": 5}).score("group")
    assert got == texts
