"""How data sets write tests down: every layout becomes a list of cases.

- `{"input": …, "output": …}`: the same as stdin and stdout. With LiveCodeBench's `"testtype": "functional"`, or a name
  for the function, a call: the input is a list of arguments or text with a JSON value a line, the output its value.
- APPS, TACO: `{"inputs": […], "outputs": […], "fn_name": …}`, also as the text `input_output`.
- CodeContests: `{"input": […], "output": […]}` under `public_tests`, `private_tests`, `generated_tests`.
- LiveCodeBench: `public_test_cases`, `private_test_cases`, `metadata` with `func_name`, `starter_code`.
- open-r1: `official_tests`, `test_cases`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1hf.core.errors import DataError
from r1hf.sandbox.inside import codec

ROW_KEYS = ("fn_name", "func_name", "entry_point", "metadata", "starter_code")  # where a row may name the function
_GROUPS = (
    *("test_cases", "input_output", "public_test_cases", "private_test_cases"),
    *("public_tests", "private_tests", "generated_tests", "official_tests"),
)
_FUNCTION_KEYS = ("function", "fn_name", "func_name", "entry_point")
_DEFINITION = re.compile(r"([ \t]*)(?:async[ \t]+)?def[ \t]+([A-Za-z]\w*)[ \t]*\(")
_PICKLED = re.compile(r"[A-Za-z0-9+/\s]{64,}={0,2}\s*")
_SHOWN = 200


@dataclass(frozen=True)
class Names:
    """What says which function is meant: a name given as such, and the only function of starter code."""

    function: Any = None
    starter: str | None = None

    def over(self, other: Names) -> Names:
        """These, where they are given, before `other`."""
        return Names(
            other.function if self.function is None else self.function,
            other.starter if self.starter is None else self.starter,
        )


def names_in(mapping: Mapping[str, Any]) -> Names:
    """The names in a case, in the mapping around the cases, or in a row of a data set."""
    function = given(mapping, *_FUNCTION_KEYS) or None
    metadata = mapping.get("metadata")
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except (ValueError, RecursionError):
            metadata = None
    if function is None and isinstance(metadata, Mapping):
        function = given(metadata, *_FUNCTION_KEYS) or None
    starter = mapping.get("starter_code")
    return Names(function, only_function(starter) if isinstance(starter, str) else None)


def only_function(source: str) -> str | None:
    """The one public method of `class Solution`, else the one public function, that Python source defines, or None.

    By its lines: starter code is cut off before the body, so that it cannot be parsed.
    """
    functions: list[str] = []
    methods: list[tuple[int, str]] = []
    inside = has_solution = False
    for line in source.splitlines():
        if line[:1].strip() and line[0] not in "#)":
            inside = re.match(r"class\s+Solution\b", line) is not None
            has_solution |= inside
        if (found := _DEFINITION.match(line)) is not None:
            if inside and found[1]:
                methods.append((len(found[1]), found[2]))
            elif not found[1]:
                functions.append(found[2])
    if has_solution:
        functions = [name for depth, name in methods if depth == methods[0][0]]
    return functions[0] if len(functions) == 1 else None


def cases_of(tests: Mapping[str, Any], names: Names) -> list[Any]:
    """The cases that a mapping holds, each still as the data set has it, or the mapping itself as the only one."""
    groups = [key for key in _GROUPS if tests.get(key) is not None]
    if not groups:
        return _columns(tests, names)
    cases: list[Any] = []
    for key in groups:
        part = from_json(tests[key], f"`{key}`")
        if isinstance(part, Mapping):
            part = cases_of(part, names_in(part).over(names))
        if not isinstance(part, Sequence) or isinstance(part, (str, bytes)):
            raise DataError(f"`{key}` must be a list of tests, not {shown(part)}")
        cases += part
    return cases


def _columns(tests: Mapping[str, Any], names: Names) -> list[Any]:
    """Cases out of two columns of one length, or the one case that the mapping is."""
    kind, function = given(tests, "testtype"), names.function
    if "inputs" in tests:
        pairs = _pairs(tests, "inputs", "outputs")
        if kind is None and function is None:
            return [{"stdin": _joined(one), "stdout": _joined(other)} for one, other in pairs]
    elif kind is None and function is None and isinstance(tests.get("input"), (list, tuple)):
        pairs = _pairs(tests, "input", "output")
    else:
        return [dict(tests)]
    return [{"function": function, "testtype": kind, "input": one, "output": other} for one, other in pairs]


def _pairs(tests: Mapping[str, Any], inputs: str, outputs: str) -> list[tuple[Any, Any]]:
    columns = [from_json(tests.get(key), f"`{key}`") for key in (inputs, outputs)]
    if not all(isinstance(column, (list, tuple)) for column in columns) or len(columns[0]) != len(columns[1]):
        raise DataError(f"the tests have `{inputs}` and `{outputs}` that are not lists of one length")
    return list(zip(*columns, strict=True))


def _joined(text: Any) -> Any:
    return "\n".join(map(str, text)) if isinstance(text, Sequence) and not isinstance(text, str) else text


def from_json(value: Any, what: str) -> Any:
    """`value`, or what it says where it is JSON text. Raises DataError naming `what`."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what}: {shown(value)} is not JSON: {error}{_advice(value)}") from None


def _advice(text: str) -> str:
    if re.match(r"\s*(assert\b|def |import |from |class )", text):
        return (
            ". Test code is not run: it would share a process with the program, which could change what it says. "
            'Write {"function": …, "args": […], "expected": …}'
        )
    if _PICKLED.fullmatch(text):
        return (
            ". It looks like LiveCodeBench's packed private tests, a pickle, which could run any code when it is "
            "read: unpack it yourself, and give the JSON text"
        )
    return ""


def given(test: Mapping[str, Any], *keys: str) -> Any:
    """The value of the first of `keys` that is there and is no hole of a table (None, NaN), or None."""
    for key in keys:
        value = test.get(key)
        if value is not None and not (isinstance(value, float) and value != value):
            return value
    return None


def shown(value: Any) -> str:
    """A value in an error, cut to 200 characters; a large one costs no more than what is shown."""
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > _SHOWN:
            return text[:_SHOWN] + "…"
    return text


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, (str, bytes)):
        yield repr(value[: _SHOWN + 1])
    elif isinstance(value, int) and value.bit_length() > 4 * _SHOWN:
        yield f"an integer of {value.bit_length()} bits"
    elif isinstance(value, (Mapping, codec.Table)):
        pairs = value.items() if isinstance(value, Mapping) else value
        yield from _listed("{", pairs, "}", keyed=True)
    elif isinstance(value, (set, frozenset, codec.Bag)):
        yield from _listed("{", value, "}")
    elif isinstance(value, (list, tuple)):
        yield from (
            _listed("[", value, "]") if isinstance(value, list) else _listed("(", value, ",)"[len(value) != 1 :])
        )
    else:
        yield repr(value)


def _listed(opening: str, items: Iterable[Any], closing: str, *, keyed: bool = False) -> Iterator[str]:
    yield opening
    for place, item in enumerate(items):
        yield ", " if place else ""
        if keyed:
            yield from _pieces(item[0])
            yield ": "
        yield from _pieces(item[1] if keyed else item)
    yield closing
