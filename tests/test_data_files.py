"""Files as people's tools write them: each is read, or refused in one sentence that says where and what to do."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tables import each

from r1hf.core.errors import DataError
from r1hf.core.yamlfile import parse_scalar, read_yaml
from r1hf.data.golds import gold_text, lacks_gold
from r1hf.data.rows import check_rows, load_rows, write_rows

COLUMNS = ("question", "answer", "language", "task")
PLAIN = [True, False]


def row(answer: Any = "14", **more: Any) -> dict[str, Any]:
    return {"question": "q", "answer": answer, "language": "en", "task": "reasoning", **more}


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)


def source(path: Path, plain: bool) -> Any:
    return str(path) if plain else {"path": str(path)}


def answers(path: Path, plain: bool, notes: list[str] | None = None) -> list[Any]:
    return [one["answer"] for one in load_rows(source(path, plain), COLUMNS, notes=notes)]


# The text of a gold answer

TEXTS = [
    *[("14", "14"), (" x ", " x "), (14, "14"), (10**40, "1" + "0" * 40), (14.0, "14"), (-0.0, "0"), (0.1, "0.1")],
    *[(1e16, "1" + "0" * 16), (1e-7, "0.0000001"), (float("inf"), r"\infty"), (-float("inf"), r"-\infty")],
    *[(True, "True"), (False, "False"), (Decimal("14.00"), "14"), (Decimal("0.10"), "0.1"), (Fraction(1, 2), "1/2")],
    *[
        (["14"], "14"),
        ([[14.0]], "14"),
        (("a",), "a"),
        (np.array([5]), "5"),
        (np.int64(3), "3"),
        (np.bool_(True), "True"),
    ],
    *[(np.float32(0.1), "0.1"), (date(2023, 1, 5), "2023-01-05"), (datetime(2023, 1, 5), "2023-01-05")],
    *[(None, None), (float("nan"), None), (pd.NaT, None), (pd.NA, None), (np.float64("nan"), None), ([], None)],
    *[("nan", None), ("proof", None), ([None], None), (["N/A"], None), (r"So \boxed{\text{proof}}.", None)],
    *[("It follows.\n#### N/A", None), ("It follows.\n#### 12", "It follows.\n#### 12")],
]


@each("value, text", TEXTS)
def test_a_gold_becomes_the_text_that_is_compared(value: Any, text: str | None) -> None:
    assert gold_text(value) == text


NO_ANSWERS = [[1, 2], ["a", "b"], {"a": 1}, b"14", object(), complex(1, 2), np.complex64(1)]
NO_ANSWERS += [10**5000, -(10**5000), [[10**5000]], Fraction(1, 10**5000), Decimal("1E+9999"), Decimal("1E-999999")]


@each("value", NO_ANSWERS)
def test_what_is_not_one_answer_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="one answer|neither text|more than 4,300 digits; write it as text"):
        gold_text(value)


def test_an_answer_in_however_many_lists() -> None:
    value: Any = 14
    for _ in range(5000):
        value = [value]
    assert gold_text(value) == "14"


@pytest.mark.parametrize("plain", PLAIN)
def test_answers_of_several_types_become_text(tmp_path: Path, plain: bool) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(lines(row(14), row("x+1"), row(2.5), row(True), row(["7"]), row(123456789012345678901234567890)))
    assert answers(path, plain) == ["14", "x+1", "2.5", "True", "7", "123456789012345678901234567890"]
    path.write_text(lines(row(2**53 + 1), row(10**25)))
    assert answers(path, plain) == [str(2**53 + 1), str(10**25)]
    path.write_text(lines(row("2023-01-05"), row("2023-01-06")))
    assert answers(path, plain) == ["2023-01-05", "2023-01-06"], "JSON has no dates"


# Rows without a gold answer


@pytest.mark.parametrize("plain", PLAIN)
def test_rows_without_a_gold_answer_are_left_out_and_named(tmp_path: Path, plain: bool) -> None:
    path = tmp_path / "d.jsonl"
    holes = ["proof", None, float("nan"), "", "N/A", [], "略"]
    path.write_text(
        lines(row(), *map(row, holes), {key: 1 for key in ("question",)} | {"question": "no answer"}, row("x"))
    )
    notes: list[str] = []
    counts: dict[str, Any] = {}
    rows = load_rows(source(path, plain), COLUMNS, counts=counts, notes=notes)
    assert [one["answer"] for one in rows] == ["14", "x"]
    assert counts == {str(path): {"rows": 10, "dropped": {"no gold answer": 8}, "used": 2}}
    unit = "line" if plain else "row"
    assert notes[0].startswith(
        f"8 of 10 rows of {path} have no gold answer, left out: {unit} 2 ('proof'), {unit} 3 (None)"
    )
    assert notes[0].endswith("and 3 more")


@pytest.mark.parametrize("plain", PLAIN)
def test_a_file_without_any_gold_answer_is_refused(tmp_path: Path, plain: bool) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(lines(row("proof"), row(None)))
    problems: list[str] = []
    assert check_rows(problems, "prompts", source(path, plain), COLUMNS) == []
    assert "none of 2 rows has an answer to compare with" in problems[0] and "('proof')" in problems[0]


@pytest.mark.parametrize("plain", PLAIN)
def test_what_needs_no_gold_answer_stays(tmp_path: Path, plain: bool) -> None:
    path = tmp_path / "d.jsonl"
    kept = [row(None, task="helpful"), row("N/A", task="code"), row("Unknown", choices=["Rome", "Unknown"])]
    path.write_text(lines(*kept))
    assert answers(path, plain) == [None, "N/A", "Unknown"]
    path.write_text(lines({"question": "q", "completion": "proof"}))
    assert load_rows(source(path, plain), ("question", "completion"))[0]["completion"] == "proof"
    assert lacks_gold("Unknown") and not lacks_gold("Unknown", choices={"A": "Unknown"})


def test_holes_are_gone_before_the_limit_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(lines(*[row(n if n % 2 else "proof") for n in range(40)]))
    assert len(load_rows({"path": str(path), "limit": 20}, COLUMNS)) == 20


# Columns of several types, and columns that come late


@pytest.mark.parametrize("plain", PLAIN)
@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([1, "x"], ["1", "x"]),
        (["x", 1], ["x", "1"]),
        ([[1], "x"], ["[1]", "x"]),
        ([{"a": 1}, "x", None], ['{"a": 1}', "x", None]),
        ([True, 1], ["true", "1"]),
        ([{"a": 1}, {"a": "x"}], ['{"a": 1}', '{"a": "x"}']),
        ([1, 2.5], [1.0, 2.5]),
        ([{"a": 1}, None], [{"a": 1}, None]),
    ],
)
def test_a_column_of_several_types_becomes_text(
    tmp_path: Path, values: list[Any], read: list[Any], plain: bool
) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(lines(*[row(extra=value) for value in values]))
    notes: list[str] = []
    assert [one["extra"] for one in load_rows(source(path, plain), COLUMNS, notes=notes)] == read
    changed = read != values
    assert [("column 'extra' holds values of several types" in note) for note in notes] == [True] * changed


@pytest.mark.parametrize("plain", PLAIN)
def test_a_column_that_only_later_rows_have_is_kept(tmp_path: Path, plain: bool) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(lines(row(), row(late="x")))
    assert [one["late"] for one in load_rows(source(path, plain), COLUMNS)] == [None, "x"]


# Columns within columns


def chat(*texts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


LAST = {"question": "messages.0.content", "completion": "messages.-1.content"}


@pytest.mark.parametrize(
    "rows",
    [
        [chat("a", "b"), chat("c", "d", "e", "f")],
        [chat("a", "b") | {"n": 1}, chat("c", "f") | {"n": "x"}],
        [{"messages": json.dumps(chat("a", "b")["messages"])}, {"messages": json.dumps(chat("c", "f")["messages"])}],
        [chat("a", [1], "b"), chat("c", "d", "f")],
    ],
    ids=["the only column", "beside a mixed one", "as JSON text", "of several types"],
)
def test_messages_are_taken_from_either_end(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(lines(*rows))
    read = load_rows({"path": str(path), "columns": LAST}, ("question", "completion"))
    assert [(one["question"], one["completion"]) for one in read] == [("a", "b"), ("c", "f")]
    assert "messages" not in read[0]
    (only,) = load_rows({"path": str(path), "columns": {"messages": "messages.0.content"}, "limit": 1}, ("messages",))
    assert only["messages"] in ("a", "c")


@pytest.mark.parametrize(
    ("rows", "name", "said"),
    [
        ([chat("a")], "messages.content", "nothing named 'content' is in list.*a list's place comes first"),
        ([chat("a")], "messages.0.text", "nothing named 'text' is in struct"),
        ([chat("a")], "mesages.0.content", "no column 'mesages.0.content'; did you mean 'messages'"),
        ([chat("a", "b"), chat("c")], "messages.1.content", "row 2: question is None, not text"),
        ([chat("a"), {"messages": None}], "messages.0.content", "row 2: question is None, not text"),
        ([{"messages": "hello"}], "messages.0.content", "row 1: 'messages.0.content': 'hello' is text, and no JSON"),
        ([{"messages": "[]"}], "messages.x", "no row holds such a part"),
        ([chat([{"type": "text", "text": "a"}])], "messages.0.content", r"row 1: question is \[\{'type'.*, not text"),
        ([chat("a"), chat([{"text": "a"}])], "messages.0.content", r"row 2: question is \[\{'text'.*, not text"),
    ],
)
def test_a_part_that_is_not_there_is_named(tmp_path: Path, rows: list[dict[str, Any]], name: str, said: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(lines(*rows))
    with pytest.raises(DataError, match=said):
        load_rows({"path": str(path), "columns": {"question": name}}, ("question",))


def test_one_column_may_be_taken_twice(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(lines({"text": "a", "other": "b"}))
    chosen = {"path": str(path), "columns": {"question": "text", "completion": "text", "text": "other"}}
    assert load_rows(chosen) == [{"question": "a", "completion": "a", "text": "b"}]


# Encodings and packings


@pytest.mark.parametrize("plain", PLAIN)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_byte_order_marks_and_line_ends_are_read(tmp_path: Path, encoding: str, end: str, plain: bool) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(lines(row("数"), row("é")).replace("\n", end).encode(encoding))
    assert answers(path, plain) == ["数", "é"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_files_with_a_mark_are_read_too(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "d.json").write_bytes(json.dumps([row("数")], ensure_ascii=False).encode(encoding))
    (tmp_path / "d.csv").write_bytes("question,answer,language,task\nq,数,en,reasoning\n".encode(encoding))
    for name in ("d.json", "d.csv"):
        assert answers(tmp_path / name, True) == ["数"]


@pytest.mark.parametrize("plain", PLAIN)
@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_packed_files_are_read(tmp_path: Path, ending: str, pack: Any, plain: bool) -> None:
    path = tmp_path / f"d.jsonl.{ending}"
    path.write_bytes(pack(lines(row("数"), row()).encode()))
    assert answers(path, plain) == ["数", "14"]
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match="d.jsonl.* cannot be read"):
        answers(path, plain)


@pytest.mark.parametrize("plain", PLAIN)
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"question": "a", "ans', ":3: not JSON .*the file ends in this line: was it copied whole"),
        ('{"question": "a", "answer": 1, "answer": 2}\n', ":3: the key 'answer' stands there twice; keep one"),
        ('{"answer": ' + "9" * 5000 + "}\n", ":3: a number too long to read; write it as text"),
        (lines(row()).replace("q", r"\ud800"), ":3: half a character, which no UTF-8 can hold; mend the text"),
        (lines(row([1, 2])), r"row .: answer is \[1, 2\], a list of 2, and one answer is compared"),
        (lines(row({"a": 1})), "row .: answer is {'a': 1}, neither text nor a number"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path: Path, line: str, said: str, plain: bool) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(lines(row()) + "\n" + line)
    with pytest.raises(DataError, match=said):
        answers(path, plain)


def test_what_nothing_here_unpacks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("a")
    with pytest.raises(DataError, match="has an ending that is not read; use .jsonl"):
        load_rows(str(tmp_path / "d.txt"))
    (tmp_path / "d.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(DataError, match="packed by zstd; unpack it|cannot be read"):
        load_rows(str(tmp_path / "d.jsonl.zst"))


def test_any_row_can_be_written(tmp_path: Path) -> None:
    write_rows(tmp_path / "d.jsonl", [{"a": date(2023, 1, 5), "b": "\ud800", "c": Decimal("1.5"), "数": "数"}])
    assert (tmp_path / "d.jsonl").read_text(encoding="utf-8") == (
        '{"a": "2023-01-05", "b": "\\ud800", "c": "1.5", "\\u6570": "\\u6570"}\n'
    )


# YAML


@each(
    "text, value",
    [
        *[
            (word, word)
            for word in ("no", "yes", "on", "off", "NO", "Yes", "012", "1:30", "2023-01-05", "n", "y", "0o7")
        ],
        *[
            ("true", True),
            ("False", False),
            ("~", None),
            ("null", None),
            ("12", 12),
            ("0", 0),
            ("-3", -3),
            ("1_000", 1000),
        ],
        *[("1e3", 1000.0), ("2e-4", 2e-4), ("1.5", 1.5), (".5", 0.5), ("-.5", -0.5), ("0x1F", 31), ("0.0", 0.0)],
        *[("{no: 1, 012: 2, 2023-01-05: 3, ~: 4, true: 5}", {"no": 1, "012": 2, "2023-01-05": 3, "~": 4, "true": 5})],
    ],
)
def test_yaml_takes_no_text_for_a_value(text: str, value: Any) -> None:
    read = parse_scalar(text)
    assert read == value and isinstance(read, type(value))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_yaml_file_with_a_mark_is_read(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(f"# 数{end}a: 数{end}b: [1, 2]{end}".encode(encoding))
    file = read_yaml(path)
    assert file.values == {"a": "数", "b": [1, 2]} and not file.problems and file.where("b") == f"{path}:3"


def test_norwegian_is_a_language(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(lines({"text": "a", "lang": "no", "ok": True}, {"text": "b", "lang": "en", "ok": True}))
    given = parse_scalar(
        f"{{path: {path}, columns: {{question: text}}, where: {{lang: no, ok: yes}},"
        " values: {language: no, task: reasoning, answer: 012}}"
    )
    assert load_rows(given, COLUMNS) == [
        {"lang": "no", "ok": True, "question": "a", "language": "no", "task": "reasoning", "answer": "012"}
    ]
    for change, said in (
        ({"columns": {"question": 5}}, "columns.question: 5: .*string"),
        ({"where": {"lang": 5}}, "5 cannot be compared with 'lang' .string.; write it in quotes"),
    ):
        with pytest.raises(DataError, match=said):
            load_rows({**given, **change}, ("question", "language"))
