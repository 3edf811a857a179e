"""Benchmark of r1hf.text.language: error of the share, mixed or pure, texts a second, on a labelled set.

    python benchmarks/language.py            # the table
    python benchmarks/language.py --split tuning --worst 20
    python benchmarks/language.py --build    # write tests/fixtures/language_texts.jsonl anew

Every text is made of segments whose language is known, so the true share needs no identifier: the words of a segment
are counted as docs/language.md defines them. The sentences of the tuning split occur in no text of the testing split.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
SENTENCES, TEXTS = FIXTURES / "language_sentences.txt", FIXTURES / "language_texts.jsonl"

MAIN = "en zh ja ko ru ar es fr de vi".split()
MORE = "it pt nl pl tr id uk".split()
PURE, FOREIGN, MIXED = 16, 4, 34  # texts per main language; half as many of the others
WORDS = (50, 100)
FORMULAS = [
    "$x^2 + 3x = 10$",
    "\\(a + b\\)",
    "3 * 4 = 12",
    "12",
    "$\\frac{3}{4}$",
    "`total = a + b`",
    "$n$",
    "2x + 5 = 11",
    "\\frac{x}{y}",
    "7!",
    "$\\sqrt{49} = 7$",
    "(3, -5)",
]
BLOCKS = [
    "```python\nfor item in range(10):\n    print(item, total)\n```",
    "https://example.com/some/long/path?page=2",
    "\\[ \\sum_{k=1}^{n} k = \\frac{n(n+1)}{2} \\]",
    "$$ \\int_0^1 x^2 dx = \\frac{1}{3} $$",
    "2 + 3 * 4 = 14",
    "\\begin{align} x + y &= 5 \\\\ x - y &= 1 \\end{align}",
    "```\nresult = compute(first, second)\nreturn result\n```",
]
QUOTED = ["“hello”", "«bonjour»", '"Haus"', "「掛け算」", "「你好」", '"casa blanca"']

Segment = tuple[str | None, str]


def sentences(split: str) -> dict[str, list[str]]:
    """Language -> its sentences of the split "tuning" or "testing"."""
    found: dict[str, list[str]] = defaultdict(list)
    language = ""
    for line in SENTENCES.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            language = line.strip("[]")
        elif line and not line.startswith("#"):
            found[language].append(line)
    return {code: lines[("tuning", "testing").index(split) :: 2] for code, lines in found.items()}


def count_words(language: str, text: str) -> int:
    """Words of a segment: signs of Chinese and Japanese, else what stands between spaces; not the letters A to Z."""
    if language in ("zh", "ja"):
        kinds = ("CJK UNIFIED", "HIRAGANA LETTER", "KATAKANA LETTER")
        return sum(unicodedata.name(sign, "").startswith(kinds) for sign in text)
    letters = ("".join(letter for letter in token if letter.isalpha()) for token in text.split())
    return sum(len(token) > 1 or (token != "" and not token.isascii()) for token in letters)


def _segments(language: str, sentence: str, rng: random.Random) -> Iterator[Segment]:
    """A sentence, with formulas where it has {}."""
    first, *rest = sentence.split("{}")
    yield language, first.strip()
    for part in rest:
        yield None, rng.choice(FORMULAS)
        if part.strip():
            yield language, part.strip()


def _half(sentence: str, language: str, first: bool) -> str:
    if language in ("zh", "ja"):
        cut = len(sentence) // 2
        return sentence[:cut] if first else sentence[cut:]
    tokens = sentence.split()
    cut = len(tokens) // 2
    return " ".join(tokens[:cut] if first else tokens[cut:])


def _row(kind: str, target: str, pool: dict[str, list[str]], rng: random.Random) -> dict[str, Any]:
    """A text of WORDS words: `pure`, `foreign` (no word of the target) or `mixed`, by sentences or by their halves."""
    others = [code for code in pool if code != target]
    guests = rng.sample(others, rng.choice([1, 1, 1, 2]))
    if rng.random() < 0.3 and target != "en":
        guests = ["en"]
    part = {"pure": 1.0, "foreign": 0.0}.get(kind, rng.uniform(0.05, 0.8))
    bags = {code: rng.sample(pool[code], len(pool[code])) for code in [target, *guests]}
    goal, own, total = rng.randint(*WORDS), 0, 0
    pieces: list[list[Segment]] = []
    while total < goal and all(bags.values()):
        mine = kind == "pure" or (kind == "mixed" and own <= part * total)
        code = target if mine else rng.choice(guests)
        sentence = bags[code].pop()
        if kind == "mixed" and rng.random() < 0.3:
            sentence = _half(sentence, code, rng.random() < 0.5)
        piece = list(_segments(code, sentence, rng))
        size = sum(count_words(code, text) for language, text in piece if language)
        own, total = own + size * mine, total + size
        pieces.append(piece)
    rng.shuffle(pieces)
    for extra in (BLOCKS, QUOTED):
        if rng.random() < 0.5:
            pieces.insert(rng.randint(0, len(pieces)), [(None, rng.choice(extra))])
    segments = [[code, text] for piece in pieces for code, text in piece if text]
    return {"target": target, "kind": kind, "share": round(own / total, 4), "segments": segments}


def build(split: str) -> list[dict[str, Any]]:
    """The labelled texts of a split; the same on every machine."""
    rng, pool = random.Random(f"r1hf language {split}"), sentences(split)
    rows: list[dict[str, Any]] = []
    for target in [*MAIN, *MORE]:
        for kind, count in (("pure", PURE), ("foreign", FOREIGN), ("mixed", MIXED)):
            done = 0
            while done < (count if target in MAIN else count // 2):
                row = _row(kind, target, pool, rng)
                # Mixed means below 90%: texts that hang on one word more or less say nothing.
                if kind != "mixed" or row["share"] <= 0.85:
                    rows.append(row)
                    done += 1
    return rows


def text_of(row: dict[str, Any]) -> str:
    return " ".join(text for _, text in row["segments"])


def read() -> list[dict[str, Any]]:
    return [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()]


def measure(rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], float | None]]:
    from r1hf.text.language import target_share

    return [(row, target_share(text_of(row), row["target"])) for row in rows]


def _error(row: dict[str, Any], share: float | None) -> float:
    return 1.0 if share is None else abs(share - row["share"])


def _right(row: dict[str, Any], share: float | None) -> bool:
    return share is not None and (share < 0.9) == (row["share"] < 0.9)


def table(results: list[tuple[dict[str, Any], float | None]]) -> str:
    lines = ["| target | texts | mean absolute error | largest | mixed or pure |", "|---|---|---|---|---|"]
    groups = {code: [pair for pair in results if pair[0]["target"] == code] for code in [*MAIN, *MORE]}
    for name, pairs in {**groups, "all": results}.items():
        errors = [_error(*pair) for pair in pairs]
        right = statistics.mean(_right(*pair) for pair in pairs)
        lines.append(f"| {name} | {len(pairs)} | {statistics.mean(errors):.4f} | {max(errors):.2f} | {right:.1%} |")
    return "\n".join(lines)


def speeds(rows: list[dict[str, Any]], repeats: int = 5) -> str:
    """Texts a second of processor time of one process: other programs matter little.

    The first pass loads the word lists and meets every word anew.
    """
    from r1hf.text.language import target_share

    pairs = [(text_of(row), row["target"]) for row in rows]
    passes = []
    for _ in range(repeats + 1):
        began = time.process_time()
        for text, target in pairs:
            target_share(text, target)
        passes.append(len(pairs) / (time.process_time() - began))
    lines = [f"texts a second of processor time: {max(passes[1:]):,.0f}"]
    lines.append(f"  first pass, with the word lists to load: {passes[0]:,.0f}")
    for group in ("en", "zh", "es"):
        chosen = [pair for pair in pairs if pair[1] == group]
        began = time.process_time()
        for _ in range(repeats):
            for text, target in chosen:
                target_share(text, target)
        lines.append(f"  {group}: {repeats * len(chosen) / (time.process_time() - began):,.0f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark of r1hf.text.language.")
    parser.add_argument("--build", action="store_true", help=f"write {TEXTS.name} and end")
    parser.add_argument("--split", choices=["tuning", "testing"], default="testing", help="default: %(default)s")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="show the N texts with the largest error")
    options = parser.parse_args()
    if options.build:
        rows = build("testing")
        TEXTS.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        print(f"{TEXTS}: {len(rows)} texts")
        return
    rows = read() if options.split == "testing" else build("tuning")
    speed = speeds(rows)  # first, so that its first pass is the first
    results = measure(rows)
    print(table(results))
    print(speed)
    for row, share in sorted(results, key=lambda pair: -_error(*pair))[: options.worst]:
        print(f"\n{row['target']} {row['kind']}: true {row['share']}, found {share}\n{text_of(row)}")


if __name__ == "__main__":
    main()
