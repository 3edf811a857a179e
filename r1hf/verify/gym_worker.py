"""The child process that runs reasoning-gym's scorers: `python -m r1hf.verify.gym_worker PARENT_PID`.

A line in: {"dataset": name, "config": {…}, "entry": {…}, "answer": text, "seconds": s}. A line out: {"score": x}, or
{"fault": text} where the scorer itself failed, or {"unknown": text} for a data set or configuration there is not.

Some scorers hand the answer to `eval`, and others to sympy, which does. Here `eval` reads literals and sums, sympy
gets nothing but arithmetic and known functions, and each answer is scored in a fork of its own, under a time limit
that no code can hold up and a memory limit.
"""

from __future__ import annotations

import ast
import json
import os
import select
import signal
import sys
from typing import Any

from r1hf.verify.gym import untagged

MEMORY_BYTES = 4 << 30
CPU_SECONDS = 60
PARENT_CHECK_SECONDS = 0.5
MAX_DIGITS = 400  # of a number that sympy gets to see

_HEADS = frozenset("Integer Float Rational Symbol".split())
_FUNCTIONS = frozenset(
    "Abs E I acos acosh acot asin asinh atan atanh ceiling cos cosh cot coth csc exp factorial floor ln log oo pi root"
    " sec sign sin sinh sqrt tan tanh".split()
)
_OPERATIONS = (
    *(ast.Expression, ast.Load, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
    *(ast.UnaryOp, ast.UAdd, ast.USub, ast.Constant),
)
_ARITHMETIC = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Constant)


class UnsafeAnswer(ValueError):
    """An answer that is more than a literal or arithmetic."""


def safe_eval(text: Any, *_: Any) -> Any:
    """What `eval` is to reasoning-gym: a literal, or arithmetic on numbers (its bitwise tasks need that)."""
    try:
        return ast.literal_eval(text)
    except ValueError:
        tree = ast.parse(text.strip(), mode="eval")
    if not all(isinstance(node, _ARITHMETIC) for node in ast.walk(tree)):
        raise UnsafeAnswer("more than a literal or arithmetic")
    return eval(compile(tree, "answer", "eval"), {"__builtins__": {}})


def check_sympy_code(code: str, names: Any = ()) -> None:
    """Raises UnsafeAnswer unless what sympy made of an answer is arithmetic over numbers, symbols and functions."""
    for node in ast.walk(ast.parse(code.strip(), mode="eval")):
        if isinstance(node, ast.Call):
            fine = isinstance(node.func, ast.Name) and not node.keywords
        elif isinstance(node, ast.Name):
            fine = node.id in _HEADS or node.id in _FUNCTIONS or node.id in names
        elif isinstance(node, ast.Constant):
            fine = not isinstance(node.value, bytes) and len(str(node.value)) <= MAX_DIGITS
        else:
            fine = isinstance(node, _OPERATIONS)
        if not fine:
            raise UnsafeAnswer(f"{type(node).__name__} in an answer")


def main() -> None:
    parent = int(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    questions, answers = os.fdopen(0, "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)  # whatever prints must not answer
    _load()
    answers.write(b"ready\n")
    buffer = b""
    while os.getppid() == parent:
        ready, _, _ = select.select([questions], [], [], PARENT_CHECK_SECONDS)
        if not ready:
            continue
        piece = questions.read(1 << 16)
        if not piece:
            return
        buffer += piece
        while b"\n" in buffer:
            line, _, buffer = buffer.partition(b"\n")
            answers.write(json.dumps(_answer(json.loads(line))).encode() + b"\n")


def _load() -> None:
    import reasoning_gym
    from sympy.parsing import sympy_parser

    def safe_eval_expr(code: str, local_dict: Any, global_dict: Any) -> Any:
        check_sympy_code(code, local_dict)
        return evaluate(code, local_dict, global_dict)

    evaluate = sympy_parser.eval_expr
    sympy_parser.eval_expr = safe_eval_expr
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == reasoning_gym.__name__:
            module.__dict__.setdefault("eval", safe_eval)


_scorers: dict[str, Any] = {}


def _scorer(name: str, config: dict[str, Any]) -> Any:
    """The data set whose scorer is asked; made once."""
    key = json.dumps([name, config], sort_keys=True)
    if key not in _scorers:
        import reasoning_gym

        _scorers[key] = reasoning_gym.create_dataset(name, **config)
    return _scorers[key]


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    try:
        dataset = _scorer(question["dataset"], untagged(question["config"]))
    except Exception as error:
        return {"unknown": f"{type(error).__name__}: {error}"}
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _score(dataset, question, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read()
    _, status = os.waitpid(child, 0)
    if not text:
        # Stopped by a limit, which is the answer's doing: the scorer judges honest answers in milliseconds.
        return {"score": 0.0, "stopped": os.waitstatus_to_exitcode(status)}
    return json.loads(text)


def _score(dataset: Any, question: dict[str, Any], writer: int) -> None:
    """In the fork. Never returns."""
    try:
        signal.setitimer(signal.ITIMER_REAL, question["seconds"])
        _limit()
        try:
            score = float(dataset.score_answer(question["answer"], untagged(question["entry"])))
            verdict: dict[str, Any] = {"score": score}
        except Exception as error:
            verdict = {"fault": f"{type(error).__name__}: {error}"[:300]}
        os.write(writer, json.dumps(verdict).encode())
    finally:
        os._exit(0)


def _limit() -> None:
    import resource

    limits = {"AS": MEMORY_BYTES, "CPU": CPU_SECONDS, "CORE": 0, "FSIZE": 0}
    for name, value in limits.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        except (ValueError, OSError):
            pass  # not on this system; the limit of time stays


if __name__ == "__main__":
    main()
