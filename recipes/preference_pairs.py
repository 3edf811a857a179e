"""Preference pairs: two answers of a model to each prompt, and which of them a judging model prefers (section 3.1).

The paper puts each pair to DeepSeek-V3 four times with the answers in random order, keeps those with a mean difference
above 1, and keeps the lengths of chosen and rejected answers alike. 66k such pairs train its helpful reward model.

In:  model (whose answers are compared), prompts (question, ...), judge; judge_labelled (question, chosen, rejected),
     by which the judge's agreement with people is measured.
Out: data.jsonl (question, chosen, rejected, margin) and test.jsonl, of other prompts; rejected.jsonl, some of each
     reason.
Run: accelerate launch recipes/preference_pairs.py --config recipes/configs/qwen2.5-7b/preference_pairs.yaml
Deviations: the scale of the differences is not published; here it is HelpSteer2's, from -3 to 3. Two of the four
     judgements have the answers in either order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed
from r1hf.core.errors import NothingKept
from r1hf.core.source import Source
from r1hf.data.drawing import Drawing
from r1hf.data.filters import rejected_rows
from r1hf.data.rows import Row, check_rows, stage_rows, write_rows
from r1hf.data.sources import share_of
from r1hf.evaluation.judge_keys import JudgeKeys
from r1hf.models.loading import check_chat_template
from r1hf.models.sampler_config import SamplingConfig, check_sampler, load_sampler
from r1hf.models.sampling import Limits
from r1hf.selection.preferred import FIELDS, TEMPLATE, MarginJudge, Pair, balanced
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.text import prompt_templates as templates

LABELLED = ("question", "chosen", "rejected")
SHOWN = 3  # rejected pairs of each reason


@dataclass(kw_only=True)
class PreferencePairsConfig(JudgeKeys, SamplingConfig):
    judge: str = field(metadata={"input": True, "help": "a chat model that says which answer it prefers"})
    model: str = field(metadata={"input": True, "help": "the model whose answers are compared"})
    prompts: Source = field(metadata={"input": True, "help": "prompts with the column question"})
    temperature: float = field(default=1.0, metadata={"help": "of the answers: two must differ"})
    max_new_tokens: int = field(default=4096, metadata={"help": "tokens of an answer, thought included"})
    judgements: int = field(default=4, metadata={"help": "of a pair; half of them in either order (paper: 4)"})
    min_margin: float = field(default=1.0, metadata={"help": "a kept pair's mean difference is above it (paper: 1)"})
    length_tolerance: float = field(
        default=0.05,
        metadata={"help": "mean log ratio of the lengths of chosen and rejected; pairs go until it holds"},
    )
    test_share: float = field(default=0.05, metadata={"help": "share of the prompts whose pairs are for testing"})
    judge_margin_template: str = field(
        default=TEMPLATE, metadata={"help": f"the judge's prompt, by name or file, with {', '.join(FIELDS)}"}
    )


CONFIGS = (PreferencePairsConfig,)


def preflight(parsed: Parsed) -> None:
    preflight_inputs(parsed)
    config = parsed.configs[0]
    if config is None:
        return
    check_rows(parsed.problems, "prompts", config.prompts, ("question",), max_bad=config.max_bad_rows)
    if config.judge_labelled is not None:
        check_rows(parsed.problems, "judge_labelled", config.judge_labelled, LABELLED, max_bad=config.max_bad_rows)
    for name in ("model", "judge"):
        check_chat_template(parsed.problems, name, getattr(config, name))
    if config.judgements < 2 or config.judgements % 2:
        parsed.problems.append(f"judgements: {config.judgements} is not even; half of them are in either order")
    templates.check(parsed.problems, "judge_margin_template", config.judge_margin_template, fields=FIELDS)
    check_sampler(parsed.problems, config)


def answered(config: PreferencePairsConfig, rows: Sequence[Row], draw: Drawing) -> list[Pair]:
    """Two answers of the model to each prompt."""
    limits = Limits(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
    with load_sampler(config, config.model) as sampler:
        prompts = sampler.chat([row["question"] for row in rows])
        groups = draw.groups(sampler, prompts, 2, limits, config.seed, "answers", rows)
    return [
        Pair(row, *("" if one.fault else one.text.strip() for one in group))
        for row, group in zip(rows, groups, strict=True)
    ]


def measured(judge: MarginJudge, rows: Sequence[Row]) -> dict[str, int]:
    """How often the judge prefers what people chose."""
    found = judge.judge([Pair(row, row["chosen"], row["rejected"]) for row in rows])
    margins = [pair.margin for pair in found if pair.margin is not None]
    return {
        "pairs": len(rows),
        "agrees": sum(margin > 0 for margin in margins),
        "differs": sum(margin < 0 for margin in margins),
        "equal": sum(margin == 0 for margin in margins),
    }


def judged(config: PreferencePairsConfig, pairs: Sequence[Pair], draw: Drawing) -> tuple[list[Pair], dict[str, Any]]:
    """The pairs with the judge's margins, and what is known of the judge."""
    about: dict[str, Any] = {"model": config.judge}
    with load_sampler(config, config.judge) as sampler:

        def made(name: str, seed: int) -> MarginJudge:
            return MarginJudge(
                draw.asking(sampler),
                *(config.judge_retries, config.judge_max_new_tokens, seed, name),
                template=config.judge_margin_template,
                judgements=config.judgements,
                least=config.min_margin,
            )

        if config.judge_labelled is not None:
            labelled = stage_rows(draw.stage, "judge_labelled", LABELLED)
            about["measured"] = measured(made("judge_measured", config.seed + 1), labelled)
            draw.stage.say("judge: agrees with people on {agrees} of {pairs} pairs".format(**about["measured"]))
        return made("judge", config.seed + 2).judge(pairs), about


def left_out(pairs: Sequence[Pair]) -> list[Row]:
    """The first pairs of each reason as rows of a file."""
    shown: dict[str, list[Row]] = {}
    for pair in pairs:
        if pair.fault and len(told := shown.setdefault(pair.fault, [])) < SHOWN:
            told.append(
                {"question": pair.row["question"], "first": pair.first, "second": pair.second, "margin": pair.margin}
            )
    return rejected_rows(shown)


def pair_row(pair: Pair) -> Row:
    asked = {name: value for name, value in pair.row.items() if name in ("id", "question", "language", "task")}
    return {**asked, "chosen": pair.chosen, "rejected": pair.rejected, "margin": abs(pair.margin or 0)}


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        (config,) = stage.parsed.configs
        rows = stage_rows(stage, "prompts", ("question",))
        draw = Drawing(stage, config)
        pairs, about = judged(config, answered(config, rows, draw), draw)
        reasons = Counter(pair.fault or "kept" for pair in pairs)
        clear = [pair for pair in pairs if not pair.fault]
        kept = balanced(clear, config.length_tolerance)
        if not kept:
            raise NothingKept(f"no pair of {len(rows)} prompts was kept: {dict(reasons)}; see what the judge says")
        tests = [share_of(pair.row["question"]) < config.test_share for pair in kept]
        write_rows(
            stage.work / "data.jsonl", [pair_row(pair) for pair, test in zip(kept, tests, strict=True) if not test]
        )
        write_rows(stage.work / "test.jsonl", [pair_row(pair) for pair, test in zip(kept, tests, strict=True) if test])
        write_rows(stage.work / "rejected.jsonl", left_out(pairs))
        reasons["one_sided_length"] = len(clear) - len(kept)
        reasons["kept"] = len(kept)
        stage.say(f"{len(kept)} of {len(pairs)} pairs kept: {dict(reasons)}")
        stage.finish({"pairs": len(pairs), "reasons": dict(reasons), "test": sum(tests), "judge": about})


if __name__ == "__main__":
    run(main)
