"""A mixture of N rows of 1.7 kB cleaned and prepared for SFT: time, peak memory, what was found of what was planted.

python benchmarks/mixtures.py FOLDER [--rows 10000] --reference DATA     # 10k: a minute on one busy core

FOLDER is made, and holds the rows. They are drawn from sentences of solutions to GSM8K, with other numbers; 200 get a
question of MATH-500, which is decontaminated against, in their middle; 500 are copies of rows with two words of a
hundred changed.
The measuring process does what the SFT recipe does before its first step: read, check, turn into targets, count
tokens, drop leaks and near-duplicates, write the table; with --trl, also make the trainer, which tokenizes it.
Seconds are the processor's, of all threads.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

LEAKS, COPIES, SIZE = 200, 500, 1700
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument(
        "--reference", type=Path, default=Path("shared/data"), help="math500.jsonl and gsm8k_model_solutions.jsonl"
    )
    parser.add_argument("--trl", action="store_true", help="let TRL tokenize the rows too")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.folder, arguments.reference, arguments.trl)
        return
    planted = make(arguments.folder, arguments.rows, arguments.reference)
    words = [str(arguments.folder), "--reference", str(arguments.reference), "--measure"]
    words += ["--trl"] if arguments.trl else []
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    told(arguments.rows, planted, arguments.folder, json.loads(done.stdout.splitlines()[-1]))


def make(folder: Path, count: int, reference: Path) -> dict[str, list[int]]:
    """Writes data.jsonl; the numbers, from 1, of the rows with a planted fault."""
    folder.mkdir(parents=True, exist_ok=True)
    maths = [json.loads(line) for line in (reference / "math500.jsonl").open(encoding="utf-8")]
    school = [json.loads(line) for line in (reference / "gsm8k_model_solutions.jsonl").open(encoding="utf-8")]
    pool = [one for row in school for one in _SENTENCE.split(row["solution"]) if 20 < len(one) < 200]
    asked = [row["problem"] for row in maths if len(row["problem"].split()) >= 12]
    draw = random.Random(1)
    faults = draw.sample(range(count // 10, count), LEAKS + COPIES)
    leaks, copies = dict.fromkeys(faults[:LEAKS]), dict.fromkeys(faults[LEAKS:])
    sources: dict[int, str] = {number: "" for number in draw.sample(range(count // 10), min(COPIES, count // 10))}
    with (folder / "data.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(count):
            text = _text(draw, pool)
            if number in sources:
                sources[number] = text
            elif number in copies:
                text = _changed(draw, draw.choice(list(sources.values())))
            elif number in leaks:
                text = f"{text[:800]} {draw.choice(asked)} {text[800:]}"
            row = {
                "question": f"Problem {number}.",
                "completion": f"<think>\n{text}\n</think>\n<answer>{number}</answer>",
            }
            stream.write(json.dumps(row) + "\n")
    return {"leak": [number + 1 for number in leaks], "near_duplicate": [number + 1 for number in copies]}


def _text(draw: random.Random, pool: list[str]) -> str:
    """Sentences with numbers of their own: of a million rows drawn from some thousand, no two say the same."""
    parts, length = [], 0
    while length < SIZE:
        part = re.sub(r"\d+", lambda _: str(draw.randint(2, 9999)), draw.choice(pool))
        parts.append(part)
        length += len(part) + 1
    return " ".join(parts)


def _changed(draw: random.Random, text: str) -> str:
    """About two words of a hundred are others, and the case of some."""
    words = text.split(" ")
    for place in draw.sample(range(len(words)), max(1, len(words) // 50)):
        words[place] = draw.choice(("so", "then", "thus", words[place].upper()))
    return " ".join(words)


@dataclass
class Config:
    """What `prepare` asks of an SFTStageConfig."""

    data: str
    decontaminate: Any
    near_duplicates: float | None = 0.8
    seed: int = 42
    max_bad_rows: float = 0.01


def measure(folder: Path, reference: Path, trl: bool) -> None:
    from r1hf.text.chat_templates import chat_template
    from r1hf.trainers.sft_rows import mapped, prepare
    from r1hf.world.models import train_tokenizer

    with (folder / "data.jsonl").open(encoding="utf-8") as stream:
        tokenizer = train_tokenizer([json.loads(line)["completion"] for line in islice(stream, 500)], 4000)
    tokenizer.chat_template = chat_template()
    sets = {"path": str(reference / "math500.jsonl"), "columns": {"question": "problem"}}
    config = Config(str(folder / "data.jsonl"), sets)
    shutil.rmtree(folder / "rows", ignore_errors=True)
    with Memory() as memory:
        start = time.process_time()
        prepare(config, folder / "rows", tokenizer, 4096, folder / "removed.jsonl")
        figures = {"seconds to prepare": time.process_time() - start}
        if trl:
            start = time.process_time()
            trained_by(tokenizer, mapped(folder / "rows"), folder)
            figures["seconds in TRL"] = time.process_time() - start
    print(json.dumps(figures | memory.figures()))


def trained_by(tokenizer: Any, rows: Any, folder: Path) -> None:
    """The trainer of a model of two layers, which tokenizes the rows when it is made."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from r1hf.trainers.sft import R1SFTConfig, R1SFTTrainer

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=1, **sizes))
    args = R1SFTConfig(output_dir=str(folder / "trainer"), max_length=4096, use_cpu=True, bf16=False)
    R1SFTTrainer(model=model, args=args, train_dataset=rows, processing_class=tokenizer)


class Memory:
    """The peak of this process: what it holds itself, and with the pages of files that are mapped (Linux)."""

    def __enter__(self) -> Memory:
        self.own, self.done = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.done.wait(0.05):
            self.own = max(self.own, _status("RssAnon"))

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def figures(self) -> dict[str, float]:
        return {"MiB of its own": self.own / 1024, "MiB with mapped files": _status("VmHWM") / 1024}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def told(count: int, planted: dict[str, list[int]], folder: Path, figures: dict[str, Any]) -> None:
    found: dict[str, set[int]] = {reason: set() for reason in planted}
    for line in (folder / "removed.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        found[row["reason"]].add(row["row"])
    print(f"{count:,} rows: " + ", ".join(f"{name} {value:,.1f}" for name, value in figures.items()))
    for reason, numbers in planted.items():
        caught, wrong = found[reason] & set(numbers), found[reason] - set(numbers)
        rate = 100 * len(wrong) / (count - len(numbers))
        print(f"  {reason}: {len(caught)} of {len(numbers)} planted found, {len(wrong)} others ({rate:.4f}% of them)")


if __name__ == "__main__":
    main()
