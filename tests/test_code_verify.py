"""Programs against hidden tests: the layouts of tests, the comparison, and which block of a completion counts."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_target import first_working
from tables import each

from r1hf.core.errors import DataError
from r1hf.sandbox import Limits, Verdict
from r1hf.verify.code import final_code, verify_code, verify_codes

pytestmark = pytest.mark.skipif(first_working() is None, reason="no sandbox works here")

CASES = [json.loads(line) for line in Path(__file__).with_name("fixtures").joinpath("judgement_code.jsonl").open()]
LONG = {
    "numbers to 200000": [{"stdin": "", "stdout": "\n".join(map(str, range(200000)))}],
    "halves to 30": [{"stdin": str(n), "stdout": str(n // 2)} for n in range(30)],
}
ADD = "a, b = map(int, input().split())\nprint(a + b)"
SUMS = [{"stdin": f"{n} 1\n", "stdout": f"{n + 1}\n"} for n in range(3)]
LIMITS = Limits(wall=0.5, cpu=5)


def test_row_23_right_and_wrong_programs():
    assert verify_code(ADD, SUMS).verdict is Verdict.OK
    wrong = verify_code(ADD.replace("+", "-"), SUMS)
    assert (wrong.verdict, wrong.passed, wrong.total, wrong.score) == (Verdict.WRONG, 0, 3, 0.0)
    assert wrong.detail == "test 0: printed '-1\\n', expected '1\\n'"


@each("case", CASES, ids=lambda case: case["source"])
def test_reported_cases(case: dict):
    tests = LONG[case["tests"]] if isinstance(case["tests"], str) else case["tests"]
    try:
        score = str(verify_code(case["code"], tests, **case["options"]).score)
    except DataError:
        score = "DataError"
    assert score in str(case["right"]).split(" or ")


def test_the_first_line_of_the_expected_output_is_not_all_of_it():
    """open-r1's code reward zips the lines, so `1` passes for `1 2 3`."""
    tests = [{"stdin": "", "stdout": "1\n2\n3"}]
    assert verify_code("print(1)", tests).score == 0.0
    assert verify_code("print(1); print(2); print(3); print(4)", tests).score == 0.0
    assert verify_code("print(1); print(2); print(3)", tests).score == 1.0


def test_text_beyond_ascii_is_no_error():
    """open-r1's local runner turned an emoji in the code into a zero."""
    assert verify_code("print('😀', input())", [{"stdin": "é", "stdout": "😀 é"}]).score == 1.0


@pytest.mark.parametrize(
    "program",
    [
        "with open('/dev/stdin') as lines:\n    print(sum(int(line) for line in lines))",
        "import sys\nsys.stdin = open('/dev/stdin')\nprint(int(input()) + int(input()))",
        "open('/dev/stdout', 'w').write(str(sum(map(int, open(0).read().split()))))",
        "\ufeffprint(sum(map(int, open(0).read().split())))",
    ],
)
def test_streams_by_their_device_and_a_byte_order_mark(program):
    assert verify_code(program, [{"stdin": "3\n4\n", "stdout": "7\n"}]).score == 1.0


def test_a_failing_case_does_not_touch_the_others():
    code = "n = int(input())\nwhile n == 1: pass\nif n == 2: x = bytearray(1 << 40)\nif n == 3: 1 / 0\nprint(n)"
    tests = [{"stdin": str(n), "stdout": str(n)} for n in range(5)]
    verdict = verify_code(code, tests, LIMITS, run_all=True)
    assert [result.verdict for result in verdict.results] == ["ok", "timeout", "out_of_memory", "runtime_error", "ok"]
    assert (verdict.verdict, verdict.fraction, verdict.score) == (Verdict.TIMEOUT, 0.4, 0.0)


def test_it_stops_at_the_first_failure():
    verdict = verify_code("print(1)", [{"stdin": "", "stdout": str(n)} for n in (1, 2, 3, 4)])
    assert (len(verdict.results), verdict.passed, verdict.total, verdict.fraction) == (2, 1, 4, 0.25)


@each(
    "code, test",
    [
        ("def f(a, b): return a + b", {"function": "f", "args": [2, 3], "expected": 5}),
        ("def f(a, b): return a + b", {"function": "f", "args": [2], "kwargs": {"b": 3}, "expected": 5}),
        ("def f(a, b): return a + b", {"function": "f", "args": "[2, 3]", "kwargs": "{}", "expected": 5}),
        ("class Solution:\n def f(self, a): return a * 2", {"function": "f", "args": [2], "expected": 4}),
        ("class Solution:\n def f(self, a): return a * 2", {"function": "Solution.f", "args": [2], "expected": 4}),
        ("def f(): return (1, 'a')", {"function": "f", "expected": [1, "a"]}),
        ("def f(): return {1: 2}", {"function": "f", "expected": {"1": 2}}),
        ("def f(): return 0.1 + 0.2", {"function": "f", "expected": 0.3}),
        ("def f(): return 4", {"function": "f", "expected": 4.0}),
        ("def f(): print('noise'); return 4", {"function": "f", "expected": 4, "stdin": None, "stdout": None}),
        ("def f(): return 7 ** 9999", {"function": "f", "expected": 7**9999}),
        ("if __name__ == '__main__': 1 / 0\ndef f(): return 1", {"function": "f", "expected": 1}),
    ],
)
def test_calls(code: str, test: dict):
    assert verify_code(code, [test]).verdict is Verdict.OK


def fenced(code: str, label: str = "python", mark: str = "```") -> str:
    return f"{mark}{label}\n{code}\n{mark}\n"


@each(
    "completion, code",
    [
        (fenced("x = 1"), "x = 1\n"),
        (f"<think>hm</think> <answer>Here:\n{fenced('x = 1')}Done.</answer>", "x = 1\n"),
        (f"<think>{fenced('x = 0')}</think>\n{fenced('x = 1')}", "x = 1\n"),
        (f"<think>a</think>{fenced('x = 1')}then\n{fenced('x = 2')}", "x = 2\n"),
        (f"<think>a</think>{fenced('x = 1')}prints\n{fenced('1', 'text')}", "x = 1\n"),
        (f"<think>a</think>{fenced('x = 1')}prints\n{fenced('1', '')}", "x = 1\n"),
        (fenced("x = 1", ""), "x = 1\n"),
        (fenced("x = 1", "Python3 title=a"), "x = 1\n"),
        (fenced("x = 1", "py", "~~~~"), "x = 1\n"),
        (fenced("s = '''\n```\n'''", mark="````"), "s = '''\n```\n'''\n"),
        ("1. so:\n   ```python\n   if x:\n       y\n   ```\n", "if x:\n    y\n"),
        ("```python\r\nx = 1\r\n```\r\n", "x = 1\n"),
        (fenced("print(1)") + "It prints:\n" + fenced("1", "text"), "print(1)\n"),
        (fenced("print(1)") + fenced("console.log(2)", "js"), "print(1)\n"),
        (fenced("print(1)", "Python"), "print(1)\n"),
        ("x = 1", None),
        ("", None),
        (fenced(""), None),
        (fenced("int x;", "cpp"), None),
        ("```python\nx = 1", None),
        (fenced("x = 0") + "```python\nx = 1", None),
        (f"<think>{fenced('x = 1')}</think> <answer>see above</answer>", None),
        (f"<think>{fenced('x = 1')}", None),
        (f"<think>a</think> <answer>{fenced('x = 1')}", None),
    ],
)
def test_which_block_counts(completion: str, code: str | None):
    assert final_code(completion) == code


def test_a_prefilled_thought_is_no_answer():
    assert final_code(f"{fenced('x = 1')}</think>\nno", prefilled=True) is None
    assert final_code(f"hm</think>\n{fenced('x = 1')}", prefilled=True) == "x = 1\n"


@given(st.text(alphabet="`~pyx \n\r<think>/answer", max_size=60))
def test_any_text_has_a_program_or_none(text: str):
    code = final_code(text)
    assert code is None or code.strip()


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="`~\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029<|"), min_size=1)
)
def test_a_fenced_program_comes_back(code: str):
    found = final_code(fenced(code))
    assert found == (code + "\n" if code.strip() else None)


def test_many_programs_in_order():
    programs = [ADD, ADD.replace("+", "-"), "while True: pass", "1 / 0"] * 2
    verdicts = verify_codes(programs, [SUMS[1:]] * 8, LIMITS, workers=4)
    assert [str(verdict.verdict) for verdict in verdicts] == ["ok", "wrong", "timeout", "runtime_error"] * 2


def test_long_expected_output_is_no_flood():
    text = "x" * (3 << 20)
    assert verify_code("print('x' * (3 << 20))", [{"stdin": "", "stdout": text}]).score == 1.0
    code = textwrap.dedent("def f(): return 'x' * (3 << 20)")
    assert verify_code(code, [{"function": "f", "expected": text}]).score == 1.0


def test_long_input():
    stdin = "1 " * (1 << 20)
    assert verify_code("print(len(input().split()))", [{"stdin": stdin, "stdout": str(1 << 20)}]).score == 1.0
    assert verify_code("print('did not read')", [{"stdin": stdin, "stdout": "did not read"}]).score == 1.0
