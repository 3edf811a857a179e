"""What a function finds around it, as on LeetCode, and what a program may import."""

from __future__ import annotations

import pytest
from sandbox_target import MIB, called, first_working
from tables import each

from r1hf.core.errors import ConfigError
from r1hf.sandbox import Limits, Sandbox, SandboxError, Verdict, backends, check_sandbox, run_code
from r1hf.verify.code import verify_code

pytestmark = pytest.mark.skipif(first_working() is None, reason="no sandbox works here")


def solution(signature: str, body: str) -> str:
    return f"class Solution:\n    def f(self, {signature}:\n        {body}"


@each(
    "code",
    [
        solution("a: List[int]) -> Optional[Dict[str, Tuple[int, ...]]]", "return {'x': sorted(a)}"),
        solution("a)", "return {'x': list(heapq.nsmallest(3, a))} if heappop([1]) else None"),
        solution("a)", "return {'x': list(accumulate([1, 1, 1]))} if itertools.count() else None"),
        solution("a)", "return defaultdict(list, x=sorted(Counter(a))) if collections.deque() == deque() else 1"),
        solution("a)", "return {'x': sorted(set(a), key=cmp_to_key(lambda x, y: x - y))}"),
        solution("a)", "return {'x': [bisect_left(a, 0) + 1, math.gcd(2, 4), gcd(3, 6)]} if inf > pi else None"),
        solution("a)", "return {'x': [int(pow(1, 1, 5)), int(sqrt(4)), len(re.findall('a', 'aaa'))]}"),
        solution("a)", "return {'x': list(map(int, '123'))} if string.digits and datetime.date else random"),
        solution("a)", "return {'x': list(deepcopy(a))[::-1]} if copy.copy(a) else 0"),
        solution("a)", "f = lambda n: 0 if n == 0 else 1 + f(n - 1)\n        return {'x': [1, 2, f(20000) - 19997]}"),
    ],
)
def test_usual_names_need_no_import(code: str):
    assert verify_code(code, [{"function": "f", "args": [[3, 2, 1]], "expected": {"x": [1, 2, 3]}}]).detail == ""


@each(
    "code, value",
    [
        ("List = 5\ndef f(): return List", 5),
        ("def gcd(a, b): return 'own'\ndef f(): return gcd(1, 2)", "own"),
        ("from math import dist as Counter\ndef f(): return Counter([0], [2])", 2.0),
        ("import datetime as datetime\ndef f(): return datetime.MAXYEAR", 9999),
        ("from datetime import datetime\ndef f(): return datetime(2000, 1, 1).year", 2000),
        ("def f(): return [pow(2, 3, 5), abs(-1), compile is not None, max(1, 2)]", [3, 1, True, 2]),
        (
            "class ListNode:\n    def __init__(self, x): self.val, self.next, self.own = x, None, 1\n"
            "def f(): return ListNode(3).own",
            1,
        ),
    ],
)
def test_the_programs_own_names_win(code: str, value: object):
    assert called(code, []).value == value


@each("name", ["add", "search", "gcd", "Counter", "reduce", "loads"])
def test_a_provided_name_is_no_answer(name: str):
    tests = [{"function": name, "args": [2, 4], "expected": 6}]
    assert verify_code("x = 1", tests).score == 0.0
    code = f"class Solution:\n    def {name}(self, a, b): return a + b"
    assert verify_code(code, tests).score == 1.0


def test_a_program_that_reads_stdin_imports_for_itself():
    result = run_code("x: List[int] = [1]")
    assert (result.verdict, "'List' is not defined" in result.detail) == (Verdict.RUNTIME_ERROR, True)
    tests = [{"function": "f", "args": [1], "expected": 1}, {"stdin": "", "stdout": "5"}]
    code = "def f(x): return gcd(x, 1)\nif __name__ == '__main__':\n    try: gcd\n    except NameError: print(5)"
    assert verify_code(code, tests).score == 1.0


def test_line_numbers_stay():
    result = called("def f():\n    return List[int]()[0]\n\n", [])
    assert "line 2, in f" in result.stderr


NODE = "head: Optional[ListNode]) -> Optional[ListNode]"
REVERSE = "new = None\n        while head: head.next, new, head = new, head, head.next\n        return new"
INVERT = "if root: root.left, root.right = self.f(root.right), self.f(root.left)\n        return root"
MERGE = "return reduce(lambda a, b: a or b, lists, None)"


@each(
    "code, given, expected",
    [
        (solution(NODE, REVERSE), [[1, 2, 3]], [3, 2, 1]),
        (solution(NODE, REVERSE), [[]], []),
        ("from __future__ import annotations\n" + solution(NODE, REVERSE), [[1, 2]], [2, 1]),
        (
            "class ListNode:\n    def __init__(self, x):\n        self.val, self.next = x, None\n"
            + solution(NODE, REVERSE),
            [[1, 2]],
            [2, 1],
        ),
        (solution("root: TreeNode) -> TreeNode", INVERT), [[1, 2, 3, None, 4]], [1, 3, 2, None, None, 4]),
        (
            solution(
                "root: Optional[TreeNode]) -> int",
                "return 1 + max(self.f(root.left), self.f(root.right)) if root else 0",
            ),
            [[1, None, 2, 3]],
            3,
        ),
        (solution("lists: List[Optional[ListNode]]) -> Optional[ListNode]", MERGE), [[[], [1, 2]]], [1, 2]),
        (
            solution("head: ListNode, k: int) -> List[ListNode]", "return [head, None, ListNode(k)]"),
            [[7], 2],
            [[7], [], [2]],
        ),
        (solution("nums: List[int]) -> None", "nums.sort()"), [[2, 1]], [1, 2]),
        ("def f(x: int): return [x]", [3], [3]),
        ("def f(x, *rest, key=1): return [x, *rest, key]", [1, 2, 3], [1, 2, 3, 1]),
    ],
)
def test_lists_trees_and_work_in_place(code: str, given: list, expected: object):
    assert verify_code(code, [{"function": "f", "args": given, "expected": expected}]).detail == ""


def test_a_list_that_never_ends_is_the_programs_fault():
    code = solution(NODE, "head.next = head\n        return head")
    limits = Limits(wall=5, cpu=5, memory=128 * MIB)
    assert verify_code(code, [{"function": "f", "args": [[1]], "expected": [1]}], limits).score == 0.0


@pytest.fixture(params=backends.ORDER)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    try:
        return check_sandbox(request.param)
    except SandboxError as error:
        pytest.skip(str(error))


def test_numpy_works(sandbox: Sandbox):
    code = (
        "import numpy as np\n"
        "print(np.array([1, 2, 3]).sum(), np.linalg.solve(np.eye(60) * 2, np.ones(60)).sum(), "
        "np.random.default_rng(0).integers(1, 2), np.fft.fft([1.0])[0].real)"
    )
    result = run_code(code, sandbox=sandbox)
    assert (result.verdict, result.stdout) == (Verdict.OK, "6 30.0 1 1.0\n"), result
    assert run_code("exec('import num' + 'py')", sandbox=sandbox).verdict is Verdict.OK


def test_numbers_and_arrays_are_plain_data():
    code = "import numpy as np\ndef f(x): return [np.array(x) * 2, np.int64(3), np.float32(0.5), np.bool_(True)]"
    assert called(code, [[1, 2]]).value == [[2, 4], 3, 0.5, True]
    code = "import numpy as np\ndef f(): return np.array([object()])"
    assert called(code, []).verdict is Verdict.WRONG


def test_only_the_packages_named_can_be_imported(sandbox: Sandbox):
    for name in ("torch", "yaml", "r1hf", "pip"):
        assert run_code(f"import {name}", sandbox=sandbox).detail.startswith("ModuleNotFoundError")
    none = check_sandbox(sandbox.backend, packages=())
    assert run_code("import numpy", sandbox=none).detail.startswith("ModuleNotFoundError")
    other = check_sandbox(sandbox.backend, packages=("yaml", "json"))
    assert run_code("import json, yaml\nprint(yaml.safe_load('[1]'))", sandbox=other).stdout == "[1]\n"
    assert run_code("import numpy", sandbox=other).detail.startswith("ModuleNotFoundError")


def test_packages_that_are_not_there():
    with pytest.raises(ConfigError) as caught:
        check_sandbox(packages=("nunpy", "numpy.linalg", "numpy"))
    assert len(caught.value.problems) == 2 and "'nunpy' is not an installed package" in str(caught.value)


def test_a_package_that_cannot_be_imported_alone_is_named():
    with pytest.raises(SandboxError, match="cannot import pandas; `packages` says"):
        check_sandbox(packages=("pandas",))
