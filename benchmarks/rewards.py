"""All benchmarks of the rewards in one run, as a page: labelled cases, maths, language, sandbox.

    python benchmarks/rewards.py --data DIR > docs/rewards-benchmark.md

DIR holds math500.jsonl and gsm8k_model_solutions.jsonl. Takes about four minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECTIONS = {"Cases": "judgement.py", "Maths": "verify_math.py", "Language": "language.py", "Sandbox": "sandbox.py"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the labelled solutions")
    data = parser.parse_args().data
    print("# Benchmark of the rewards\n")
    print(f"One run of `benchmarks/rewards.py`: {os.cpu_count()} cores, Python {platform.python_version()}.")
    status = 0
    for title, script in SECTIONS.items():
        words = ["--data", str(data)] if script == "verify_math.py" else []
        print(f"\n{title}: running", file=sys.stderr)
        done = subprocess.run([sys.executable, str(HERE / script), *words], stdout=subprocess.PIPE, text=True)
        print(f"\n## {title}\n\n{done.stdout.strip()}")
        status = status or done.returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
