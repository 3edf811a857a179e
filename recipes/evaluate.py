"""Evaluation of every model on the same held-out problems, with the same sampler (section 4; B.6).

pass@1, pass@k and the majority's vote over k samples with 95% intervals over problems, format, language consistency,
length and truncation; helpful and harmless rates on general prompts, judged by rule and not by the models that gave
the reward. Every sample is kept, so that a killed run goes on, and verdicts can be redone.

In:  models, prompts (held-out problems), general_prompts (held-out, with reference, required, forbidden).
Out: results.json; samples.parquet: every sample; samples.jsonl: a few questions answered by every model.
Run: accelerate launch recipes/evaluate.py --config recipes/configs/tiny/evaluate.yaml
"""

from __future__ import annotations

from r1hf.commands.recipe import run
from r1hf.core.config import parse
from r1hf.evaluation.config import EvaluateConfig, preflight
from r1hf.evaluation.run import evaluate

CONFIGS = (EvaluateConfig,)


def main(argv: list[str] | None = None) -> None:
    parsed = parse(CONFIGS, argv)
    preflight(parsed)
    evaluate(parsed, __file__)


if __name__ == "__main__":
    run(main)
