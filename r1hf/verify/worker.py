"""The child process that runs math-verify: `python -m r1hf.verify.worker PARENT_PID`, one question a line.

In: {"gold": text, "prediction": text, "cpu": seconds, "wall": seconds}. Out: "gold" once the gold alone was read and
evaluated in time, then "true" or "false"; "unread" if the gold has no reading; "killed" in place of what is missing.

Two processes: one that has imported sympy and waits, and its fork that answers. A question over its budget ends the
fork by SIGPROF or SIGALRM, which no C code holds up, and the next fork is there in milliseconds. Both end when their
parent does, whoever else holds the pipe.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import sys
import time
from typing import Any

MEMORY_BYTES = 2 << 30
PARENT_CHECK_SECONDS = 0.3
_POLL_SECONDS = 0.02
_WARM_UP = ((r"\sum_{k=1}^{n} k", r"\frac{n(n+1)}{2}"), (r"\lfloor x \rfloor", r"\sqrt{2}"), (r"x \in [0,1)", "y=2x"))


def main() -> None:
    parent = int(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    logging.disable(logging.CRITICAL)
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever prints must not answer
    for gold, prediction in _WARM_UP:
        _equal(_readings(gold), _readings(prediction))
    os.write(answers, b"ready\n")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while True:
        waiting = os.getpid()
        child = os.fork()
        if not child:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            _serve(waiting, answers)
            os._exit(0)
        if _wait(child, parent) == 0:
            return
        os.write(answers, b"killed\n")


def _wait(child: int, parent: int) -> int:
    """The exit status of `child`, which ends with `parent`."""
    while True:
        if hasattr(signal, "sigtimedwait"):
            signal.sigtimedwait([signal.SIGCHLD], PARENT_CHECK_SECONDS)
        else:  # macOS
            time.sleep(_POLL_SECONDS)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if os.getppid() != parent:
            os.kill(child, signal.SIGKILL)
            os._exit(0)


def _serve(parent: int, answers: int) -> None:
    """Answers until the questions end, or the parent."""
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], PARENT_CHECK_SECONDS)
        if os.getppid() != parent:
            return
        if ready:
            piece = os.read(0, 1 << 16)
            if not piece:
                return
            buffer += piece
            while b"\n" in buffer:
                line, _, buffer = buffer.partition(b"\n")
                _answer(json.loads(line), answers)


def _answer(question: dict[str, Any], answers: int) -> None:
    signal.setitimer(signal.ITIMER_PROF, question["cpu"])
    signal.setitimer(signal.ITIMER_REAL, question["wall"])
    try:
        gold = _readings(question["gold"])
        if not gold:
            os.write(answers, b"unread\n")
            return
        # A gold that cannot be compared with a plain number in time judges nobody.
        _equal(gold, _readings("0.5772"))
        os.write(answers, b"gold\n")
        prediction = _readings(question["prediction"])
        # Both ways round: math-verify's comparison is not symmetric.
        same = bool(prediction) and (_equal(gold, prediction) or _equal(prediction, gold))
        os.write(answers, b"true\n" if same else b"false\n")
    except (MemoryError, RecursionError):
        os._exit(1)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _readings(text: str) -> list[Any]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    targets = (LatexExtractionConfig(), ExprExtractionConfig())
    return list(parse(f"${text}$", targets, "no_fallback", parsing_timeout=None))


def _equal(gold: list[Any], prediction: list[Any]) -> bool:
    from math_verify import verify

    # math-verify rounds to 6 decimals by default, which makes 10^{-7} and 10^{-8} equal.
    return bool(verify(gold, prediction, float_rounding=15, numeric_precision=50, timeout_seconds=None))


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    except (ImportError, ValueError, OSError):
        pass  # no limits on this system; the budget of time stays


if __name__ == "__main__":
    main()
