"""Rejection sampling: the best of Dev2's own samples, plus non-reasoning data, 3 to 1 (section 3.2.2; B.3).

Several samples a prompt from Dev2, kept if right, well formed, in one language, without code and not rambling; every
rejected one is counted under its reason. Right is what the rule of the row's task says (maths, choice, code in the
sandbox, reasoning-gym), and where there is none, a judging model (`judge`). The paper keeps about 600k and adds 200k
of writing, facts, self-identity, translation.

In:  model (Dev2), prompts (question, answer, language, task), general (question, completion, ...), judge (optional)
     with judge_labelled (question, answer, completion, correct), by which its error rate is measured.
Out: data.jsonl, the mix that the second SFT and the students are trained on; prompts.jsonl, every prompt with its
     pass rate, which RL can choose by; spare.jsonl, good rows beyond the ratio; rejected.jsonl, some of each reason;
     audit.parquet, every sample and what became of it (`r1hf audit`); removed.jsonl, leaks and near-duplicates.
Run: accelerate launch recipes/rejection_sampling.py --config recipes/configs/tiny/rejection_sampling.yaml
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed
from r1hf.core.errors import NothingKept
from r1hf.core.source import Source
from r1hf.data.audit import FILE, NOT_CHOSEN, SPARE, Audit
from r1hf.data.choose import Choice, choose, exact, exact_mix
from r1hf.data.drawing import Drawing
from r1hf.data.filters import SampleFilter, Verdict, described, rejected_rows
from r1hf.data.language_column import check_languages
from r1hf.data.options import with_options_shown
from r1hf.data.pass_rates import with_pass_rate
from r1hf.data.rows import Row, check_rows, stage_rows, write_rows
from r1hf.evaluation.cleaning_keys import CleaningKeys, check_cleaning, cleaned
from r1hf.models.loading import check_chat_template
from r1hf.models.sampler_config import SamplingConfig, check_sampler, load_sampler
from r1hf.models.sampling import Completion, Limits
from r1hf.selection.judging import SampleJudgeKeys, check_judge, judged
from r1hf.selection.verdicts import by_rules, check_rules
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.stage import Stage
from r1hf.trainers.rl import COLUMNS, shuffled

GENERAL_COLUMNS = ("question", "completion")


class Kept(NamedTuple):
    """A kept sample as a row, and its place in the audit."""

    place: int
    row: Row


@dataclass(kw_only=True)
class RejectionSamplingConfig(CleaningKeys, SampleJudgeKeys, SamplingConfig):
    model: str = field(metadata={"input": True, "help": "the model that is sampled, Dev2"})
    prompts: Source = field(metadata={"input": True, "help": f"prompts with the columns {', '.join(COLUMNS)}"})
    general: Source = field(metadata={"input": True, "help": "non-reasoning rows: question and completion"})
    samples: int = field(default=4, metadata={"help": "samples a prompt"})
    temperature: float = field(default=1.0, metadata={"help": "0: the likeliest token each time"})
    max_new_tokens: int = field(default=4096, metadata={"help": "tokens of a sample; longer ones are rejected"})
    max_tokens: int = field(default=2048, metadata={"help": "a longer kept sample would ramble"})
    max_paragraph: int = field(default=1000, metadata={"help": "most words and signs of a paragraph; 0: any"})
    min_language_share: float = field(default=1.0, metadata={"help": "least share of words in the row's language"})
    choose: Choice = field(default="first", metadata={"help": "which good samples of a prompt are kept"})
    keep_per_prompt: int | None = field(default=None, metadata={"help": "most samples kept of a prompt; none: all"})
    general_ratio: float = field(default=1 / 3, metadata={"help": "general rows for each reasoning row (paper: 1/3)"})


CONFIGS = (RejectionSamplingConfig,)


def preflight(parsed: Parsed) -> None:
    preflight_inputs(parsed)
    config = parsed.configs[0]
    if config is not None:
        rows = check_rows(parsed.problems, "prompts", config.prompts, COLUMNS, max_bad=config.max_bad_rows)
        check_rules(parsed.problems, rows, judged=config.judge is not None)
        if config.min_language_share > 0:
            check_languages(parsed, "prompts", rows, "set min_language_share to 0")
        check_rows(parsed.problems, "general", config.general, GENERAL_COLUMNS, max_bad=config.max_bad_rows)
        check_chat_template(parsed.problems, "model", config.model)
        check_judge(parsed.problems, config, config.max_bad_rows)
        check_cleaning(parsed.problems, config, config.max_bad_rows)
        check_sampler(parsed.problems, config)


def sampled(config: RejectionSamplingConfig, rows: list[Row], draw: Drawing) -> list[list[Completion]]:
    """The samples of each row, without those that are no answer, which are counted already."""
    limits = Limits(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
    with load_sampler(config, config.model) as sampler:
        prompts = sampler.chat([row["question"] for row in rows])
        groups = draw.groups(sampler, prompts, config.samples, limits, config.seed, "rejection_sampling", rows)
    return [[one for one in group if not one.fault] for group in groups]


def verdicts_of(
    config: RejectionSamplingConfig, rows: list[Row], groups: list[list[Completion]], draw: Drawing
) -> tuple[list[list[Verdict]], dict[str, Any]]:
    """A verdict for every sample, and what is known of the judge, if one was asked."""
    flat = [row for row, group in zip(rows, groups, strict=True) for _ in group]
    texts = [sample.text for group in groups for sample in group]
    verdicts, about = judged(draw, config, flat, texts, by_rules(flat, texts))
    left = iter(verdicts)
    return [[next(left) for _ in group] for group in groups], about


def select(
    config: RejectionSamplingConfig,
    rows: list[Row],
    groups: list[list[Completion]],
    verdicts: list[list[Verdict]],
    judge: SampleFilter,
    audit: Audit,
) -> list[Kept]:
    """The kept samples as rows, each with who judged it and its place in the audit."""
    kept: list[Kept] = []
    for row, group, found in zip(rows, groups, verdicts, strict=True):
        reasons = [judge.counted(row, sample, verdict) for sample, verdict in zip(group, found, strict=True)]
        places = [audit.add(row, *one) for one in zip(group, found, reasons, strict=True)]
        good = [number for number, reason in enumerate(reasons) if reason is None]
        chosen = [
            good[number] for number in choose([group[one] for one in good], config.keep_per_prompt, config.choose)
        ]
        for number in set(good) - set(chosen):
            judge.rejected[NOT_CHOSEN] += 1
            audit.drop(places[number], NOT_CHOSEN)
        for number in chosen:
            made = {**row, "completion": group[number].text.strip(), "judged_by": found[number].by}
            kept.append(Kept(places[number], made))
    return kept


def clean(
    stage: Stage, reasoning: list[Kept], general: list[Row], judge: SampleFilter, audit: Audit
) -> tuple[list[Kept], list[Row]]:
    """Both without leaks of benchmarks and near-duplicates, where the configuration asks for it."""
    removed = cleaned(stage, stage.config, [one.row for one in reasoning] + general)
    audit.drop_removed([one.place for one in reasoning], removed)
    judge.rejected.update(one.reason for one in removed if one.number < len(reasoning))
    gone = {one.number for one in removed}
    return (
        [one for number, one in enumerate(reasoning) if number not in gone],
        [row for number, row in enumerate(general, len(reasoning)) if number not in gone],
    )


def mixed(stage: Stage, reasoning: list[Kept], general: list[Row], ratio: float) -> tuple[list[Row], list[Kept]]:
    """(the mix in exactly the ratio, the good reasoning rows beyond it)."""
    sizes = exact_mix(len(reasoning), len(general), ratio)
    if sizes.reasoning < len(reasoning):
        stage.say(
            f"mix: {sizes.reasoning} reasoning and {sizes.general} general rows make general_ratio {ratio:.4g} "
            f"exactly; {len(reasoning) - sizes.reasoning} more reasoning rows are in spare.jsonl"
            + (f" (general has only {len(general)} rows)" if sizes.general == len(general) else "")
        )
    elif sizes.general != exact(ratio) * sizes.reasoning:
        stage.say(f"mix: {sizes.reasoning} reasoning and {sizes.general} general rows are too few for {ratio:.4g}")
    rows = shuffled(reasoning, stage.config.seed) if sizes.reasoning < len(reasoning) else reasoning
    return [one.row for one in rows[: sizes.reasoning]] + general[: sizes.general], rows[sizes.reasoning :]


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        (config,) = stage.parsed.configs
        rows = with_options_shown(stage_rows(stage, "prompts", COLUMNS))
        general = shuffled(stage_rows(stage, "general", GENERAL_COLUMNS), config.seed)
        judge = SampleFilter(
            max_tokens=config.max_tokens,
            min_language_share=config.min_language_share,
            max_paragraph=config.max_paragraph,
        )
        draw = Drawing(stage, config)
        groups = sampled(config, rows, draw)
        verdicts, about = verdicts_of(config, rows, groups, draw)
        audit = Audit()
        reasoning, general = clean(stage, select(config, rows, groups, verdicts, judge, audit), general, judge, audit)
        if not reasoning:
            raise NothingKept(
                f"no sample of {len(rows)} prompts was kept: {judge.counts()}; is {config.model} trained?\n"
                f"{described(judge.shown)}"
            )
        mix, spare = mixed(stage, reasoning, general, config.general_ratio)
        write_rows(stage.work / "data.jsonl", shuffled(mix, config.seed))
        write_rows(stage.work / "spare.jsonl", (one.row for one in spare))
        for one in spare:
            audit.drop(one.place, SPARE)
        audit.write(stage.work / FILE)
        write_rows(stage.work / "prompts.jsonl", map(with_pass_rate, rows, verdicts))
        write_rows(stage.work / "rejected.jsonl", rejected_rows(judge.shown))
        stage.finish(
            {
                "sampled": sum(map(len, groups)),
                "kept": sum(map(len, groups)) - sum(judge.counts().values()),
                "rejected": judge.counts(),
                "general": len(mix) - len(reasoning) + len(spare),
                **({"spare": len(spare)} if spare else {}),
                **({"judge": about} if about else {}),
            }
        )


if __name__ == "__main__":
    run(main)
