"""Runs of other trainers are read into one table: whose they are, what columns are called, what is broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas
import pytest
from tables import each

from r1hf.commands.main import main
from r1hf.core.errors import R1Error
from r1hf.explain.runs.golds import add_golds
from r1hf.explain.runs.read import read_run
from r1hf.explain.runs.table import MOST, RunTable, Sample
from r1hf.trainers import rollouts

RUNS = Path(__file__).parent / "fixtures" / "runs"
TRL = RUNS / "healthy_accuracy_and_format"


def lines(path: Path, rows: list[dict[str, Any]], *broken: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*map(json.dumps, rows), *broken]) + "\n", encoding="utf-8")
    return path


def read(directory: Path, row: dict[str, Any], **columns: str) -> RunTable:
    return read_run(lines(directory / "file.jsonl", [row] * 3), columns)


def test_a_trl_directory_with_its_log_and_its_completions() -> None:
    run = read_run(TRL)
    assert run.kinds == ["TRL's log_completions", "Transformers' trainer_state.json"]
    assert (run.rewards, run.outcomes, run.forms) == (["accuracy", "format"], ["accuracy"], ["format"])
    first = run.rollouts[0]
    assert first.prompt.startswith("What is ") and first.gold and first.advantage is not None
    assert first.rewards.keys() == {"accuracy", "format"} and first.reward == sum(first.rewards.values())
    assert run.context == 1024 and run.steps[-1]["step"] == 40 and not run.notes


def test_messages_in_completions_and_columns_of_extras_that_are_no_rewards() -> None:
    run = read_run(RUNS / "healthy_chat_trl_rewards")
    assert run.rewards == ["accuracy_reward", "think_format_reward"]
    assert "boxed" in run.rollouts[0].completion and run.rollouts[0].gold.startswith("\\boxed")


@pytest.mark.parametrize(
    ("keep", "steps", "completions"),
    [
        ("trainer_state.json", True, False),
        ("completions", False, True),
    ],
)
def test_a_run_half_finished_shows_what_there_is(tmp_path: Path, keep: str, steps: bool, completions: bool) -> None:
    copy = shutil.copytree if (TRL / keep).is_dir() else shutil.copy
    copy(TRL / keep, tmp_path / keep)
    run = read_run(tmp_path)
    assert bool(run.steps) is steps and bool(run.rollouts) is completions
    assert main(["explain", str(tmp_path)]) == 0


def test_a_run_that_was_stopped_is_read_from_its_newest_checkpoint(tmp_path: Path) -> None:
    for step in (9, 10):
        checkpoint = tmp_path / f"checkpoint-{step}"
        checkpoint.mkdir()
        row = {"step": step, "reward": float(step)}
        (checkpoint / "trainer_state.json").write_text(json.dumps({"log_history": [row]}))
    shutil.copytree(TRL / "completions", tmp_path / "completions")
    assert read_run(tmp_path).steps == [{"step": 10, "reward": 10.0}]
    assert read_run(tmp_path / "checkpoint-9").rollouts  # the completions lie above


NAMES = [
    ({"prompt": "p", "completion": "c", "reward": 1, "step": 2}, {}),
    ({"Question": "p", "Response": "c", "total_reward": 1, "global_step": 2}, {}),
    ({"input": "p", "output": "c", "score": 1, "step": 2, "gts": "g", "acc": 1}, {}),  # verl
    ({"instruction": "p", "generated_text": "c", "rewards": {"accuracy": 1}, "iteration": "2"}, {}),
    (
        {"q": "p", "said": "c", "got": "1.0", "at": 2},
        {"prompt": "q", "completion": "said", "reward": "got", "step": "at"},
    ),
    ({"prompt": "p", "completion": "c", "rewards/accuracy": 1.0, "rewards/format": None, "step": 2}, {}),
    (
        {
            "prompt": [{"role": "user", "content": "p"}],
            "completion": [{"content": "c"}],
            "score": [0.5] * 2,
            "step": 2,
        },
        {},
    ),
]


@each("row, columns", NAMES)
def test_columns_have_many_names(row: dict[str, Any], columns: dict[str, str], tmp_path: Path) -> None:
    one = read(tmp_path, row, **columns).rollouts[0]
    assert one.completion == "c" and one.reward == 1 and one.step == 2 and "p" in one.prompt, one


def test_a_person_is_told_what_was_taken_for_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lines(tmp_path / "a.jsonl", [{"question": "Why?", "text": "So.", "score": 1}] * 40)
    assert main(["explain", str(path)]) in (0, 1)
    said = " ".join(capsys.readouterr().out.split())
    assert "prompt from question, completion from text, reward from score" in said
    assert "no column of steps: the rows are taken in their order" in said


REFUSED = [
    ({"a": 1, "b": 2}, None, "no column looks like the prompt or the completion; its columns are a, b. Say which"),
    ({"prompt": "p", "answer": "c"}, None, "no column looks like the completion"),
    ({"prompt": "p", "completion": "c"}, "reward=gain", "has no such column; "),
    ({"prompt": "p", "completion": "c"}, "rewards=gain", "did you mean 'reward'?"),
    ({"prompt": "p", "completion": "c"}, "reward", "is not WHAT=COLUMN"),
]


@each("row, columns, said", REFUSED)
def test_what_cannot_be_read_is_a_sentence(
    row: dict[str, Any], columns: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--columns", columns] if columns else []
    assert main(["explain", str(lines(tmp_path / "a.jsonl", [row])), *words]) == 2
    shown = capsys.readouterr().err
    assert said in shown and "Traceback" not in shown, shown


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nowhere/x", None, "there is no"),
        ("empty/.keep", b"", "holds nothing of a run"),
        ("trainer_state.json", b'{"a": 1}', "has no log_history"),
        ("trainer_state.json", b"{", "cannot be read"),
        ("notes.txt", b"all is well", "holds no line of TRL's or Unsloth's log"),
        ("x.parquet", b"PAR1 no", "cannot be read"),
        ("x.jsonl", b"\x00\xff{", "holds no row that can be read: "),
    ],
)
def test_a_place_without_a_run_is_a_sentence(
    tmp_path: Path, name: str, content: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    assert main(["explain", str(path.parent if path.name == ".keep" else path)]) == 2
    assert said in capsys.readouterr().err


def test_broken_lines_are_counted_with_file_and_line(tmp_path: Path) -> None:
    row = {"prompt": "p", "completion": "c", "reward": 1, "step": 2}
    run = read_run(lines(tmp_path / "a.jsonl", [row, row], "{cut of", "[1]", '{"prompt": "p", "completion"'))
    assert len(run.rollouts) == 2
    assert run.notes == [note for note in run.notes if note.startswith("3 broken lines left out, the first ")]
    assert f"{tmp_path / 'a.jsonl'}:3" in run.notes[0]


def test_one_bad_file_of_many_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    shutil.copytree(TRL / "completions", tmp_path / "completions")
    (tmp_path / "completions" / "completions_00001.parquet").write_bytes(b"PAR1 and then nothing")
    run = read_run(tmp_path)
    assert run.rollouts and "completions_00001.parquet cannot be read" in run.notes[0]


def test_a_large_file_is_sampled_and_that_is_said(tmp_path: Path) -> None:
    count = 3 * MOST
    frame = pandas.DataFrame({"prompt": "p", "completion": "c", "reward": 1.0, "step": range(count)})
    frame.to_parquet(tmp_path / "big.parquet")
    run = read_run(tmp_path / "big.parquet")
    assert MOST / 4 < len(run.rollouts) <= MOST
    steps = [one.step for one in run.rollouts]
    assert steps[0] == 0 and steps[-1] > 0.98 * count and steps[1] == 1  # whole blocks, to the end
    assert f"{count:,} rows, of which {len(steps):,} were read" in run.notes[0]


@pytest.mark.parametrize("count", [0, 1, 100, 1001])
def test_a_sample_of_few_rows_is_all_of_them(count: int) -> None:
    sample = Sample(most=1001)
    for number in range(count):
        sample.add(number)
    assert sample.rows == [*range(count)] and sample.note("here") is None


def test_a_dump_of_verl(tmp_path: Path) -> None:
    """verl writes STEP.jsonl into trainer.rollout_data_dir; older ones have no column of steps."""
    for step in (1, 2, 10):
        rows = [{"input": "user\nWhat is 2 + 3?\nassistant\n", "output": "5", "gts": "5", "score": 1.0, "acc": True}]
        lines(tmp_path / "rollouts" / f"{step}.jsonl", rows * 4)
    run = read_run(tmp_path)
    assert [one.step for one in run.rollouts] == [1] * 4 + [2] * 4 + [10] * 4
    assert run.rollouts[0].gold == "5" and run.outcomes == ["acc"] and run.rollouts[0].rewards["acc"] == 1.0


PRINTED = {
    "TRL": (
        "  1%|          | 17/2264 [01:22<2:55:16,  4.68s/it]\n"
        "{'loss': 0.07, 'grad_norm': 0.8, 'learning_rate': 9e-06, 'rewards/format_reward/mean': 0.9, 'reward': 1.1, "
        "'kl': 0.2, 'completions/clipped_ratio': 0.08, 'epoch': 0.01}\n"
    ),
    "Unsloth, of text": "13%|█| 51/400 [20:01]{'loss': '0.02', 'grad_norm': '0.8', 'reward': '1.1', 'kl': '0.2'}\r\n",
    "an old TRL": "{'loss': nan, 'grad_norm': 0.8, 'reward': 1.1, 'kl': 0.2, 'completion_length': 719.1}",
    "verl": (
        "\x1b[36m(TaskRunner pid=1)\x1b[0m step:1 - critic/score/mean:1.1 - actor/kl_loss:0.2 - actor/grad_norm:0.8"
        " - response_length/mean:239.133 - val-core/openai/gsm8k/acc/mean@1:np.float64(0.5)\n"
    ),
}


@each("name, text", PRINTED.items())
def test_what_trainers_print(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(f"Loading …\n{text}done\n", encoding="utf-8")
    run = read_run(path)
    (row,) = run.steps
    assert (row["step"], row["reward"], row["kl"], row["grad_norm"]) == (1, 1.1, 0.2, 0.8)
    assert name != "verl" or (row["eval_reward"], row["completions/mean_length"]) == (0.5, 239.133)
    assert name != "an old TRL" or (row["completions/mean_length"], run.non_finite) == (719.1, [(1, "loss")])
    assert read_run(tmp_path).steps == run.steps  # found in a directory


def test_r1hfs_own_stage_goes_into_the_same_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = tmp_path / "r1_zero.partial"  # not finished yet
    made = rollouts.columns(
        ["What is 2 + 3?"] * 4,
        ["a"] * 4,
        ["<think>5</think> <answer>5</answer>"] * 4,
        {"accuracy": [1.0, 0.0, 1.0, float("nan")], "format": [1.0] * 4},
        **{"reward": [2.0, 1.0, 2.0, 1.0], "advantage": [0.5] * 4, "tokens": [9] * 4, "truncated": [False] * 4},
    )
    rollouts.write(stage / "rollouts" / "step-000001.parquet", {"step": [1] * 4, **made}, ["accuracy"])
    lines(
        stage / "log.jsonl", [{"step": 1, "reward": 1.5, "rewards/accuracy/mean": 0.66}, {"run": "other", "step": 1}]
    )
    run = read_run(tmp_path / "r1_zero")
    assert run.kinds == ["a stage of r1hf"] and run.outcomes == ["accuracy"] and run.steps[0]["reward"] == 1.5
    assert [one.rewards["accuracy"] for one in run.rollouts] == [1.0, 0.0, 1.0, None]
    assert run.rollouts[0].truncated is False and run.rollouts[0].group == "a"
    assert main(["explain", str(tmp_path)]) == 2
    assert "is a run of several stages: name one" in capsys.readouterr().err


def test_gold_answers_come_from_the_data_by_question(tmp_path: Path) -> None:
    row = {"prompt": "<|im_start|>user\nWhat is  a pair?<|im_end|>\n<|im_start|>assistant\n", "completion": "2"}
    run = read(tmp_path, row)
    data = lines(tmp_path / "data.jsonl", [{"problem": "What is a pair?", "solution": "2"}, {"problem": "?"}])
    add_golds(run, data, {})
    assert [one.gold for one in run.rollouts] == ["2"] * 3
    with pytest.raises(R1Error, match="no prompt of .* asks a question of"):
        add_golds(run, lines(tmp_path / "other.jsonl", [{"problem": "Who?", "solution": "2"}]), {})


@pytest.mark.parametrize(
    ("words", "count"), [(["--wrong"], "of"), (["--step", "all", "--reward", "accuracy>=1"], "fit")]
)
def test_foreign_rollouts_are_shown_as_r1hfs_own(
    words: list[str], count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rollouts", str(TRL), "--limit", "1", *words]) == 0
    said = capsys.readouterr().out
    assert "accuracy  format  reward" in " ".join(said.split()).replace(" ", "  ") and count in said


def test_figures_of_verl_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("step:1 - critic/score/mean:0.5. - host:10.0.0.1 - actor/grad_norm:nan - version:0.4.1\n")
    run = read_run(path)
    assert run.steps[0]["reward"] == 0.5 and run.non_finite == [(1, "grad_norm")]
    assert not {"host", "version"} & run.steps[0].keys()


@each(
    "name, rows",
    [
        ("train.jsonl", [{"question": "a", "answer": "b"}]),
        ("data.ndjson", [{"x": 1}]),
        ("eval_results.jsonl", [{"accuracy": 0.5}]),
    ],
)
def test_data_beside_a_log_leave_the_log(name: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    history = [{"step": step, "reward": 0.1 * step} for step in range(1, 9)]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    lines(tmp_path / name, rows)
    run = read_run(tmp_path)
    assert len(run.steps) == 8 and not run.rollouts and run.kinds == ["Transformers' trainer_state.json"]
    assert any("the log alone is explained" in note and name in note for note in run.notes), run.notes
    assert main(["explain", str(tmp_path)]) == 0
    (tmp_path / name).unlink()


@each("text, value", [("True", 1.0), ("False", 0.0), ("true", 1.0), (" FALSE ", 0.0), ("1", 1.0), ("yes", None)])
def test_true_and_false_are_read_from_csv(text: str, value: float | None, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"prompt,completion,correct,truncated\np,c,{text},{text}\n")
    (one,) = read_run(path).rollouts
    assert one.rewards == {"correct": value} and one.truncated is (value == 1.0)


def test_a_label_is_no_gold_answer(tmp_path: Path) -> None:
    row = {"prompt": "p", "completion": "c", "label": True, "reward": 1.0}
    assert read(tmp_path, row).rollouts[0].gold is None
    assert read(tmp_path, row, gold="label").rollouts[0].gold == "True"


@each("sign", ["\u2028", "\x0c", "\x85", "\x1c", "\r\n", "\n"])
def test_a_field_of_csv_may_hold_any_sign(sign: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f'prompt,completion,reward\r\np,"a{sign}b",1\r\nq,d,0\r\n'.encode())
    assert [one.completion for one in read_run(path).rollouts] == [f"a{sign}b", "d"]


def test_columns_that_the_first_row_lacks_are_found(tmp_path: Path) -> None:
    rows = [{"about": "a run"}, {"prompt": "p", "completion": "c"}, {"prompt": "p", "completion": "d", "reward": 1}]
    run = read_run(lines(tmp_path / "a.jsonl", rows))
    assert [one.reward for one in run.rollouts] == [None, 1.0]
    assert "a.jsonl:1: no prompt and completion" in run.notes[0]


def test_a_row_of_step_0_is_of_step_0(tmp_path: Path) -> None:
    history = [{"step": 0, "eval_reward": 0.1}, {"step": 1, "reward": 0.2}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    assert read_run(tmp_path).steps == history


def test_of_consoles_that_count_for_themselves_the_longest_is_taken(tmp_path: Path) -> None:
    for name, count in (("a.log", 2), ("b.log", 3)):
        (tmp_path / name).write_text("".join(f"{{'loss': 0.1, 'reward': {count}.0}}\n" for _ in range(count)))
    run = read_run(tmp_path)
    assert [row["reward"] for row in run.steps] == [3.0] * 3
    assert "a.log is left out" in run.notes[0]
    for place, name in enumerate(("a.log", "b.log"), 1):
        (tmp_path / name).write_text(f"step:{place} - critic/score/mean:0.5\n")
    assert [row["step"] for row in read_run(tmp_path).steps] == [1, 2]


@each("content, said", [("", "has no row that can be read"), ('{"a": 1}\n', "Rename the column of its questions")])
def test_data_without_gold_answers_are_a_sentence(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(content)
    with pytest.raises(R1Error, match=said) as caught:
        add_golds(RunTable(tmp_path), path, {})
    assert "--columns" not in str(caught.value)


def test_foreign_rollouts_with_their_own_columns_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lines(tmp_path / "a.jsonl", [{"asked": "p", "said": "hello", "reward": 1, "step": 2}])
    assert main(["rollouts", str(path), "--columns", "prompt=asked,completion=said"]) == 0
    assert "hello" in capsys.readouterr().out
