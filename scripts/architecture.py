"""The rooms of r1hf and which of them imports which, read from the code itself.

python scripts/architecture.py            # every import that does not run downward; draws docs/architecture.md anew
python scripts/architecture.py --check    # draws nothing: status 1 if an import runs up, or the picture is old

An import is an `import` statement anywhere in a file, or a module's name in a text, as importlib and `python -m` want.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by scripts/architecture.py -->", "<!-- end of the drawing -->"

ROOMS = {  # from the bottom up: a room imports from those before it only
    "core": "configuration, YAML, sources of rows, errors, files, progress, hardware",
    "text": "the think/answer grammar, languages, prompts and chat templates",
    "stage": "a stage: its directory, manifest, locks, and what it takes from the Hub, signatures checked",
    "sandbox": "runs code that a model wrote, shut off from the rest of the machine",
    "verify": "is this answer right? Maths, choice, code, text, reasoning-gym",
    "models": "loading and saving, samplers behind one interface, the students",
    "data": "rows: reading, mixing, filtering; the forms of training targets",
    "rewards": "verdicts as rewards with TRL's signature, a file for each",
    "evaluation": "benchmarks, samples kept, intervals, comparison; the tasks are YAML files in `r1hf/tasks/`",
    "trainers": "subclasses of TRL's trainers, resuming, memory, metrics",
    "world": "the tiny world: its language, corpus and models",
    "selection": "which samples are kept: verdicts by rule or by a judging model, choice among the right ones",
    "explain": "what a run did: groups of rollouts explained, the report",
    "pipeline": "the graph of stages: what has to run, and running it",
    "preflight": "the four parts of `r1hf check`",
    "publish": "cards, licences, signing and pushing",
    "serving": "models behind an OpenAI-compatible server",
    "commands": "the `r1hf` commands, a file for each",
}


class Import(NamedTuple):
    source: str
    line: int
    target: str


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Module names of the library with their files."""
    files = sorted((root / "r1hf").rglob("*.py"))
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports(name: str, file: Path, known: dict[str, Path]) -> Iterator[Import]:
    """What one file imports of the library."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            named = [text if text in known else node.module for text in whole]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = [node.value] if re.fullmatch(r"r1hf(\.\w+)+", node.value) and node.value in known else []
        else:
            continue
        yield from (Import(name, node.lineno, target) for target in named if target.split(".")[0] == "r1hf")


def room(module: str) -> str:
    return (module.split(".") + [""])[1]


def arrows(root: Path = ROOT) -> dict[tuple[str, str], list[Import]]:
    """All imports from one room into another. `r1hf` itself, which only holds the version, is not a room."""
    found: dict[tuple[str, str], list[Import]] = {}
    known = modules(root)
    for name, file in known.items():
        for item in imports(name, file, known):
            pair = (room(name), room(item.target))
            if pair[0] != pair[1] and all(pair):
                found.setdefault(pair, []).append(item)
    return found


def faults(root: Path = ROOT) -> list[str]:
    """A sentence for each import that runs up, and for each room that ROOMS lacks or has too many."""
    order = list(ROOMS)
    there = {room(name) for name in modules(root)} - {""}
    found = [f"r1hf/{name} is not a room that scripts/architecture.py knows" for name in sorted(there - set(order))]
    found += [f"scripts/architecture.py names a room that is not there: {name}" for name in order if name not in there]
    for (above, below), items in arrows(root).items():
        if {above, below} <= set(order) and order.index(above) < order.index(below):
            found += [f"{item.source}, line {item.line}: imports {item.target}, which is above it" for item in items]
    return found


def floors(pairs: set[tuple[str, str]]) -> list[list[str]]:
    """Rooms by floor, from the bottom: each stands on the highest of what it imports."""
    needs = {name: {below for above, below in pairs if above == name} for name in ROOMS}
    height: dict[str, int] = {}
    for name in TopologicalSorter(needs).static_order():
        height[name] = 1 + max((height[below] for below in needs[name]), default=-1)
    return [[name for name in ROOMS if height[name] == floor] for floor in range(max(height.values()) + 1)]


def drawing(pairs: set[tuple[str, str]]) -> str:
    """A Mermaid picture. An arrow that a way through other rooms already shows is left out."""
    below = {name: {low for high, low in pairs if high == name} for name in ROOMS}
    reach: dict[str, set[str]] = {}
    for name in TopologicalSorter(below).static_order():
        reach[name] = below[name].union(*(reach[low] for low in below[name]))
    lines = ["```mermaid", "flowchart TD"]
    for name in reversed(ROOMS):
        direct = below[name] - {low for other in below[name] for low in reach[other]}
        lines += [f"    {name} --> {low}" for low in reversed(ROOMS) if low in direct]
    storeys = [f"{floor} | {', '.join(f'`{name}`' for name in names)} |" for floor, names in enumerate(floors(pairs))]
    table = ["| floor | rooms |", "|--:|---|", *(f"| {line}" for line in reversed(storeys))]
    held = [f"| `r1hf/{name}/` | {what} |" for name, what in ROOMS.items()]
    return "\n".join([*lines, "```", "", *table, "", "| room | what it holds |", "|---|---|", *held])


def page(text: str, pairs: set[tuple[str, str]]) -> str:
    """The page with its drawing made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{drawing(pairs)}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if something is to be mended")
    given = parser.parse_args()
    wrong = faults()
    if not wrong:
        old = PAGE.read_text("utf-8")
        new = page(old, set(arrows()))
        if not given.check:
            PAGE.write_text(new, "utf-8")
        elif new != old:
            wrong = ["docs/architecture.md shows other imports than the code has: run python scripts/architecture.py"]
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
