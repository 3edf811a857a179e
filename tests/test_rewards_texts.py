"""What rewards read: the text of a completion and the question of a prompt, in every shape that TRL hands over."""

import pytest
from tables import each

from r1hf.rewards import completion_texts, question_text


def say(content, **fields):
    return [{"role": "assistant", "content": content, **fields}]


def test_question_text():
    assert question_text("User: What is 2 + 3 * 4?. Assistant:") == "What is 2 + 3 * 4?"
    assert question_text("What is 2?") == "What is 2?"
    assert question_text([]) == question_text("") == ""
    assert question_text("User: Is 2 + 2 = 4? Show it. Assistant:") == "Is 2 + 2 = 4? Show it"
    assert question_text("Assistant:") == "Assistant:"


@each(
    "prompt",
    [
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "What is 2?"}],
        [
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "content": "?"},
            {"role": "user", "content": "What is 2?"},
        ],
        [{"role": "user", "content": "What is 2?"}, {"role": "assistant", "content": "", "tool_calls": []}]
        + [{"role": "tool", "content": "User: 5"}],
        [
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": "What "}, {"type": "text", "text": "is 2?"}],
            }
        ],
        [{"role": "user", "content": ["What is 2?"]}],
        "<|im_start|>system\nUser: no<|im_end|>\n<|im_start|>user\nWhat is 2?<|im_end|>\n<|im_start|>assistant\n",
        "<｜begin▁of▁sentence｜>Be kind.<｜User｜>What is 2?<｜Assistant｜><think>\n",
        "<|start_header_id|>user<|end_header_id|>\n\nWhat is 2?<|eot_id|><|start_header_id|>assistant",
        "Problem: What is 1?\nSolution: 1\n\nProblem: What is 2?\nSolution:",
        "用户：What is 2?\n助手：\n",
    ],
)
def test_question_in_every_shape(prompt):
    assert question_text(prompt) == "What is 2?"


@pytest.mark.timeout(300)  # work that grows with the square of the length takes longer
def test_question_of_a_long_prompt():
    prompt = "User: " + " \n" * 2_000_000 + "2?" + " " * 2_000_000 + "x Assistant"
    assert question_text(prompt).endswith("x Assistant")


@each(
    "completion, text",
    [
        ("plain", "plain"),
        (say("a", reasoning_content="b"), "<think>b</think>a"),
        (say("a", reasoning="b"), "<think>b</think>a"),
        (say("a", thinking="b"), "<think>b</think>a"),
        (say("a", reasoning_content="", reasoning=None), "a"),
        (say([{"type": "text", "text": "a"}, {"type": "image"}, "b", {"type": "text", "text": None}]), "ab"),
        (say("", reasoning_content="b"), "<think>b"),
        (say(None, tool_calls=[{"name": "f"}]), ""),
        (say("first") + [{"role": "tool", "content": "x"}] + say("last"), "last"),
        ([{"role": "tool", "content": "x"}], ""),
        ([], ""),
    ],
)
def test_completion_texts(completion, text):
    assert completion_texts([completion]) == [text]
    assert completion_texts([completion], prefilled=True) == [text.removeprefix("<think>")]
