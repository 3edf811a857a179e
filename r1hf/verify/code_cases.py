"""Hidden tests of a program.

They are a list (or its JSON text) of

- `{"stdin": "2 3\\n", "stdout": "5\\n"}`: the program reads standard input and prints;
- `{"function": "add", "args": [2, 3], "kwargs": {}, "expected": 5}`: a function, or a method as "Class.name", is
  called; `args` and `kwargs` may be left out or be JSON text.

Also read: `{"input": …, "output": …}` (the same as stdin and stdout), `{"test_cases": […]}`, and the layout of APPS
and TACO, `{"inputs": […], "outputs": […], "fn_name": …}`. Keys whose value is None count as absent, except
`expected`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1hf.errors import DataError
from r1hf.sandbox.inside.codec import CodecError, encode

_SHOWN = 200


@dataclass(frozen=True)
class StdioCase:
    """Text in, text out."""

    stdin: str
    stdout: str


@dataclass(frozen=True)
class CallCase:
    """A call and its value; any one of `accepted` is right (APPS wraps some values in a list of one)."""

    function: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    accepted: tuple[Any, ...]


Case = StdioCase | CallCase


def parse_tests(tests: Any) -> list[Case]:
    """The cases in any of the layouts above. Raises DataError naming the case and the key."""
    tests = _from_json(tests, "the tests")
    if isinstance(tests, Mapping):
        if tests.get("test_cases") is not None:
            return parse_tests(tests["test_cases"])
        tests = list(_columns(tests))
    if not isinstance(tests, Sequence) or isinstance(tests, str) or not tests:
        raise DataError(f"the tests must be a list with at least one case, not {shown(tests)}")
    return [_case(_from_json(test, f"test {index}"), index) for index, test in enumerate(tests)]


def _from_json(value: Any, what: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what}: {shown(value)} is no JSON: {error}") from None


def _columns(tests: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Cases out of {"inputs": […], "outputs": […], "fn_name": …}, or the one case that the mapping is."""
    if "inputs" not in tests:
        yield dict(tests)
        return
    inputs, outputs = tests["inputs"], tests.get("outputs")
    if not isinstance(outputs, Sequence) or not isinstance(inputs, Sequence) or len(inputs) != len(outputs):
        raise DataError("the tests have `inputs` and `outputs` that are no lists of one length")
    for given, wanted in zip(inputs, outputs, strict=True):
        if tests.get("fn_name"):
            wanted_one = list(wanted) if isinstance(wanted, Sequence) and not isinstance(wanted, str) else []
            also = wanted_one if len(wanted_one) == 1 else []
            yield {"function": tests["fn_name"], "args": given, "expected": wanted, "also": also}
        else:
            yield {"stdin": _joined(given), "stdout": _joined(wanted)}


def _joined(text: Any) -> Any:
    return "\n".join(map(str, text)) if isinstance(text, Sequence) and not isinstance(text, str) else text


def _case(test: Any, index: int) -> Case:
    if not isinstance(test, Mapping):
        raise DataError(f"test {index} must be a mapping, not {shown(test)}")
    function = test.get("function") or test.get("fn_name")
    if function is not None:
        return _call(test, function, index)
    stdin = test.get("stdin") if test.get("stdin") is not None else test.get("input")
    stdout = test.get("stdout") if test.get("stdout") is not None else test.get("output")
    if not isinstance(stdout, str) or not isinstance(stdin if stdin is not None else "", str):
        keys = ", ".join(sorted(str(key) for key, value in test.items() if value is not None))
        raise DataError(
            f"test {index} has the keys {keys or '(none)'}: it needs `stdin` and `stdout` as text, or `function`, "
            "`args` and `expected`"
        )
    return StdioCase(stdin or "", stdout)


def _call(test: Mapping[str, Any], function: Any, index: int) -> CallCase:
    arguments, keywords = test.get("args"), test.get("kwargs")
    arguments = _from_json([] if arguments is None else arguments, f"test {index}, args")
    keywords = _from_json({} if keywords is None else keywords, f"test {index}, kwargs")
    if not isinstance(function, str) or not isinstance(arguments, Sequence) or not isinstance(keywords, Mapping):
        raise DataError(f"test {index}: `function` must be a name, `args` a list, `kwargs` a mapping")
    if "expected" not in test:
        raise DataError(f"test {index} calls {function!r} but has no `expected`")
    case = CallCase(function, tuple(arguments), dict(keywords), (test["expected"], *test.get("also", ())))
    try:
        encode((case.arguments, case.keywords))
    except CodecError as error:
        raise DataError(f"test {index}: the arguments of {function!r} hold {error}") from None
    return case


def shown(value: Any) -> str:
    """A value in an error, cut to 200 characters."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        text = f"a {type(value).__name__} of too many digits"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
