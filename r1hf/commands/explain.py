"""What is wrong with a run; or GRPO step by step for one question.

With a run it says in its first line what is wrong, then what shows it and what to try. The run need not be r1hf's:
an output directory of TRL or Unsloth, a dump of verl, a file of prompts, completions and rewards, a console log.

  r1hf explain outputs/my-grpo                          trainer_state.json and log_completions
  r1hf explain rollouts.jsonl --columns completion=text --data train.jsonl

Without one it shows rewards, advantages, clipped objective, KL term and loss of each completion, and works through
the four outputs of the seed article (section 8). The figures come from the code that trains: r1hf's rewards, and TRL's
own advantages and loss.

  r1hf explain                                          the article's example, the paper's epsilon and beta
  r1hf explain --epsilon 0.2 --format-mode think_answer
  r1hf explain --example language                       section 12: accuracy 1, language 0.2
  r1hf explain --question "What is 2 + 3?" --answer 5 --completion "<think>…" --completion "…"
  r1hf explain --question "What is 2 + 3?" --answer 5 --completions samples.jsonl --json

Exit status of a run: 0 no fault found, 1 a fault, 2 nothing could be read.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from r1hf.commands.group_files import add_logprobs, check_lengths, read_groups
from r1hf.commands.table import bullets, figure, short, table
from r1hf.core.errors import ConfigError
from r1hf.core.yamlfile import nearest
from r1hf.explain.groups import EXAMPLES, LOSS_TYPES, POLICIES, REWARDS, SCALINGS, Example, Group, Options, explain
from r1hf.explain.report.text import MISSING


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run's directory, a file of rollouts, or a log")
    whole = parser.add_argument_group("of a run")
    whole.add_argument("--columns", metavar="WHAT=NAME,…", help="columns with names of their own: completion=text,…")
    whole.add_argument("--data", type=Path, metavar="FILE", help="prompts with gold answers, to judge completions by")
    whole.add_argument("--html", type=Path, metavar="FILE", help="also write a page with its rollouts (r1hf report)")
    what = parser.add_argument_group("what is explained")
    what.add_argument("--example", choices=sorted(EXAMPLES), default="rewards", help="section 8 or 12 of the article")
    what.add_argument("--question", help="the question, together with --answer")
    what.add_argument("--answer", "--gold", help="its gold answer")
    what.add_argument("--language", help="target of the language reward, e.g. en (default: the question's)")
    what.add_argument("--completion", action="append", metavar="TEXT", help="one completion; repeat it")
    what.add_argument("--completions", metavar="FILE", help="JSON or JSONL file of completions or groups; - for stdin")
    paid = parser.add_argument_group("rewards")
    paid.add_argument("--weights", metavar="NAME=W,…", help=f"of {', '.join(REWARDS)} (default accuracy=1,format=0.1)")
    modes = ("think_only", "think_answer", "cold_start")
    _both(paid, "--format-mode", choices=modes, default="think_only", help="tags that format wants (think_only)")
    _both(paid, "--prefilled", action="store_true", help="the prompt already ended in <think>")
    _both(paid, "--empty-language", metavar="X|none", help="language reward of a thought without words")
    loss = parser.add_argument_group("objective; defaults are those of training, the paper's where it published them")
    for policy, whose in zip(POLICIES, ("the policy", "the policy that sampled", "the reference"), strict=True):
        note = f"log-probabilities under {whose}: JSON list or file, a number or a list of numbers a completion"
        _both(loss, "--" + policy.replace("_", "-"), metavar="JSON", help=note)
    _both(loss, "--scale-rewards", choices=SCALINGS, help="which advantages the objective takes")
    _both(loss, "--loss-type", choices=LOSS_TYPES, help="how token losses are averaged")
    loss.add_argument("--epsilon", type=float, help="clip range of the ratio")
    _both(loss, "--epsilon-high", type=float, help="its upper side, where another")
    loss.add_argument("--beta", type=float, help="weight of the KL term")
    _both(loss, "--importance-sampling-level", choices=("token", "sequence"), help="ratio by token or by completion")
    _both(loss, "--max-completion-length", type=int, help="what dr_grpo divides by")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _both(group: Any, name: str, **arguments: Any) -> None:
    """An option with hyphens, and with underscores as the YAML files spell it."""
    group.add_argument(*dict.fromkeys([name, "--" + name[2:].replace("-", "_")]), **arguments)


def run(options: argparse.Namespace) -> int:
    if options.run is not None:
        from r1hf.commands.explain_run import run as explain_run

        return explain_run(options)
    if options.data is not None or options.columns is not None or options.html is not None:
        raise ConfigError("--data, --columns, --html: they go with a run: r1hf explain RUN")
    example = None if options.completion or options.completions or options.question else EXAMPLES[options.example]
    groups = [example.group] if example else _groups(options)
    given = {policy: getattr(options, policy) for policy in POLICIES}
    if any(given.values()) and example:
        groups = [Group(example.group.question, example.group.answer, example.group.completions, "en")]
    groups = add_logprobs(groups, given)
    check_lengths(groups)
    result = explain(groups, _options(options, example))
    print(json.dumps(result, ensure_ascii=False, indent=2) if options.json else render(result))
    return 0


def _groups(options: argparse.Namespace) -> list[Group]:
    problems = []
    if options.completion and options.completions:
        problems.append("--completion and --completions: give one of them")
    if not (options.completion or options.completions):
        problems.append("--question needs completions: --completion TEXT (repeat it) or --completions FILE")
    if (options.question is None) != (options.answer is None):
        problems.append("--question and --answer: give both, or neither for the article's question")
    if problems:
        raise ConfigError(problems)
    question, answer = options.question, options.answer
    if question is None:
        question, answer = EXAMPLES["rewards"].group.question, EXAMPLES["rewards"].group.answer
    if options.completions:
        return read_groups(options.completions, question, answer, options.language)
    return [Group(question, answer, tuple(options.completion), options.language)]


def _options(options: argparse.Namespace, example: Example | None) -> Options:
    problems: list[str] = []
    default = example or EXAMPLES["rewards"]
    weights = default.weights if options.weights is None else _weights(options.weights, problems)
    empty = default.empty_language if example else Options.empty_language
    if options.empty_language is not None:
        empty = None if options.empty_language == "none" else _number(options.empty_language)
        if empty is None and options.empty_language != "none":
            problems.append(f"--empty-language: {options.empty_language!r} is neither a number nor none")
    names = ("scale_rewards", "loss_type", "epsilon", "epsilon_high", "beta", "importance_sampling_level")
    grpo = {name: getattr(options, name) for name in (*names, "max_completion_length")}
    grpo = {name: value for name, value in grpo.items() if value is not None}
    for name, lowest in (("epsilon", 0.0), ("epsilon_high", 0.0), ("beta", 0.0), ("max_completion_length", 1)):
        if name in grpo and not lowest <= grpo[name] < math.inf:
            problems.append(f"--{name.replace('_', '-')}: {grpo[name]:g} is not a finite number from {lowest:g} up")
    if problems:
        raise ConfigError(problems)
    return Options(weights, options.format_mode, options.prefilled, empty, example.std if example else None, grpo)


def _weights(text: str, problems: list[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, amount = (piece.strip() for piece in part.partition("="))
        value = _number(amount)
        if name not in REWARDS:
            problems.append(f"--weights: no reward '{name}'; {nearest(name, REWARDS)}")
        elif value is None:
            problems.append(f"--weights: {part!r} is not NAME=NUMBER")
        else:
            weights[name] = value
    if not weights and not problems:
        problems.append("--weights: names no reward")
    return weights


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def render(result: dict[str, Any]) -> str:
    """The figures as tables."""
    settings = result["settings"]
    blocks = [block for group in result["groups"] for block in _group_blocks(group, settings)]
    blocks.append(
        "Loss, which the optimizer makes smaller, by loss type and scaling:\n"
        + table(["", *SCALINGS], [[kind, *_figures(row.values(), 6)] for kind, row in result["losses"].items()])
        + f"\n  here: {settings['loss_type']}, {settings['scale_rewards']}: {figure(result['loss'], 6)}"
    )
    if result["notes"]:
        blocks.append(bullets("Notes", result["notes"]))
    return "\n\n".join(blocks)


def _group_blocks(group: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    rows = group["completions"]
    weights = settings["weights"]
    texts = [f"{group['question']}   (gold answer: {group['answer']})"]
    texts += [f"  {row['name']}  {short(row['text'])}" for row in rows]
    scored = [[row["name"], *(_reward(row, name, weights[name]) for name in weights)] for row in rows]
    paid = [[*cells, figure(row["total"])] for cells, row in zip(scored, rows, strict=True)]
    spread = group["std"]
    by_hand = list(rows[0]["by_hand"])
    advantages = [
        [row["name"], *_figures(row["advantages"].values(), 6), *_figures(row["by_hand"].values(), 6)] for row in rows
    ]
    columns = (("ratio", 4), ("clipped", 2), ("objective", 4), ("kl", 4), ("term", 4), ("push", 4))
    parts = [
        [row["name"], str(len(row["logprobs"])) if row["logprobs"] else MISSING]
        + [figure(sum(row[policy]) if row[policy] else None, 2) for policy in POLICIES]
        + [figure(row[name], digits) for name, digits in columns]
        for row in rows
    ]
    return [
        "\n".join(texts),
        "Rewards, times their weights:\n"
        + table(["", *(f"{name} ×{weights[name]:g}" for name in weights), "total"], paid)
        + f"\n  mean {figure(group['mean'], 4)}   standard deviation {figure(spread['sample'], 4)} (sample, TRL's), "
        f"{figure(spread['population'], 4)} (population)",
        "Advantages, by scaling; then (r - mean) / std by hand with other standard deviations:\n"
        + table(["", *SCALINGS, *(name.replace("_", " ") for name in by_hand)], advantages),
        f"Objective, with {settings['scale_rewards']} advantages, epsilon {_range(settings)}, beta "
        f"{settings['beta']:g}:\n"
        + table(["", "tokens", "log π", "log π_old", "log π_ref", *(name for name, _ in columns)], parts)
        + "\n  objective: min(ratio·A, clip(ratio)·A); term: objective - beta·kl; both averaged over tokens"
        "\n  push: how the step changes log π (minus the gradient of the loss)",
    ]


def _reward(row: dict[str, Any], name: str, weight: float) -> str:
    value = row["rewards"][name]
    if value is None:
        return MISSING
    return f"({figure(value)})" if weight == 0 else figure(row["weighted"][name])


def _figures(values: Any, digits: int) -> list[str]:
    return [figure(value, digits) for value in values]


def _range(settings: dict[str, Any]) -> str:
    low, high = settings["epsilon"], settings["epsilon_high"]
    return f"{low:g}" if low == high else f"{low:g} (high {high:g})"
