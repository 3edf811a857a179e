"""Cold-start data: a few clean examples of how to think (section 3.1 of arXiv 2501.12948v2; v1, section 2.3.1).

All three of the article's methods: few-shot prompts with long reasoning and direct prompts that ask for verification,
both answered by the base, and R1-Zero's outputs rewritten, by a language model (`rewriter`) or, for sums, by rule.
Kept are samples that are right, in the form `| special_token | reasoning | special_token | Summary: ...`, in the
question's language, readable, and verified where the method asks for it.

In:  model (the base), zero (R1-Zero), prompts (question, answer, language, task), rewriter (optional).
Out: data.jsonl (one row an example, with its `method`), review.jsonl (each rewriting, before and after, with the
     reason if it is not kept), rejected.jsonl (three samples of each reason), audit.parquet (every sample and what
     became of it), removed.jsonl (leaks and near-duplicates).
Run: accelerate launch recipes/cold_start.py --config recipes/configs/tiny/cold_start.yaml
Deviations: the paper's annotators look at every row; here people come in with `r1hf review`, or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed
from r1hf.core.errors import NothingKept
from r1hf.core.source import Source
from r1hf.data.audit import FILE, Audit
from r1hf.data.cold_start import (
    REWRITE_FIELDS,
    Candidate,
    Taken,
    check_floor,
    check_templates,
    drafts,
    prompted,
    review_rows,
    rewritten_by_model,
    rewritten_by_rule,
    take,
)
from r1hf.data.decisions import key_of
from r1hf.data.drawing import Drawing
from r1hf.data.filters import SampleFilter, rejected_rows
from r1hf.data.language_column import check_languages
from r1hf.data.options import with_options_shown
from r1hf.data.rows import Row, check_rows, stage_rows, write_rows
from r1hf.evaluation.cleaning_keys import CleaningKeys, check_cleaning, cleaned
from r1hf.models.loading import check_chat_template
from r1hf.models.sampler_config import SamplingConfig, check_sampler, load_sampler
from r1hf.models.sampling import Limits
from r1hf.selection.verdicts import by_rules, check_rules
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.stage import Stage
from r1hf.text.prompt_templates import Templates
from r1hf.trainers.rl import COLUMNS, shuffled

METHODS = ("few_shot", "direct", "rewrite")


def _by_language(name: str) -> dict[str, str]:
    return {"en": f"{name}_en", "zh": f"{name}_zh_hans", "zh-Hant": f"{name}_zh_hant"}


@dataclass(kw_only=True)
class ColdStartConfig(CleaningKeys, SamplingConfig):
    model: str = field(metadata={"input": True, "help": "the base that is prompted"})
    zero: str = field(metadata={"input": True, "help": "R1-Zero, whose outputs are rewritten"})
    prompts: Source = field(metadata={"input": True, "help": f"prompts with the columns {', '.join(COLUMNS)}"})
    rewriter: str | None = field(
        default=None,
        metadata={"input": True, "help": "a chat model that rewrites R1-Zero's outputs; none: by rule, sums alone"},
    )
    few_shot_template: Templates = field(
        default_factory=lambda: _by_language("few_shot"),
        metadata={"help": "prompt with solved examples, by name or file, for all or by language"},
    )
    direct_template: Templates = field(
        default_factory=lambda: _by_language("direct"),
        metadata={"help": "prompt that asks for steps, verification and the form"},
    )
    rewrite_template: Templates = field(
        default_factory=lambda: _by_language("rewrite"), metadata={"help": "what the rewriter is asked"}
    )
    problems: int = field(default=1000, metadata={"help": "problems that each method is given"})
    samples: int = field(default=4, metadata={"help": "samples a problem and method"})
    rows_per_method: int = field(default=2000, metadata={"help": "most rows to keep of a method"})
    min_rows_per_method: int = field(
        default=1, metadata={"help": "the stage stops where a method keeps fewer, and says why; 0: it goes on"}
    )
    max_new_tokens: int = field(default=4096, metadata={"help": "tokens of a sample"})
    min_language_share: float = field(default=1.0, metadata={"help": "least share of words in the row's language"})
    max_paragraph: int = field(default=1000, metadata={"help": "most words and signs of a paragraph; 0: any"})


CONFIGS = (ColdStartConfig,)


def preflight(parsed: Parsed) -> None:
    preflight_inputs(parsed)
    config = parsed.configs[0]
    if config is not None:
        rows = check_rows(parsed.problems, "prompts", config.prompts, COLUMNS, max_bad=config.max_bad_rows)
        check_languages(parsed, "prompts", rows, "leave the row out")
        check_rules(parsed.problems, rows, judged=False)
        check_chat_template(parsed.problems, "zero", config.zero)
        check_templates(parsed.problems, "few_shot_template", config.few_shot_template, rows)
        check_templates(parsed.problems, "direct_template", config.direct_template, rows)
        if config.rewriter is not None:
            check_chat_template(parsed.problems, "rewriter", config.rewriter)
            check_templates(parsed.problems, "rewrite_template", config.rewrite_template, rows, REWRITE_FIELDS)
        check_cleaning(parsed.problems, config, config.max_bad_rows)
        check_sampler(parsed.problems, config)


def sampled(config: ColdStartConfig, rows: list[Row], queue: list[Row], draw: Drawing) -> dict[str, list[Candidate]]:
    """The candidates of every method."""
    limits, n, seed = Limits(max_new_tokens=config.max_new_tokens), config.samples, config.seed
    with load_sampler(config, config.model) as base:
        made = {
            "few_shot": prompted(draw, base, rows, config.few_shot_template, n, limits, seed, "few_shot"),
            "direct": prompted(draw, base, rows, config.direct_template, n, limits, seed + 1, "direct"),
        }
    with load_sampler(config, config.zero) as zero:
        raw = drafts(draw, zero, rows, n, limits, seed + 2)
    if config.rewriter is None:
        made["rewrite"] = rewritten_by_rule(raw, queue)
        return made
    verdicts = by_rules([row for row, _ in raw], [sample.text for _, sample in raw])
    with load_sampler(config, config.rewriter) as rewriter:
        ask = draw.asking(rewriter)
        made["rewrite"] = rewritten_by_model(ask, raw, verdicts, config.rewrite_template, limits, seed + 3, queue)
    return made


def selected(
    config: ColdStartConfig, made: dict[str, list[Candidate]], audit: Audit
) -> tuple[Taken, dict[str, SampleFilter]]:
    """What is kept of every method, and its filter with the counts. Rewritings are verified like the rest."""
    taken, filters = Taken([], [], {}), {}
    for method in METHODS:
        judge = filters[method] = SampleFilter(
            form="cold_start",
            max_tokens=config.max_new_tokens,
            min_language_share=config.min_language_share,
            verification=method == "direct",
            max_paragraph=config.max_paragraph,
        )
        verdicts = by_rules([row for row, _ in made[method]], [sample.text for _, sample in made[method]])
        one = take(made[method], verdicts, judge, method, config.rows_per_method, audit)
        taken = Taken(taken.rows + one.rows, taken.places + one.places, taken.reasons | one.reasons)
    return taken, filters


def clean(stage: Stage, taken: Taken, filters: dict[str, SampleFilter], audit: Audit) -> list[Row]:
    """The rows without leaks of benchmarks and near-duplicates, where the configuration asks for it."""
    removed = cleaned(stage, stage.config, taken.rows)
    audit.drop_removed(taken.places, removed)
    for one in removed:
        row = taken.rows[one.number]
        filters[row["method"]].rejected[one.reason] += 1
        taken.reasons[key_of(row["question"], row["completion"])] = one.reason
    gone = {one.number for one in removed}
    kept = [row for number, row in enumerate(taken.rows) if number not in gone]
    if not kept:
        raise NothingKept(f"all {len(gone)} rows repeat benchmarks or each other; look at the prompts")
    return kept


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        (config,) = stage.parsed.configs
        rows = with_options_shown(stage_rows(stage, "prompts", COLUMNS))
        rows = shuffled(rows, config.seed)[: config.problems]
        queue: list[Row] = []
        audit = Audit()
        taken, filters = selected(config, sampled(config, rows, queue, Drawing(stage, config)), audit)
        check_floor(filters, config.min_rows_per_method, len(rows))
        kept = clean(stage, taken, filters, audit)
        write_rows(stage.work / "data.jsonl", shuffled(kept, config.seed))
        audit.write(stage.work / FILE)
        write_rows(stage.work / "review.jsonl", review_rows(queue, taken.reasons, kept))
        write_rows(
            stage.work / "rejected.jsonl",
            (row for method, item in filters.items() for row in rejected_rows(item.shown, method=method)),
        )
        stage.finish(
            {
                "kept": len(kept),
                "by_method": {method: sum(row["method"] == method for row in kept) for method in METHODS},
                "rejected": {method: filters[method].counts() for method in METHODS},
            }
        )


if __name__ == "__main__":
    run(main)
