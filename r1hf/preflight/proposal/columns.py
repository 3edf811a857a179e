"""Which column of a table is the question, the answer, the options, the tests."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from r1hf.core.errors import DataError
from r1hf.core.yamlfile import nearest
from r1hf.data.any_table import Given, Row, loaded

# Names without spaces, signs and case; of several columns the earlier name wins.
NAMES = {
    "question": (
        *("question", "problem", "problemstatement", "questiontext", "questionstem", "stem", "prompt", "query"),
        *("instruction", "userprompt", "input", "exercise", "questioncontent", "ctx", "user", "description", "text"),
        *(
            "问题",
            "題目",
            "题目",
            "题干",
            "題幹",
            "問題",
            "试题",
            "試題",
            "提问",
            "提問",
            "问",
            "問",
            "提示词",
            "指令",
        ),
        *("题目内容", "问题内容", "试题内容", "输入", "題目內容", "frage", "aufgabe", "pregunta", "вопрос", "domanda"),
        *("質問", "질문", "problème", "pergunta", "q"),
    ),
    "answer": (
        *("finalanswer", "gold", "goldanswer", "groundtruth", "rewardmodelgroundtruth", "correctanswer", "answer"),
        *("correctoption", "answerkey", "referenceanswer", "expectedanswer", "correct", "reference", "expected"),
        *("target", "label", "answers", "solution", "output", "response", "completion", "result", "rationale", "ans"),
        *(
            "标准答案",
            "標準答案",
            "正确答案",
            "正確答案",
            "参考答案",
            "參考答案",
            "最终答案",
            "最終答案",
            "答案",
            "答",
        ),
        *("解答", "回答", "输出", "結果", "结果", "解析", "antwort", "lösung", "respuesta", "ответ", "risposta"),
        *("答え", "정답", "réponse", "resposta", "cop", "extrainfoanswer", "a"),
    ),
    "choices": ("choices", "options", "candidates", "选项", "選項", "候选项", "备选答案", "endings", "answeroptions"),
    "tests": (
        *("tests", "testcases", "privatetestcases", "publictestcases", "inputoutput", "officialtests", "privatetests"),
        *("publictests", "unittests", "hiddentests", "测试", "测试用例", "測試", "測試用例"),
    ),
    "messages": ("messages", "conversations", "conversation", "dialog", "dialogue", "chat", "对话", "對話", "消息"),
    "context": ("context", "passage", "article", "story", "阅读材料", "閱讀材料", "材料", "文章", "上下文", "段落"),
    "numbers": ("numbers", "nums", "数字", "數字"),
    "target": ("target", "目标", "目標"),
    "language": ("language", "lang", "语言", "語言"),
}
_OPTION = re.compile(r"(option|choice|opt|op|ending|选项|選項|选择|選擇)?([a-j]|\d)")
_ROLES = {"assistant", "gpt", "model", "bot", "助手"}


@dataclass
class Found:
    """role -> column, dotted where it lies within another. options: the columns of one option each, in order."""

    roles: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())


def find(given: Given, named: Mapping[str, str]) -> Found:
    """The columns; `named`: those that a person names. Raises DataError where question or answer cannot be told."""
    found = Found()
    columns = [*given.names, *_within(given.rows)]
    if given.is_csv and any(len(name) > 60 or name.endswith(("?", "？")) for name in given.names):
        shown = ", ".join(f"{name:.40}" for name in given.names)
        raise DataError(f"{given.path}: its first line seems to be a row ({shown}): put the columns' names above it")
    for role, name in named.items():
        if name not in columns:
            known = ", ".join(given.names)
            raise DataError(f"--{role} {name}: no such column; {nearest(name, given.names)} (columns: {known})")
        found.roles[role] = name
    found.options = _options(given.names)
    is_countdown = all(_named(columns, NAMES[role], found) for role in ("numbers", "target"))
    for role in ("numbers", "target", *NAMES) if is_countdown else NAMES:
        if role in found.roles or (role in ("numbers", "target") and not is_countdown):
            continue
        if there := _named(columns, NAMES[role], found):
            found.roles[role] = there
    _open_messages(found, given)
    if plain(found.roles.get("question", "")) in ("instruction", "指令") and (
        there := _named(columns, ("input", "输入", "輸入"), found)
    ):
        found.roles["input"] = there
    if "question" not in found.roles and not is_countdown:
        _guess_question(found, given)
    if not is_countdown and not {"answer", "tests"} & set(found.roles):
        _guess_answer(found, given)
    return found


def _within(rows: Sequence[Row]) -> list[str]:
    """The parts of the first row's mappings: `reward_model.ground_truth`."""
    first = rows[0] if rows else {}
    parts = {name: loaded(value) for name, value in first.items()}
    return [f"{name}.{key}" for name, value in parts.items() if isinstance(value, dict) for key in value]


def _named(columns: Sequence[str], names: Sequence[str], found: Found) -> str | None:
    taken = {*found.roles.values(), *found.options}
    for name in names:
        for column in columns:
            last = column.rpartition(".")[2]
            if column not in taken and (plain(column) == name or (last != column and plain(last) == name)):
                return column
    return None


def _options(columns: Sequence[str]) -> list[str]:
    """Columns A, B, C or option_1, option_2, …: at least two of one kind, from the first on."""
    kinds: dict[str, dict[str, str]] = {}
    for column in columns:
        if part := _OPTION.fullmatch(plain(column)):
            kinds.setdefault(f"{part[1] or ''}{'letter' if part[2].isalpha() else 'digit'}", {})[part[2]] = column
    for kind, there in kinds.items():
        signs = sorted(there)
        start = {"a", "0", "1"} & set(signs[:1])
        if start and len(signs) > 1 and all(ord(sign) == ord(signs[0]) + place for place, sign in enumerate(signs)):
            if kind != "digit":  # columns that are numbers alone are no options
                return [there[sign] for sign in signs]
    return []


def _open_messages(found: Found, given: Given) -> None:
    """A conversation: its last user's turn is the question, an assistant's after it the answer."""
    asked = found.roles.pop("messages", None)
    named = asked if "question" not in found.roles else found.roles["question"]
    turns = loaded(given.rows[0].get(named)) if named and given.rows else None
    if not (isinstance(turns, list) and turns and isinstance(turns[0], dict)):
        return
    content = "content" if "content" in turns[0] else "value"
    last = str(turns[-1].get("role", turns[-1].get("from", ""))).lower()
    if last in _ROLES and len(turns) > 1:
        found.roles["question"] = f"{named}.-2.{content}"
        found.roles.setdefault("answer", f"{named}.-1.{content}")
    else:
        found.roles["question"] = f"{named}.-1.{content}"


def _guess_question(found: Found, given: Given) -> None:
    """The one column whose texts are questions, or far the longest. Raises DataError where there is none."""
    free = [name for name in given.names if name not in {*found.roles.values(), *found.options}]
    asks = {name: _share(given, name, lambda text: text.rstrip().endswith(("?", "？"))) for name in free}
    best = [name for name, share in asks.items() if share > 0.5]
    if len(best) != 1:
        raise DataError(
            f"{given.path}: no column looks like the question; its columns are {', '.join(given.names)}. "
            "Name it: --question COLUMN"
        )
    found.roles["question"] = best[0]
    found.notes.append(f"'{best[0]}' is taken for the question, since most of its texts end in a question mark")


def _guess_answer(found: Found, given: Given) -> None:
    used = {*found.roles.values(), *found.options}
    free = [name for name in given.names if name not in used and name.split(".")[0] not in used]
    free = [
        name for name in free if plain(name) not in ("id", "index", "no", "idx", "编号", "序号", "subject", "level")
    ]
    if len(free) == 1 and len(given.names) == 2:
        found.roles["answer"] = free[0]
        found.notes.append(f"'{free[0]}' is taken for the answer, since it is the only other column")
        return
    raise DataError(
        f"{given.path}: no column looks like the answer; its columns are {', '.join(given.names)}. "
        "Name it: --answer COLUMN; without right answers or tests no rule can pay a completion"
    )


def _share(given: Given, name: str, test: Any) -> float:
    texts = [row[name] for row in given.rows[:200] if isinstance(row.get(name), str)]
    return sum(map(test, texts)) / max(1, len(texts))


def value_of(row: Row, column: str) -> Any:
    """What a row has in a column, or within one, `messages.-1.content`; None where it has nothing there."""
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        value = loaded(value)
        try:
            value = value[int(part)] if isinstance(value, list) else value.get(part)
        except (ValueError, IndexError, AttributeError, KeyError):
            return None
    return value
