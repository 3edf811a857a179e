"""`r1hf init` on rows of a person's own: which columns and tasks it finds, what it says, and that its YAML trains."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_run import run_recipe
from tables import each

from r1hf.commands.main import main
from r1hf.core.errors import DataError
from r1hf.core.yamlfile import read_yaml
from r1hf.data.any_table import read_any
from r1hf.data.rows import load_rows
from r1hf.preflight.proposal.columns import find
from r1hf.preflight.proposal.prompts import direct
from r1hf.preflight.proposal.rows import Judged, judge_rows

SUMS = [{"question": f"What is {a} + {a + 1}?", "answer": str(2 * a + 1)} for a in range(1, 9)]
CHINESE = [{"题目": f"小明有{a}个苹果，又买了2个，一共有多少个？", "答案": a + 2} for a in range(1, 9)]
TAIWAN = [{"題目": f"小明有{a}個蘋果，又買了2個，一共有多少個？", "答案": a + 2} for a in range(1, 9)]
GERMAN = [{"Frage": f"Wie groß ist die Höhe von {a}?", "Antwort": a} for a in range(1, 9)]
PARTS = [{"stem": f"{a} + 1?", "A": a, "B": a + 1, "C": a + 3, "right": "x", "answer": "B"} for a in range(4, 9)]
PLACES = [{"question": f"Country {a}?", "choices": ["Rome", "Oslo", "Bern"], "answer": a % 3} for a in range(6)]
ASSISTANT = [{"role": "user", "content": "What is 2+2?"}, {"role": "assistant", "content": "So it is \\boxed{4}."}]
PROMPT = {"prompt": [{"role": "user", "content": "2+2?"}], "reward_model": {"style": "rule", "ground_truth": "4"}}
PROGRAM = {"description": "Print the double.", "test_cases": [{"input": "2\n", "output": "4"}]}
POEM = {"prompt": "Write a poem.", "response": "Roses are red. Violets are blue, and this is a poem that is long."}


def text(rows: list[dict[str, Any]], delimiter: str = ",", encoding: str = "utf-8", before: str = "") -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return (before + stream.getvalue()).encode(encoding)


def lines(rows: list[Any], encoding: str = "utf-8") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(encoding)


def read(folder: Path, name: str, data: bytes, **options: Any) -> tuple[Judged, Any]:
    """The judged rows of a file, and what `prompts` would be, None for a copy."""
    path = folder / name
    path.write_bytes(data)
    given = read_any(path)
    found = find(given, options.pop("named", {}))
    judged = judge_rows(given, found, **options)
    return judged, direct(given, found, judged)


@each(
    "name, data, task, question, answer, as_it_is",
    [
        ("a.csv", text(SUMS), "math", "What is 1 + 2?", "3", True),
        ("semicolon.csv", text(SUMS, ";", "utf-8-sig"), "math", "What is 1 + 2?", "3", False),
        ("comma.csv", b"question;answer\nWhat is 1 + 1,5?;2,5\n", "math", "What is 1 + 1,5?", "2.5", False),
        ("head.csv", b"Question , ANSWER\n2+2?,4\n", "math", "2+2?", "4", False),
        ("sep.csv", text(SUMS, ";", before="sep=;\r\n"), "math", "What is 1 + 2?", "3", False),
        ("excel.txt", text(SUMS, "\t", "utf-16"), "math", "What is 1 + 2?", "3", False),
        ("a.tsv", text(SUMS, "\t"), "math", "What is 1 + 2?", "3", False),
        ("mark.csv", text(CHINESE, encoding="utf-8-sig"), "math", CHINESE[0]["题目"], "3", True),
        ("gbk.csv", text(CHINESE, encoding="gb18030"), "math", CHINESE[0]["题目"], "3", False),
        ("gbk.jsonl", lines(CHINESE, "gb18030"), "math", CHINESE[0]["题目"], "3", False),
        ("big5.csv", text(TAIWAN, encoding="big5"), "math", TAIWAN[0]["題目"], "3", False),
        ("windows.csv", text(GERMAN, ";", "cp1252"), "math", GERMAN[0]["Frage"], "1", False),
        ("blank.csv", b"question,answer,,\n2+2?,4,,\n\n,,,\n2+3?,5,,\n", "math", "2+2?", "4", True),
        ("rows.json", json.dumps(SUMS).encode(), "math", "What is 1 + 2?", "3", True),
        ("list.jsonl", json.dumps(SUMS).encode(), "math", "What is 1 + 2?", "3", False),
        ("within.json", json.dumps({"data": SUMS}).encode(), "math", "What is 1 + 2?", "3", False),
        ("worked.jsonl", lines([{"problem": "2+2?", "solution": "2+2 is\n#### 4"}]), "math", "2+2?", "4", False),
        ("both.jsonl", lines([{"problem": "2+2?", "solution": "long", "answer": "4"}]), "math", "2+2?", "4", True),
        ("turns.jsonl", lines([{"messages": ASSISTANT}]), "math", "What is 2+2?", "4", False),
        ("verl.jsonl", lines([PROMPT] * 2), "math", "2+2?", "4", True),
        ("al.jsonl", lines([{"instruction": "Add.", "input": "2,2", "output": 4}]), "math", "Add.\n\n2,2", "4", False),
        ("t.jsonl", lines([{"q": "Capital?", "a": "Paris"}]), "text", "Capital?", "Paris", True),
        ("d.csv", b"q,a\nWhen?,2023-01-05\n", "text", "When?", "2023-01-05", True),
        ("n.csv", b"q,a\nWhich plane?,A380\n", "text", "Which plane?", "A380", True),
        ("true.csv", text([{"q": "So?", "a": True}, {"q": "No?", "a": False}]), "text", "So?", "True", True),
        ("parts.csv", text(PARTS), "choice", "4 + 1?\nA) 4\nB) 5\nC) 7", "B", False),
        ("places.jsonl", lines(PLACES), "choice", "Country 0?\nA) Rome\nB) Oslo\nC) Bern", "A", False),
        ("s.csv", text([{"q": "Which?", "options": "x|y", "a": "y"}]), "choice", "Which?\nA) x\nB) y", "B", False),
        ("in.jsonl", lines([{"q": "Which?\nA. 1\nB. 2", "answer": "B"}]), "choice", "Which?\nA. 1\nB. 2", "B", True),
        ("code.jsonl", lines([PROGRAM]), "code", "Print the double.", None, False),
        ("n.jsonl", lines([{"nums": [1, 2], "target": 3, "question": "Make 3"}]), "countdown", "Make 3", None, True),
    ],
    ids=lambda value: repr(value)[:60],
)  # fmt: skip
def test_rows_in_every_shape(
    name: str, data: bytes, task: str, question: str, answer: str | None, as_it_is: bool, tmp_path: Path
) -> None:
    judged, prompts = read(tmp_path, name, data)
    assert set(judged.tasks) == {task} and not judged.lost
    assert judged.rows[0]["question"] == question and judged.rows[0]["answer"] == answer
    assert (prompts is not None) is as_it_is
    if prompts is not None:
        assert load_rows(prompts, ("question", "answer", "language", "task"))[0]["question"].strip() == question


@each(
    "name, data, said",
    [
        ("empty.csv", b"\xef\xbb\xbf\r\n", "is empty"),
        ("none.json", b"[]", "it holds no rows"),
        ("names.csv", b"question,answer\n", "and no rows"),
        ("book.xlsx", b"PK\x03\x04", "Save as, CSV UTF-8"),
        ("book.csv", b"PK\x03\x04", "is an Excel workbook"),
        ("quote.csv", b'question,answer\n"2+2,4\n', "quote.csv:2: not CSV"),
        ("twice.csv", b"question,answer,answer\n2?,1,2\n", "two columns are called 'answer'"),
        ("no_names.csv", b"What is 2+2?,4\nWhat is 2+3?,5\n", "its first line seems to be a row"),
        ("no_question.csv", b"x,foo,y\n1,2,3\n", "no column looks like the question; its columns are x, foo, y"),
        ("no_answer.csv", b"question,id,level\n2?,1,2\n", "no column looks like the answer"),
        ("holes.csv", b"question,answer\n2?,\n3?,N/A\n", "2 rows have no gold answer (line 2, line 3)"),
        ("poem.jsonl", lines([POEM]), "long free text"),
        ("letters.jsonl", lines([{"question": "Which?", "answer": "B"}]), "its options nowhere"),
        ("numbers.jsonl", lines([row | {"answer": 1} for row in PLACES]), "--count-from 0 or --count-from 1"),
        ("asserts.jsonl", lines([{"question": "Add.", "tests": ["assert add(1) == 2"]}]), "tests that cannot be run"),
        ("broken.jsonl", b'{"question": \n[1]\n', "none of 2 rows can be read: "),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_cannot_be_decided_is_a_sentence(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        error = io.StringIO()
        patch.setattr("sys.stderr", error)
        assert main(["init", name]) == 1
    assert said in error.getvalue(), error.getvalue()
    assert not list(tmp_path.glob("*.yaml"))


def test_bad_rows_are_named_and_left_out(tmp_path: Path) -> None:
    data = text(SUMS) + b"1,2,3\ncaf\xe9,4\n" + "wie groß?,A long one. And so on. And on.\né?,2\n".encode()
    judged, prompts = read(tmp_path, "a.csv", data)
    assert len(judged.rows) == 9 and prompts is None
    assert [why for why in judged.lost if "long free text" in why]
    assert len(read_any(tmp_path / "a.csv").bad) == 2


@each(
    "options, task, answer",
    [
        ({"count_from": 1}, "choice", "A"),
        ({"count_from": 0}, "choice", "B"),
        ({"task": "math", "named": {"question": "choices", "answer": "answer"}}, None, None),
    ],
)
def test_a_person_decides(options: dict[str, Any], task: str | None, answer: str | None, tmp_path: Path) -> None:
    data = lines([row | {"answer": 1} for row in PLACES])
    if task is None:
        with pytest.raises(DataError, match="no question"):
            read(tmp_path, "a.jsonl", data, **options)
        return
    judged, _ = read(tmp_path, "a.jsonl", data, **options)
    assert set(judged.tasks) == {task} and judged.rows[0]["answer"] == answer


def test_mixed_rows_each_have_their_task(tmp_path: Path) -> None:
    judged, prompts = read(tmp_path, "a.jsonl", lines([*SUMS, {"question": "Capital?", "answer": "Paris"}, PLACES[0]]))
    assert judged.tasks == {"math": 8, "text": 1, "choice": 1} and prompts is None


def test_the_yaml_is_short_checked_on_the_rows_and_trains(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"题目": row["question"], "答案": row["answer"]} for row in SUMS] + CHINESE
    Path("my.data.csv").write_bytes(text(rows, ";", "gb18030"))
    assert main(["init", "my.data.csv", "--model", str(tiny_base), "--rows", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["language"] for row in load_rows("my.rows.jsonl")] == ["en"] * 8 + ["zh"] * 8
    assert (
        said["tasks"] == {"math": 16}
        and said["rows_file"] == "my.rows.jsonl"
        and "error" not in str(said["check"]["findings"])
    )
    assert len(Path("my.yaml").read_text("utf-8").splitlines()) <= 25
    assert "zh" in read_yaml("my.yaml").values["prompt_template"]
    small = {"max_steps": 1, "max_completion_length": 8, "num_generations": 2, "per_device_train_batch_size": 4}
    options = {
        "gradient_accumulation_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "output_dir": tmp_path / "o",
    }
    run_recipe("r1_zero", config=str(tmp_path / "my.yaml"), **small, **options)
    assert (tmp_path / "o" / "manifest.json").is_file()
    assert main(["init", "my.data.csv"]) == 1 and "nothing is written over" in capsys.readouterr().err


def test_a_parquet_of_conversations(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"messages": ASSISTANT}] * 3), tmp_path / "a.parquet")
    judged, _ = read(tmp_path, "a.parquet", (tmp_path / "a.parquet").read_bytes())
    assert judged.rows[0]["question"] == "What is 2+2?" and judged.tasks == {"math": 3}
