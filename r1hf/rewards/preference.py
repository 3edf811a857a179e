"""Rewards from trained preference models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from r1hf.core.foreign_code import WEIGHTS
from r1hf.models.loading import load_tokenizer, loading
from r1hf.rewards._common import completion_texts, question_text
from r1hf.text.grammar import parse

View = Literal["answer", "full"]
MAX_TOKENS = 32_768  # of one forward pass, padding included: long responses would not fit beside a policy otherwise


def judged_text(tokenizer: PreTrainedTokenizerBase, question: str, completion: str, view: View) -> str:
    """What a preference model reads: the question with the answer alone, or with the whole response."""
    shown = parse(completion).visible if view == "answer" else completion
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": shown}]
    return tokenizer.apply_chat_template(turns, tokenize=False)


class PreferenceReward:
    """The probability, in [0, 1], that a preference model gives a response; TRL's reward signature.

    model: directory or Hub id of a sequence classifier with one output. view: "answer" hides the thinking (helpful),
    "full" shows it (harmless). A pairwise model's score is meaningful up to a constant; the sigmoid keeps it in the
    range of the other rewards, and the group's mean takes the constant out.
    """

    bounds = (0.0, 1.0)
    aspect = "preference"

    def __init__(self, model: str, view: View, name: str, tasks: tuple[str, ...] | None = None, batch_size: int = 256):
        self.__name__, self.tasks = name, tasks
        self.source, self.view, self.batch_size = model, view, batch_size
        self._model: Any = None
        self._tokenizer: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_model": None, "_tokenizer": None}

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], question: Sequence[str] | None = None, **kwargs: Any
    ) -> list[float | None]:
        asked = question or [question_text(prompt) for prompt in prompts]
        return list(torch.sigmoid(torch.tensor(self.scores(asked, completion_texts(completions)))).tolist())

    def scores(self, questions: Sequence[str], completions: Sequence[str]) -> list[float]:
        """The model's raw outputs (logits)."""
        self._load()
        texts = [judged_text(self._tokenizer, q, c, self.view) for q, c in zip(questions, completions, strict=True)]
        found: list[float] = []
        for batch in self._batches(texts):
            inputs = self._tokenizer(batch, return_tensors="pt", padding=True)
            with torch.inference_mode():
                found += self._model(**inputs.to(self._model.device)).logits[:, 0].tolist()
        return found

    def _batches(self, texts: Sequence[str]) -> list[list[str]]:
        """In their order, at most `batch_size` and `MAX_TOKENS` at once."""
        batches: list[list[str]] = []
        longest = 0
        for text, ids in zip(texts, self._tokenizer(list(texts))["input_ids"] if texts else [], strict=True):
            longest = max(longest, len(ids))
            count = len(batches[-1]) + 1 if batches else 0
            if not count or count > self.batch_size or count * longest > MAX_TOKENS:
                batches.append([])
                longest = len(ids)
            batches[-1].append(text)
        return batches

    def _load(self) -> None:
        if self._model is None:
            name, _, revision = self.source.partition("@")
            self._tokenizer = load_tokenizer(self.source)
            with loading(self.source):
                self._model = AutoModelForSequenceClassification.from_pretrained(
                    name, revision=revision or None, dtype="float32", **WEIGHTS
                ).eval()
            if torch.cuda.is_available():
                self._model.to("cuda")
