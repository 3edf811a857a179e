"""One run over prompts of several tasks: each reward judges its own rows, in every reinforcement-learning recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sandbox_target import first_working
from small_run import CONFIGS, GRPO, SFT, arguments, graph_of, log, manifest, recipe, run_recipe, write

from r1hf.core.config import parse
from r1hf.core.errors import DataError
from r1hf.data.rows import Row, load_rows
from r1hf.preflight.check import Asked, check
from r1hf.rewards.faults import judged_rows
from r1hf.rewards.table import TABLE, build

pytestmark = pytest.mark.skipif(first_working() is None, reason="no sandbox works here")
pytest.importorskip("reasoning_gym")

ROWS = load_rows(str(CONFIGS / "mixed.jsonl"))
JUDGES = {"math": "accuracy", **{task: task for task in ("choice", "code", "countdown", "gym", "text")}}
CHOSEN = graph_of(CONFIGS / "mixed.yaml").stages["mixed"].settings["rewards"]
SAYS = {"code": "```python\nprint(4)\n```", "countdown": "2 + 3"}


def firsts() -> list[Row]:
    """The first row of each task, with a right completion."""
    rows = [next(row for row in ROWS if row["task"] == task) for task in JUDGES]
    said = [SAYS.get(row["task"], row["answer"]) for row in rows]
    return [
        row | {"completion": f"<think> Let me see. </think> <answer> {text} </answer>"}
        for row, text in zip(rows, said, strict=True)
    ]


@pytest.fixture(scope="module")
def by_heart(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows a right answer to the first row of each task."""
    directory = tmp_path_factory.mktemp("mixed")
    rows = write(directory / "rows.jsonl", firsts())
    training = {**SFT, "per_device_train_batch_size": 6, "max_steps": 150, "learning_rate": 1e-2, "logging_steps": 50}
    return run_recipe("sft", model=tiny_base, data=rows, output_dir=directory / "model", **training)


def test_every_reward_of_the_table_trains(by_heart: Path, tmp_path: Path) -> None:
    asked = [{key: value for key, value in row.items() if key != "completion"} for row in firsts()]
    prompts = write(tmp_path / "prompts.jsonl", asked)
    given = {**GRPO, "per_device_train_batch_size": 24, "max_completion_length": 96, "max_steps": 1, "stage": "mixed"}
    given["held_out"] = write(tmp_path / "held_out.jsonl", [asked[0] | {"task": "reasoning"}])
    out = run_recipe(
        "reasoning_rl", "mixed.yaml", model=by_heart, prompts=prompts, output_dir=tmp_path / "out", **given
    )
    assert [row["step"] for row in log(out) if row.get("held_out/problems") == 1.0] == [0, 1]
    (row,) = [row for row in log(out) if "reward" in row]
    for name in JUDGES.values():
        assert row[f"rewards/{name}_reward/unjudged"] == pytest.approx(5 / 6), name
        assert row[f"rewards/{name}_reward/mean"] > 0.5, (name, row)
    assert row["code/ok"] > 0.5 and row["completions/unjudged"] == 0
    assert {name.split("/")[1] for name in row if name.startswith("rewards/")} == {
        "language_consistency_reward" if name == "language" else f"{name}_reward" for name in TABLE
    }
    assert set(manifest(out)["config"]["rewards"]) == set(CHOSEN) == set(TABLE)


def test_its_own_rows_pass_the_check_and_the_rehearsal() -> None:
    report = check(Asked(CONFIGS / "mixed.yaml", ("rewards", "rehearsal"), stages=("mixed",), rows=0))
    assert report.passed, [finding for _, _, finding in report.findings if finding.grade == "error"]
    (stage,) = report.stages
    assert stage.rewards is not None and stage.rewards.rows == dict.fromkeys(JUDGES, 4)
    assert stage.rehearsal is not None and stage.rehearsal.built


HOLES = {
    "choice": {"answer": None},
    "text": {"answer": "N/A"},
    "countdown": {"numbers": None},
    "gym": {"gym": None},
    "math": {"task": "stem", "answer": None},
}


@pytest.mark.parametrize("task", HOLES)
def test_a_row_that_nothing_can_be_judged_by_is_named(task: str) -> None:
    rewards = build(CHOSEN)
    for row in firsts():
        assert judged_rows([row], rewards, 0.0, []) == ([row], 0)
    (row,) = [row for row in firsts() if row["task"] == task]
    with pytest.raises(DataError, match=f"1 of 1 rows cannot be judged.*\\n.*reward '{JUDGES[task]}'"):
        judged_rows([row | HOLES[task]], rewards, 0.0, [])


GENERAL = {"question": "Hello!", "answer": None, "language": "en", "task": "helpful"}


@pytest.mark.parametrize("name", ["r1_zero", "reasoning_rl", "all_scenario_rl"])
@pytest.mark.parametrize(
    ("left_out", "task", "said"),
    [
        ((), "math", ""),
        (("code",), "math", "task 'code' is judged by no reward of this run; code does: rewards: {code: 1, …}"),
        ((), "maht", "task 'maht' is judged by no reward of this run; did you mean 'math'?"),
    ],
)
def test_a_task_that_nothing_judges_is_named_in_every_recipe(
    name: str, left_out: tuple[str, ...], task: str, said: str, tmp_path: Path
) -> None:
    rows = [row | {"task": task} if row["task"] == "math" else row for row in ROWS]
    chosen = {key: value for key, value in CHOSEN.items() if key not in left_out}
    given: dict[str, Any] = {"prompts": write(tmp_path / "rows.jsonl", rows), "rewards": chosen}
    if name == "all_scenario_rl":
        given |= {"general_prompts": write(tmp_path / "general.jsonl", [GENERAL])}
        chosen |= {"helpful": 1.0, "harmless": 1.0}
    found = parse(recipe(name).CONFIGS, arguments(f"{name}.yaml", **given))
    recipe(name).preflight(found)
    about = [problem for problem in found.problems if "prompts: task" in problem]
    assert about == ([] if not said else about) and said in "".join(about), found.problems
