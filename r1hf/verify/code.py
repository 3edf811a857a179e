"""Is a program right? It runs on hidden tests in the sandbox, and this process compares what comes out."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from r1hf.grammar import Response, parse
from r1hf.sandbox import Limits, Result, Sandbox, Session, Verdict, check_sandbox
from r1hf.sandbox.inside.codec import CodecError, encode
from r1hf.sandbox.limits import MIB
from r1hf.verify.code_cases import CallCase, Case, StdioCase, parse_tests, shown

FLOAT_TOLERANCE = 1e-9  # of a function's floats: room for another order of the same sum
_LANGUAGES = frozenset({"python", "python3", "py", "py3"})
_KEPT = 2000  # characters of a run's output that a verdict keeps


@dataclass(frozen=True)
class CodeVerdict:
    """What the tests say: `verdict` is that of the first case that did not pass.

    `passed` counts cases of `total`; those after a stop are not run and do not pass. `results` are the runs.
    """

    verdict: Verdict
    passed: int
    total: int
    results: tuple[Result, ...] = ()
    detail: str = ""

    @property
    def score(self) -> float | None:
        """1.0 if every test passed, 0.0 if one did not, None if the sandbox failed."""
        return None if self.verdict is Verdict.SANDBOX_FAILURE else float(self.verdict is Verdict.OK)

    @property
    def fraction(self) -> float | None:
        """The share of tests that passed, None if the sandbox failed."""
        return None if self.verdict is Verdict.SANDBOX_FAILURE else self.passed / self.total


def final_code(completion: str | Response, *, prefilled: bool = False) -> str | None:
    """The program that a completion hands in, or None.

    It is the last closed block fenced by ``` or ~~~ that is labelled python, python3, py or py3 in the text that a
    reader sees (the answer, never the thought); where none is so labelled, the last without a label. None where the
    thought, the answer or the last such block is never closed: what was cut off is no answer.
    """
    response = parse(completion, prefilled=prefilled) if isinstance(completion, str) else completion
    if response.truncated or (response.reasoning is not None and response.answer is None):
        return None
    labelled = unlabelled = None
    for label, code in _fenced(response.visible):
        if label in _LANGUAGES:
            labelled = (code,)
        elif not label:
            unlabelled = (code,)
    found = labelled or unlabelled
    return found[0] if found and found[0] and found[0].strip() else None


def _fenced(text: str) -> Iterable[tuple[str, str | None]]:
    """Label and content of each fenced block; the content of one that is never closed is None."""
    mark, label, indent, lines = "", "", 0, list[str]()
    for line in text.replace("\r\n", "\n").split("\n"):
        body = line.strip()
        if not mark:
            run = len(body) - len(body.lstrip(body[:1])) if body[:1] in ("`", "~") else 0
            if run >= 3 and "`" not in body[run:]:
                mark, indent, lines = body[:run], len(line) - len(line.lstrip()), []
                label = (body[run:].split() or [""])[0].lower().strip("{}.")
        elif len(body) >= len(mark) and not body.strip(mark[0]) and len(line) - len(line.lstrip()) <= indent + 3:
            yield label, "\n".join([*lines, ""])
            mark = ""
        else:
            lines.append(line[indent:] if not line[:indent].strip() else line)
    if mark:
        yield label, None


def verify_code(
    code: str,
    tests: Any,
    limits: Limits | None = None,
    *,
    sandbox: Sandbox | None = None,
    unsafe_exec: bool = False,
    tolerance: float | None = None,
    run_all: bool = False,
) -> CodeVerdict:
    """Run `code` on every test, each in a process of its own; stops at the first failure unless `run_all`.

    Printed text must equal the expected text but for white space at the ends of lines and empty lines at the end. A
    function's value must equal the expected one: a tuple may stand for a list, True for no number; floats may differ
    by 1e-9, relative or absolute. `tolerance` is another one for floats, and applies to numbers in printed text too.
    Raises DataError for broken tests and SandboxError where no sandbox works.
    """
    cases = tests if _is_parsed(tests) else parse_tests(tests)
    results: list[Result] = []
    with Session(sandbox or check_sandbox(unsafe_exec=unsafe_exec), code, limits) as session:
        for case in cases:
            results.append(_judge(session, case, tolerance))
            if results[-1].verdict is Verdict.SANDBOX_FAILURE or (not run_all and not _is_ok(results[-1])):
                break
    failures = [(index, result) for index, result in enumerate(results) if not _is_ok(result)]
    passed = len(results) - len(failures)
    if not failures:
        return CodeVerdict(Verdict.OK, passed, len(cases), tuple(results))
    broken = [failure for failure in failures if failure[1].verdict is Verdict.SANDBOX_FAILURE]
    index, first = (broken or failures)[0]
    return CodeVerdict(first.verdict, passed, len(cases), tuple(results), f"test {index}: {first.detail}")


def verify_codes(
    programs: Sequence[str], tests: Sequence[Any], limits: Limits | None = None, *, workers: int = 0, **options: Any
) -> list[CodeVerdict]:
    """`verify_code` for many programs, several at a time: `workers`, by default this process's share of the cores."""
    options["sandbox"] = options.get("sandbox") or check_sandbox(unsafe_exec=options.get("unsafe_exec", False))

    def one(pair: tuple[str, Any]) -> CodeVerdict:
        return verify_code(pair[0], pair[1], limits, **options)

    with ThreadPoolExecutor(workers or default_workers()) as pool:
        try:
            return list(pool.map(one, zip(programs, tests, strict=True)))
        except BaseException:  # one broken test, or Ctrl-C: do not start the rest
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def default_workers() -> int:
    """Cores of this process, shared with the other training processes of the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, int(os.environ.get("LOCAL_WORLD_SIZE") or 1)))


def _is_parsed(tests: Any) -> bool:
    return isinstance(tests, list) and bool(tests) and isinstance(tests[0], (StdioCase, CallCase))


def _is_ok(result: Result) -> bool:
    return result.verdict is Verdict.OK


def _judge(session: Session, case: Case, tolerance: float | None) -> Result:
    if isinstance(case, StdioCase):
        result = session.run(case.stdin, output=2 * len(case.stdout) + MIB)
        right = _is_ok(result) and same_text(result.stdout, case.stdout, tolerance)
        return _judged(result, right, f"printed {shown(result.stdout)}, expected {shown(case.stdout)}")
    result = session.call(case.function, case.arguments, case.keywords, output=_room(case.accepted))
    allowed = FLOAT_TOLERANCE if tolerance is None else tolerance
    right = _is_ok(result) and any(same_value(result.value, accepted, allowed) for accepted in case.accepted)
    return _judged(result, right, f"returned {shown(result.value)}, expected {shown(case.accepted[0])}")


def _room(accepted: tuple[Any, ...]) -> int:
    try:
        return 2 * len(encode(accepted)) + MIB
    except CodecError:
        return MIB


def _judged(result: Result, right: bool, what: str) -> Result:
    result = dataclasses.replace(result, stdout=result.stdout[:_KEPT], stderr=result.stderr[-_KEPT:])
    if right or not _is_ok(result):
        return result
    return dataclasses.replace(result, verdict=Verdict.WRONG, detail=what)


def same_text(printed: str, expected: str, tolerance: float | None = None) -> bool:
    """Equal but for white space at line ends and empty lines at the end; with `tolerance`, numbers only nearly so."""
    found, wanted = _lines(printed), _lines(expected)
    if found == wanted or tolerance is None or len(found) != len(wanted):
        return found == wanted
    return all(_same_line(*pair, tolerance) for pair in zip(found, wanted, strict=True))


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_line(found: str, wanted: str, tolerance: float) -> bool:
    pairs = found.split(), wanted.split()
    return len(pairs[0]) == len(pairs[1]) and all(
        first == second or _near(_number(first), _number(second), tolerance)
        for first, second in zip(*pairs, strict=True)
    )


def _number(word: str) -> float | None:
    try:
        return float(word) if word.isascii() and "_" not in word else None
    except ValueError:
        return None


def _near(first: float | None, second: float | None, tolerance: float) -> bool:
    if first is None or second is None:
        return False
    try:
        return math.isclose(first, second, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # an integer beyond every float
        return False


def same_value(value: Any, expected: Any, tolerance: float = FLOAT_TOLERANCE) -> bool:
    """Compare plain data by type and content: True is not 1, "1" is not 1, a tuple is a list, NaN is NaN.

    Where `expected` has only text as keys, other keys are read as JSON would write them.
    """
    if isinstance(value, bool) or isinstance(expected, bool) or value is None or expected is None:
        return value is expected
    if isinstance(expected, (int, float)) and isinstance(value, (int, float)):
        if isinstance(expected, int) and isinstance(value, int):
            return value == expected
        return value == expected or (value != value and expected != expected) or _near(value, expected, tolerance)
    if isinstance(expected, complex) and isinstance(value, (complex, int, float)):
        return abs(value - expected) <= tolerance * max(1.0, abs(expected))
    if isinstance(expected, (list, tuple)) and isinstance(value, (list, tuple)):
        return len(value) == len(expected) and all(
            same_value(*pair, tolerance) for pair in zip(value, expected, strict=True)
        )
    if isinstance(expected, Mapping) and isinstance(value, dict):
        return _same_mapping(value, expected, tolerance)
    if isinstance(expected, (set, frozenset)):
        return isinstance(value, (set, frozenset)) and value == expected
    return type(value) is type(expected) and value == expected


def _same_mapping(value: dict[Any, Any], expected: Mapping[Any, Any], tolerance: float) -> bool:
    if len(value) != len(expected):
        return False
    if all(isinstance(key, str) for key in expected):
        value = {_json_key(key): item for key, item in value.items()}
    return value.keys() == expected.keys() and all(
        same_value(item, expected[key], tolerance) for key, item in value.items()
    )


def _json_key(key: Any) -> Any:
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, float) or (isinstance(key, int) and key.bit_length() < 1000):
        return repr(key)
    return key
