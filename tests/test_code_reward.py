"""The code reward as TRL calls it."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from sandbox_target import first_working
from tables import each

from r1hf.core.errors import ConfigError, DataError
from r1hf.rewards import code as code_module
from r1hf.rewards import format_reward, guarded, only_for
from r1hf.rewards.code import CodeReward, code_reward, get_code_reward
from r1hf.rewards.faults import judged_rows
from r1hf.rewards.table import from_options
from r1hf.sandbox import Limits, Sandbox, SandboxError
from r1hf.sandbox.runtime import Runtime

pytestmark = pytest.mark.skipif(first_working() is None, reason="no sandbox works here")

TESTS = [{"stdin": "2 3", "stdout": "5"}, {"stdin": "1 1", "stdout": "2"}]
RIGHT = "<think>add</think> <answer>\n```python\na, b = map(int, input().split())\nprint(a + b)\n```\n</answer>"
HALF = RIGHT.replace("a + b", "5")


def test_right_wrong_and_missing_programs():
    completions = [RIGHT, HALF, "<think>a</think> <answer>5</answer>", RIGHT[:-30]]
    assert code_reward([""] * 4, completions, None, tests=[TESTS] * 4) == [1.0, 0.0, 0.0, 0.0]


def test_the_share_of_tests():
    assert get_code_reward(partial=True)([""] * 2, [RIGHT, HALF], tests=[TESTS] * 2) == [1.0, 0.5]


def test_conversations_with_and_without_a_split_thought():
    thought, answer = RIGHT.removeprefix("<think>").split("</think>")
    completions = [
        [{"role": "assistant", "content": RIGHT}],
        [{"role": "assistant", "content": answer, "reasoning_content": thought}],
        [{"role": "assistant", "content": [{"type": "text", "text": RIGHT}]}],
        [{"role": "assistant", "content": None}],
    ]
    assert code_reward([[]] * 4, completions, tests=[TESTS] * 4) == [1.0, 1.0, 1.0, 0.0]


def test_a_prefilled_thought():
    prefilled = RIGHT.removeprefix("<think>")
    assert get_code_reward(prefilled=True)([""], [prefilled], tests=[TESTS]) == [1.0]


def test_rows_without_tests_are_not_judged():
    assert code_reward([""] * 4, [RIGHT] * 4, tests=[TESTS, None, float("nan"), []]) == [1.0, None, None, None]


def test_a_broken_row_is_named():
    with pytest.raises(DataError, match="row 1 of the batch, column 'tests': test 0 has the keys stdin"):
        code_reward([""] * 2, [RIGHT] * 2, tests=[TESTS, [{"stdin": "1"}]])
    with pytest.raises(DataError, match="needs the column 'tests'"):
        code_reward([""], [RIGHT], answer=["5"])


FUNCTIONAL = [{"input": "2\n3", "output": "5", "testtype": "functional"}]
FRAME = "<think>a</think>\n```python\nclass Solution:\n    def add(self, a: Any, b: Any) -> Any: return a + b\n```"
METADATA = '{"func_name": "add"}'


STARTER = "class Solution:\n    def add(self"


@pytest.mark.parametrize("columns", [{"metadata": [METADATA]}, {"fn_name": ["add"]}, {"starter_code": [STARTER]}])
def test_columns_may_name_the_function(columns: dict[str, list[str]]):
    assert code_reward([""], [FRAME], tests=[FUNCTIONAL], **columns) == [1.0]
    assert code_reward([""], [FRAME.replace("a + b", "a - b")], tests=[FUNCTIONAL], **columns) == [0.0]
    with pytest.raises(DataError, match="row 0 of the batch, column 'tests': test 0 is functional, but nothing names"):
        code_reward([""], [FRAME], tests=[FUNCTIONAL])


EMPTY = [{"stdin": "", "stdout": " \n"}]


def test_row_12_rows_that_judge_nothing_are_told_beforehand():
    rows = [
        {"question": "add", "tests": TESTS},
        {"question": "none", "tests": None},
        {"question": "empty", "tests": EMPTY},
        {"question": "unnamed", "tests": FUNCTIONAL},
        {"question": "named", "tests": FUNCTIONAL, "metadata": METADATA},
        {"question": "asserts", "tests": ["assert f(3) == 9"]},
    ]
    with pytest.raises(DataError, match="3 of 6 rows cannot be judged") as caught:
        judged_rows(rows, {"code": guarded(from_options("code", {})), "format": format_reward}, 0.01, [])
    found = [line.split("'")[1] for line in str(caught.value).splitlines()[1:]]
    assert found == ["empty", "unnamed", "asserts"]
    notes: list[str] = []
    assert judged_rows(rows, {"code": from_options("code", {})}, 0.5, notes) == ([rows[0], rows[1], rows[4]], 3)
    assert len(notes) == 1 and all(f"question '{name}'" in notes[0] for name in found)
    assert judged_rows(rows[:2], {"code": from_options("code", {})}, 0, []) == (rows[:2], 0)
    others = [{**row, "task": "math"} for row in rows]
    assert judged_rows(others, {"code": only_for(from_options("code", {}), "code", ("code", "math"))}, 0, [])[1] == 0
    with pytest.raises(DataError, match="a program that does nothing would pass"):
        code_reward([""], [RIGHT], tests=[EMPTY])


def test_empty_tests_earn_no_share():
    nothing = "<think>a</think>\n```python\npass\n```"
    tests = [*EMPTY, *EMPTY, *TESTS]
    assert get_code_reward(partial=True)([""] * 2, [nothing, RIGHT], tests=[tests] * 2) == [0.0, 0.5]


def test_options_of_a_yaml_file():
    reward = from_options("code", {"packages": [], "limits": {"wall": 2}, "partial": True, "tolerance": 0.01})
    assert (reward.packages, reward.limits.wall, reward.partial, reward.tolerance) == ((), 2, True, 0.01)
    numpy = "<think>a</think>\n```python\nimport numpy\nprint(numpy.float64(0.5))\n```"
    half = [{"stdin": "", "stdout": "0.505"}]
    assert reward([""], [numpy], tests=[half]) == [0.0]
    assert from_options("code", {"tolerance": 0.01})([""], [numpy], tests=[half]) == [1.0]
    assert from_options("code", {})([""], [numpy], tests=[half]) == [0.0]


@each(
    "options, message",
    [
        ({"packagse": []}, "rewards.code.packagse: unknown key; did you mean 'packages'"),
        ({"limits": {"wal": 5}}, "rewards.code.limits.wal: unknown key; did you mean 'wall'"),
        ({"packages": ["nunpy"]}, "'nunpy' is not an installed package"),
        ({"partial": "perhaps"}, "rewards.code.partial: 'perhaps'"),
        ({"tolerance": 2}, "tolerance must be a number from 0 to below 1"),
        ({"limits": {"wall": -1}}, "wall must be a positive number"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        from_options("code", options)


def test_no_sandbox_stops_before_training(monkeypatch: pytest.MonkeyPatch):
    def refuses(*args: object, **options: object) -> Sandbox:
        raise SandboxError("no sandbox works")

    monkeypatch.setattr(code_module, "check_sandbox", refuses)
    with pytest.raises(SandboxError):
        get_code_reward()


def test_a_failing_sandbox_is_no_zero(monkeypatch: pytest.MonkeyPatch):
    reward = get_code_reward()
    broken = Sandbox("namespaces", Runtime("/nowhere/python", (), (), ()))
    monkeypatch.setattr(code_module, "check_sandbox", lambda *args, **options: broken)
    metrics: dict[str, float] = {}
    scores = reward([""] * 2, [RIGHT, "no program"], tests=[TESTS] * 2, log_metric=metrics.__setitem__)
    assert scores == [None, 0.0]
    assert metrics["code/sandbox_failure"] == 1.0 and metrics["code/ok"] == 0.0


def test_it_can_be_pickled_and_used_off_the_main_thread():
    reward = pickle.loads(pickle.dumps(CodeReward(limits=Limits(wall=5))))
    assert reward == CodeReward(limits=Limits(wall=5)) and reward.__name__ == "code_reward"
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(reward, [""], [RIGHT], None, tests=[TESTS]) for _ in range(4)]
    assert [job.result() for job in jobs] == [[1.0]] * 4


def test_equal_programs_run_once():
    clock = "<think>a</think>\n```python\nimport time\nprint(time.time_ns())\n```\n"
    results = []
    reward = CodeReward(workers=2)
    real = code_module.verify_codes

    def count(programs, *args, **options):
        results.append(len(programs))
        return real(programs, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_module, "verify_codes", count)
        scores = reward([""] * 5, [RIGHT, clock, RIGHT, clock, RIGHT], tests=[TESTS] * 4 + [TESTS[:1]])
    assert scores == [1.0, 0.0, 1.0, 0.0, 1.0] and results == [3]
