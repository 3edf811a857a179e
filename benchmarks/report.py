"""How large a report is, and how fast in a real browser: one run of 10,000 rollouts, one table.

  python benchmarks/report.py

Makes a run of 50 steps of 25 groups of 8 completions, writes its page with `r1hf report`, and opens it in headless
Chromium: time until everything is unpacked and listed, time of each filter, and every request that the page makes.
Needs the extras dev and app, and Chromium.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1hf.commands.main import main as r1hf

ROOT = Path(__file__).resolve().parent.parent
STEPS, GROUPS, SIZE = 50, 25, 8
FILTERS = {
    "text": ("r-text", "wait"),
    "text, rare": ("r-text", "9173"),
    "verdict": ("r-verdict", "wrong"),
    "language": ("r-language", "en"),
    "steps": ("r-step-low", "40"),
    "reward": ("r-reward-low", "1"),
    "length": ("r-length-low", "300"),
    "order": ("r-sort", "length down"),
}
# From the event until the frame after it has been painted.
TIMED = """([id, value]) => new Promise((done) => {
  const field = document.getElementById(id);
  const start = performance.now();
  field.value = value;
  field.dispatchEvent(new Event("input"));
  const worked = performance.now() - start;
  requestAnimationFrame(() => setTimeout(() => done([worked, performance.now() - start]), 0));
})"""


def completion(draw: random.Random, words: list[str], length: int) -> str:
    """Words of r1hf's own prose in no order, and numbers: harder to compress than what a model writes."""
    said = [draw.choice(words) if draw.random() < 0.8 else str(draw.randint(2, 9999)) for _ in range(length)]
    return f"<think>{' '.join(said)}</think> <answer>{draw.randint(2, 99)}</answer>"


def write_run(folder: Path, length: int) -> Path:
    """TRL's log_completions of STEPS steps, and nothing else."""
    draw = random.Random(1)
    words = (ROOT / "docs" / "training.md").read_text(encoding="utf-8").split() + ["wait"] * 100
    (folder / "completions").mkdir(parents=True)
    for step in range(1, STEPS + 1):
        rows: dict[str, list[Any]] = {name: [] for name in ("step", "prompt", "completion", "accuracy", "format")}
        for group in range(GROUPS):
            for _ in range(SIZE):
                rows["step"].append(step)
                rows["prompt"].append(f"What is {step} + {group} * {step * group}?")
                rows["completion"].append(completion(draw, words, draw.randint(length // 2, length * 3 // 2)))
                rows["accuracy"].append(float(draw.random() < step / STEPS))
                rows["format"].append(1.0)
        pq.write_table(pa.table(rows), folder / "completions" / f"completions_{step:05d}.parquet")
    return folder


def measure(browser: Any, path: Path) -> dict[str, float]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    start = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready && document.querySelector('#r-list .row')")
    found = {"open": 1000 * (time.perf_counter() - start)}
    for name, (field, value) in FILTERS.items():
        found[name] = max(page.evaluate(TIMED, [field, value])[1] for _ in range(3))
        page.click("#r-clear")
    assert [url for url in asked if not url.startswith(path.as_uri())] == [], asked
    page.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, nargs="*", default=[20, 80, 300], help="words of a completion")
    parser.add_argument("--opens", type=int, default=5)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    print("| words | page, MB | written, s | open, ms | slowest filter, ms | which |\n|--:|--:|--:|--:|--:|---|")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for words in options.words:
            run = write_run(Path(name) / f"run{words}", words)
            start = time.perf_counter()
            r1hf(["report", str(run)])
            written = time.perf_counter() - start
            rounds = [measure(browser, run / "report.html") for _ in range(options.opens)]
            middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
            slowest = max((value, key) for key, value in middle.items() if key != "open")
            size = (run / "report.html").stat().st_size / 1e6
            print(f"| {words} | {size:.2f} | {written:.1f} | {middle['open']:.0f} | {slowest[0]:.0f} | {slowest[1]} |")
        browser.close()


if __name__ == "__main__":
    main()
