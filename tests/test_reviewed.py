"""Training on what people decided: which rows, who decided what share, and when a stage has to run again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from review_world import ROW, cold_start, good
from small_run import ROOT
from tables import each

from r1hf.core.config import Parsed, parse
from r1hf.core.errors import DataError
from r1hf.core.graph import load_graph
from r1hf.data.decisions import Decided, Decision, Journal, folder_of, key_of
from r1hf.data.review_queue import Item
from r1hf.data.rows import write_rows
from r1hf.data.targets import as_targets
from r1hf.pipeline.check import Checked
from r1hf.pipeline.decisions import Planner
from r1hf.stage.manifest import verify
from r1hf.stage.stage import Stage
from r1hf.text.chat_templates import chat_template
from r1hf.trainers.reviewed import Undecided, add_reviews, applied
from r1hf.trainers.sft import R1SFTConfig, SFTStageConfig, sft_rows
from r1hf.world.models import train_tokenizer

KEYS = [key_of(ROW["question"], good(number)) for number in range(1, 5)]
BEYOND = key_of(ROW["question"], good(6))


def said(**kinds: str | tuple[str, str]) -> Decided:
    """What one reviewer says of rows 1 to 6 (`r1`, ...)."""
    found = {}
    for name, kind in kinds.items():
        key = key_of(ROW["question"], good(int(name[1:])))
        found[key] = Decision(key, *([kind] if isinstance(kind, str) else kind))
    return found


@each(
    "ann, bob, undecided, left",
    [
        (said(), said(), "keep", [1, 2, 3, 4]),
        (said(r1="reject"), said(), "keep", [2, 3, 4]),
        (said(r1="accept", r2="reject"), said(), "drop", [1]),
        (said(r1=("edit", good(9))), said(), "keep", [9, 2, 3, 4]),
        (said(r1="accept"), said(r1="accept", r2="reject"), "drop", [1]),
        (said(r1="accept"), said(r1="reject"), "keep", [2, 3, 4]),  # left for the two to settle
        (said(r1="accept"), said(r1=("edit", good(9))), "keep", [2, 3, 4]),
        (said(r6="accept"), said(), "keep", [1, 2, 3, 4, 6]),
        (said(r6=("edit", good(9))), said(), "drop", [9]),
        (said(r6="accept"), said(r6="reject"), "keep", [1, 2, 3, 4]),
        (said(r8="reject"), said(), "keep", [1, 2, 3, 4]),  # a row that is no longer there
    ],
    ids=lambda value: str(value)[:80],
)
def test_what_is_trained_on(ann: Decided, bob: Decided, undecided: Undecided, left: list[int]) -> None:
    rows = [{**ROW, "completion": good(number)} for number in range(1, 5)]
    extra = [Item(BEYOND, {**ROW, "completion": good(6)}, good(6), "x", ("rewrite",), "en", "not_chosen")]
    made, figures = applied(rows, KEYS, extra, {"ann": ann, "bob": bob}, undecided)
    assert [row["completion"] for row in made] == [good(number) for number in left]
    kinds = ("accept", "edit", "reject", "undecided", "conflict")
    assert sum(figures[kind] for kind in kinds) == figures["rows"] == 4 and figures["trained_on"] == len(left)
    assert figures["by_reviewer"]["bob"]["decided"] == len(bob)
    assert figures["of_other_rows"] == sum(key not in (*KEYS, BEYOND) for key in ann)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As much of a model as the rows need: its tokenizer."""
    place = tmp_path_factory.mktemp("base")
    tokenizer = train_tokenizer([good(number) for number in range(1, 10)], 400)
    tokenizer.chat_template = chat_template()
    tokenizer.save_pretrained(place)
    (place / "config.json").write_text("{}")
    return place


@pytest.fixture
def world(base: Path, tmp_path: Path) -> Path:
    shutil.copytree(base, tmp_path / "base")
    cold_start(tmp_path / "run/cold_start")
    return tmp_path


def decide(world: Path, reviewer: str, *decisions: Decision) -> None:
    journal = Journal(world / "run/cold_start", reviewer)
    for one in decisions:
        journal.decide(one)
    journal.close()


def asked(world: Path, **more: Any) -> Parsed:
    given = {"model": world / "base", "data": world / "run/cold_start/data.jsonl", "output_dir": world / "run/sft1"}
    parsed = parse((SFTStageConfig,), [f"--{key}={value}" for key, value in {**given, **more}.items()])
    add_reviews(parsed)
    return parsed


def train(world: Path, during: Decision | None = None, **more: Any) -> list[str]:
    """What `recipes/sft.py` does up to the training: returns the completions, as they were in the data."""
    texts = [good(number) for number in range(1, 10)]
    targets = as_targets([{**ROW, "completion": text} for text in texts])
    said = {target["completion"]: text for target, text in zip(targets, texts, strict=True)}
    args = R1SFTConfig(output_dir=str(world / "args"), use_cpu=True, bf16=False)
    with Stage(asked(world, **more), recipe=ROOT / "recipes/sft.py") as stage:
        rows = sft_rows(stage, args).to_list()
        if during is not None:
            decide(world, "ann", during)
        write_rows(stage.work / "rows.jsonl", rows)
        stage.finish({"rows": len(rows)})
    return [said[row["completion"][0]["content"]] for row in rows]


def planned(world: Path, **more: Any) -> tuple[str, str]:
    graph_file = world / "pipeline.yaml"
    (world / "sft.yaml").write_text("recipe: sft\n")
    graph_file.write_text(yaml.safe_dump({"run_dir": str(world / "run"), "stages": {"sft1": {"config": "sft.yaml"}}}))
    graph, problems = load_graph(graph_file, ROOT / "recipes")
    assert not problems
    parsed = asked(world, **more)
    one = Planner(graph, {"sft1": Checked(parsed.request, parsed.inputs)}, ["sft1"]).decide("sft1")
    return one.action, "; ".join(one.reasons)


def test_training_is_stale_after_every_other_decision_and_only_then(world: Path) -> None:
    assert len(train(world)) == 5 and "review" not in verify(world / "run/sft1").metrics
    assert planned(world) == ("done", "")
    Journal(world / "run/cold_start", "ann").close()  # a page that was opened and closed
    assert planned(world) == ("done", "")
    decide(world, "ann", Decision(KEYS[1], "reject"), Decision(KEYS[2], "edit", good(9)))
    assert planned(world)[0] == "run" and "input review changed" in planned(world)[1]
    assert train(world) == [good(1), good(9), good(4), good(1)]
    assert planned(world) == ("done", "")
    figures = verify(world / "run/sft1").metrics["review"]
    assert figures["by_reviewer"]["ann"] == {"decided": 2, "share": 0.5, "accept": 0, "edit": 1, "reject": 1}
    assert (figures["undecided"], figures["undecided_rows_are"], figures["agreement"]) == (3, "trained on", [])
    assert planned(world, undecided="drop")[0] == "run"
    decide(world, "bob", Decision(KEYS[1], "accept"))
    assert planned(world)[0] == "run"
    assert train(world, undecided="drop") == [good(9)]
    figures = verify(world / "run/sft1").metrics["review"]
    assert figures["conflict"] == 1 and figures["agreement"][0]["reviewers"] == ["ann", "bob"]
    for file in folder_of(world / "run/cold_start").glob("*.jsonl"):
        file.unlink()
    assert planned(world)[0] == "run" and len(train(world)) == 5


def test_a_decision_during_the_training_costs_nothing_and_counts_next_time(world: Path) -> None:
    decide(world, "ann", Decision(KEYS[1], "reject"))
    assert train(world, during=Decision(KEYS[2], "reject")) == [good(1), good(3), good(4), good(1)]
    assert verify(world / "run/sft1").metrics["review"]["reject"] == 1
    assert planned(world)[0] == "run"
    assert train(world) == [good(1), good(4), good(1)]


def test_rows_that_a_person_brings_back_are_in_the_mix(world: Path) -> None:
    decide(world, "ann", Decision(BEYOND, "accept"))
    assert train(world) == [*(good(number) for number in (1, 2, 3, 4, 1)), good(6)]
    assert verify(world / "run/sft1").metrics["review"]["brought_back"] == 1


def test_a_kept_row_that_the_configuration_leaves_out_does_not_come_back(world: Path) -> None:
    decide(world, "ann", Decision(KEYS[0], "accept"), Decision(KEYS[3], "accept"))
    some = f"{{path: {world}/run/cold_start/data.jsonl, where: {{method: few_shot}}}}"
    assert train(world, data=some) == [good(2)]


def test_what_leaves_nothing_to_train_on_is_said(world: Path) -> None:
    with pytest.raises(DataError, match="nobody has reviewed data: r1hf review STAGE first"):
        train(world, undecided="drop")
    decide(world, "ann", *(Decision(key, "reject") for key in KEYS))
    with pytest.raises(DataError, match="no row is left to train on: review: 0 rows accepted, .* 5 rejected"):
        train(world)


def test_a_broken_file_of_decisions_is_a_problem_before_the_run(world: Path) -> None:
    decide(world, "ann", Decision(KEYS[1], "reject"))
    path = folder_of(world / "run/cold_start") / "ann.jsonl"
    path.write_text(path.read_text() + "oops\n")
    (problem,) = asked(world).problems
    assert problem.startswith(f"review: {path}:2: not JSON")
    path.write_text(path.read_text().replace("oops\n", "{"))  # what a kill leaves is no problem
    assert asked(world).problems == []


def test_a_reviewer_may_be_called_like_the_stage_s_own_file(world: Path) -> None:
    decide(world, "review", Decision(KEYS[1], "reject"), Decision(BEYOND, "accept"))
    assert train(world)[-1] == good(6) and good(2) not in train(world)
