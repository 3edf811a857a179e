"""The labelled pairs in math-verify's own tests, as both judge them. The file is read, never run.

    python benchmarks/peer_pairs.py test_all.py

test_all.py comes with math-verify's source distribution (tests/test_all.py; MIT). Pairs with a precision or another
option of their own are left out, and so are repetitions. Both read golds and predictions that may be sentences.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from r1hf.verify import read_answer, verify_math

Pair = tuple[str, str, bool]  # gold, prediction, whether the label says that they are the same


def labelled_pairs(path: Path) -> list[Pair]:
    """(gold, prediction, label) of every parametrised test with just these three."""
    found: dict[tuple[str, str], Pair] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("parametrize"):
            for row in _rows(node.args[1]):
                if isinstance(row, tuple) and [type(value) for value in row] == [str, str, int]:
                    gold, prediction, label = row
                    found[gold, prediction] = (gold, prediction, bool(label))
    return list(found.values())


def _rows(node: ast.expr) -> list[object]:
    try:
        return list(ast.literal_eval(node))
    except ValueError:
        return []  # made by code


def ours(gold: str, prediction: str) -> bool:
    """Whether r1hf takes the prediction for the gold, read as a person would read it."""
    return verify_math(read_answer(prediction), gold) is True


def theirs(gold: str, prediction: str) -> bool:
    """Whether math-verify does, with its own reading of both."""
    from math_verify import parse, verify

    return bool(verify(parse(gold), parse(prediction)))


def main() -> int:
    pairs = labelled_pairs(Path(sys.argv[1]))
    agreed = {judge.__name__: [judge(*pair[:2]) is pair[2] for pair in pairs] for judge in (ours, theirs)}
    for at, (gold, prediction, label) in enumerate(pairs):
        if not agreed["ours"][at]:
            print(f"label {label}: gold {gold[-60:]!r}, prediction {prediction[-60:]!r}")
    print(f"of {len(pairs)} labels r1hf agrees with {sum(agreed['ours'])}, math-verify with {sum(agreed['theirs'])}")
    return 0 if sum(agreed["ours"]) > sum(agreed["theirs"]) else 1


if __name__ == "__main__":
    sys.exit(main())
