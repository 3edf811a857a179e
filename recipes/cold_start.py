"""Cold-start data: a few clean examples of how to think (section 3.1 of arXiv 2501.12948v2; v1, section 2.3.1).

All three of the article's methods: few-shot prompts with long reasoning and direct prompts that ask for verification,
both answered by the base, and R1-Zero's readable outputs rewritten. Kept are samples that are right, in the form
`| special_token | reasoning | special_token | Summary: ...`, in the question's language, and not too long.

In:  model (the base), zero (R1-Zero), prompts (question, answer, language, task).
Out: data.jsonl (one row an example, with its `method`), review.jsonl (each rewriting, before and after).
Run: accelerate launch recipes/cold_start.py --config recipes/configs/tiny/cold_start.yaml
Deviations: rewriting is by rule where the paper has human annotators; review.jsonl is where people come in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from r1hf.commands.recipe import run
from r1hf.core.config import Parsed, parse
from r1hf.core.errors import NothingKept
from r1hf.core.source import Source
from r1hf.data.cold_start import Drawing, prompted, rewritten, take
from r1hf.data.filters import SampleFilter
from r1hf.data.language_column import check_languages
from r1hf.data.rows import Row, check_rows, stage_rows, write_rows
from r1hf.models.loading import check_chat_template
from r1hf.models.sampler_config import SamplingConfig, check_sampler, load_sampler
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.stage import Stage
from r1hf.trainers.rl import COLUMNS, check_templates, shuffled

METHODS = ("few_shot", "direct", "rewrite")


@dataclass(kw_only=True)
class ColdStartConfig(SamplingConfig):
    model: str = field(metadata={"input": True, "help": "the base that is prompted"})
    zero: str = field(metadata={"input": True, "help": "R1-Zero, whose outputs are rewritten"})
    prompts: Source = field(metadata={"input": True, "help": f"prompts with the columns {', '.join(COLUMNS)}"})
    few_shot_template: str = field(default="few_shot", metadata={"help": "prompt with solved examples"})
    direct_template: str = field(default="direct", metadata={"help": "prompt that asks for steps and verification"})
    problems: int = field(default=1000, metadata={"help": "problems that each method is given"})
    samples: int = field(default=4, metadata={"help": "samples a problem and method"})
    rows_per_method: int = field(default=2000, metadata={"help": "most rows to keep of a method"})
    max_new_tokens: int = field(default=4096, metadata={"help": "tokens of a sample"})


CONFIGS = (ColdStartConfig,)


def preflight(parsed: Parsed) -> None:
    preflight_inputs(parsed)
    config = parsed.configs[0]
    if config is not None:
        rows = check_rows(parsed.problems, "prompts", config.prompts, COLUMNS, max_bad=config.max_bad_rows)
        check_languages(parsed, "prompts", rows, "leave the row out")
        check_chat_template(parsed.problems, "zero", config.zero)
        check_templates(parsed.problems, "few_shot_template", config.few_shot_template)
        check_templates(parsed.problems, "direct_template", config.direct_template)
        check_sampler(parsed.problems, config)


def collect(
    config: ColdStartConfig, rows: list[Row], queue: list[Row], stage: Stage
) -> tuple[list[Row], dict[str, SampleFilter]]:
    """The kept rows of every method, and each method's filter with its counts."""
    limit, seed = config.max_new_tokens, config.seed
    draw = Drawing(stage, config, config.samples, limit)
    with load_sampler(config, config.model) as base:
        made = {
            "few_shot": prompted(draw, base, rows, config.few_shot_template, seed, "few_shot"),
            "direct": prompted(draw, base, rows, config.direct_template, seed + 1, "direct"),
        }
    with load_sampler(config, config.zero) as zero:
        made["rewrite"] = rewritten(draw, zero, rows, seed + 2, queue)
    kept: list[Row] = []
    filters = {}
    for method in METHODS:
        filters[method] = SampleFilter(form="cold_start", max_tokens=limit)
        kept += take(made[method], filters[method].keeps, method, config.rows_per_method)
    return kept, filters


def main(argv: list[str] | None = None) -> None:
    parsed = parse(CONFIGS, argv)
    preflight(parsed)
    parsed.check()
    (config,) = parsed.configs
    with Stage(parsed, recipe=__file__) as stage:
        rows = shuffled(stage_rows(stage, "prompts", COLUMNS), config.seed)[: config.problems]
        queue: list[Row] = []
        kept, filters = collect(config, rows, queue, stage)
        if not kept:
            raise NothingKept(f"no cold-start sample was kept of {len(rows)} problems: {_reasons(filters)}")
        write_rows(stage.work / "data.jsonl", shuffled(kept, config.seed))
        write_rows(stage.work / "review.jsonl", queue)
        stage.finish(
            {
                "kept": len(kept),
                "by_method": {method: sum(row["method"] == method for row in kept) for method in METHODS},
                "rejected": {method: filters[method].counts() for method in METHODS},
            }
        )


def _reasons(filters: dict[str, SampleFilter]) -> str:
    return "; ".join(f"{method} {item.counts()}" for method, item in filters.items())


if __name__ == "__main__":
    run(main)
