"""Presets and batch sizes: what a name sets, what wins over it, and what is said where the arithmetic does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import CONFIGS, CPU

from r1hf.core.config import parse
from r1hf.core.errors import ConfigError
from r1hf.trainers import batches
from r1hf.trainers.grpo import R1GRPOConfig
from r1hf.trainers.presets import PRESETS
from r1hf.trainers.rl import RLConfig

NAMES = [name for name in PRESETS if name != "none"]


def config(out: Path, **settings: Any) -> R1GRPOConfig:
    return R1GRPOConfig(output_dir=str(out), **{**CPU, "per_device_train_batch_size": 16, **settings})


def problems(out: Path, **settings: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(out, **settings)
    return caught.value.problems


@pytest.fixture
def eight_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As many as the environment says, where TRL asks for them too."""
    monkeypatch.setattr(batches, "get_int_from_env", lambda names, default: 8)
    monkeypatch.setattr(R1GRPOConfig, "world_size", property(lambda self: 8))
    yield


# Presets


def test_r1_is_the_papers_with_one_key(tmp_path: Path) -> None:
    args = config(tmp_path, preset="r1")
    assert (args.loss_type, args.beta, args.use_bias_correction_kl, args.epsilon) == ("grpo", 0.001, False, 10.0)
    assert (args.scale_rewards, args.importance_sampling_level, args.num_generations) == ("group", "token", 16)
    assert (args.sync_ref_model, args.ref_model_sync_steps, args.ref_model_mixup_alpha) == (True, 400, 1.0)
    assert (args.learning_rate, args.temperature, args.num_iterations) == (3e-6, 1.0, 1)
    assert args.generation_batch_size == 8192
    assert args.per_device_train_batch_size * args.gradient_accumulation_steps == 512
    assert args.steps_per_generation / args.gradient_accumulation_steps == 16


@pytest.mark.parametrize("micro", [1, 4, 64])
def test_the_papers_batches_hold_on_any_number_of_processes(tmp_path: Path, eight_processes: None, micro: int) -> None:
    args = config(tmp_path, preset="r1", per_device_train_batch_size=micro)
    assert args.generation_batch_size == 8192
    assert micro * 8 * args.gradient_accumulation_steps == 512
    assert micro * 8 * args.steps_per_generation == 8192


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("dapo", {"loss_type": "dapo", "beta": 0.0, "epsilon": 0.2, "epsilon_high": 0.28, "sync_ref_model": False}),
        ("dapo", {"mask_truncated_completions": True, "scale_rewards": "group", "generation_batch_size": 8192}),
        ("dr_grpo", {"loss_type": "dr_grpo", "scale_rewards": "none", "beta": 0.0}),
        ("gspo", {"importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4}),
        ("gspo", {"loss_type": "grpo", "steps_per_generation": 4}),
        ("cispo", {"loss_type": "cispo", "epsilon_high": 5.0, "importance_sampling_level": "token"}),
    ],
)
def test_each_preset_sets_what_makes_the_method(tmp_path: Path, name: str, values: dict[str, Any]) -> None:
    args = config(tmp_path, preset=name)
    assert {key: getattr(args, key) for key in values} == values


def test_no_preset_leaves_a_value_of_the_method_to_a_default() -> None:
    sizes = {"optimizer_batch_size", "minibatches", "max_completion_length"}
    keys = {frozenset(set(PRESETS[name]) - sizes) for name in NAMES}
    assert len(keys) == 1


def test_a_given_value_wins_also_where_it_is_the_default(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("preset: dapo\nepsilon: 10.0\nbeta: 0.001\nuse_cpu: true\nbf16: false\n")
    parsed = parse(
        (R1GRPOConfig,), ["--config", str(file), "--output_dir", str(tmp_path / "out"), "--num_generations=8"]
    )
    parsed.check()
    resolved = parsed.resolved()
    assert (resolved["epsilon"], resolved["beta"], resolved["num_generations"]) == (10.0, 0.001, 8)
    assert (resolved["epsilon_high"], resolved["loss_type"], resolved["preset"]) == (0.28, "dapo", "dapo")
    assert resolved["generation_batch_size"] == 8192


def test_given_batches_take_the_presets_away(tmp_path: Path) -> None:
    args = config(tmp_path, preset="r1", gradient_accumulation_steps=2, steps_per_generation=4)
    assert (args.gradient_accumulation_steps, args.generation_batch_size) == (2, 64)
    args = config(tmp_path, preset="r1", optimizer_batch_size=32)
    assert (args.gradient_accumulation_steps, args.generation_batch_size) == (2, 512)
    assert config(tmp_path, preset="r1", generation_batch_size=1024).generation_batch_size == 1024


def test_without_a_kl_term_r1_needs_no_reference(tmp_path: Path) -> None:
    assert config(tmp_path, preset="r1", beta=0.0).sync_ref_model is False


def test_an_unknown_preset_is_named(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, preset="grpo_r1")
    assert "unknown preset 'grpo_r1'" in problem
    parsed = parse((R1GRPOConfig,), ["--output_dir", str(tmp_path), "--preset", "drgrpo", "--use_cpu", "--bf16=false"])
    assert any("'drgrpo' is not one of 'none', 'r1', 'dapo'" in problem for problem in parsed.problems)


@pytest.mark.parametrize("name", ["r1_zero", "reasoning_rl", "all_scenario_rl"])
def test_the_tiny_configurations_are_as_before(tmp_path: Path, name: str) -> None:
    from small_run import recipe

    parsed = parse(recipe(name).CONFIGS, ["--config", str(CONFIGS / f"{name}.yaml")])
    assert not parsed.problems
    args = parsed.configs[1]
    assert (args.preset, args.generation_batch_size, args.gradient_accumulation_steps) == ("none", 128, 1)
    assert issubclass(type(parsed.configs[0]), RLConfig)


# Batch arithmetic


def test_an_optimizer_batch_that_no_micro_batches_fill(tmp_path: Path, eight_processes: None) -> None:
    (problem,) = problems(tmp_path, preset="r1", per_device_train_batch_size=6, num_generations=6)
    assert "size 6 x 8 processes = 48 completions and optimizer_batch_size 512 / 48 = 10.67" in problem
    assert "optimizer_batch_size 480 or 528 would fit" in problem


def test_groups_that_do_not_fill_a_generation(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, per_device_train_batch_size=12, num_generations=8)
    assert problem.startswith("num_generations: a generation of per_device_train_batch_size 12 x 1 process = 12")
    assert "12 / num_generations 8 = 1.50; 24 completions would fit" in problem


def test_a_generation_of_broken_micro_batches(tmp_path: Path) -> None:
    found = problems(tmp_path, generation_batch_size=40)
    assert any("40 / 16 = 2.50; generation_batch_size 32 or 48 would fit" in problem for problem in found)
    assert any("40 / num_generations 16 = 2.50" in problem for problem in found)


def test_two_sizes_of_one_generation(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, minibatches=2, steps_per_generation=4)
    assert "steps_per_generation 4 and minibatches 2 say how many" in problem


def test_accumulation_against_the_optimizer_batch(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, optimizer_batch_size=64, gradient_accumulation_steps=2)
    assert "gradient_accumulation_steps: 2 contradicts optimizer_batch_size 64" in problem and "= 4" in problem


@pytest.mark.parametrize(
    "settings", [{"num_generations": 1}, {"minibatches": 0}, {"generation_batch_size": 0}, {"optimizer_batch_size": 0}]
)
def test_numbers_that_cannot_be(tmp_path: Path, settings: dict[str, int]) -> None:
    (problem,) = problems(tmp_path, **settings)
    assert problem.startswith(next(iter(settings)))


def test_a_reference_that_moves_inside_a_generation_cycle(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, minibatches=16, ref_model_sync_steps=50)
    assert "steps_per_generation 16 x num_iterations 1 = 16 micro-batches" in problem
    assert "ref_model_sync_steps 48 or 64 would fit" in problem
    (problem,) = problems(tmp_path, minibatches=2, num_iterations=3, ref_model_sync_steps=4)
    assert "ref_model_sync_steps 6 would fit" in problem
    config(tmp_path, minibatches=16, ref_model_sync_steps=48)
    config(tmp_path, minibatches=16, ref_model_sync_steps=50, max_steps=20)  # never comes
    config(tmp_path, minibatches=16, ref_model_sync_steps=50, sync_ref_model=False)


@given(
    micro=st.integers(1, 24),
    accumulated=st.integers(1, 6),
    generated=st.integers(1, 12),
    iterations=st.integers(1, 3),
    sync=st.integers(1, 60),
    group=st.integers(2, 9),
)
def test_a_configuration_is_refused_exactly_where_cycles_do_not_fit(
    tmp_path_factory: pytest.TempPathFactory,
    micro: int,
    accumulated: int,
    generated: int,
    iterations: int,
    sync: int,
    group: int,
) -> None:
    settings = {
        **{"per_device_train_batch_size": micro, "gradient_accumulation_steps": accumulated},
        **{"steps_per_generation": generated, "num_iterations": iterations, "ref_model_sync_steps": sync},
        **{"num_generations": group},
    }
    whole_groups = micro * generated % group == 0
    on_boundary = sync * accumulated % (generated * iterations) == 0
    try:
        config(tmp_path_factory.getbasetemp(), **settings)
        refused = False
    except ConfigError:
        refused = True
    assert refused is not (whole_groups and on_boundary)
