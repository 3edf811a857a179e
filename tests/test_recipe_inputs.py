"""Recipes before they start: the tiny configurations are sound, and bad input is refused at once and whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from small_run import (
    BASE,
    CONFIGS,
    GRAPHS,
    GRPO,
    ROOT,
    SFT,
    answered,
    arguments,
    as_script,
    graph_of,
    head,
    recipe,
    run_recipe,
    without_template,
    write,
)

from r1hf.core.config import parse
from r1hf.core.errors import ConfigError
from r1hf.world import general

RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.py") if path.stem not in ("pipeline", "push"))
EVERY = graph_of(CONFIGS / "distillation.yaml").stages


def test_every_recipe_and_every_configuration_is_in_the_graph() -> None:
    others = {"import_model", "problems", "preference_pairs"}  # of smollm2-135m, and of the paper
    assert {stage.recipe.stem for stage in EVERY.values()} == set(RECIPES) - others
    files = {path.name for path in CONFIGS.glob("*.yaml") if path not in GRAPHS}
    assert {path.name for stage in EVERY.values() for path in stage.configs} == files


@pytest.mark.parametrize("stage", EVERY)
def test_a_tiny_stage_lacks_nothing_but_its_inputs(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = EVERY[stage]
    module = recipe(spec.recipe.stem)
    parsed = parse(module.CONFIGS, graph_of(CONFIGS / "distillation.yaml").arguments(stage))
    module.preflight(parsed)
    assert all(config is not None for config in parsed.configs)
    assert parsed.configs[0].output_dir == f"runs/tiny/{stage}" and set(parsed.inputs) == set(spec.inputs)
    assert len(parsed.problems) == len(parsed.input_paths)
    for name, path in parsed.input_paths:
        maker = Path(path).relative_to("runs/tiny").parts[0]
        assert any(
            f"{name}: {path} does not exist; the stage '{maker}' of " in text and f"--until {maker}" in text
            for text in parsed.problems
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", RECIPES)
def test_the_help_of_a_recipe_names_every_key(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        recipe(name).main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"--{key}:" in shown for schema in recipe(name).CONFIGS for key in schema.__dataclass_fields__)


@pytest.fixture(scope="module")
def bad(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Inputs, good and bad, by name."""
    directory = tmp_path_factory.mktemp("bad")
    rows = answered(20)
    lacking = [{key: value for key, value in row.items() if key != "language"} for row in rows]
    strange = [prompt.row() | {"task": "hepful"} for prompt in general.training_prompts()[:8]]
    maths = [row | {"task": "poems"} for row in rows]
    files = {"good": rows, "maths": maths, "few": rows[:3], "empty": [], "lacking": lacking, "strange": strange}
    made = {name: str(write(directory / f"{name}.jsonl", content)) for name, content in files.items()}
    (directory / "bare_file.jsonl").write_text("{nope\n", encoding="utf-8")
    return {
        **made,
        "broken": str(directory / "bare_file.jsonl"),
        "base": str(tiny_base),
        "bare": str(without_template(tiny_base, directory / "bare")),
        "missing": str(directory / "missing" / "model"),
        "general": str(tiny_base / "data" / "general_train.jsonl"),
        "pairs": str(head(tiny_base / "data" / "helpful_pairs.jsonl", directory / "pairs.jsonl", 32)),
        "points": str(head(tiny_base / "data" / "harmless.jsonl", directory / "points.jsonl", 32)),
    }


NO_MODEL = r"^model: .*missing/model does not exist; run the stage that makes it first"
NO_ROWS = r"empty.jsonl holds no rows"
NO_TEMPLATE = r"^model: the tokenizer in .*bare has no chat template"
TYPO = r"unknown key 'sed'; did you mean 'seed'\?"
FEW = (
    r"prompts: 3 prompts are fewer than one generation batch needs \(4 = generation_batch_size 16 / num_generations 4"
)
STEPS = r"max_steps: 'many' is not a whole number"
THINKING = "{format: {mode: thinking}}"
GROUPS = r"num_generations: a generation of per_device.*16.*5"
COLUMN = r"row 1: no column language"

# recipe, what is given (a value in braces names an input of `bad`), and the whole of what must be said
Case = tuple[str, dict[str, Any], list[str]]
EVALUATED = {"models": '["{base}"]', "longer_prompts": "null", "general_prompts": "{general}"}
EVERYTHING = {"model": "{missing}", "prompts": "{empty}", "sed": 1}
JUDGES = {"helpful_model": "{base}", "harmless_model": "{base}"}
POINTS = ("harmless", "harmless_test")
SCENARIOS = {"model": "{base}", "prompts": "{good}", **GRPO, "general_prompts": "{general}", **JUDGES}
BAD: list[Case] = [
    ("r1_zero", {**EVERYTHING, **GRPO, "max_steps": "many"}, [NO_MODEL, rf"prompts: .*{NO_ROWS}", TYPO, STEPS]),
    (
        "r1_zero",
        {"model": "{bare}", "prompts": "{few}", **GRPO, "prompt_template": "null", "rewards": "{acuracy: 1}"},
        [NO_TEMPLATE, FEW, "rewards: unknown reward 'acuracy'; did you mean 'accuracy'"],
    ),
    (
        "r1_zero",
        {**{"model": "{missing}", "prompts": "{lacking}", **GRPO, "num_generations": 5}, "rewards": THINKING},
        [NO_MODEL, rf"prompts: .*{COLUMN}", GROUPS, "rewards.format.mode: 'thinking'"],
    ),
    (
        "r1_zero",
        {"model": "{base}", "prompts": "{few}", **GRPO, "prompt_template": "{en: r1_zero_eng}"},
        [FEW, "prompt_template: .*'r1_zero_eng' is neither .*did you mean 'r1_zero_en'", "no template for .* in zh"],
    ),
    ("reasoning_rl", {**EVERYTHING, **GRPO, "max_steps": "many"}, [NO_MODEL, rf"prompts: .*{NO_ROWS}", TYPO, STEPS]),
    ("reasoning_rl", {"model": "{bare}", "prompts": "{few}", **GRPO}, [NO_TEMPLATE, FEW]),
    (
        "reasoning_rl",
        {"model": "{bare}", "prompts": "{empty}", **GRPO, "num_generations": 5},
        [NO_TEMPLATE, NO_ROWS, GROUPS],
    ),
    (
        "all_scenario_rl",
        {**EVERYTHING, **GRPO, "general_prompts": "{empty}", "helpful_model": "{missing}", "harmless_model": "{base}"},
        [
            NO_MODEL,
            rf"^prompts: .*{NO_ROWS}",
            f"general_prompts: .*{NO_ROWS}",
            TYPO,
            "helpful_model: .* does not exist",
        ],
    ),
    (
        "all_scenario_rl",
        {**SCENARIOS, "model": "{bare}", "prompts": "{few}", "max_steps": -1, "general_prompts": "{strange}"},
        [
            NO_TEMPLATE,
            FEW,
            "max_steps: must be set",
            "general_prompts: task hepful is not known here; use harmless or",
        ],
    ),
    (
        "all_scenario_rl",
        {**SCENARIOS, **dict.fromkeys(JUDGES, "{bare}")},
        ["helpful_model: .*no chat template", "harmless_model: .*no chat template"],
    ),
    (
        "all_scenario_rl",
        {**SCENARIOS, "general_share": 1.5, "preference_steps": -1},
        ["general_share", "preference_steps"],
    ),
    ("all_scenario_rl", {**SCENARIOS, "prompts": "{maths}"}, ["^prompts: .*poems"]),
    (
        "sft",
        {"model": "{missing}", "data": "{empty}", "sed": 1, **SFT, "max_steps": "many"},
        [NO_MODEL, NO_ROWS, TYPO, STEPS],
    ),
    ("sft", {"model": "{bare}", "data": "{broken}", **SFT}, [NO_TEMPLATE, "data: .*bare_file.jsonl:1: not JSON"]),
    ("distill", {"model": "{missing}", "data": "{empty}", "sed": 1, **SFT}, [NO_MODEL, NO_ROWS, TYPO]),
    ("distill", {"model": "{bare}", "data": "{pairs}", **SFT}, [NO_TEMPLATE, "data: .*row 1: no column completion"]),
    (
        "cold_start",
        {**EVERYTHING, "zero": "{missing}", "samples": "some"},
        [NO_MODEL, "zero: .* does not exist", NO_ROWS, TYPO, "samples: 'some' is not a whole number"],
    ),
    (
        "cold_start",
        {
            **{"model": "{base}", "zero": "{bare}", "prompts": "{lacking}"},
            **dict.fromkeys(("few_shot_template", "direct_template"), "few_shoot"),
        },
        ["zero: .*no chat template", COLUMN, "few_shot_template: .*few_shoot", "direct_template: .*few_shoot"],
    ),
    (
        "rejection_sampling",
        {**EVERYTHING, "general": "{empty}", "general_ratio": "three to one"},
        [NO_MODEL, f"prompts: .*{NO_ROWS}", f"general: .*{NO_ROWS}", TYPO, "general_ratio: 'three to one' is not a"],
    ),
    (
        "rejection_sampling",
        {"model": "{bare}", "prompts": "{lacking}", "general": "{pairs}"},
        [NO_TEMPLATE, COLUMN, "general: .*no column completion"],
    ),
    (
        "reward_models",
        {
            **{"model": "{missing}", "helpful": "{empty}", "helpful_test": "{missing}", "harmless": "{pairs}"},
            **{"harmless_test": "{empty}", "sed": 1, "max_length": "long"},
        },
        [
            NO_MODEL,
            f"helpful: .*{NO_ROWS}",
            "helpful_test: .* does not exist",
            "harmless: .*no column response, safe",
            f"harmless_test: .*{NO_ROWS}",
            TYPO,
            "max_length: 'long' is not a whole number",
        ],
    ),
    (
        "reward_models",
        {"model": "{bare}", "helpful_test": "{pairs}", **dict.fromkeys(("helpful", *POINTS), "{points}")},
        [NO_TEMPLATE, "helpful: .*no column chosen, rejected"],
    ),
    (
        "evaluate",
        {
            **{"models": '["{missing}", "{bare}", "{base}", "{base}"]', "prompts": "{empty}", "sed": 1, "k": "few"},
            **{"longer_prompts": "{maths}", "general_prompts": "{good}", "shown": "[]"},
        },
        [
            "models: .* does not exist",
            "models: .*no chat template",
            "models: two have the same name",
            NO_ROWS,
            "longer_prompts: .*poems",
            "general_prompts: .*no column reference",
            TYPO,
            "k: 'few' is not a whole number",
        ],
    ),
    (
        "evaluate",
        {**EVALUATED, "prompts": "{good}", "shown": '["What?"]'},
        ["shown: 'What[?]' is among none of prompts, longer_prompts and general_prompts"],
    ),
    ("evaluate", {**EVALUATED, "prompts": "{maths}", "shown": "[]"}, ["^prompts: .*poems"]),
    (
        "base",
        {"models": "{base: {hidden_size: 64}}", "max_steps": -1, "sed": 1, "documents": "all"},
        [
            "models: base names no architecture",
            "max_steps: must be set",
            TYPO,
            "documents: 'all' is not a whole number",
        ],
    ),
    ("base", {"models": "{base: {architecture: qwen22}}", **BASE}, ["models: .*qwen22"]),
    ("base", {"models": "{}", **BASE}, ["models"]),
]


def filled(given: dict[str, Any], inputs: dict[str, str]) -> dict[str, Any]:
    """The case's arguments with `{name}` replaced by that input's path."""
    made = {}
    for key, value in given.items():
        for name, path in inputs.items():
            value = value.replace("{" + name + "}", path) if isinstance(value, str) else value
        made[key] = value
    return made


@pytest.mark.parametrize(("name", "given", "said"), BAD, ids=[f"{name}-{n}" for n, (name, _, _) in enumerate(BAD)])
def test_bad_input_is_one_error_that_says_all(
    name: str, given: dict[str, Any], said: list[str], bad: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        run_recipe(name, **filled(given, bad), output_dir=tmp_path / "made")
    problems = caught.value.problems
    for fragment in said:
        assert sum(bool(re.search(fragment, problem)) for problem in problems) == 1, (fragment, problems)
    assert len(problems) == len(said), problems
    assert not [problem for problem in problems if "\n" in problem]
    assert list(tmp_path.iterdir()) == [], "nothing was written"


def test_bad_input_as_a_person_meets_it(
    bad: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = filled({"model": "{bare}", "prompts": "{few}", **GRPO, "learning_rat": 1, "num_iterations": "two"}, bad)
    words = arguments("reasoning_rl.yaml", **given, output_dir=tmp_path / "made")
    assert as_script("reasoning_rl", words, monkeypatch) == 2
    said = capsys.readouterr().err
    assert "reasoning_rl.py: 4 problems in the configuration:" in said
    assert "command line: unknown key 'learning_rat'; did you mean 'learning_rate'?" in said
    assert "Traceback" not in said and list(tmp_path.iterdir()) == []
