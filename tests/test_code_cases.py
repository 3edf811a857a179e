"""The layouts of hidden tests, which function they mean, and tests by which nothing can be judged."""

from __future__ import annotations

import base64
import json
import pickle
import zlib

import pytest
from sandbox_target import first_working
from tables import each

from r1hf.core.errors import DataError
from r1hf.verify.code import verify_code
from r1hf.verify.code_cases import CallCase, Case, StdioCase, parse_tests
from r1hf.verify.code_layouts import only_function

SUMS = [{"stdin": f"{n} 1\n", "stdout": f"{n + 1}\n"} for n in range(3)]
STDIO = StdioCase("1 2", "3")
SOLUTION = "class Solution:\n    def add(self, a: int, b: int) -> int:\n        "
FUNCTIONAL = {"input": "1\n2", "output": "3", "testtype": "functional"}


def call(*arguments: object, expected: object = 3, function: str = "add", **keywords: object) -> CallCase:
    return CallCase(function, arguments, keywords, (expected,))


@each(
    "tests, case",
    [
        ([{"stdin": "1 2", "stdout": "3"}], STDIO),
        ('[{"stdin": "1 2", "stdout": "3"}]', STDIO),
        (['{"stdin": "1 2", "stdout": "3"}'], STDIO),
        ({"stdin": "1 2", "stdout": "3"}, STDIO),
        ({"inputs": ["1 2"], "outputs": ["3"]}, STDIO),
        ({"inputs": [["1", "2"]], "outputs": [["3"]]}, StdioCase("1\n2", "3")),
        ('{"language": "python", "test_cases": [{"input": "1 2", "output": "3"}]}', STDIO),
        ([{"input": "1 2", "output": "3", "type": "stdin_stdout", "fn_name": None}], STDIO),
        ([{"input": "1 2", "output": "3", "type": "hidden", "fn_name": float("nan")}], STDIO),
        ([{"input": "1 2", "output": "3", "testtype": "stdin", "metadata": {"func_name": "add"}}], STDIO),
        ([{"input": "1 2", "output": "3", "testtype": "stdin", "metadata": "{}"}], STDIO),
        ({"fn_name": None, "inputs": ["1 2"], "outputs": ["3"]}, STDIO),
        ({"input_output": '{"inputs": ["1 2"], "outputs": ["3"]}'}, STDIO),
        ({"public_tests": {"input": ["1 2"], "output": ["3"]}, "private_tests": {"input": [], "output": []}}, STDIO),
        ({"official_tests": [{"input": "1 2", "output": "3"}], "starter_code": ""}, STDIO),
        ({"starter_code": "def main():\n", "inputs": ["1 2"], "outputs": ["3"]}, STDIO),
        ({"public_test_cases": '[{"input": "1 2", "output": "3", "testtype": "stdin"}]', "metadata": "{}"}, STDIO),
        ([{"function": "add", "args": [1, 2], "expected": 3}], call(1, 2)),
        ([{"function": "add", "args": "[1, 2]", "kwargs": "{}", "expected": 3}], call(1, 2)),
        ([{"function": "add", "args": [1, 2], "expected": 3, "stdin": None, "stdout": None}], call(1, 2)),
        ({"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}, call(1, 2)),
        ({"fn_name": "add", "inputs": ["1\n2"], "outputs": ["3"]}, call(1, 2)),
        ({"input_output": {"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}, "starter_code": "x"}, call(1, 2)),
        ([{"fn_name": "add", "input": [1, 2], "output": 3, "type": "function_call"}], call(1, 2)),
        ([{"fn_name": "add", "input": {"a": 1, "b": 2}, "output": 3}], call(a=1, b=2)),
        ([{**FUNCTIONAL, "metadata": {"func_name": "add"}}], call(1, 2)),
        ([{**FUNCTIONAL, "metadata": '{"func_name": "add"}'}], call(1, 2)),
        ([{**FUNCTIONAL, "func_name": "add", "input": "1\n2\n"}], call(1, 2)),
        ([{**FUNCTIONAL, "entry_point": "Solution().add"}], call(1, 2, function="Solution.add")),
        ([{**FUNCTIONAL, "starter_code": SOLUTION}], call(1, 2)),
        ([{**FUNCTIONAL, "fn_name": "add", "input": "a = 1, b = [2, null]"}], call(a=1, b=[2, None])),
        ([{**FUNCTIONAL, "fn_name": "add", "input": '[1, "x y"]\ntrue'}], call([1, "x y"], True)),
        ([{**FUNCTIONAL, "fn_name": "add", "output": '"3"'}], call(1, 2, expected="3")),
        ([{**FUNCTIONAL, "fn_name": "add", "input": ""}], call()),
        ({"test_cases": [FUNCTIONAL], "fn_name": "add"}, call(1, 2)),
        ({"test_cases": [{"input": "1\n2", "output": "3"}], "func_name": "add"}, call(1, 2)),
        ({"public_test_cases": json.dumps([FUNCTIONAL]), "metadata": '{"func_name": "add"}'}, call(1, 2)),
        ({"public_test_cases": [], "private_test_cases": [FUNCTIONAL], "starter_code": SOLUTION}, call(1, 2)),
    ],
)
def test_layouts(tests: object, case: Case):
    assert parse_tests(tests) == [case]


@pytest.mark.parametrize("row", [{"fn_name": "add"}, {"metadata": {"func_name": "add"}}, {"starter_code": SOLUTION}])
def test_the_row_may_name_the_function(row: dict):
    assert parse_tests([FUNCTIONAL], row) == [call(1, 2)]
    assert parse_tests([{**FUNCTIONAL, "func_name": "sum"}], row) == [call(1, 2, function="sum")]
    assert parse_tests([{"stdin": "1 2", "stdout": "3"}], row) == [STDIO]


def test_rows_of_both_kinds():
    tests = [{**FUNCTIONAL, "fn_name": "add"}, {"input": "1 2", "output": "3", "testtype": "stdin"}]
    assert parse_tests(tests) == [call(1, 2), STDIO]


PACKED = base64.b64encode(zlib.compress(pickle.dumps(json.dumps([FUNCTIONAL] * 20)))).decode()


@each(
    "tests, message",
    [
        ([], "at least one case"),
        (3, "not 3"),
        ("[1", "not JSON"),
        ([5], "test 0 must be a mapping"),
        ([None], "test 0 must be a mapping"),
        ([*SUMS, {"stdin": "1"}], "test 3 has the keys stdin"),
        ([*SUMS, {"input": "1", "output": None}], "test 3 has the keys input"),
        ([{"stdin": 1, "stdout": "1"}], "as text"),
        ([{"function": "f", "args": [1]}], "has no `expected`"),
        ([{"function": "f", "args": 1, "expected": 1}], "`args` a list"),
        ([{"function": "f", "args": '"ab"', "expected": 1}], "`args` a list"),
        ([{"function": 5, "args": [1], "expected": 1}], "`function` must be a name"),
        ([{"function": "f", "args": [object()], "expected": 1}], "not plain data"),
        ({"inputs": ["1"], "outputs": []}, "one length"),
        ({"inputs": ["1"]}, "one length"),
        ({"public_tests": {"input": ["1"], "output": ["1", "2"]}}, "one length"),
        ({"test_cases": 5}, "`test_cases` must be a list"),
        ([FUNCTIONAL], "test 0 is functional, but nothing names its function"),
        ([*SUMS, FUNCTIONAL], "test 3 is functional"),
        ([{**FUNCTIONAL, "starter_code": f"{SOLUTION}pass\n    def sub(self): pass"}], "nothing names its function"),
        ([{**FUNCTIONAL, "testtype": "interactive"}], "'interactive' is unknown"),
        ([{**FUNCTIONAL, "fn_name": "f", "input": "1 2"}], "test 0, input: '1 2' is not a JSON value"),
        ([{**FUNCTIONAL, "fn_name": "f", "output": "three"}], "test 0, output: 'three' is not a JSON value"),
        ([{**FUNCTIONAL, "fn_name": "f", "input": "a = 1, 2"}], "not a list of arguments"),
        ([{**FUNCTIONAL, "fn_name": "f", "input": "a = __import__('os')"}], "not a JSON value"),
        (["assert f(3) == 9"], "Test code is not run"),
        ("def check(candidate):\n    assert candidate(3) == 9", "Test code is not run"),
        (PACKED, "a pickle, which could run any code"),
        (
            {"public_test_cases": [FUNCTIONAL], "private_test_cases": PACKED, "fn_name": "f"},
            "`private_test_cases`: .*",
        ),
    ],
)
def test_broken_tests_are_named(tests: object, message: str):
    with pytest.raises(DataError, match=message):
        parse_tests(tests)


@each(
    "tests",
    [
        [{"stdin": "1", "stdout": ""}],
        [{"stdin": "1", "stdout": " \r\n\n"}, {"stdin": "2", "stdout": "\t"}],
        [{"function": "f", "args": [1], "expected": None}],
        {"fn_name": "f", "inputs": [[1], [2]], "outputs": [None, [None]]},
        [{"input": "1", "output": "null", "testtype": "functional", "fn_name": "f"}],
        [{"stdin": "1", "stdout": ""}, {"function": "f", "args": [1], "expected": None}],
    ],
)
def test_tests_that_expect_nothing_judge_nothing(tests: object):
    with pytest.raises(DataError, match="a program that does nothing would pass"):
        parse_tests(tests)


@each(
    "source, name",
    [
        (SOLUTION, "add"),
        ("# class ListNode:\n#     def __init__(self): pass\n" + SOLUTION, "add"),
        ("import math\ndef helper(): pass\n" + SOLUTION + "def inner(): pass\n        return 1", "add"),
        (SOLUTION + "pass\n\n    def _help(self): pass\n", "add"),
        ("class Node:\n    def walk(self): pass\n" + SOLUTION, "add"),
        (SOLUTION + "pass\nclass Node:\n    def walk(self): pass\n", "add"),
        ("def add(a, b):\n    def inner(): pass\n    return a + b\n", "add"),
        ("async def add(a): pass", "add"),
        (SOLUTION + "pass\n    def sub(self): pass", None),
        ("class Solution:\n    pass", None),
        ("def add(): pass\ndef sub(): pass", None),
        ("print(1)", None),
        ("", None),
    ],
)
def test_the_only_function(source: str, name: str | None):
    assert only_function(source) == name


needs_sandbox = pytest.mark.skipif(first_working() is None, reason="no sandbox works here")


@needs_sandbox
def test_functional_tests_run():
    tests = [FUNCTIONAL, {**FUNCTIONAL, "input": "2\n2", "output": "4"}]
    for program in (SOLUTION + "return a + b", "def add(a, b): return a + b"):
        assert verify_code(program, tests).score == 1.0
        assert verify_code(program.replace("a + b", "3"), tests).score == 0.0
    with pytest.raises(DataError, match="nothing names its function"):
        verify_code("def add(a, b): return a + b\ndef sub(a, b): return a - b", tests)


@needs_sandbox
def test_apps_wraps_some_values():
    tests = {"fn_name": "f", "inputs": [[1, 2], [3, 4]], "outputs": [[3], 7]}
    assert verify_code("def f(a, b): return a + b", tests).score == 1.0
    assert verify_code("def f(a, b): return [a + b]", tests).score == 0.0


@needs_sandbox
def test_tests_that_expect_nothing_earn_nothing():
    tests = [{"stdin": "0", "stdout": ""}, {"stdin": "1", "stdout": "1"}, {"stdin": "2", "stdout": "2"}]
    shares = {
        "pass": 0.0,
        "n = int(input())\nif n: print(n)": 1.0,
        "print(int(input()))": 2 / 3,
        "n = int(input())\nif n == 1: print(n)": 0.5,
    }
    for program, share in shares.items():
        assert verify_code(program, tests, run_all=True).fraction == share, program
        assert verify_code(program, tests).score == float(share == 1.0)
