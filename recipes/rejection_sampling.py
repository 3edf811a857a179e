"""Rejection sampling: the best of Dev2's own samples, plus non-reasoning data, 3 to 1 (section 3.2.2; B.3).

Several samples a prompt from Dev2, kept if right, well formed, in one language and not rambling; every rejected one
is counted under its reason. The paper keeps about 600k and adds 200k of writing, facts, self-identity, translation.

In:  model (Dev2), prompts (question, answer, language, task), general (question, completion, ...).
Out: data.jsonl, the mix that the second SFT and the students are trained on.
Run: accelerate launch recipes/rejection_sampling.py --config recipes/configs/tiny/rejection_sampling.yaml
"""

from __future__ import annotations

from dataclasses import dataclass, field

from r1hf.commands.recipe import run
from r1hf.core.config import Parsed, parse
from r1hf.core.errors import NothingKept
from r1hf.core.source import Source
from r1hf.data.filters import SampleFilter
from r1hf.data.language_column import check_languages
from r1hf.data.rows import Row, check_rows, stage_rows, write_rows
from r1hf.models.generation import generate
from r1hf.models.loading import check_chat_template
from r1hf.models.sampler_config import SamplingConfig, check_sampler, load_sampler
from r1hf.models.sampling import Limits
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.stage import Stage
from r1hf.trainers.rl import COLUMNS, shuffled

GENERAL_COLUMNS = ("question", "completion")


@dataclass(kw_only=True)
class RejectionSamplingConfig(SamplingConfig):
    model: str = field(metadata={"input": True, "help": "the model that is sampled, Dev2"})
    prompts: Source = field(metadata={"input": True, "help": f"prompts with the columns {', '.join(COLUMNS)}"})
    general: Source = field(metadata={"input": True, "help": "non-reasoning rows: question and completion"})
    samples: int = field(default=4, metadata={"help": "samples a prompt"})
    temperature: float = field(default=1.0, metadata={"help": "0: the likeliest token each time"})
    max_new_tokens: int = field(default=4096, metadata={"help": "tokens of a sample; longer ones are rejected"})
    max_tokens: int = field(default=2048, metadata={"help": "a longer kept sample would ramble"})
    min_language_share: float = field(default=1.0, metadata={"help": "least share of words in the row's language"})
    general_ratio: float = field(default=1 / 3, metadata={"help": "general rows for each reasoning row (paper: 1/3)"})


CONFIGS = (RejectionSamplingConfig,)


def preflight(parsed: Parsed) -> None:
    preflight_inputs(parsed)
    config = parsed.configs[0]
    if config is not None:
        rows = check_rows(parsed.problems, "prompts", config.prompts, COLUMNS, max_bad=config.max_bad_rows)
        if config.min_language_share > 0:
            check_languages(parsed, "prompts", rows, "set min_language_share to 0")
        check_rows(parsed.problems, "general", config.general, GENERAL_COLUMNS, max_bad=config.max_bad_rows)
        check_chat_template(parsed.problems, "model", config.model)
        check_sampler(parsed.problems, config)


def select(config: RejectionSamplingConfig, rows: list[Row], judge: SampleFilter, stage: Stage) -> list[Row]:
    """The kept samples as rows."""
    limits = Limits(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
    with load_sampler(config, config.model) as sampler:
        prompts, ids = sampler.chat([row["question"] for row in rows]), [row.get("id") for row in rows]
        place = stage.checkpoints / "samples"
        made = generate(place, sampler, prompts, config.samples, limits, config, ids=ids, name="rejection_sampling")
    if made.fault_counts:
        stage.note("no_answer", "rejection_sampling", made.fault_counts)
    return [
        {**row, "completion": sample.text.strip()}
        for row, group in zip(rows, made.groups(), strict=True)
        for sample in group
        if not sample.fault and judge.keeps(row, sample)
    ]


def main(argv: list[str] | None = None) -> None:
    parsed = parse(CONFIGS, argv)
    preflight(parsed)
    parsed.check()
    (config,) = parsed.configs
    with Stage(parsed, recipe=__file__) as stage:
        rows = stage_rows(stage, "prompts", COLUMNS)
        general = shuffled(stage_rows(stage, "general", GENERAL_COLUMNS), config.seed)
        judge = SampleFilter(max_tokens=config.max_tokens, min_language_share=config.min_language_share)
        reasoning = select(config, rows, judge, stage)
        if not reasoning:
            raise NothingKept(
                f"no sample of {len(rows)} prompts was kept: {judge.counts()}; is {config.model} trained?"
            )
        general = general[: round(len(reasoning) * config.general_ratio)]
        write_rows(stage.work / "data.jsonl", shuffled(reasoning + general, config.seed))
        stage.finish(
            {
                "sampled": len(rows) * config.samples,
                "kept": len(reasoning),
                "rejected": judge.counts(),
                "general": len(general),
            }
        )


if __name__ == "__main__":
    run(main)
