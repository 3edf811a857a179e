"""The sandbox in figures: start time, runs a second, attacks contained, the parent's memory meanwhile.

    python benchmarks/sandbox.py [--runs 100] [--workers 2]

Prints the table of docs/sandbox.md for every backend that works here.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sandbox_attacks import ATTACKS  # noqa: E402
from sandbox_target import MIB, Target, peak_memory, reset_peak_memory  # noqa: E402

from r1hf.sandbox import Sandbox, SandboxError, Session, check_sandbox, run_code  # noqa: E402
from r1hf.sandbox.backends import ORDER  # noqa: E402
from r1hf.verify.code import verify_code  # noqa: E402

COLUMNS = (
    *("sandbox", "a run, median", "p95", "a further case", "of a function", "with numpy: a run", "a further case"),
    *("runs/s", "attacks contained", "parent's memory"),
)


def milliseconds(action: Callable[[], object], runs: int) -> list[float]:
    """Sorted wall times of `runs` calls, after three to warm up."""
    times = []
    for _ in range(runs + 3):
        start = time.perf_counter()
        action()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times[3:])


def interpreter(sandbox: Sandbox) -> list[str]:
    """A bare interpreter: the floor of every figure."""
    return [sandbox.runtime.executable, "-I", "-S", "-c", "pass"]


def throughput(sandbox: Sandbox, runs: int, workers: int) -> float:
    """Whole runs a second, `workers` at a time."""
    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda _: run_code("pass", sandbox=sandbox), range(runs)))
    return runs / (time.perf_counter() - start)


def attacks(sandbox: Sandbox) -> tuple[int, int]:
    """How many attacks are contained, and by how many bytes this process grew at most."""
    contained = 0
    with Target() as target:
        before = reset_peak_memory()
        for attack in ATTACKS:
            verdict = verify_code(target.program(attack), list(attack.tests), attack.limits, sandbox=sandbox)
            if verdict.verdict in attack.verdicts and not target.damage():
                contained += 1
            else:
                print(f"{sandbox.backend}: {attack.name}: {verdict.verdict}, {verdict.detail} {target.damage()}")
        return contained, peak_memory() - before


def row(sandbox: Sandbox, runs: int, workers: int) -> list[str]:
    """One line of the table."""
    whole = milliseconds(lambda: run_code("pass", sandbox=sandbox), runs)
    numpy = milliseconds(lambda: run_code("import numpy", sandbox=sandbox), runs)
    further = []
    for code in ("pass", "def f(): return 1", "import numpy"):
        with Session(sandbox, code) as session:
            action = partial(session.call, "f") if code.startswith("def") else session.run
            further.append(statistics.median(milliseconds(action, runs)))
    contained, grown = attacks(sandbox)
    return [
        f"`{sandbox.backend}`",
        f"{statistics.median(whole):.1f} ms",
        f"{whole[int(0.95 * len(whole))]:.1f} ms",
        f"{further[0]:.1f} ms",
        f"{further[1]:.1f} ms",
        f"{statistics.median(numpy):.1f} ms",
        f"{further[2]:.1f} ms",
        f"{throughput(sandbox, runs, workers):.0f}",
        f"{contained} of {len(ATTACKS)}",
        f"+{grown / MIB:.1f} MiB",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rows, notes = [], []
    for backend in ORDER:
        try:
            rows.append(row(check_sandbox(backend), options.runs, options.workers))
        except SandboxError as error:
            notes.append(str(error).splitlines()[1].strip(" -"))
    command = interpreter(check_sandbox("none", unsafe_exec=True))
    bare = milliseconds(lambda: subprocess.run(command, check=True, stdin=subprocess.DEVNULL), options.runs)
    floor = [f"{statistics.median(bare):.1f} ms", f"{bare[int(0.95 * len(bare))]:.1f} ms"]
    rows.append(["an interpreter alone", *floor, *["–"] * (len(COLUMNS) - 3)])
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---" * len(COLUMNS) + "|")
    print("\n".join("| " + " | ".join(cells) + " |" for cells in rows))
    print("\n".join(notes))


if __name__ == "__main__":
    main()
