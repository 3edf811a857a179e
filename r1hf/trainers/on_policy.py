"""On-policy distillation: the student writes, and at each of its tokens learns the teacher's distribution.

Where both have one vocabulary, TRL's `DistillationTrainer` (Agarwal et al., arXiv:2306.13649), with the teacher in
this process or behind a vLLM server; where not, TRL's `GOLDTrainer` (`r1hf.trainers.cross_tokenizer`). DeepSeek-R1
itself distils by supervised fine-tuning alone (arXiv:2501.12948v1, 2.4).
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from trl import DistillationConfig, DistillationTrainer
from trl.import_utils import TRLExperimentalWarning

from r1hf.core.errors import ConfigError
from r1hf.trainers import vllm_server
from r1hf.trainers.nonfinite import FiniteSteps
from r1hf.trainers.resume import ExactResume

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TRLExperimentalWarning)
    from trl.experimental.server_distillation import ServerDistillationConfig, ServerDistillationTrainer

PATIENCE = 600.0  # seconds for one answer of a teacher's server: it reads a batch of whole texts


@dataclass
class R1OnPolicyConfig(DistillationConfig):
    """`DistillationConfig`, with the keys of the other two trainers that mean something here, by TRL's names.

    The paper distils by fine-tuning alone and publishes nothing on this. Reverse KL (`beta` 1) makes the student give
    up what the teacher would not say, and it is what a server's answers suffice for.
    """

    learning_rate: float = field(default=1e-6, metadata={"help": "peak learning rate (TRL's; unpublished for R1)"})
    beta: float = field(default=1.0, metadata={"help": "0: forward KL, 1: reverse KL, between: Jensen-Shannon"})
    temperature: float = field(default=1.0, metadata={"help": "of sampling, and of both distributions in the loss"})
    report_to: str | list[str] | None = field(default="none", metadata={"help": "trackers, e.g. wandb"})
    logging_steps: float = field(default=1, metadata={"help": "steps between rows of log.jsonl"})

    loss_top_k: int = field(
        default=1, metadata={"help": "server: the teacher's likeliest tokens that count; above 1 with beta 0 only"}
    )
    loss_add_tail: bool = field(
        default=True, metadata={"help": "server: the probability of all other tokens counts as one token more"}
    )

    uld_token_merge_strategy: Literal["bayesian", "observed"] = field(
        default="bayesian",
        metadata={
            "help": "cross-tokenizer: where one side has several tokens, the last one's distribution, or the first's"
        },
    )
    uld_hybrid_matched_weight: float | None = field(
        default=None, metadata={"help": "cross-tokenizer: weight of tokens with a twin; none: their share"}
    )
    uld_hybrid_unmatched_weight: float | None = field(
        default=None,
        metadata={"help": "cross-tokenizer: weight of tokens without a twin, compared by rank; none: the rest"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.uld_hybrid_matched_weight is None) != (self.uld_hybrid_unmatched_weight is None):
            raise ConfigError("uld_hybrid_matched_weight and uld_hybrid_unmatched_weight: give both or neither")


class StepwiseRollouts(ExactResume):
    """Each optimizer step writes its own rollouts: a checkpoint, which lies between steps, finds none under way."""

    def _rollouts_under_way(self) -> Any:
        return None


class R1DistillationTrainer(StepwiseRollouts, FiniteSteps, DistillationTrainer):
    """TRL's `DistillationTrainer`, resumed exactly and stopped by a loss that is no number."""

    _tag_names = ["trl", "distillation", "r1hf"]


class R1ServerDistillationTrainer(StepwiseRollouts, FiniteSteps, ServerDistillationTrainer):
    """TRL's `ServerDistillationTrainer`: the teacher's log-probabilities come from a vLLM server.

    Raises StageError where the server fails or gives no answer in PATIENCE seconds.
    """

    _tag_names = ["trl", "server-distillation", "r1hf"]

    def __init__(self, *arguments: Any, **named: Any):
        self._address = named["args"].teacher_model_server_url
        with self._explained("before training"), vllm_server.bounded(PATIENCE):
            super().__init__(*arguments, **named)

    def _explained(self, when: str) -> AbstractContextManager[None]:
        return vllm_server.explained(self._address, when, vllm_server.TEACHER)

    def _get_teacher_token_logprobs_from_server(self, *arguments: Any, **named: Any) -> Any:
        with self._explained(f"after step {self.state.global_step}"):
            return super()._get_teacher_token_logprobs_from_server(*arguments, **named)


def server_config(args: R1OnPolicyConfig, address: str) -> ServerDistillationConfig:
    """The same settings for `ServerDistillationTrainer`. Raises ConfigError where a server cannot answer for them."""
    if args.beta > 0 and args.loss_top_k != 1:
        raise ConfigError(
            f"loss_top_k: a server gives the likeliest tokens alone, so {args.loss_top_k} of them need beta 0 "
            f"(forward KL); beta is {args.beta}"
        )
    if args.beta == 0 and args.loss_top_k < 1:
        raise ConfigError(f"loss_top_k: {args.loss_top_k} is below 1; a server never gives the whole distribution")
    return converted(args, ServerDistillationConfig, teacher_model_server_url=address)


def converted(args: R1OnPolicyConfig, kind: Any, **more: Any) -> Any:
    """The settings of `args` that TRL's configuration class `kind` has too, and `more`, as one of that class."""
    known = [name for name, item in kind.__dataclass_fields__.items() if item.init and hasattr(args, name)]
    return kind(**{name: getattr(args, name) for name in known} | more)


def fit_vocabulary(teacher: Any, size: int, tokens: int) -> None:
    """Gives the teacher `size` rows of logits, as the student has: models of one tokenizer are padded differently.

    tokens: of the tokenizer. Raises ConfigError where the teacher would have to grow: a new row would be a token that
    it seems to want.
    """
    own = teacher.config.get_text_config().vocab_size
    if own == size:
        return
    if own < size or size < tokens:
        raise ConfigError(
            f"the teacher has {own} rows of logits and the student {size}, for {tokens} tokens in both: the student's "
            "are more than the teacher can fill; set method cross_tokenizer, which compares tokens one by one"
        )
    with torch.no_grad():
        teacher.resize_token_embeddings(size)
