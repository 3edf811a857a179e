"""Distillation between models of two tokenizers: TRL's GOLD, with ends of text that meet and groups merged at once.

The student's text is cut by both tokenizers, and where the cuts fall on the same byte, the two distributions are
compared: tokens of the same text directly, the others by rank (Boizard et al., arXiv:2402.12030; Patiño et al.,
"Unlocking On-Policy Distillation for Any Model Family", 2025).
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from trl.import_utils import TRLExperimentalWarning

from r1hf.trainers.nonfinite import FiniteSteps
from r1hf.trainers.on_policy import R1OnPolicyConfig, StepwiseRollouts, converted

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TRLExperimentalWarning)
    from trl.experimental.gold import GOLDConfig, GOLDTrainer
    from trl.experimental.gold.gold_trainer import ULDLoss

_SUMS = (
    *("_on_policy_loss_total", "_off_policy_loss_total", "_on_policy_step_equiv", "_off_policy_step_equiv"),
    *("_matched_sum", "_unmatched_sum", "_matched_step_eq", "_unmatched_step_eq"),
)


def gold_config(args: R1OnPolicyConfig, teacher: str) -> GOLDConfig:
    """The same settings for GOLD: all text is the student's, ends of text count, both temperatures are one."""
    return converted(
        args,
        GOLDConfig,
        teacher_tokenizer_name_or_path=teacher,
        lmbda=1.0,
        max_length=None,
        use_uld_loss=True,
        uld_use_hybrid_loss=True,
        uld_student_temperature=args.temperature,
        uld_teacher_temperature=args.temperature,
        uld_skip_student_eos=False,
        uld_skip_teacher_eos=False,
        disable_dropout=args.disable_dropout,
    )


class AlignedULD(ULDLoss):
    """TRL's loss. The two end tokens are each other's twin, and groups are merged in one operation, not one by one."""

    _vocab_mapping: dict[int, int]

    def _initialize_vocabulary_mapping(self) -> None:
        super()._initialize_vocabulary_mapping()
        student, teacher = self.student_tokenizer.eos_token_id, self.teacher_tokenizer.eos_token_id
        if student is None or teacher is None or self._vocab_mapping.get(teacher) == student:
            return
        twins = {one: two for one, two in self._vocab_mapping.items() if two != student} | {teacher: student}
        self._vocab_mapping = twins
        self._teacher_matched_ids, self._student_matched_ids = set(twins), set(twins.values())
        self.mapping_tensor = torch.full((max(twins) + 1,), -1, dtype=torch.long, device=self.device)
        self.mapping_tensor[list(twins)] = torch.tensor(list(twins.values()), device=self.device)

    def _merge_probabilities_with_alignment_groups(
        self, probs: torch.Tensor, alignment_groups: list[list[int]], token_ids: list[int] | None = None
    ) -> torch.Tensor:
        """(positions, vocabulary) -> (groups, vocabulary).

        TRL writes group by group into one tensor, whose backward pass copies all of it for each of them: quadratic in
        the length of a thought.
        """
        if not alignment_groups or token_ids is None or not all(alignment_groups):
            return super()._merge_probabilities_with_alignment_groups(probs, alignment_groups, token_ids)
        last = self.token_merge_strategy == "bayesian"
        merged = probs[[group[-1] if last else group[0] for group in alignment_groups]]
        rest = [
            (row, place) for row, group in enumerate(alignment_groups) for place in (group[:-1] if last else group[1:])
        ]
        if not rest:
            return merged
        rows, places = (list(part) for part in zip(*rest, strict=True))
        said = probs[places, [token_ids[place] for place in places]].clamp_min(1e-8).log()
        scale = torch.zeros(len(merged), device=probs.device, dtype=probs.dtype)
        return merged * scale.index_add(0, torch.tensor(rows, device=probs.device), said).exp()[:, None]


class _Sums:
    """GOLD's sums for the next row of the log, for checkpoints."""

    def __init__(self, trainer: GOLDTrainer):
        self.trainer = trainer

    def state_dict(self) -> dict[str, float]:
        return {name: getattr(self.trainer, name) for name in _SUMS}

    def load_state_dict(self, state: dict[str, float]) -> None:
        for name, value in state.items():
            setattr(self.trainer, name, value)


class R1GOLDTrainer(StepwiseRollouts, FiniteSteps, GOLDTrainer):
    """TRL's `GOLDTrainer` on the student's own text, resumed exactly and stopped by a loss that is no number."""

    _tag_names = ["trl", "gold", "r1hf"]

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self.stateful["gold"] = _Sums(self)
        self.uld_loss_fn = AlignedULD(self.args, self._tokenizer, self.teacher_tokenizer, self.accelerator.device)

    def _maybe_add_completion_byte_offsets(self, updated_slice: dict[str, Any]) -> None:
        """The end token has no bytes, as the one that the teacher's side gets; TRL takes its name for text.

        Bytes that are no character (half of one, say) are read as another text, and the cuts behind them would fall
        beside each other: there the row ends.
        """
        super()._maybe_add_completion_byte_offsets(updated_slice)
        labels, offsets = updated_slice["labels"], updated_slice["byte_offsets"]
        ends = self.generation_config.eos_token_id
        over = torch.isin(labels, torch.tensor(ends if isinstance(ends, list) else [ends], device=labels.device))
        offsets[..., 1] = torch.where(over, offsets[..., 0], offsets[..., 1])
        begins = self._tokenizer.bos_token or ""
        prompts = [text.removeprefix(begins) for text in updated_slice["original_prompt_text"]]
        texts = []
        for text, row, ended in zip(updated_slice["original_completion_text"], labels, over, strict=True):
            text = text.removesuffix(self._tokenizer.decode(row[ended].tolist())) if ended.any() else text
            texts.append(text.partition("\ufffd")[0])
        held = torch.tensor([len(text.encode()) for text in texts], device=labels.device)
        cut = held < offsets[..., 1].amax(dim=1)
        labels[offsets[..., 1] > held[:, None]] = -100
        updated_slice |= {"original_prompt_text": prompts, "original_completion_text": texts}
        lengths = (labels != -100).sum(dim=1)
        for name, values in {"mean_length": lengths, "ended": over.any(dim=1), "cut": cut}.items():
            self._metrics["train"][f"completions/{name}"].append(values.float().mean().item())
