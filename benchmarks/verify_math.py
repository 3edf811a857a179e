"""Accuracy, speed and safety of `verify_math` beside TRL's `accuracy_reward`, in one run.

    python benchmarks/verify_math.py --data DIR [--json FILE]

DIR holds `math500.jsonl` (problem, solution, answer), `gsm8k_model_solutions.jsonl` (solution, gold, is_correct); the
labelled pairs and the hostile texts are those of `tests/`. What is missing is named and left out. Exit status 1 if a
number falls short of its goal.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from r1hf.rewards import accuracy_reward  # noqa: E402
from r1hf.verify import answers as answers_module  # noqa: E402
from r1hf.verify import evaluate, final_answer, math, numeric, pool, verify_math  # noqa: E402

Row = dict[str, Any]
Result = tuple[str, str, str, bool]  # what, found, goal, reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with math500.jsonl and the GSM8K solutions")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds; the best counts, for both sides")
    parser.add_argument("--json", type=Path, help="also write the results here")
    options = parser.parse_args()
    results: list[Result] = labelled()
    if (rows := read(options.data, "gsm8k_model_solutions.jsonl")) is not None:
        results += gsm8k(rows)
    if (rows := read(options.data, "math500.jsonl")) is not None:
        results += math500(rows, options.rounds)
    results += [*trivial(), *hostile()]
    pool.close_workers()
    print("\n| what | found | goal | |\n|---|---|---|---|")
    for what, found, goal, reached in results:
        print(f"| {what} | {found} | {goal} | {'' if not goal else 'yes' if reached else '**no**'} |")
    if options.json:
        options.json.write_text(
            json.dumps([dict(zip(("what", "found", "goal", "reached"), r, strict=True)) for r in results])
        )
    return 0 if all(reached for *_, reached in results) else 1


def read(folder: Path, name: str) -> list[Row] | None:
    path = folder / name
    if not path.is_file():
        print(f"{path} is not there: its rows are left out")
        return None
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def labelled() -> list[Result]:
    groups = read(TESTS / "fixtures", "math_pairs.jsonl") or []
    pairs = [
        (a, g["gold"], label) for g in groups for label, side in ((True, "right"), (False, "wrong")) for a in g[side]
    ]
    wrong = [(a, gold, label) for a, gold, label in pairs if verify_math(a, gold) is not label]
    for case in wrong:
        print("misjudged:", *case)
    unequal = sum(not label for *_, label in pairs)
    return [(f"labelled pairs ({unequal} unequal)", f"{len(pairs) - len(wrong)} of {len(pairs)}", "all", not wrong)]


def gsm8k(rows: list[Row]) -> list[Result]:
    judged = [verify_math(final_answer(row["solution"], fallback="last_number"), row["gold"]) for row in rows]
    other = [row for row, verdict in zip(rows, judged, strict=True) if verdict is not row["is_correct"]]
    for row in other:
        print("label differs:", row["id"], "gold", row["gold"], "label", row["is_correct"], row["solution"][-60:])
    return [
        ("GSM8K solutions, agreement with the label", f"{len(rows) - len(other)} of {len(rows)}", "all", not other)
    ]


def math500(rows: list[Row], rounds: int) -> list[Result]:
    from trl.rewards import accuracy_reward as trl_reward

    golds = [row["answer"] for row in rows]
    right = [message(row["solution"]) for row in rows]
    mixed = [right[(at + 7) % len(rows)] if at % 2 else right[at] for at in range(len(rows))]
    solutions = [f"${gold}$" for gold in golds]  # TRL reads LaTeX in dollars only
    found: list[Result] = []
    for name, completions in (("its own solutions", right), ("half of them another problem's", mixed)):
        own = best(lambda: accuracy_reward([""] * len(rows), completions, answer=golds), rounds)  # noqa: B023
        theirs = best(lambda: trl_reward(completions, solutions), rounds)  # noqa: B023
        ratio = theirs[0] / own[0]
        print(f"{name}: r1hf {rate(rows, own)}/s, TRL {rate(rows, theirs)}/s")
        if completions is right:
            ours = own[1].count(1.0)
            found.append(
                ("MATH-500 solutions, right by their own gold", f"{ours} of {len(rows)}", "all", ours == len(rows))
            )
            found.append(("the same, TRL", f"{theirs[1].count(1.0)} of {len(rows)}", "", True))
        else:
            same = sum(a == b for a, b in zip(own[1], theirs[1], strict=True))
            found.append((f"MATH-500, {name}: same verdict as TRL", f"{same} of {len(rows)}", "", True))
        speed = f"{rate(rows, own)}/s against {rate(rows, theirs)}/s, {ratio:.0f} times"
        found.append((f"MATH-500, {name}: speed", speed, "10 times", ratio >= 10))
    shifted = [(a, b) for a, b in zip(golds[1:], golds, strict=False) if verify_math(a, b) is True]
    beyond = [(a, b) for a, b in shifted if spelled(a) != spelled(b)]
    found.append(
        ("MATH-500, each answer by the gold before it: paid beyond coincidence", str(len(beyond)), "0", not beyond)
    )
    unjudged = accuracy_reward([""] * len(rows), mixed, answer=golds).count(None)
    return [*found, ("MATH-500, unjudged", f"{unjudged / len(rows):.1%}", "", True)]


def spelled(answer: str) -> str:
    """An answer without blanks and without the name before its sign: "x=5" and "5" coincide."""
    return "".join(answer.split()).rpartition("=")[2]


def message(solution: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": solution}]


def rate(rows: list[Row], timed: tuple[float, Any]) -> int:
    return round(len(rows) / timed[0])


def best(call: Callable[[], list[float | None]], rounds: int) -> tuple[float, list[float | None]]:
    """Least seconds of `rounds`, our caches emptied before each; one round before them imports what is lazy."""
    verdicts = call()
    seconds = []
    for _ in range(rounds):
        forget()
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds), verdicts


def forget() -> None:
    for cache in (
        *(math._judge_cached, answers_module.read, numeric._parse),
        *(evaluate.symbols, evaluate.largest_bits, evaluate._value_at),
    ):
        cache.cache_clear()


def trivial() -> list[Result]:
    found = []
    for name, prediction, gold in (("trivial", "14", "15"), ("cached", r"(x+1)^2\sqrt{3}", r"\sqrt{3}(x^2+2x+1)")):
        verify_math(prediction, gold)
        times = []
        for _ in range(2000):
            began = time.perf_counter()
            verify_math(prediction, gold)
            times.append(time.perf_counter() - began)
        spent = statistics.median(times) * 1e3
        found.append((f"one {name} answer", f"{spent:.4f} ms", "0.05 ms", spent <= 0.05))
    return found


def hostile() -> list[Result]:
    from hostile import HOSTILE

    limit = pool.WALL_SECONDS + 2
    verify_math(r"\prod_{k=1}^{n} k", r"\sum_{k=1}^{n} k")  # a worker is there before the clock starts

    def judge(text: str) -> float:
        began = time.perf_counter()
        verify_math(text, r"\sqrt{2}")
        verify_math(text, "14")
        return time.perf_counter() - began

    def judge_gold(text: str) -> float:
        began = time.perf_counter()
        verify_math("2x + 1", text)
        return time.perf_counter() - began

    texts = list(HOSTILE.values())
    times: dict[str, list[float]] = {"main thread": [judge(text) for text in texts]}
    times["as gold"] = [judge_gold(text) for text in texts]
    pool.close_workers()
    forget()
    thread = threading.Thread(target=lambda: times.update({"worker thread": [judge(text) for text in texts]}))
    thread.start()
    thread.join()
    pool.close_workers()
    forget()
    began = time.perf_counter()
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(judge, texts))
    together = time.perf_counter() - began
    slowest = [
        (f"{len(texts)} hostile texts, {name}: slowest", f"{max(spent):.2f} s", f"{limit:.0f} s", max(spent) < limit)
        for name, spent in times.items()
    ]
    pool.close_workers()
    left = workers_left()
    return [
        *slowest,
        (f"{len(texts)} hostile texts, 16 at once: all", f"{together:.1f} s", "", True),
        ("processes left", str(left), "0", left == 0),
    ]


def workers_left() -> int:
    import psutil

    return sum(
        "r1hf.verify.worker" in " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)
    )


if __name__ == "__main__":
    sys.exit(main())
