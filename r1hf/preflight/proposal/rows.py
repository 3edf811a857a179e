"""What judges each row: its task, and the question, answer, options and tests in r1hf's own columns."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from r1hf.core.errors import DataError, named
from r1hf.data.any_table import Given, Row, loaded
from r1hf.data.golds import gold_text
from r1hf.data.options import options_text
from r1hf.data.rows import NO_GOLD
from r1hf.preflight.proposal.columns import Found, value_of
from r1hf.text.language import target_of
from r1hf.text.language.codes import language_code
from r1hf.verify.choice import verify_choice
from r1hf.verify.code_cases import parse_tests
from r1hf.verify.code_layouts import ROW_KEYS
from r1hf.verify.extract import gold_answer
from r1hf.verify.math import verify_math_batch
from r1hf.verify.text import verify_text

LETTERS = "ABCDEFGHIJ"
_LETTER = re.compile(r"[\s(（\[]*([A-Ja-j])[\s)）\].、:：]*")
_SEVERAL = re.compile(r"[A-J](?:[\s,，、;]*[A-J]){1,9}")
_SHOWN = re.compile(r"(?<![A-Za-z])[(（]?([A-J])(?:[)）.、:：．]|\s-)\s*\S")
_COMMA = re.compile(r"\s*[-+−]?\d+,(?:\d{1,2}|\d{4,})\s*")  # 1,234 may be a thousand
_NUMBER = r"[-+−]?[$¥￥€£]?\s?\d[\d,\s]*(?:\.\d+)?(?:\s*/\s*\d+)?"
_MATHS = re.compile(rf"\s*(?:{_NUMBER}\s*(?:%|°|\S{{1,12}}(?:\s\S{{1,12}}){{0,2}})?|[-+]?\d*[a-z])\s*[.。]?\s*")
_DATE = re.compile(r"\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}")
_CODE = re.compile(r"[A-Z]+-?\d[\w-]*|\d+[A-Z][\w]*")
_KNOWN = ("math", "maths", "reasoning", "stem", "logic", "choice", "code", "countdown", "text", "gym")
_TRUTH = {True: "True", False: "False"}
NOT_READ = "an answer that no rule reads"
_LONG = "long free text as its answer, which no rule compares"
_LONE = "an option's letter as its answer, and its options nowhere"


@dataclass
class Judged:
    """Rows in r1hf's columns. lost: why a row is left out -> places. changed: why they could not stay as they are."""

    rows: list[Row] = field(default_factory=list)
    lost: dict[str, list[str]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)

    @property
    def tasks(self) -> Counter[str]:
        return Counter(row["task"] for row in self.rows)


class _Lost(Exception):
    """Why a row cannot be judged."""


def judge_rows(given: Given, found: Found, task: str | None = None, count_from: int | None = None) -> Judged:
    """Every row with the task that judges it. task: for all, in place of what is found. count_from: what the first
    option's number is.

    Raises DataError where nothing can judge any row, or where options are numbered and nobody can say from where.
    """
    judged = Judged()
    reader = _Reader(given, found, task, count_from, judged)
    for place, row in zip(given.places, given.rows, strict=True):
        try:
            judged.rows.append(reader.read(row))
        except (_Lost, DataError) as error:
            judged.lost.setdefault(str(error), []).append(f"{'line' if given.is_csv else 'row'} {place}")
    _compare_with_themselves(judged)
    if not judged.rows:
        said = [f"{len(places)} rows have {why} ({named(places, ', ')})" for why, places in judged.lost.items()]
        bad = [f"{len(given.bad)} cannot be read ({given.bad[0]})"] if given.bad else []
        raise DataError(
            f"{given.path}: no row can be judged by a rule: {'; '.join(said + bad)}. {_advice(judged)}".strip()
        )
    return judged


def _advice(judged: Judged) -> str:
    if _LONE in judged.lost:
        return "Give the options: a column `choices`, columns A, B, C, D, or within the question"
    if _LONG in judged.lost:
        return (
            "Add a column with the short final answer, write a reward of your own (docs/rewards.md), or fine-tune on "
            "the rows (r1hf recipe sft)"
        )
    return "" if any("tests" in why for why in judged.lost) else "Name the right column: --answer COLUMN"


class _Reader:
    def __init__(self, given: Given, found: Found, task: str | None, count_from: int | None, judged: Judged):
        self.found, self.task, self.judged, self.path = found, task, judged, given.path
        self.has_commas = given.has_commas
        self.base = count_from
        if count_from is None and (found.options or "choices" in found.roles) and "answer" in found.roles:
            self.base = self._first_number(given.rows)

    def get(self, row: Row, role: str) -> Any:
        return value_of(row, self.found.roles[role]) if role in self.found.roles else None

    def read(self, row: Row) -> Row:
        language = language_code(self.get(row, "language"))
        made: Row = {"question": self._question(row), "answer": None, "language": language}
        own = row.get("task") if row.get("task") in _KNOWN else None
        task = self.task or own
        if task == "gym" and row.get("gym"):
            return made | {"task": "gym", "gym": row["gym"]}
        tests, numbers = loaded(self.get(row, "tests")), loaded(self.get(row, "numbers"))
        if task in (None, "code") and tests:
            return self._code(row, made, tests)
        if task in (None, "countdown") and isinstance(numbers, list):
            return made | {"task": "countdown", "numbers": numbers, "target": self.get(row, "target")}
        if task in ("code", "countdown", "gym"):
            raise _Lost(f"nothing that task {task} asks for")
        text, options = self._text(self.get(row, "answer")), self.options(row)
        if task in (None, "choice") and (options or task or _shown(made["question"], text)):
            return self._choice(made, text, options)
        if task is None and (letter := _LETTER.fullmatch(text)) and letter[1].isupper():
            raise _Lost(_LONE)
        made |= _plain(text, task)
        if made["answer"] != text:
            self.judged.changed.add("its answers hold more than the final answer")
        return made

    def _question(self, row: Row) -> str:
        """With the passage that it is about before it, and what an instruction is to be done with behind it."""
        if "question" not in self.found.roles:  # Countdown, as TinyZero has it
            self.judged.changed.add("it has no questions, so they were written")
            numbers, target = self.get(row, "numbers"), self.get(row, "target")
            return f"Make {target} out of the numbers {numbers}, each used once, with + - * / and brackets."
        parts = [self.get(row, role) for role in ("context", "question", "input")]
        if not isinstance(parts[1], str | int | float) or not str(parts[1]).strip() or parts[1] != parts[1]:
            raise _Lost("no question")
        texts = [str(part).strip() for part in parts if isinstance(part, str | int | float) and str(part).strip()]
        if len(texts) > 1:
            self.judged.changed.add("a question lies in several columns")
        return "\n\n".join(texts)

    def options(self, row: Row) -> list[str]:
        if self.found.options:
            found = [str(row.get(name) or "").strip() for name in self.found.options]
            while found and not found[-1]:
                found.pop()
            return found
        value = loaded(self.get(row, "choices"))
        if isinstance(value, Mapping):
            value = value.get("text", list(value.values()))
        if isinstance(value, str) and value.strip():
            parts = re.split(r"\s*(?:\r?\n|\||;|；)\s*", value.strip())
            value = parts if len(parts) > 1 else re.split(r"\s+(?=[(（]?[B-J][)）.、:：])", value.strip())
        if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            value = [item.get("text", item.get("content", "")) for item in value]
        texts = [str(item).strip() for item in value] if isinstance(value, list) else []
        heads = [re.match(r"[(（]?([A-J])[)）.、:：]\s*", text) for text in texts]
        if len(texts) > 1 and [head[1] for head in heads if head] == list(LETTERS[: len(texts)]):
            texts = [text[head.end() :] for text, head in zip(texts, heads, strict=True) if head]
        return texts if len(texts) > 1 else []

    def _first_number(self, rows: Sequence[Row]) -> int | None:
        """0 or 1 where answers are places of options and say so; None where they are labels or texts."""
        places, sizes, texts = [], [], 0
        for row in rows:
            options, text = self.options(row), str(self.get(row, "answer")).strip()
            if options and re.fullmatch(r"\d(\.0)?", text):
                places.append(int(text[0]))
                sizes.append(len(options))
                texts += text.removesuffix(".0") in options
        if not places or texts == len(places):
            return None
        if 0 in places:
            return 0
        if any(place == size for place, size in zip(places, sizes, strict=True)):
            return 1
        raise DataError(
            f"{self.path}: the answers are numbers of options, none is 0 and none the last, so nobody can say which "
            "one 1 is: --count-from 0 or --count-from 1"
        )

    def _text(self, answer: Any) -> str:
        answer = loaded(answer)
        if isinstance(answer, Mapping):  # SQuAD's {"text": […]}, verl's {"ground_truth": …}
            answer = next((answer[key] for key in ("ground_truth", "text", "value") if key in answer), None)
        if isinstance(answer, bool):
            return _TRUTH[answer]
        try:
            text = gold_text(answer)
        except ValueError as error:
            raise _Lost(f"an answer that is {error}") from None
        if text is None:
            raise _Lost(NO_GOLD)
        if self.has_commas and _COMMA.fullmatch(text):
            self.judged.changed.add("its decimals have a comma")
            return text.replace(",", ".")
        return text.strip()

    def _code(self, row: Row, made: Row, tests: Any) -> Row:
        extra = {key: row[key] for key in ROW_KEYS if row.get(key) not in (None, "")}
        try:
            parse_tests(tests, extra)
        except DataError as error:
            raise _Lost(f"tests that cannot be run: {error}") from None
        text = tests if isinstance(tests, str) else json.dumps(tests, ensure_ascii=False, default=str)
        return made | {"task": "code", "tests": text} | extra

    def _choice(self, made: Row, text: str, options: list[str]) -> Row:
        if self.base is not None and re.fullmatch(r"\d(\.0)?", text):
            place = int(text[0]) - self.base
            if not 0 <= place < len(options):
                raise _Lost("an answer that is the number of no option")
            text = LETTERS[place]
            self.judged.changed.add("its answers are numbers of options")
        if verify_choice(text, text, options or None) is not True:
            raise _Lost("an answer that names none of its options")
        if options and text.upper() not in LETTERS and not _SEVERAL.fullmatch(text):
            text = next((sign for sign in LETTERS[: len(options)] if verify_choice(sign, text, options)), text)
        if options and not all(option in made["question"] for option in options):
            made["question"] += f"\n{options_text(options)}"
            self.judged.changed.add("its questions do not show their options")
        return made | {"answer": text, "task": "choice"} | ({"choices": options} if options else {})


def _plain(text: str, task: str | None) -> Row:
    """A row whose answer is compared: as mathematics, or word by word."""
    final = gold_answer(text)
    if final is None:
        raise _Lost(NOT_READ)
    if task is not None:
        return {"answer": final, "task": task}
    if _is_maths(final):
        return {"answer": final, "task": "math"}
    if len(final) > 80 or len(final.split()) > 8 or re.search(r"[.!?。！？;；]\s*\S", final):
        raise _Lost(_LONG)
    return {"answer": final, "task": "text"}


def _is_maths(text: str) -> bool:
    """A number, with a unit perhaps, or a formula; not a date, a name with a number (A380), or words."""
    if len(text) > 200 or _DATE.fullmatch(text):
        return False
    bare = re.sub(r"\\text\w*\{[^}]*\}|\\[a-zA-Z]+|\\.", " ", text)
    words = re.findall(r"[^\W\d_]{2,}", bare)
    formula = not words and re.search(r"\d|[-+*/^=<>≤≥±×÷√π∞]|\\[a-zA-Z]", text) and not _CODE.fullmatch(text)
    return bool(formula or _MATHS.fullmatch(text) or ("\\" in text and len(words) <= 4))


def _shown(question: str, answer: str) -> bool:
    """Whether the question itself lists options, the answer's letters among them."""
    asked = answer if _SEVERAL.fullmatch(answer) else (found[1] if (found := _LETTER.fullmatch(answer)) else "")
    shown = set(_SHOWN.findall(question))
    return bool(asked) and {"A", "B"} <= shown and {sign for sign in asked.upper() if sign in LETTERS} <= shown


def _compare_with_themselves(judged: Judged) -> None:
    """Leaves out the rows whose own answer their verifier does not take for right."""
    maths = [row for row in judged.rows if row["task"] in _KNOWN[:5]]
    golds = [row["answer"] for row in maths]
    verdicts = verify_math_batch(golds, golds)
    wrong = {id(row) for row, verdict in zip(maths, verdicts, strict=True) if verdict is not True}
    check: Callable[[Row], bool | None] = lambda row: verify_text(row["answer"], row["answer"])  # noqa: E731
    for row in judged.rows:
        if id(row) in wrong and len(row["answer"]) <= 80 and check(row) is True:
            row["task"] = "text"
            wrong.discard(id(row))
        elif row["task"] == "text" and check(row) is not True:
            wrong.add(id(row))
    if wrong:
        lost = [f"{row['answer']!r:.40}" for row in judged.rows if id(row) in wrong]
        judged.lost[NOT_READ] = [*judged.lost.get(NOT_READ, []), *lost]
        judged.rows = [row for row in judged.rows if id(row) not in wrong]


def languages(rows: Sequence[Row]) -> Counter[str | None]:
    return Counter(target_of(row["language"], row["question"]) for row in rows)


def settle_languages(judged: Judged) -> None:
    """Rows in Chinese and others are asked in a template of their language, and have to say which it is."""
    found = languages(judged.rows)
    if not 0 < found["zh"] < found.total():
        return
    for row in judged.rows:
        language = target_of(row["language"], row["question"]) or "en"
        if row["language"] != language:
            row["language"] = language
            judged.changed.add("its rows do not say their language")
