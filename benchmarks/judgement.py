"""The small inputs made after public reports (tests/fixtures/judgement_*.jsonl): how many are judged as they should.

    python benchmarks/judgement.py

Each kind is judged by the test that holds it. Exit status 1 if one is not.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1] / "tests"
HELD_BY = {  # kind -> the test that goes through its file
    "math": "test_judgement_math.py::test_verdict",
    "language": "test_language_notation.py::test_labelled_cases",
    "format": "test_judgement_format.py::test_it_is_judged_as_people_would",
    "code": "test_code_verify.py::test_reported_cases",
}


class Counter:
    """Counts what passed and what did not; a pytest plugin."""

    def __init__(self) -> None:
        self.passed = 0
        self.others: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed += 1
        elif not report.passed and (report.when == "call" or report.outcome != "passed"):
            self.others.append(report.nodeid)


def main() -> int:
    print("| kind | right | of |\n|---|---|---|")
    others: list[str] = []
    for kind, test in HELD_BY.items():
        counter = Counter()
        lines = (TESTS / "fixtures" / f"judgement_{kind}.jsonl").read_text(encoding="utf-8").splitlines()
        with contextlib.redirect_stdout(io.StringIO()):
            pytest.main(["-q", "-p", "no:cacheprovider", str(TESTS / test)], plugins=[counter])
        others += counter.others + ["too few tests"] * (counter.passed + len(counter.others) != len(lines))
        print(f"| {kind} | {counter.passed} | {len(lines)} |")
    for name in others:
        print("not as it should be:", name)
    return int(bool(others))


if __name__ == "__main__":
    sys.exit(main())
