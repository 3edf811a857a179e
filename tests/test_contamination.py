"""Questions of a benchmark that stand in the training data are found; those that do not are left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from small_run import SFT, answered, recipe, run_recipe, write
from tables import each

from r1hf.data.overlap import Overlap, Questions, texts_of, words
from r1hf.evaluation.contamination import Data, contamination, learned_from, sentences

ROBE = "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts in total does it take?"
TRIANGLE = r"In triangle $ABC$, the angle $A$ is $30^\circ$ and $AB = 3x + 4$. Find the length of $BC$ when $x = 2$."
CHINESE = "一个水池有两个进水管，单开甲管需要六小时注满，单开乙管需要四小时注满，两管同开几小时注满？"
SHORT, CHINESE_SHORT, WORD = "What is 6 times 7?", "三的英语是什么？", "Hello!"


def places(question: str, text: str) -> tuple[bool, bool]:
    """(found, found whole)."""
    overlap = Overlap()
    Questions([question]).look(words(text), "data", 1, overlap)
    return 0 in overlap.places, 0 in overlap.whole


@each(
    "question, text, whole",
    [
        (ROBE, ROBE, True),
        (ROBE, f"User: {ROBE.upper()}\n\nAssistant: 3", True),
        (ROBE, ROBE.replace(" ", "\n").replace(".", " ..."), True),
        (ROBE, "a robe takes 2 bolts of blue fiber and half that much yarn", False),
        (ROBE, json.dumps({"q": ROBE}), True),
        (TRIANGLE, TRIANGLE.replace("$", "").replace(r"^\circ", "^{\\circ}"), True),
        (TRIANGLE, r"If \(AB = 3x + 4\), find the length of \(BC\) when \(x = 2\). Solution: AB = 3x + 4 = 10", False),
        (CHINESE, f"问题：{CHINESE}答案：2.4", True),
        (CHINESE, CHINESE.replace("，", ","), True),
        (CHINESE, "水池有两个进水管，单开甲管需要六小时注满水", False),
        (SHORT, "What is 6 times 7?", True),
        (SHORT, "User: what is 6 times 7? Assistant: 42", True),
        (SHORT, "I was asked this.\nWhat is 6 times 7\nIt is 42.", True),
        (CHINESE_SHORT, "问：三的英语是什么？答：three", True),
        (WORD, "hello", True),
        ("What is 2 + 3 * 4?", "Question: What is 2 + 3 * 4? Answer: 14", True),
        ("Was ist ﬁne 5 × 3 − 1 genau?", "was ist fine 5 × 3 − 1 genau?", True),
    ],
)
def test_a_planted_question_is_found(question: str, text: str, whole: bool) -> None:
    assert places(question, text) == (True, whole)


@each(
    "question, text",
    [
        (ROBE, "A robe takes 2 bolts of red fiber and half that much white cotton. How many bolts are left over?"),
        (ROBE, ""),
        (ROBE, "how many bolts in total does it take"),
        (ROBE, "Please reason step by step, and put your final answer within \\boxed{}."),
        (TRIANGLE, r"In triangle $DEF$, the angle $A$ is $60^\circ$. Find $BC$."),
        (CHINESE, "一个水池有三个进水管，单开甲管需要五小时注满，单开乙管需要九小时注满"),
        (SHORT, "What is 6 times 77?"),
        (SHORT, "What is 6 times 7 plus 1?"),
        (SHORT, "So what is 6 times 7?"),
        (CHINESE_SHORT, "四的英语是什么？"),
        (WORD, "Hello! How are you today?"),
        ("What is 2 + 3 * 4?", "What is 2 + 3 * 4 - 1?"),
        ("What is 2 + 3 * 4?", "What is 2 * 3 + 4?"),
        ("?!", "?!"),
        ("", ""),
    ],
)
def test_a_clean_question_is_left_alone(question: str, text: str) -> None:
    assert places(question, text) == (False, False)


def test_the_benchmarks_own_way_to_ask_is_no_leak() -> None:
    asked = [
        f"Write a function in Python that takes a list of whole numbers and gives {what} of them." for what in "abcdef"
    ]
    overlap = Overlap()
    Questions(asked).look(
        words("Write a function in Python that takes a list of whole numbers and sorts it."), "d", 1, overlap
    )
    assert not overlap.places
    Questions(asked).look(words(asked[2]), "d", 2, overlap)
    assert list(overlap.places) == [2] and overlap.whole == {2}


def test_every_text_of_a_row_is_read_and_its_labels_are_not() -> None:
    row = {"messages": [{"role": "user", "content": "one"}], "completion": "two", "task": "x", "n": 3, "none": None}
    assert set(texts_of(row)) == {"user", "one", "two"}
    assert words("Is it 3.5 or 4? Yes") == ["¶", "is", "it", "3", "5", "or", "4", "¶", "yes", "¶"]


# Through an evaluation


def evaluated(output: Path, **more: Any) -> dict[str, Any]:
    given = {"k": 1, "max_new_tokens": 8, "num_threads": 1, "output_dir": output, **more}
    recipe("evaluate").main(
        [f"--{key}={json.dumps(value, default=str)}".replace('"', "'") for key, value in given.items()]
    )
    return json.loads((output / "results.json").read_text())["settings"]


def test_what_a_model_learned_from_is_looked_at_by_itself(tiny_base: Path, memorised: Path, tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "completion"} for row in answered(24)]
    held_out = write(tmp_path / "held_out.jsonl", rows)
    found = evaluated(tmp_path / "one", models=[str(memorised)], prompts=held_out)["contamination"]
    assert found["prompts"]["overlapping"] >= 8 and found["prompts"]["whole"] == 8, "it learned eight of them by heart"
    assert [one["rows"] for one in found["read"]] == [8] and found["unread"] == []
    assert found["prompts"]["examples"][0]["question"] in {row["question"] for row in rows[:8]}
    more = {"models": [str(tiny_base / "student_llama_base")], "prompts": held_out}
    found = evaluated(tmp_path / "two", **more)["contamination"]
    assert found["read"] == [] and found["prompts"]["overlapping"] == 0
    assert "contamination is not known" in sentences(found, ["prompts"])[0]
    own = write(tmp_path / "own.jsonl", [{"text": f"Q: {rows[20]['question']}"}])
    found = evaluated(tmp_path / "three", **more, training_data=own)["contamination"]
    assert found["prompts"]["whole"] == 1
    assert "contamination" not in evaluated(tmp_path / "four", **more, contamination=False)


def test_data_behind_the_data_are_found_and_what_is_gone_is_named(tiny_base: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", answered(8))
    made = run_recipe("sft", model=tiny_base, data=data, output_dir=tmp_path / "sft1", **{**SFT, "max_steps": 1})
    (one,), unknown = learned_from([str(made), "org/model", str(tmp_path / "nowhere")])
    assert one.label == "data" and unknown == [str(tmp_path / "nowhere"), "org/model"]
    questions = {"prompts": answered(8)}
    assert contamination(questions, [one], [])["prompts"]["whole"] == 8
    write(data, answered(4))
    for said in ("changed since the training", "Couldn't find any data file"):
        found = contamination(questions, [one], unknown)
        assert found["read"] == [] and said in found["unread"][-1], found["unread"]
        data.unlink(missing_ok=True)
    assert "what org/model learned from is not known" in found["unread"]
    assert contamination({"prompts": []}, [Data("d", str(data), 1, {})], [])["prompts"]["share"] == 0.0
