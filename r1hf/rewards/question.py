"""The question in a prompt that a chat template or a text template has already rendered.

The mark that comes first says which template it was, so that a question may speak of the marks of another. Of several
turns the last one's question counts.
"""

from __future__ import annotations

import re
from bisect import bisect
from typing import NamedTuple

from r1hf.text.grammar import THINK_OPEN


class Turns(NamedTuple):
    """How a template marks turns. mark: says that it is this one. opening, closing: of a user's turn.

    plain: the marks are ordinary text, so that a question may hold the closing one.
    """

    mark: re.Pattern[str]
    opening: re.Pattern[str]
    closing: re.Pattern[str]
    plain: bool = False


def _turns(mark: str, opening: str, closing: str, plain: bool = False) -> Turns:
    return Turns(re.compile(mark), re.compile(opening), re.compile(closing), plain)


_TEMPLATES = (
    # ChatML: Qwen, Yi, InternLM 2, SmolLM, LFM, Phi-4
    _turns(r"<\|im_start\|>", r"<\|im_start\|>user(?:<\|im_sep\|>|\n)", r"<\|im_end\|>"),
    _turns(r"<\|im_(?:user|system)\|>", r"<\|im_user\|>user<\|im_middle\|>", r"<\|im_end\|>"),  # Kimi
    # Llama 3 and 4
    _turns(r"<\|start_header_id\|>", r"<\|start_header_id\|>user<\|end_header_id\|>", r"<\|eot_id\|>"),
    _turns(r"<\|header_start\|>", r"<\|header_start\|>user<\|header_end\|>", r"<\|eot\|>"),
    # Gemma, and its fourth version
    _turns(r"<start_of_turn>", r"<start_of_turn>user\n", r"<end_of_turn>"),
    _turns(r"<\|turn>", r"<\|turn>user\n", r"<turn\|>"),
    # Mistral of all versions, Llama 2
    _turns(
        r"\A\s{0,4}(?:<s>|<bos>)?\s{0,4}\[(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS)\]", r"\[INST\]", r"\[/INST\]", True
    ),
    # DeepSeek V2.5 to V3.1, R1; Hunyuan
    _turns(r"<｜(?:User|System)｜>", r"<｜User｜>", r"<｜Assistant｜>"),
    _turns(r"<｜hy_User｜>", r"<｜hy_User｜>", r"<｜hy_Assistant｜>"),
    # Phi-3, GLM, OLMo, Tulu, Zephyr, TinyLlama, StableLM, Falcon 3
    _turns(
        r"<\|(?:user|system)\|>",
        r"<\|user\|>",
        r"<\|(?:end|assistant|system|observation|endoftext|end_of_text|eom)\|>|</s>",
    ),
    # Command R, Aya
    _turns(
        r"<\|START_OF_TURN_TOKEN\|>",
        r"<\|START_OF_TURN_TOKEN\|><\|USER_TOKEN\|>(?:<\|START_TEXT\|>)?",
        r"(?:<\|END_TEXT\|>)?<\|END_OF_TURN_TOKEN\|>",
    ),  # fmt: skip
    _turns(r"<\|start_of_role\|>", r"<\|start_of_role\|>user<\|end_of_role\|>", r"<\|end_of_text\|>"),  # Granite
    # gpt-oss
    _turns(r"<\|start\|>", r"<\|start\|>user(?:<\|channel\|>\w+)?<\|message\|>", r"<\|(?:end|return)\|>"),
    _turns(r"<用户>", "<用户>", "<AI>"),  # MiniCPM
    # Baichuan 1 and 2
    _turns(r"<reserved_102>", r"<reserved_102>", r"<reserved_103>"),
    _turns(r"<reserved_106>", r"<reserved_106>", r"<reserved_107>"),
    _turns(r"<\|User\|>:", r"<\|User\|>:", r"<eoh>|<\|Bot\|>:"),  # InternLM
    _turns(r"GPT4 Correct User:", r"GPT4 Correct User:", r"<\|end_of_turn\|>"),  # OpenChat
    _turns(r"<seed:bos>", r"<seed:bos>user\n", r"<seed:eos>"),  # Seed-OSS
    _turns(r"\[\|(?:user|system)\|\]", r"\[\|user\|\]", r"\n?\[\|assistant\|\]|\[\|endofturn\|\]"),  # EXAONE
    _turns(r"<extra_id_[01]>(?:System|User)", r"<extra_id_1>User\n", r"\n?<extra_id_1>"),  # Nemotron 4
    # Alpaca, Vicuna's headed kin
    _turns(
        r"(?m)^#{2,3} ?(?:Instruction|User|Human|Question|Problem)s?:?[ \t]*$|\A#{2,3} (?:User|Human):",
        r"(?m)^#{2,3} ?(?:Instruction|User|Human|Question|Problem)s?:?",
        r"(?m)(?:^|(?<=[ .?!]))#{2,3} ?(?:Response|Assistant|Answer|Solution|Output)\b",
        True,
    ),
)
_SYSTEM = re.compile(r"\A\s*<<SYS>>.*?<</SYS>>", re.DOTALL)  # Llama 2 puts it into the user's turn
_INPUT = re.compile(r"(?m)^#{2,3} ?Input:?[ \t]*\n")  # Alpaca's second part of the question

# Speakers of plain text, each with who answers.
_ASSISTANT = "Assistant|ASSISTANT|助手|AI|Bot"
_SOLUTION = "Solution|Answer|答案|解答|Assistant|助手"
_ANSWERERS = {
    **dict.fromkeys(("User", "USER", "Human", "HUMAN", "用户", "用戶"), _ASSISTANT),
    **dict.fromkeys(("Problem", "Question", "问题", "問題"), _SOLUTION),
    **{"Instruct": "Output", "Q": "A|Answer", "问": "答"},
}
_PLACE = r"(?:^[ \t]{0,8}|(?<=[.!?>)] )|(?<=[。！？>])|(?<=\s)(?=USER|ASSISTANT))"  # a line's start, a sentence's end
_COLON = r"[ \t]{0,4}[:：]"
_SPEAKER = re.compile(rf"(?m){_PLACE}({'|'.join(_ANSWERERS)}){_COLON}")


def asked(prompt: str) -> str:
    """The last user's question; all of the prompt where no turn of a known kind is found."""
    places: list[tuple[int, Turns | None]] = [
        (match.start(), turns) for turns in _TEMPLATES if (match := turns.mark.search(prompt))
    ]
    label = _SPEAKER.search(prompt)
    if label is not None:
        places.append((label.start(), None))
    for _, turns in sorted(places, key=lambda item: item[0]):
        question = _last_turn(prompt, turns) if turns else label and _labelled(prompt, label)
        if question:
            return question
    return prompt


def _last_turn(prompt: str, turns: Turns) -> str | None:
    start, end = None, len(prompt)
    opening = turns.opening.search(prompt)
    while opening:
        closing = turns.closing.search(prompt, opening.end())
        if closing is None:
            break  # spoken of, and no turn
        if not prompt.startswith("<tool_response>", opening.end()):
            start, end = opening.end(), closing.start()
        opening = turns.opening.search(prompt, closing.end())
    if start is None:
        return None
    if turns.plain:
        end = max(match.start() for match in turns.closing.finditer(prompt, start))
    return _INPUT.sub("", _SYSTEM.sub("", prompt[start:end])).strip()


def _labelled(prompt: str, first: re.Match[str]) -> str | None:
    """Behind the label of the last turn ("User:", "Problem:", 用户：…), up to the label of who answers.

    Within a turn a label is the question's own word, unless a blank line parts it off.
    """
    answers = re.compile(rf"(?m){_PLACE}(?:{_ANSWERERS[first[1]]}){_COLON}|(?:{_ANSWERERS[first[1]]})\s?[:：]\s?\Z")
    found = list(answers.finditer(prompt, first.end()))
    said = prompt[found[-1].end() :] if found else prompt
    if prompt[: first.start()].strip() and said.strip() and not said.rstrip().endswith(THINK_OPEN):
        return None  # a word of the question
    ends = [match.start() for match in found]
    start = first.end()
    for label in _SPEAKER.finditer(prompt, start):
        answered = bisect(ends, label.start()) > bisect(ends, start)
        if label[1] == first[1] and (answered or prompt.endswith("\n\n", 0, label.start())):
            start = label.end()
    later = [end for end in ends if end >= start]
    question = prompt[start : later[-1] if later else len(prompt)].strip()
    return question.removesuffix(".").removesuffix("。")
