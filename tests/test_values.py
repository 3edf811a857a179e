"""Values that could only waste a run are refused before it, all together; those at the edge of what works are not."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from small_run import CONFIGS, ROOT, recipe, run_recipe, write
from tables import each

from r1hf.commands.main import main
from r1hf.core.config import parse
from r1hf.core.errors import ConfigError
from r1hf.core.values import CHOICES, LIMITS
from r1hf.pipeline.command import main as pipeline

RL = ("r1_zero", "reasoning_rl", "all_scenario_rl")
TRAINED = (*RL, "sft", "distill", "reward_models", "on_policy_distill")
SAMPLED = ("cold_start", "rejection_sampling", "evaluate")
WRITES = (*RL, "on_policy_distill")

# recipes, key, values that cannot work, values that can
KEYS: list[tuple[tuple[str, ...], str, tuple[Any, ...], tuple[Any, ...]]] = [
    (TRAINED, "learning_rate", (0, -1e-6, ".nan", ".inf"), (1e-9, 1.0)),
    (TRAINED, "max_steps", (0, -2), (-1, 1)),
    (TRAINED, "num_train_epochs", (0, -1), (0.01, 3)),
    (TRAINED, "per_device_train_batch_size", (0, -8), ()),
    (TRAINED, "gradient_accumulation_steps", (0, -1), (1,)),
    (TRAINED, "warmup_steps", (-1, ".nan"), (0, 0.1)),
    (TRAINED, "seed", (-1, 2**32), (0, 2**32 - 1)),
    (TRAINED, "adam_beta2", (1, -0.1), (0, 0.95)),
    (TRAINED, "max_grad_norm", (-1, ".nan"), (0, ".inf")),
    (TRAINED, "logging_steps", (0, -1), (1,)),
    (WRITES, "temperature", (0, -1, ".inf"), (0.01, 2)),
    (WRITES, "top_p", (0, -0.5, 1.5), (0.1, 1)),
    (WRITES, "top_k", (-1, -50), (0, 20)),
    (WRITES, "max_completion_length", (0, -1), (1,)),
    (WRITES, "beta", (-0.1, ".nan"), (0, 1)),
    (RL, "num_generations", (0, 1), ()),
    (RL, "num_iterations", (0,), (1,)),
    (RL, "epsilon", (0, -1), (0.2, 10)),
    (RL, "epsilon_high", (0,), (0.28,)),
    (RL, "ref_model_mixup_alpha", (0, 1.1), (0.5, 1)),
    (RL, "ref_model_sync_steps", (0,), (400,)),
    (RL, "loss_type", ("grpoo", "nll"), CHOICES["loss_type"]),
    (RL, "scale_rewards", ("grup",), CHOICES["scale_rewards"]),
    (RL, "importance_sampling_level", ("word",), ("token",)),
    (("sft", "r1_zero"), "lora_alpha", (0,), (16,)),
    (("sft", "reward_models"), "max_length", (0, -1), (1, "null")),
    (("evaluate", "rejection_sampling"), "temperature", (-0.1, ".nan"), (0.6,)),
    (("evaluate",), "top_p", (0, 1.01), (0.95,)),
    (SAMPLED, "batch_size", (0, -1), (1,)),
    (SAMPLED, "max_new_tokens", (0, -5), (1,)),
    (SAMPLED, "num_threads", (0,), (1,)),
    (("evaluate",), "k", (0,), (1,)),
    (("cold_start", "rejection_sampling"), "samples", (0, -4), (1,)),
    (("rejection_sampling",), "general_ratio", (-1,), (0,)),
    (("cold_start",), "rows_per_method", (0,), (1,)),
]
CASES = [(name, key, wrong, right) for names, key, wrong, right in KEYS for name in names]


SOUND = {"use_cpu": "true", "bf16": "false", "per_device_train_batch_size": 16}


def problems(name: str, *words: str) -> list[str]:
    """What is said beyond keys that are missing."""
    module = recipe(name)
    known = {key for schema in module.CONFIGS for key in schema.__dataclass_fields__}
    sound = [f"--{key}={value}" for key, value in SOUND.items() if key in known]
    said = parse(module.CONFIGS, ["--output_dir", "runs/o", *sound, *words]).problems
    return [text for text in said if "is missing" not in text]


@each("name, key, wrong, right", CASES)
def test_a_key_is_refused_outside_its_limits_alone(name: str, key: str, wrong: Any, right: Any) -> None:
    for value in wrong:
        (said,) = problems(name, f"--{key}={value}")
        shown = value if isinstance(value, str) else f"{value:.12g}"
        assert said.startswith(
            (f"command line: {key}: {shown.strip('.')} ", f"command line: {key}: {shown!r} is unknown;")
        )
    for value in right:
        assert not [text for text in problems(name, f"--{key}={value}") if f" {key}: " in text]


def test_all_wrong_keys_are_said_together_and_nothing_of_the_defaults_in_their_place() -> None:
    wrong = {"learning_rate": 0, "temperature": 0, "max_steps": 0, "num_generations": 1, "top_p": 2, "seed": -1}
    wrong |= {"per_device_train_batch_size": 0, "resume_from_checkpoint": "/nowhere", "epsilon": -1, "bf16": "maybe"}
    said = problems("r1_zero", *(f"--{key}={value}" for key, value in wrong.items()))
    assert sorted(text.split(": ")[1] for text in said) == sorted(wrong)


def test_every_limit_is_an_interval_that_its_key_can_meet() -> None:
    for key, (interval, advice) in LIMITS.items():
        low, high = (float(end) for end in interval[1:-1].split(", "))
        assert low < high and interval[0] in "[(" and interval[-1] in "])" and advice, key
        assert math.isinf(high) or interval[-1] in "])"


def test_every_recipe_is_checked_in_a_tiny_configuration_file(tmp_path: Path) -> None:
    """A line of a file is named; the other values of the file are as sound as before."""
    for name, key in itertools.product(("sft", "r1_zero"), ("learning_rate", "warmup_steps")):
        text = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")
        path = tmp_path / f"{name}.yaml"
        path.write_text("\n".join(line for line in text.splitlines() if not line.startswith(key)) + f"\n{key}: -1\n")
        inputs = ["--model=a/b", "--output_dir=runs/o", "--data=c/d" if name == "sft" else "--prompts=c/d"]
        said = parse(recipe(name).CONFIGS, ["--config", str(path), *inputs]).problems
        assert [text for text in said if text.startswith(f"{path}:") and f"{key}: -1" in text] == said


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["--warmup_steps=20", "--max_steps=10"], True),
        (["--warmup_steps=10", "--max_steps=10"], False),
        (["--warmup_steps=20"], False),
        (["--warmup_steps=0.5", "--max_steps=10"], False),
    ],
)
def test_a_warm_up_longer_than_the_run(words: list[str], refused: bool) -> None:
    assert any("never reach learning_rate" in text for text in problems("sft", *words)) == refused


def test_a_trial_of_a_file_may_be_shorter_than_its_warm_up(tmp_path: Path) -> None:
    path = tmp_path / "sft.yaml"
    path.write_text("output_dir: o\nmodel: m\ndata: d\nmax_steps: 100\nwarmup_steps: 10\nuse_cpu: true\nbf16: false\n")
    module = recipe("sft")
    assert not parse(module.CONFIGS, ["--config", str(path), "--max_steps=5"]).problems
    (said,) = parse(module.CONFIGS, ["--config", str(path), "--warmup_steps=200"]).problems
    assert "warmup_steps: 200 of max_steps 100" in said


@each(
    "name, words, key",
    [
        ("evaluate", ["--temperature=0", "--k=4"], "k"),
        ("evaluate", ["--temperature=0", "--k=1"], None),
        ("evaluate", ["--temperature=0", "--k=1", "--general_prompts=g.jsonl"], "general_k"),
        ("evaluate", ["--temperature=0", "--k=1", "--general_prompts=g.jsonl", "--general_k=1"], None),
        ("rejection_sampling", ["--temperature=0"], "samples"),
        ("rejection_sampling", ["--temperature=0", "--samples=1"], None),
    ],
)
def test_several_samples_at_temperature_0_are_one(name: str, words: list[str], key: str | None) -> None:
    said = problems(name, *words)
    assert [text.split("command line: ")[-1].split(":")[0] for text in said] == ([key] if key else [])


def test_a_checkpoint_to_go_on_from_is_this_stages_own_last(tmp_path: Path) -> None:
    work = tmp_path / "dev1.partial" / "trainer"
    for place in (work / "checkpoint-2", work / "checkpoint-10", tmp_path / "other" / "checkpoint-4"):
        write_state = place / "trainer_state.json"
        write_state.parent.mkdir(parents=True)
        write_state.write_text(json.dumps({"global_step": 1, "max_steps": 2}))
    (tmp_path / "model").mkdir()

    def said(value: Any, *more: str) -> str:
        words = [f"--output_dir={tmp_path / 'dev1'}", f"--resume_from_checkpoint={value}", *more]
        found = parse(recipe("sft").CONFIGS, words).problems
        return " ".join(text for text in found if "resume_from_checkpoint" in text)

    assert "/nowhere does not exist" in said("/nowhere")
    assert "is not a checkpoint of a trainer" in said(tmp_path / "model")
    assert "belongs to another run" in said(tmp_path / "other" / "checkpoint-4")
    assert "is not the last: checkpoint-10 came after it" in said(work / "checkpoint-2")
    assert "restart: true to begin anew" in said("false")
    assert "contradicts restart" in said(work / "checkpoint-10", "--restart=true")
    assert said(work / "checkpoint-10") == said("true") == ""
    # What a stage goes on from says nothing of what it makes.
    assert "resume_from_checkpoint" not in parse(recipe("sft").CONFIGS, ["--resume_from_checkpoint=true"]).request


@pytest.mark.parametrize(
    ("rewards", "words"),
    [
        ("{accuracy: 0, format: 0, language: 0}", "every reward counts 0"),
        ("{accuracy: .nan}", "accuracy counts nan"),
        ("{accuracy: 0, format: 0, language: 1}", None),
    ],
)
def test_rewards_that_nobody_is_paid_for(rewards: str, words: str | None) -> None:
    module = recipe("r1_zero")
    parsed = parse(module.CONFIGS, ["--output_dir=o", "--model=m", "--prompts=p", f"--rewards={rewards}"])
    module.preflight(parsed)
    said = [text for text in parsed.problems if text.startswith("rewards:")]
    assert len(said) == bool(words) and (words is None or words in said[0])


def test_the_run_ends_before_a_model_is_read(tiny_base: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", [{"question": "1 + 1?", "completion": "2"}])
    with pytest.raises(ConfigError) as caught:
        run_recipe("sft", model=tiny_base, data=rows, output_dir=tmp_path / "o", learning_rate=0, max_steps=0)
    assert len(caught.value.problems) == 2 and not (tmp_path / "o").exists()


def test_the_check_and_the_pipeline_say_the_same_before_the_first_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["--set", "r1_zero.learning_rate=0", "--set", "evaluate.k=0", "--set", "sft2.max_steps=0"]
    graph = str(CONFIGS / "pipeline.yaml")
    assert main(["check", graph, "--only", "settings", *sets]) == 1
    check = capsys.readouterr().out
    with pytest.raises(ConfigError) as caught:
        pipeline(ROOT / "recipes", ["--config", graph, "--run_dir", str(tmp_path / "run"), *sets])
    for text in ("learning_rate: 0 is not above 0", "k: 0 is below 1", "max_steps: 0 is below 1"):
        assert text in " ".join(check.split()) and any(text in one for one in caught.value.problems), check
    assert not (tmp_path / "run" / "base").exists()
