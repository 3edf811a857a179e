"""Hidden tests of a program.

They are a list (or its JSON text) of

- `{"stdin": "2 3\\n", "stdout": "5\\n"}`: the program reads standard input and prints;
- `{"function": "add", "args": [2, 3], "kwargs": {}, "expected": 5}`: a function, or a method as "Class.name", is
  called; `args` and `kwargs` may be left out or be JSON text.

`code_layouts` has the layouts of data sets, which are read too. Keys whose value is None or NaN count as absent,
except `expected`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from r1hf.core.errors import DataError
from r1hf.sandbox.inside.codec import CodecError, encode
from r1hf.sandbox.limits import Limits
from r1hf.verify.code_layouts import Names, cases_of, from_json, given, names_in, shown

_KINDS = {
    **dict.fromkeys(("stdin", "stdio", "stdin_stdout", "standard_input"), "stdin"),
    **dict.fromkeys(("functional", "function", "function_call", "call_based"), "call"),
}


@dataclass(frozen=True)
class StdioCase:
    """Text in, text out."""

    stdin: str
    stdout: str

    @property
    def is_empty(self) -> bool:
        """Whether a program that does nothing passes."""
        return not self.stdout.strip()

    @cached_property
    def size(self) -> int:
        """Bytes that a right program prints."""
        return len(self.stdout.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True)
class CallCase:
    """A call and its value; any one of `accepted` is right (APPS wraps some values in a list of one)."""

    function: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    accepted: tuple[Any, ...]

    @property
    def is_empty(self) -> bool:
        """Whether a function that does nothing passes."""
        return any(value is None for value in self.accepted)

    @cached_property
    def size(self) -> int:
        """Bytes that the value of a right function takes on the way."""
        try:
            return len(encode(self.accepted))
        except CodecError:
            return 0


Case = StdioCase | CallCase


def parse_tests(tests: Any, row: Mapping[str, Any] | None = None) -> list[Case]:
    """The cases in any of the layouts.

    `row` may name the function of functional tests that do not: `fn_name`, `func_name`, `entry_point`, `metadata` with
    one of them, or `starter_code` that defines one function. Raises DataError, with the case and the key, for what
    cannot be read, and where every case expects nothing: a program that does nothing would pass.
    """
    tests = from_json(tests, "the tests")
    names = names_in(row or {})
    if isinstance(tests, Mapping):
        names = names_in(tests).over(names)
        tests = cases_of(tests, names)
    if not isinstance(tests, Sequence) or isinstance(tests, (str, bytes)) or not tests:
        raise DataError(f"the tests must be a list with at least one case, not {shown(tests)}")
    cases = [_case(from_json(test, f"test {index}"), index, names) for index, test in enumerate(tests)]
    if all(case.is_empty for case in cases):
        raise DataError(
            "no test expects any output or value, so a program that does nothing would pass: give the expected "
            "outputs, or take the row out"
        )
    return cases


def check_room(cases: Sequence[Case], limits: Limits) -> None:
    """Raises DataError where what is expected is longer than what a program may print."""
    for index, case in enumerate(cases):
        if case.size >= limits.output:
            raise DataError(
                f"test {index} expects {case.size} bytes, and the limit on output is {limits.output}: raise `output` "
                "of the limits, which is the same for every row, since a program can see it"
            )


def count_values(value: Any) -> int:
    """How many values there are in a value, with itself."""
    if isinstance(value, Mapping):
        return 1 + sum(count_values(key) + count_values(item) for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return 1 + sum(map(count_values, value))
    return 1


def _case(test: Any, index: int, names: Names) -> Case:
    if not isinstance(test, Mapping):
        raise DataError(f"test {index} must be a mapping, not {shown(test)}")
    own = names_in(test)
    names, kind = own.over(names), _kind(test, index)
    if kind is None and (own.function is not None or (names.function is not None and given(test, "stdin") is None)):
        kind = "call"
    return _call(test, names, index) if kind == "call" else _stdio(test, index)


def _kind(test: Mapping[str, Any], index: int) -> str | None:
    """ "stdin" or "call" where the test says so. `type` may be another word of the data set's own."""
    kind = given(test, "testtype")
    if kind is not None and str(kind).lower() not in _KINDS:
        raise DataError(f"test {index}: testtype {shown(kind)} is unknown; use stdin or functional")
    return _KINDS.get(str(kind if kind is not None else given(test, "type")).lower())


def _stdio(test: Mapping[str, Any], index: int) -> StdioCase:
    stdin, stdout = (given(test, key, other) for key, other in (("stdin", "input"), ("stdout", "output")))
    if not isinstance(stdout, str) or not isinstance(stdin if stdin is not None else "", str):
        keys = ", ".join(sorted(str(key) for key, value in test.items() if value is not None))
        raise DataError(
            f"test {index} has the keys {keys or '(none)'}: it needs `stdin` and `stdout` as text, or `function`, "
            "`args` and `expected`"
        )
    return StdioCase(stdin or "", stdout)


def _call(test: Mapping[str, Any], names: Names, index: int) -> CallCase:
    function = names.function if names.function is not None else names.starter
    if function is None:
        raise DataError(
            f"test {index} is functional, but nothing names its function: add `fn_name` to the tests, or "
            "`metadata` or `starter_code` to the row"
        )
    arguments, keywords, accepted = _arguments(test, function, index)
    if not isinstance(function, str) or not isinstance(arguments, (list, tuple)) or not isinstance(keywords, Mapping):
        raise DataError(f"test {index}: `function` must be a name, `args` a list, `kwargs` a mapping")
    case = CallCase(function.replace("()", ""), tuple(arguments), dict(keywords), accepted)
    try:
        encode((case.arguments, case.keywords))
    except CodecError as error:
        raise DataError(f"test {index}: the arguments of {function!r} hold {error}") from None
    return case


def _arguments(test: Mapping[str, Any], function: str, index: int) -> tuple[Any, Any, tuple[Any, ...]]:
    """Arguments, keywords and accepted values, from `args`, `kwargs`, `expected` or from `input` and `output`."""
    arguments, keywords, source = given(test, "args"), given(test, "kwargs"), given(test, "input")
    if arguments is None and keywords is None and source is not None:
        arguments, keywords = _input(source, f"test {index}, input")
    else:
        arguments = from_json([] if arguments is None else arguments, f"test {index}, args")
        keywords = from_json({} if keywords is None else keywords, f"test {index}, kwargs")
    if "expected" in test and (test["expected"] is not None or given(test, "output") is None):
        return arguments, keywords, (test["expected"],)
    if "output" not in test:
        raise DataError(f"test {index} calls {function!r} but has no `expected`")
    wanted = test["output"]
    if isinstance(source, str):
        return arguments, keywords, (_value(wanted, f"test {index}, output") if isinstance(wanted, str) else wanted,)
    return arguments, keywords, (wanted, *(wanted if isinstance(wanted, (list, tuple)) and len(wanted) == 1 else ()))


def _input(source: Any, where: str) -> tuple[Any, Any]:
    """A list of arguments, a mapping of them, or text: a JSON value a line (LiveCodeBench) or `a = 1, b = [2]`."""
    if isinstance(source, Mapping):
        return [], source
    if not isinstance(source, str):
        return source, {}
    if re.match(r"\s*[A-Za-z_]\w*\s*=[^=]", source):
        return [], _assignments(source, where)
    return [_value(line, where) for line in source.splitlines() if line.strip()], {}


def _value(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        wrong = error
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise DataError(f"{where}: {shown(text)} is not a JSON value: {wrong}") from None


def _assignments(text: str, where: str) -> dict[str, Any]:
    """LeetCode's own way to write an input: `nums = [2,7], target = 9`."""
    try:
        call = ast.parse(source := f"f({text.strip()})", mode="eval").body
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        call = None
    if not isinstance(call, ast.Call) or call.args or not all(word.arg for word in call.keywords):
        raise DataError(f"{where}: {shown(text)} is not a list of arguments such as `a = 1, b = [2]`")
    return {str(word.arg): _value(ast.get_source_segment(source, word.value) or "", where) for word in call.keywords}
