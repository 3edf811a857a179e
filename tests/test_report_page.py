"""What a page holds besides words: rollouts, checkpoints held together, runs of others, runs side by side."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report_run import GRAPH, HOSTILE, manifest, write_json, write_rows, write_run
from tables import each

from r1hf.commands import report as command
from r1hf.commands.main import main
from r1hf.evaluation.samples import SCHEMA
from r1hf.explain.health.panel import examine
from r1hf.explain.report import browse, html, write_report
from r1hf.explain.report.browse import Browser, cut_middle
from r1hf.explain.report.examined import Examined
from r1hf.explain.report.lineage import is_run, read_graph
from r1hf.explain.report.paper import published
from r1hf.explain.report.single import render_single
from r1hf.explain.runs.read import read_run
from r1hf.trainers.rollouts import write

RUNS = Path(__file__).parent / "fixtures" / "runs"


def packed(page: str, name: str) -> Any:
    """A block of the page's data, as its script unpacks it."""
    (text,) = re.findall(rf'<script type="text/plain" id="{name}">([\w+/=]*)</script>', page)
    return json.loads(gzip.decompress(base64.b64decode(text)))


def rows_of(steps: int, groups: int, size: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "prompt": f"What is {group} + 1?",
            "completion": f"<think>🙂 {group} and {place}</think> <answer>{group + place}</answer>",
            "accuracy": float(place == 1),
            "gold": str(group + 1),
            "why": "as asked" if place == 1 else "another answer",
        }
        for step in range(1, steps + 1)
        for group in range(groups)
        for place in range(size)
    ]


def page_of(tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    write_rows(tmp_path / "rows.jsonl", rows)
    return render_single(examine(read_run(tmp_path / "rows.jsonl")))


def test_a_rollout_stands_with_its_group_its_reason_and_what_was_read(tmp_path: Path) -> None:
    (found,) = packed(page_of(tmp_path, rows_of(3, 2)), "rollout-data")
    columns = ("step", "text", "prompt", "group", "reward", "advantage", "right", "language", "read", "gold", "reason")
    assert {len(found[name]) for name in columns} == {24}
    assert found["text"][1] == "<think>🙂 0 and 1</think> <answer>1</answer>" and found["think"][1] == [7, 17]
    assert found["prompts"][found["prompt"][23]] == "What is 1 + 1?" and found["group"] == sorted(found["group"])
    assert found["right"][:4] == [0, 1, 0, 0] and found["read"][:2] == ["0", "1"] and found["gold"][0] == "1"
    assert found["reason"][:2] == ["another answer", "as asked"] and found["rewards"] == ["accuracy"]
    # GRPO's own formula with TRL's constant, since none was logged.
    assert found["worked"] and found["advantage"][:4] == pytest.approx([-0.4999, 1.4997, -0.4999, -0.4999], abs=2e-4)


def test_logged_advantages_are_shown_as_they_are(tmp_path: Path) -> None:
    page = page_of(tmp_path, [{**row, "advantage": 0.25} for row in rows_of(1, 1)])
    (found,) = packed(page, "rollout-data")
    assert found["advantage"] == [0.25] * 4 and not found["worked"]


def test_what_a_model_wrote_is_data_and_no_part_of_the_page(tmp_path: Path) -> None:
    rows = [
        {**row, "completion": HOSTILE, "prompt": HOSTILE, "why": HOSTILE, "gold": HOSTILE} for row in rows_of(2, 1)
    ]
    page = page_of(tmp_path, rows)
    assert "alert('owned')" not in page.replace("&#39;", "'").split("<section")[0]
    assert "<script>alert" not in page and "<img" not in page and page.count("<script>") == 1
    (found,) = packed(page, "rollout-data")
    assert "<script>alert('owned')</script>" in found["text"][0] and "\x1b" not in found["text"][0]


def test_more_rollouts_than_a_page_holds_are_whole_groups_from_all_steps(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", rows_of(40, 5))
    panel = examine(read_run(tmp_path / "rows.jsonl"))
    browser = Browser([Examined("run", panel)], most=200)
    (found,) = browser.columns(4000)
    assert found["total"] == 800 and 180 <= len(found["step"]) <= 260
    assert {found["group"].count(group) for group in found["group"]} == {4}
    assert min(found["step"]) == 1 and max(found["step"]) >= 39
    named = [rollout for one in panel.found for rollout in one.rollouts]
    assert all(browser.link(rollout) for rollout in named)
    for place, text in enumerate(found["text"]):
        mine = [one for one in panel.facts.rollouts if browser.link(one) == f"#rollout/run/{place}"]
        assert [one.completion for one in mine] == [text]


def test_texts_are_cut_until_the_page_is_small_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(html.ROOM, "rollouts", 20_000)
    draw = random.Random(1)
    words = [f"{draw.getrandbits(32):x}" for _ in range(700)]
    page = page_of(tmp_path, [{**row, "completion": " ".join(draw.sample(words, 700))} for row in rows_of(4, 4, 3)])
    (found,) = packed(page, "rollout-data")
    assert 300 <= found["limit"] < 4000 and len(page) < 250_000
    assert f"[… {found['cut'][0]:,} characters left out …]" in found["text"][0]
    assert cut_middle("a" * 105, 100) == ("a" * 105, 0)


def evaluated(run_dir: Path, rows: list[dict[str, Any]]) -> Path:
    """`rows` (model, question, correct) as the samples of a run's evaluation."""
    made = [
        {
            **{field.name: None for field in SCHEMA},
            **{"part": "prompts", "sample": 0, "visible": "", "why": "as read", "completion": f"{row['model']} says"},
            **{
                "row": json.dumps(
                    {"question": f"q{row['question']}", "answer": "1", "language": "en", "task": "reasoning"}
                ),
                **row,
            },
        }
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(made, schema=SCHEMA), run_dir / "evaluate" / "samples.parquet")
    return run_dir


def test_two_models_on_the_same_questions(tmp_path: Path) -> None:
    right = {"base": (True, False, False, True), "r1_zero": (True, True, True, False)}
    rows = [
        {"model": model, "question": place, "correct": one}
        for model in right
        for place, one in enumerate(right[model])
    ]
    rows += [{"model": "base", "question": 9, "correct": True}]  # nobody else was asked
    run_dir = evaluated(write_run(tmp_path / "run", steps=12), rows)
    write_report(run_dir, GRAPH)
    found = packed((run_dir / "report.html").read_text("utf-8"), "pair-data")
    assert found["models"] == ["base", "r1_zero"] and [text for text, _ in found["questions"]] == [
        "q0",
        "q1",
        "q2",
        "q3",
    ]
    assert found["shares"] == {"base": [1, 0, 0, 1], "r1_zero": [1, 1, 1, 0]}
    assert found["right"]["r1_zero"][1] == ["r1_zero says", "as read"] and found["wrong"]["r1_zero"][1] is None
    change, low, high = found["differences"]["base r1_zero"]
    assert change == 0.25 and low < 0 < high


def test_a_run_that_trains_shows_what_there_is(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", steps=12)
    partial = (run_dir / "r1").rename(run_dir / "r1.partial")
    (partial / "manifest.json").unlink()
    columns = {name: [row[name] for row in rows_of(2, 2)] for name in ("step", "prompt", "completion")}
    (partial / "rollouts").mkdir()
    write(
        partial / "rollouts" / "step-000001.parquet", {**columns, "reward": [0.5] * 16, "rewards/format": [0.5] * 16}
    )
    write_report(run_dir, GRAPH, refresh=7)
    page = (run_dir / "report.html").read_text("utf-8")
    assert 'data-plot="r1 total reward"' in page and "Not finished, so without a manifest: r1." in page
    assert [one["name"] for one in packed(page, "rollout-data")] == ["r1"] and 'data-refresh="7"' in page


def test_the_graph_is_read_from_what_stages_took(tmp_path: Path) -> None:
    place = "/elsewhere/run"
    train = {"path": f"{place}/base/data/train.jsonl"}
    zero, models = {"path": f"{place}/r1_zero"}, {"path": f"{place}/reward_models/helpful"}
    inputs: dict[str, dict[str, Any]] = {
        "base": {},
        "r1_zero": {"model": {"path": f"{place}/base"}, "prompts": train},
        "reward_models": {"prompts": train},
        "r1": {"model": zero, "helpful": models, "prompts": train},
        "evaluate": {"models": [{"path": f"{place}/r1"}, zero]},
    }
    for stage, taken in inputs.items():
        (tmp_path / stage).mkdir()
        write_json(tmp_path / stage / "manifest.json", {**manifest(stage, 1), "inputs": taken})
    write_rows(tmp_path / "pipeline.jsonl", [{"event": "start", "run": [*inputs, "student_qwen"]}])
    assert read_graph(tmp_path) == {
        **{"base": [], "r1_zero": ["base"], "reward_models": ["base"], "r1": ["r1_zero", "reward_models"]},
        **{"evaluate": ["r1", "r1_zero"], "student_qwen": []},
    }
    assert is_run(tmp_path) and not is_run(tmp_path / "base") and not is_run(RUNS / "no_eos")


@each(
    "make, said",
    [
        (lambda place: RUNS / "format_hacking", "The reward is hacked"),
        (lambda place: dump(place / "dump"), "No fault found"),
        (lambda place: rows_file(place / "samples.jsonl"), "No fault found"),
        (lambda place: console(place / "train.log"), "No fault found"),
    ],
)
def test_the_same_page_for_runs_of_others(
    make: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(make(tmp_path)), "--out", str(out)]) == 0
    assert said in capsys.readouterr().out and said in out.read_text("utf-8")
    before = out.read_bytes()
    main(["explain", str(make(tmp_path)), "--html", str(out)])
    assert out.read_bytes() == before


def dump(folder: Path) -> Path:
    """verl's trainer.rollout_data_dir."""
    folder.mkdir(exist_ok=True)
    for step in (1, 2):
        rows = [
            {"input": row["prompt"], "output": row["completion"], "gts": row["gold"], "score": row["accuracy"]}
            for row in rows_of(1, 3)
        ]
        write_rows(folder / f"{step}.jsonl", [{**row, "step": step} for row in rows])
    return folder


def rows_file(path: Path) -> Path:
    write_rows(path, rows_of(2, 2))
    return path


def console(path: Path) -> Path:
    path.write_text("\n".join(f"{{'loss': 0.1, 'reward': {0.1 * step}, 'kl': 0.0}}" for step in range(1, 6)))
    return path


def test_a_page_lies_where_it_breaks_no_seal(tmp_path: Path) -> None:
    stage = tmp_path / "r1_zero"
    stage.mkdir()
    assert command.place_of(stage) == stage / "report.html"
    (stage / "manifest.json").write_text("{}")
    assert command.place_of(stage) == tmp_path / "r1_zero-report.html"
    assert command.place_of(tmp_path) == tmp_path.with_name(f"{tmp_path.name}-report.html")
    (tmp_path / "pipeline.jsonl").write_text("")
    assert command.place_of(tmp_path) == tmp_path / "report.html"
    assert command.place_of(tmp_path / "r1.partial") == tmp_path / "r1-report.html"
    assert command.place_of(rows_file(tmp_path / "rows.jsonl")) == tmp_path / "rows.jsonl-report.html"


@each(
    "words, said",
    [
        (["absent"], "absent: there is no such run"),
        ([str(RUNS / "no_eos"), "--out", "absent/page.html"], "--out absent/page.html: name a file"),
        ([str(RUNS / "no_eos"), "--every", "1"], "--every 1: write seconds"),
        ([str(RUNS / "no_eos"), str(RUNS / "no_eos"), "--columns", "prompt=q"], "they are for one run"),
    ],
)
def test_what_cannot_be_reported_is_said_in_a_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *words]) == 1 and said in capsys.readouterr().err


def test_runs_side_by_side_with_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "both.html"
    assert main(["report", str(RUNS / "healthy_with_kl"), str(RUNS / "kl_too_strong"), "--out", str(out)]) == 0
    page = out.read_text("utf-8")
    assert "KL holds the policy" in page and "accuracy rose from 0.66 to 0.84" in page
    plots = packed(page, "plots")
    assert [line["label"] for line in plots["reward"]["lines"]] == ["runs/healthy_with_kl", "runs/kl_too_strong"]
    (change,) = re.findall(r'<th scope="row">outcome</th>.*?<td>([^<]*\))</td></tr>', page)
    assert re.fullmatch(r"-0\.\d+ \(-0\.\d+ to -0\.\d+\)", change)
    whole = write_run(tmp_path / "whole", steps=12)
    assert main(["report", str(whole), str(RUNS / "kl_too_strong"), "--out", str(out)]) == 1
    assert "is one training run and the others are whole runs" in capsys.readouterr().err


def test_following_writes_again_only_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, out, turns = rows_file(tmp_path / "rows.jsonl"), tmp_path / "page.html", []

    def turn(seconds: float) -> None:
        turns.append('data-refresh="5"' in out.read_text("utf-8"))
        if len(turns) == 2:
            write_rows(rows, rows_of(3, 2))
        if len(turns) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", turn)
    assert main(["report", str(rows), "--follow", "--every", "5", "--out", str(out)]) == 0
    assert turns == [True] * 3 and "data-refresh=" not in out.read_text("utf-8").replace("dataset.refresh", "")
    assert capsys.readouterr().out.count("report: ") == 3  # at first, after the change, at the end


@each(
    "stage, whose, first",
    [
        ("base", "", 15.6),
        ("r1", "", 79.8),
        ("student_qwen_1_5b", "Qwen 1.5B, distilled", 28.9),
        ("student_llama", "Llama 8B, distilled", 50.4),
        ("student_qwen_direct_rl", "Qwen 32B by RL alone", 47.0),
        ("direct_rl_qwen_32b", "Qwen 32B by RL alone", 47.0),
    ],
)
def test_the_papers_own_numbers(stage: str, whose: str, first: float) -> None:
    found = published(stage)
    assert found is not None and found[0] == whose and found[1][0] == first


@each("stage", ["student_qwen_base", "student_llama_direct_rl", "student_gemma", "cold_start", "mine"])
def test_the_paper_has_no_numbers_of(stage: str) -> None:
    assert published(stage) is None


def test_browser_names_are_free_of_the_most(tmp_path: Path) -> None:
    """The bound on a page holds for several stages together, whatever their sizes."""
    write_rows(tmp_path / "rows.jsonl", rows_of(20, 5))
    panel = examine(read_run(tmp_path / "rows.jsonl"))
    sets = Browser([Examined("one", panel), Examined("two", panel)], most=200).columns(500)
    assert [one["name"] for one in sets] == ["one", "two"] and sum(len(one["step"]) for one in sets) <= 280
    assert browse.MOST == 10_000
