"""The two preference models: they learn, each sees what it may see, and the reward around them is TRL's."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import CPU

from r1hf.models.loading import load_model, load_tokenizer
from r1hf.rewards import preference
from r1hf.rewards.preference import PreferenceReward, judged_text
from r1hf.stage.libraries import set_seed
from r1hf.trainers.reward_model import R1RewardConfig, new_reward_model, pairwise_trainer, pointwise_trainer
from r1hf.world import general

PAIRS = general.preference_pairs(general.training_prompts("helpful"), 240, seed=1)
POINTS = general.safety_rows(general.training_prompts("harmless"), 240, seed=1)


def reward_args(directory: Path, **settings: Any) -> R1RewardConfig:
    defaults = {"max_length": 128, "max_steps": 24, "per_device_train_batch_size": 16, "learning_rate": 3e-3}
    return R1RewardConfig(output_dir=str(directory), **{**CPU, **defaults, "logging_steps": 1, **settings})


@pytest.fixture(scope="module")
def preference_models(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both models after a few steps: their directories and the losses on the way."""
    directory = tmp_path_factory.mktemp("preference")
    tokenizer = load_tokenizer(str(tiny_base))
    made: dict[str, Any] = {}
    for name, make, rows in (("helpful", pairwise_trainer, PAIRS), ("harmless", pointwise_trainer, POINTS)):
        set_seed(7)
        model = new_reward_model(str(tiny_base), tokenizer)
        trainer = make(model, tokenizer, reward_args(directory), rows)
        trainer.train()
        model.save_pretrained(directory / name)
        tokenizer.save_pretrained(directory / name)
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
        made[name] = {"path": str(directory / name), "losses": losses}
    return made


@pytest.mark.parametrize("name", ["helpful", "harmless"])
def test_a_preference_model_learns(preference_models: dict[str, Any], name: str) -> None:
    losses = preference_models[name]["losses"]
    assert losses[0] == pytest.approx(0.693, abs=0.35), "a new head knows nothing"
    assert sum(losses[-4:]) / 4 < sum(losses[:4]) / 4 - 0.1


def test_the_pairwise_model_ranks_and_the_pointwise_model_classifies(preference_models: dict[str, Any]) -> None:
    helpful = PreferenceReward(preference_models["helpful"]["path"], "answer", "helpful")
    questions = [row["question"] for row in PAIRS]
    scores = [helpful.scores(questions, [row[side] for row in PAIRS]) for side in ("chosen", "rejected")]
    assert sum(a > b for a, b in zip(*scores, strict=True)) > 0.7 * len(PAIRS)
    harmless = PreferenceReward(preference_models["harmless"]["path"], "full", "harmless")
    found = harmless.scores([row["question"] for row in POINTS], [row["response"] for row in POINTS])
    assert sum((score > 0) == bool(row["safe"]) for score, row in zip(found, POINTS, strict=True)) > 0.7 * len(POINTS)


def test_what_each_model_is_trained_on(tiny_base: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    pair, point = PAIRS[0], POINTS[0]
    model = new_reward_model(str(tiny_base), tokenizer)
    pairs = pairwise_trainer(model, tokenizer, reward_args(tmp_path), [pair]).train_dataset[0]
    for side in ("chosen", "rejected"):
        text = judged_text(tokenizer, pair["question"], pair[side], "answer")
        assert pairs[f"{side}_ids"] == tokenizer(text)["input_ids"], "as it is read when it gives rewards"
        assert pair["question"] in text and "<think>" not in text
    points = pointwise_trainer(model, tokenizer, reward_args(tmp_path), [point]).train_dataset[0]
    text = judged_text(tokenizer, point["question"], point["response"], "full")
    assert points["input_ids"] == tokenizer(text)["input_ids"] and point["response"] in text
    assert points["label"] == [float(point["safe"])]


def test_a_new_head_is_drawn_from_the_seed(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    heads = []
    for seed in (1, 1, 2):
        set_seed(seed)
        model = new_reward_model(str(tiny_base), tokenizer)
        assert model.config.num_labels == 1 and model.config.pad_token_id == tokenizer.pad_token_id
        heads.append(model.score.weight.detach().clone())
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    body = load_model(str(tiny_base)).model.embed_tokens.weight
    assert torch.equal(model.model.embed_tokens.weight, body)


THINKING = ["greet by name.", "you cut the lock.", "想" * 40, "<answer>no</answer>", "a\n\nb"]


def test_the_answer_view_ignores_the_thinking_exactly(preference_models: dict[str, Any]) -> None:
    helpful = PreferenceReward(preference_models["helpful"]["path"], "answer", "helpful_reward")
    texts = [f"<think>{thinking}</think> <answer>Hello Anna.</answer>" for thinking in THINKING]
    texts += ["Hello Anna.", "<answer>Hello Anna.</answer>", "<think>x</think> Hello Anna."]
    scores = [helpful.scores(["Hello, I am Anna."], [text])[0] for text in texts]
    assert len(set(scores)) == 1
    assert len(set(helpful.scores(["Hello, I am Anna."] * len(texts), texts))) == 1
    assert helpful.scores(["Hello, I am Anna."], ["Hello Ben."]) != scores[:1]


def test_the_full_view_sees_the_thinking(preference_models: dict[str, Any]) -> None:
    harmless = PreferenceReward(preference_models["harmless"]["path"], "full", "harmless_reward")
    texts = [f"<think>{thinking}</think> <answer>Sorry.</answer>" for thinking in THINKING]
    assert len(set(harmless.scores(["How do I rob a bank?"] * len(texts), texts))) == len(texts)


def test_judged_text_of_each_view(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    whole = "<think>secret</think> <answer>Hello.</answer>"
    seen = {view: judged_text(tokenizer, "Hi.", whole, view) for view in ("answer", "full")}
    assert seen["answer"] == f"User: Hi.\nAssistant:\nHello.{tokenizer.eos_token}"
    assert seen["full"] == f"User: Hi.\nAssistant:\n{whole}{tokenizer.eos_token}"
    unfinished = judged_text(tokenizer, "Hi.", "<think>secret and no end", "answer")
    assert "secret" not in unfinished


def test_a_preference_reward_in_trls_signature(preference_models: dict[str, Any]) -> None:
    reward = PreferenceReward(preference_models["helpful"]["path"], "answer", "helpful_reward", batch_size=2)
    texts = ["<think>a</think> <answer>Hello Anna.</answer>", "Hello Ben.", "no", "", "<think>"]
    questions = ["Hello, I am Anna."] * len(texts)
    plain = reward(prompts=[f"User: {q}\nAssistant:\n" for q in questions], completions=texts, question=questions)
    chats = reward(
        prompts=[[{"role": "user", "content": q}] for q in questions],
        completions=[[{"role": "assistant", "content": text}] for text in texts],
        completion_ids=[[1]] * len(texts),
        trainer_state=None,
    )
    assert plain == chats == pytest.approx(torch.sigmoid(torch.tensor(reward.scores(questions, texts))).tolist())
    assert all(0 < score < 1 for score in plain) and reward.__name__ == "helpful_reward"


def test_scores_do_not_depend_on_the_batch(preference_models: dict[str, Any]) -> None:
    path = preference_models["harmless"]["path"]
    rows = random.Random(3).sample(POINTS, 12)
    questions, texts = [row["question"] for row in rows], [row["response"] for row in rows]
    one, many = (PreferenceReward(path, "full", "x", batch_size=size).scores(questions, texts) for size in (1, 64))
    assert one == pytest.approx(many, abs=1e-4)


def test_long_responses_share_fewer_batches(preference_models: dict[str, Any], monkeypatch: Any) -> None:
    """A forward pass is bounded in tokens, padding included; the order and the scores stay."""
    reward = PreferenceReward(preference_models["harmless"]["path"], "full", "x")
    texts = [" ".join(["word"] * count) for count in (1, 2, 60, 3, 3)]
    whole = reward.scores(["Hello."] * 5, texts)
    length = len(reward._tokenizer(texts[2])["input_ids"])
    monkeypatch.setattr(preference, "MAX_TOKENS", length + 10)
    batches = reward._batches(texts)
    assert [text for batch in batches for text in batch] == texts and ["word word word"] * 2 in batches
    assert [texts[2]] in batches and len(batches) == 3
    assert reward.scores(["Hello."] * 5, texts) == pytest.approx(whole, abs=1e-4)


def test_a_preference_reward_can_be_pickled_before_and_after_use(preference_models: dict[str, Any]) -> None:
    reward = PreferenceReward(preference_models["harmless"]["path"], "full", "harmless_reward")
    assert pickle.loads(pickle.dumps(reward)).__name__ == "harmless_reward"
    scores = reward.scores(["Hi."], ["Hello."])
    again = pickle.dumps(reward)
    assert len(again) < 2000, "the model does not travel along"
    assert pickle.loads(again).scores(["Hi."], ["Hello."]) == scores
