"""Push of a 1 GB model against bare `upload_folder`, on a Hub of this machine: time, repetition, peak memory.

    python benchmarks/push.py [--megabytes 1000] [--rounds 3]

Each push is a process of its own, as for a user, in turns, to a repository of its own; the Hub is a process too. The
files come from the page cache, so the disk's speed is out of it. The table prints the median of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

BARE = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo(sys.argv[2], private=True)
api.upload_folder(repo_id=sys.argv[2], folder_path=sys.argv[1])
"""
TOKEN = "hf_" + "Benchmark" * 3


def make_run(run: Path, megabytes: int) -> None:
    """A model of that size with manifest and evaluation; its weights are random bytes, which no transfer shrinks."""
    from hub_run import evaluate, finish

    base = run / "base"
    (base / "data").mkdir(parents=True)
    for name in ("config", "generation_config", "tokenizer", "tokenizer_config"):
        (base / f"{name}.json").write_text("{}")
    (base / "data/held_out.jsonl").write_text(json.dumps({"question": "What is 2 + 3 * 4?"}) + "\n")
    shards = 4
    for shard in range(1, shards + 1):
        size = megabytes * 10**6 // shards
        header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
        with (base / f"model-{shard:05d}-of-{shards:05d}.safetensors").open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            while size:
                size -= file.write(os.urandom(min(size, 1 << 24)))
    finish(base, "base", {}, {}, max_steps=1)
    evaluate(run, {"base": base})


# A process counts in its peak what the one that forked it held, so a small one stands between.
WATCH = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([time.perf_counter() - started, usage.ru_maxrss, usage.ru_utime + usage.ru_stime]))
sys.exit(1 if status else 0)
"""


def timed(command: list[str], env: dict[str, str]) -> tuple[float, float, float]:
    """(seconds, peak MiB, processor seconds) of one process. The last hardly depends on what else runs here."""
    done = subprocess.run([sys.executable, "-c", WATCH, *command], env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, peak, processor = json.loads(done.stdout)
    return seconds, peak / (2**20 if sys.platform == "darwin" else 2**10), processor


@contextlib.contextmanager
def fresh_hub(root: Path) -> Iterator[dict[str, str]]:
    """An empty Hub in a process of its own; gives the environment that leads to it."""
    os.sync()  # the disk still writes what the last one received
    command = [sys.executable, "-m", "scripts.hub_server", "--root", str(root), "--port", "0", "--token", TOKEN]
    hub = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert hub.stdout is not None
    url = hub.stdout.readline().split()[2].rstrip(",")
    env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    env |= {"HF_ENDPOINT": url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT)}
    try:
        yield env | {"HF_HOME": str(root / "home")}
    finally:
        hub.terminate()
        hub.wait()
        shutil.rmtree(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_run(place / "run", options.megabytes)
        base = str(place / "run/base")
        rows: dict[str, list[tuple[float, float, float]]] = {"upload_folder": [], "r1hf push": [], "again": []}
        push = [sys.executable, str(ROOT / "recipes/push.py"), base, "--repo", "me/pushed"]
        bare = [sys.executable, "-c", BARE, base, "me/bare"]
        for number in range(options.rounds):
            sides = [("r1hf push", push), ("upload_folder", bare)]
            for name, command in sides if number % 2 else reversed(sides):
                # A Hub does not take the same objects twice, so each push has its own.
                with fresh_hub(place / "hub") as env:
                    rows[name].append(timed(command, env))
                    if name == "r1hf push":
                        rows["again"].append(timed(command, env))
    print(f"{options.megabytes} MB, {options.rounds} rounds, median")
    print(f"{'':16}{'seconds':>9}{'peak MiB':>10}{'processor s':>13}")
    for name, values in rows.items():
        seconds, memory, processor = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{name:16}{seconds:9.2f}{memory:10.0f}{processor:13.2f}")
    for place, what in ((0, "time"), (2, "processor time")):
        pairs = zip(rows["r1hf push"], rows["upload_folder"], strict=True)
        ratios = [mine[place] / bare[place] for mine, bare in pairs]
        rounds = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"push / upload_folder, {what}: {statistics.median(ratios):.3f}  (rounds: {rounds})")


if __name__ == "__main__":
    main()
