"""Is a program right? It runs on hidden tests in the sandbox, and this process compares what comes out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from r1hf.sandbox import Limits, Result, Sandbox, Session, Verdict, check_sandbox
from r1hf.sandbox.inside.codec import foreign
from r1hf.sandbox.limits import MIB
from r1hf.text.grammar import Response, parse
from r1hf.verify.code_cases import CallCase, Case, StdioCase, check_room, count_values, parse_tests
from r1hf.verify.code_compare import TOLERANCE, checked_tolerance, has_decimals, same_text, same_value
from r1hf.verify.code_layouts import shown

_LANGUAGES = frozenset({"python", "python3", "py", "py3"})
_KEPT = 2000  # characters of a run's output that a verdict keeps
_SPARE = 10_000  # values that are read beyond what can be right, so that they can be shown


@dataclass(frozen=True)
class CodeVerdict:
    """What the tests say: `verdict` is that of the first case that did not pass.

    `passed` counts cases of `total`; those after a stop are not run and do not pass. `idle` of them passed where
    nothing is expected, as a program that does nothing would. `results` are the runs.
    """

    verdict: Verdict
    passed: int
    total: int
    results: tuple[Result, ...] = ()
    detail: str = ""
    idle: int = 0

    @property
    def score(self) -> float | None:
        """1.0 if every test passed, 0.0 if one did not, None if the sandbox failed."""
        return None if self.verdict is Verdict.SANDBOX_FAILURE else float(self.verdict is Verdict.OK)

    @property
    def fraction(self) -> float | None:
        """The share of tests that passed, but for idle ones, which earn nothing; None if the sandbox failed."""
        if self.verdict is Verdict.SANDBOX_FAILURE:
            return None
        return (self.passed - self.idle) / (self.total - self.idle)


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

    `code_compare` says what is right: text and integers exactly, decimals within `tolerance` (1e-6), absolute or
    relative. Where functional tests name no function, the only one that `code` defines is called.
    Raises DataError for tests that cannot be read or judge nothing, ConfigError for a `tolerance` that is none, and
    SandboxError where no sandbox works.
    """
    tolerance = checked_tolerance(tolerance)
    cases = tests if _is_parsed(tests) else parse_tests(tests, {"starter_code": code})
    limits = limits or Limits()
    check_room(cases, limits)
    reals = tolerance is not None or any(has_decimals(case.stdout) for case in cases if isinstance(case, StdioCase))
    results: list[Result] = []
    with Session(sandbox or check_sandbox(unsafe_exec=unsafe_exec), code, limits) as session:
        for case in cases:
            results.append(_judge(session, case, TOLERANCE if tolerance is None else tolerance, reals))
            if results[-1].verdict is Verdict.SANDBOX_FAILURE or (not run_all and not _is_ok(results[-1])):
                break
    return _summary(cases, results)


def _summary(cases: Sequence[Case], results: Sequence[Result]) -> CodeVerdict:
    failures = [(index, result) for index, result in enumerate(results) if not _is_ok(result)]
    passed = len(results) - len(failures)
    idle = sum(case.is_empty and _is_ok(result) for case, result in zip(cases, results, strict=False))
    if not failures:
        return CodeVerdict(Verdict.OK, passed, len(cases), tuple(results), "", idle)
    broken = [failure for failure in failures if failure[1].verdict is Verdict.SANDBOX_FAILURE]
    index, first = (broken or failures)[0]
    return CodeVerdict(first.verdict, passed, len(cases), tuple(results), f"test {index}: {first.detail}", idle)


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


def _judge(session: Session, case: Case, tolerance: float, reals: bool) -> Result:
    """`most` and what `foreign` may read depend on what is expected, so they are kept in this process."""
    most = 2 * case.size + MIB
    if isinstance(case, StdioCase):
        result = session.run(case.stdin, most=most)
        right = _is_ok(result) and same_text(result.stdout, case.stdout, tolerance, reals=reals)
        return _judged(result, right, f"printed {shown(result.stdout)}, expected {shown(case.stdout)}")
    read = partial(foreign, most=_SPARE + max(map(count_values, case.accepted)))
    result = session.call(case.function, case.arguments, case.keywords, most=most, read=read)
    right = _is_ok(result) and any(same_value(result.value, accepted, tolerance) for accepted in case.accepted)
    return _judged(result, right, f"returned {shown(result.value)}, expected {shown(case.accepted[0])}")


def _judged(result: Result, right: bool, what: str) -> Result:
    result = dataclasses.replace(result, stdout=result.stdout[:_KEPT], stderr=result.stderr[-_KEPT:])
    if right or not _is_ok(result):
        return result
    return dataclasses.replace(result, verdict=Verdict.WRONG, detail=what)
