"""Formats as people have met them, each with where: what is well formed, and what a stream takes apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tables import each

from r1hf.rewards import format_reward, get_format_reward
from r1hf.text.forms import is_well_formed
from r1hf.text.grammar import StreamParser, from_split
from r1hf.verify import final_code

FILE = Path(__file__).parent / "fixtures" / "judgement_format.jsonl"
CASES = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
THOUGHT = {"role": "assistant", "reasoning_content": "First we add.", "content": "<answer>3</answer>"}
# What a case describes in words.
MESSAGES: dict[str, dict[str, Any]] = {
    "reasoning_content + content": THOUGHT,
    "content None": {"role": "assistant", "content": None},
    "reasoning + content": {"role": "assistant", "reasoning": "First we add.", "content": "Three."},
}
REWARDS = {
    "format_reward": format_reward,
    "format_reward think_only": get_format_reward(mode="think_only"),
    "format_reward prefilled think_only": get_format_reward(mode="think_only", prefilled=True),
}
CODE = {
    "python block then text block": "```python\nprint(1)\n```\nIt prints\n```text\n1\n```",
    "js block after python": "```python\nprint(1)\n```\nor\n```js\nconsole.log(1)\n```",
    "```Python": "```Python\nprint(1)\n```",
}


def judged(kind: str, *given: Any) -> Any:
    if kind == "is_well_formed":
        mode, prefilled, text = given
        return is_well_formed(text, mode, prefilled=prefilled)
    if kind == "StreamParser":
        prefilled, pieces = given
        parser = StreamParser(prefilled=prefilled)
        spoken = {"reasoning": "", "answer": "", "text": ""}
        for channel, text in [*(delta for piece in pieces for delta in parser.feed(piece)), *parser.close()]:
            spoken[channel] += text
        return spoken
    if kind == "from_split":
        reasoning, content = (text.replace("\\n", "\n") for text in given)
        response = from_split(reasoning, content)
        return [response.reasoning, response.answer] if content else response.answer is None
    if kind == "final_code":
        return final_code(f"<think>a</think> {CODE[given[0]]}")
    return REWARDS[kind](["What is 1 + 2?"], [[MESSAGES[given[0]]]])


@each("case", CASES)
def test_it_is_judged_as_people_would(case: dict[str, Any]) -> None:
    assert judged(*case["input"]) == case["right"]
