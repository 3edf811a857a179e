"""Made answers judged by r1hf and by math-verify; prints where the two differ, for a person to read.

    python benchmarks/fuzz_math.py --examples 500 --seed 0 [--json FILE]

Each gold answer is drawn from a small grammar and written in another dress, or changed into another answer. What was
meant is known, so a line also says who is right: "same" answers that r1hf refuses and "other" ones that it takes come
first. Exit status 1 if r1hf takes another answer for the gold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from r1hf.verify import pool, verify_math


class Made(NamedTuple):
    """A gold answer, a prediction, and whether the prediction was made to be the same answer."""

    kind: str
    gold: str
    prediction: str
    same: bool


class Finding(NamedTuple):
    """A pair on which the judges differ, or on which r1hf differs from what was meant."""

    made: Made
    r1hf: bool | None
    math_verify: bool | None


small = st.integers(2, 30)
UNITS = [
    ("cm", r"\text{ cm}", "centimeters"),
    ("km/h", r"\text{ km/h}", "km per hour"),
    ("Hz", r"\mathrm{~Hz}", "hertz"),
]
OTHER_UNITS = ["mm", "m/s", "kHz", "kg"]
WORDS = ["dog", "god", "was", "saw", "tea", "eat", "RL", "LR", "ABC", "ACB", "north", "no", "on"]


@st.composite
def numbers(draw: Callable) -> Made:
    a, b = draw(small), draw(small)
    dress = draw(
        st.sampled_from(["{a}/{b}", r"\frac{{{a}}}{{{b}}}", r"\dfrac{{{c}}}{{{d}}}", "x = {a}/{b}", "${a}/{b}$"])
    )
    same = draw(st.booleans())
    top = a if same else a + 1
    return Made("fraction", rf"\frac{{{a}}}{{{b}}}", dress.format(a=top, b=b, c=3 * top, d=3 * b), same)


@st.composite
def measures(draw: Callable) -> Made:
    value, unit = draw(small), draw(st.sampled_from(UNITS))
    gold, same = f"{value}{unit[1]}", draw(st.booleans())
    if same:
        return Made("unit", gold, f"{value} {draw(st.sampled_from([unit[0], unit[2], '']))}".strip(), True)
    return Made("unit", gold, f"{value} {draw(st.sampled_from(OTHER_UNITS))}", False)


@st.composite
def lists(draw: Callable) -> Made:
    items = draw(st.lists(st.integers(-20, 20), min_size=2, max_size=4, unique=True))
    gold, same = ", ".join(map(str, items)), draw(st.booleans())
    given_items = draw(st.permutations(items)) if same else [items[0] + 41, *items[1:]]
    joint = draw(st.sampled_from([", ", "、", " and ", " or ", r" \text{ and } ", "和"]))
    return Made("list", gold, joint.join(map(str, given_items)), same)


@st.composite
def measured_lists(draw: Callable) -> Made:
    a, b, unit = draw(small), draw(small), draw(st.sampled_from(UNITS))
    gold, same = f"{a} and {b} {unit[0]}", draw(st.booleans())
    name = draw(st.sampled_from([unit[0], unit[2]])) if same else draw(st.sampled_from(OTHER_UNITS))
    return Made("measured list", gold, draw(st.sampled_from([f"{a} and {b} {name}", f"{b} {name}, {a} {name}"])), same)


@st.composite
def intervals(draw: Callable) -> Made:
    low = draw(st.integers(-20, 20))
    high, same = low + draw(small), draw(st.booleans())
    closed = draw(st.booleans())
    sign = r"\le" if closed == same else "<"
    return Made("interval", f"{'[' if closed else '('}{low}, {high})", rf"{low} {sign} x < {high}", same)


@st.composite
def polynomials(draw: Callable) -> Made:
    a, b, same = draw(small), draw(small), draw(st.booleans())
    constant = a * b if same else a * b + 1
    return Made("polynomial", f"(x+{a})(x-{b})", f"x^2 + {a - b}x - {constant}".replace("+ -", "- "), same)


@st.composite
def roots(draw: Callable) -> Made:
    a, b, same = draw(small), draw(small), draw(st.booleans())
    return Made("root", rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b + (not same)}}}", same)


@st.composite
def texts(draw: Callable) -> Made:
    gold, other = draw(st.sampled_from(WORDS)), draw(st.sampled_from(WORDS))
    dress = draw(st.sampled_from(["{}", r"\text{{{}}}", "{}.", "${}$"]))
    return Made("text", gold, dress.format(other), gold.casefold() == other.casefold())


@st.composite
def codes(draw: Callable) -> Made:
    day, month, same = draw(st.integers(1, 28)), draw(st.integers(1, 12)), draw(st.booleans())
    other = (month, day) if not same else (day, month)
    form = draw(st.sampled_from(["2023-{1:02}-{0:02}", "{0}-{1}", "{0}:{1:02} PM"]))
    gold, prediction = form.format(day % 12 + 1, month), form.format(other[0] % 12 + 1, other[1])
    return Made("date, range or time", gold, prediction, gold == prediction)


@st.composite
def names(draw: Callable) -> Made:
    name = draw(st.sampled_from(["AB", "P(A)", "f(3)", "|z|", r"S_{\max}", "C_5^2", r"\angle ABC", "Area", "x"]))
    value, same = draw(small), draw(st.booleans())
    sign = draw(st.sampled_from(["=", r"\approx"] if name != "Area" else ["="]))
    return Made("name", str(value), f"{name} {sign} {value + (not same)}", same)


EVERY = st.one_of(
    *(numbers(), measures(), lists(), measured_lists(), intervals()),
    *(polynomials(), roots(), texts(), codes(), names()),
)


def findings(examples: int, start: int) -> tuple[list[Finding], Counter[str]]:
    """What differs among `examples` made pairs, and how many pairs there were of each kind."""
    found: dict[Made, Finding] = {}
    tried: Counter[str] = Counter()

    @seed(start)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(EVERY)
    def judge(made: Made) -> None:
        tried[made.kind] += 1
        ours, theirs = verify_math(made.prediction, made.gold), pool.judge(made.prediction, made.gold)
        if ours is not made.same or bool(theirs) is not made.same:
            found[made] = Finding(made, ours, theirs)

    judge()
    return sorted(found.values(), key=lambda item: (item.r1hf is item.made.same, item.made)), tried


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the differences here, a line each")
    options = parser.parse_args()
    found, tried = findings(options.examples, options.seed)
    pool.close_workers()
    print("| kind | gold | prediction | meant | r1hf | math-verify |\n|---|---|---|---|---|---|")
    for (kind, gold, prediction, same), ours, theirs in found:
        print(f"| {kind} | `{gold}` | `{prediction}` | {'same' if same else 'other'} | {ours} | {theirs} |")
    off = [sum(item.r1hf is not item.made.same for item in found)]
    off.append(sum(bool(item.math_verify) is not item.made.same for item in found))
    print(f"\n{sum(tried.values())} pairs: r1hf differs from what was meant on {off[0]}, math-verify on {off[1]}.")
    if options.json:
        lines = [json.dumps({**f.made._asdict(), "r1hf": f.r1hf, "math_verify": f.math_verify}) for f in found]
        options.json.write_text("\n".join(lines) + "\n" if lines else "")
    return int(any(item.r1hf is True and not item.made.same for item in found))


if __name__ == "__main__":
    sys.exit(main())
