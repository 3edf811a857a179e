"""Small inputs made after public reports, with the right verdict: fixtures/judgement_math.jsonl names each source."""

import json
from pathlib import Path

from tables import each

from r1hf.rewards import accuracy_reward, choice_reward, get_accuracy_reward
from r1hf.verify import final_answer, verify_math

LINES = (Path(__file__).parent / "fixtures" / "judgement_math.jsonl").read_text(encoding="utf-8").splitlines()
CASES = [json.loads(line) for line in LINES]


def judged(given):
    what, *rest = given
    if what == "accuracy_reward":
        return accuracy_reward([""], [rest[0]], answer=[rest[1]])[0]
    if what == "accuracy_reward prefilled":
        return get_accuracy_reward(prefilled=True)([""], [rest[0]], answer=[rest[1]])[0]
    if what == "choice_reward":
        return choice_reward([""], [rest[0]], answer=[rest[1]], choices=[rest[2]])[0]
    if what == "final_answer last_number":
        return final_answer(rest[0], fallback="last_number")
    return verify_math(what, rest[0])


@each("case", CASES)
def test_verdict(case):
    assert judged(case["input"]) == case["right"]
