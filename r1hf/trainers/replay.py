"""GRPO over completions and log-probabilities that are given: what a training step computes, without training.

Nothing of GRPO is written again here. Rewards, advantages and loss come from TRL's own methods, which are handed the
completions through `rollout_func` and the log-probabilities in place of a model's forward pass.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from r1hf.data.rows import Row
from r1hf.stage.libraries import quiet_libraries
from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer

SCALINGS = ("group", "batch", "none")
Logps = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Term:
    """One completion's part of the objective, averaged over its tokens.

    objective: min(ratio * A, clip(ratio) * A). kl: the k3 estimate against the reference. clipped: the share of
    tokens whose ratio is cut off. push: minus the gradient of the group's loss with respect to the completion's
    log-probability; above 0 the step makes the completion likelier.
    """

    objective: float
    kl: float
    clipped: float
    push: float


class ReplayTrainer(R1GRPOTrainer):
    """`R1GRPOTrainer` for rows with their completions, `num_generations` rows for each prompt.

    `logps` are log-probabilities of the tokens of each completion, under the policy, under the policy that sampled
    it, and under the reference.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        completions: Sequence[str],
        logps: tuple[Logps, Logps, Logps],
        rewards: Mapping[str, Callable[..., list[float | None]]],
        args: R1GRPOConfig,
    ):
        self._scores: torch.Tensor | None = None
        self._rows = [dict(row) for row in rows]
        self._new, self._old, self._reference = (_padded(part) for part in logps)
        self.kl_weight = args.beta
        args.beta, args.sync_ref_model = 0.0, False  # no reference model is loaded: its log-probabilities are given
        tokenizer, pieces = _tokenizer(completions, [len(part) for part in logps[0]])
        self._pieces = pieces
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*rollout_func.*")
            super().__init__(
                model=Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), **_SMALL)),
                reward_funcs=list(rewards.values()),
                args=args,
                train_dataset=Dataset.from_list([{"prompt": row["prompt"]} for row in rows]),
                processing_class=tokenizer,
                rollout_func=self._replay,
            )
        self.reward_func_names = list(rewards)
        self.current_gradient_accumulation_steps = 1

    def _send_telemetry(self) -> None:
        """Nothing is trained, so nothing is reported."""

    def _replay(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        return {"prompt_ids": [[0]] * len(prompts), "completion_ids": self._pieces, "logprobs": None}

    def _calculate_rewards(self, *arguments: Any, **named: Any) -> torch.Tensor:
        if self._scores is None:  # once, however many scalings are asked for
            self._scores = super()._calculate_rewards(*arguments, **named)
        return self._scores

    def _get_per_token_logps_and_entropies(self, *arguments: Any, **named: Any) -> Any:
        return self._new, torch.zeros_like(self._new), None

    def score(self, scaling: str) -> dict[str, Any]:
        """TRL's batch with its advantages under one of SCALINGS, ready for `loss`."""
        self.scale_rewards = scaling
        batch = self._generate_and_score_completions(self._rows)
        return {**batch, "old_per_token_logps": self._old, "ref_per_token_logps": self._reference}

    @property
    def scores(self) -> list[list[float | None]]:
        """The rewards, completion by completion; None where a reward could not judge."""
        assert self._scores is not None
        return [[None if value != value else value for value in row] for row in self._scores.tolist()]

    def loss(self, batch: dict[str, Any], loss_type: str) -> float:
        """The loss that the optimizer would see."""
        with torch.no_grad():
            return float(self._loss(batch, loss_type, self.kl_weight))

    def terms(self, batch: dict[str, Any], loss_type: str) -> list[Term]:
        """Each completion's term, each from TRL's loss over that completion alone; `push` from the whole batch."""
        new = self._new
        self._new = new.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self._loss(batch, loss_type, self.kl_weight), self._new)
        push = (-gradient * batch["completion_mask"]).sum(dim=1).tolist()
        try:
            return [self._term(batch, new, row, push[row]) for row in range(len(push))]
        finally:
            self._new = new

    def _term(self, batch: dict[str, Any], new: torch.Tensor, row: int, push: float) -> Term:
        alone = {key: value[row : row + 1] for key, value in batch.items() if value.dim()}
        self._new = new[row : row + 1]
        seen = self._metrics["train"]
        objective = -float(self._loss(alone, "grpo", 0.0))
        self._loss(alone, "grpo", 1.0)  # TRL measures no KL where beta is 0
        return Term(objective, seen["kl"][-1], seen["clip_ratio/region_mean"][-1], push)

    def _loss(self, batch: dict[str, Any], loss_type: str, beta: float) -> torch.Tensor:
        self.loss_type, self.beta = loss_type, beta
        try:
            return self._compute_loss(self.model, batch)
        finally:
            self.beta = 0.0  # so that `score` asks for no reference model


_SMALL = {
    **{"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1},
    **{"num_attention_heads": 1, "num_key_value_heads": 1},
}


def replay(
    rows: Sequence[Row],
    completions: Sequence[str],
    logps: tuple[Logps, Logps, Logps],
    rewards: Mapping[str, Callable[..., list[float | None]]],
    settings: Mapping[str, Any],
) -> ReplayTrainer:
    """A `ReplayTrainer` on the CPU. `settings` are keys of `R1GRPOConfig`."""
    quiet_libraries()
    with tempfile.TemporaryDirectory() as directory:
        args = R1GRPOConfig(
            output_dir=directory,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=len(rows),
            disable_tqdm=True,
            **{"step_metrics": False, "log_rollouts": False, **settings},
        )
        return ReplayTrainer(rows, completions, logps, rewards, args)


def _padded(logps: Logps) -> torch.Tensor:
    width = max(len(part) for part in logps)
    return torch.tensor([[*part, *[0.0] * (width - len(part))] for part in logps], dtype=torch.float32)


def _tokenizer(texts: Sequence[str], counts: Sequence[int]) -> tuple[PreTrainedTokenizerFast, list[list[int]]]:
    """A tokenizer that knows pieces of `texts`, and the ids of each text in as many pieces as it has tokens."""
    cut = [
        [text[len(text) * part // count : len(text) * (part + 1) // count] for part in range(count)]
        for text, count in zip(texts, counts, strict=True)
    ]
    known = list(dict.fromkeys(piece for pieces in cut for piece in pieces))
    end = "<end>"
    while end in known:
        end += ">"
    vocabulary = {piece: number for number, piece in enumerate([end, *known])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=end))
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=end, pad_token=end, clean_up_tokenization_spaces=False
    )
    return fast, [[vocabulary[piece] for piece in pieces] for pieces in cut]
