"""The question is found in prompts as the usual templates render them, whatever it speaks of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import trl
from tables import each
from transformers.utils.chat_template_utils import render_jinja_template

from r1hf.rewards import question_text
from r1hf.text import prompt_templates as templates

Q = "What is 2 + 3 * 4?"
A = "One. Then two."
# How a template writes: before all, a user's turn, an assistant's, what stands before the answer.
WRITTEN: dict[str, tuple[str, str, str, str]] = {
    "chatml": ("<|im_start|>system\nBe kind.<|im_end|>\n", "<|im_start|>user\n{}<|im_end|>\n",
               "<|im_start|>assistant\n{}<|im_end|>\n", "<|im_start|>assistant\n"),
    "phi-4": ("<|im_start|>system<|im_sep|>Be kind.<|im_end|>", "<|im_start|>user<|im_sep|>{}<|im_end|>",
              "<|im_start|>assistant<|im_sep|>{}<|im_end|>", "<|im_start|>assistant<|im_sep|>"),
    "phi-3": ("<|system|>\nBe kind.<|end|>\n", "<|user|>\n{}<|end|>\n",
              "<|assistant|>\n{}<|end|>\n", "<|assistant|>\n"),
    "kimi": ("<|im_system|>system<|im_middle|>Be kind.<|im_end|>", "<|im_user|>user<|im_middle|>{}<|im_end|>",
             "<|im_assistant|>assistant<|im_middle|>{}<|im_end|>", "<|im_assistant|>assistant<|im_middle|>"),
    "llama-3": ("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>",
                "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>",
                "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>",
                "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    "llama-4": ("<|begin_of_text|>", "<|header_start|>user<|header_end|>\n\n{}<|eot|>",
                "<|header_start|>assistant<|header_end|>\n\n{}<|eot|>", "<|header_start|>assistant<|header_end|>\n\n"),
    "llama-2": ("<s>", "[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n{} [/INST]", " {} </s><s>", ""),
    "mistral-v1": ("<s> ", "[INST] {} [/INST]", " {}</s> ", ""),
    "mistral-v3": ("<s>", "[INST] {}[/INST]", " {}</s>", ""),
    "mistral-tekken": ("<s>", "[INST]{}[/INST]", "{}</s>", ""),
    "mistral-v7": ("<s>[SYSTEM_PROMPT] Be kind.[/SYSTEM_PROMPT]", "[INST] {}[/INST]", " {}</s>", ""),
    "mistral-tools": ("<s>[AVAILABLE_TOOLS] [][/AVAILABLE_TOOLS]", "[INST] {}[/INST]", " {}</s>", ""),
    "gemma": ("<bos>", "<start_of_turn>user\n{}<end_of_turn>\n", "<start_of_turn>model\n{}<end_of_turn>\n",
              "<start_of_turn>model\n"),
    "deepseek": ("<｜begin▁of▁sentence｜>Be kind.", "<｜User｜>{}", "<｜Assistant｜>{}<｜end▁of▁sentence｜>",
                 "<｜Assistant｜><think>\n"),
    "deepseek-v2": ("<｜begin▁of▁sentence｜>", "User: {}\n\n", "Assistant: {}<｜end▁of▁sentence｜>", "Assistant:"),
    "glm": ("[gMASK]<sop><|system|>\nBe kind.", "<|user|>\n{}", "<|assistant|>\n{}", "<|assistant|>\n"),
    "olmo": ("<|endoftext|>", "<|user|>\n{}\n", "<|assistant|>\n{}<|endoftext|>\n", "<|assistant|>\n"),
    "zephyr": ("<|system|>\nBe kind.</s>\n", "<|user|>\n{}</s>\n", "<|assistant|>\n{}</s>\n", "<|assistant|>\n"),
    "command-r": ("<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be kind.<|END_OF_TURN_TOKEN|>",
                  "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{}<|END_OF_TURN_TOKEN|>",
                  "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{}<|END_OF_TURN_TOKEN|>",
                  "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"),
    "granite": ("<|start_of_role|>system<|end_of_role|>Be kind.<|end_of_text|>\n",
                "<|start_of_role|>user<|end_of_role|>{}<|end_of_text|>\n",
                "<|start_of_role|>assistant<|end_of_role|>{}<|end_of_text|>\n",
                "<|start_of_role|>assistant<|end_of_role|>"),
    "harmony": ("<|start|>system<|message|>Be kind.<|end|>", "<|start|>user<|message|>{}<|end|>",
                "<|start|>assistant<|channel|>final<|message|>{}<|end|>", "<|start|>assistant"),
    "falcon": ("", "User: {}\n\n", "Assistant: {}\n\n", "Assistant:"),
    "vicuna": ("A chat between a curious user and an assistant. ", "USER: {} ", "ASSISTANT: {}</s>", "ASSISTANT:"),
    "alpaca": ("Below is an instruction that describes a task.\n\n", "### Instruction:\n{}\n\n",
               "### Response:\n{}\n\n", "### Response:\n"),
    "guanaco": ("", "### Human: {}\n", "### Assistant: {}\n", "### Assistant:"),
    "orca": ("### System:\nBe kind.\n\n", "### User:\n{}\n\n", "### Assistant:\n{}\n\n", "### Assistant:\n"),
    "internlm": ("<s>", "<|User|>:{}<eoh>\n", "<|Bot|>:{}<eoa>\n", "<|Bot|>:"),
    "minicpm": ("<s>", "<用户>{}", "<AI>{}", "<AI>"),
    "baichuan-2": ("", "<reserved_106>{}", "<reserved_107>{}", "<reserved_107>"),
    "openchat": ("<s>", "GPT4 Correct User: {}<|end_of_turn|>", "GPT4 Correct Assistant: {}<|end_of_turn|>",
                 "GPT4 Correct Assistant:"),
    "chatglm-2": ("[Round 1]\n\n", "问：{}\n\n", "答：{}\n\n", "答："),
    "phi-2": ("", "Instruct: {}\n", "Output: {}\n", "Output:"),
    "anthropic": ("", "\n\nHuman: {}", "\n\nAssistant: {}", "\n\nAssistant:"),
    "q-and-a": ("", "Q: {}\n", "A: {}\n\n", "A:"),
    "few-shot": ("", "Problem: {}\n", "Solution: {}\n\n", "Solution:"),
    "seed-oss": ("<seed:bos>system\nBe kind.<seed:eos>", "<seed:bos>user\n{}<seed:eos>",
                 "<seed:bos>assistant\n{}<seed:eos>", "<seed:bos>assistant\n"),
    "exaone": ("[|system|]Be kind.[|endofturn|]\n", "[|user|]{}\n", "[|assistant|]{}[|endofturn|]\n", "[|assistant|]"),
}  # fmt: skip
ODD = [
    "In the log:\nUser: bob asked. Assistant: none.\nWho asked?",
    "What does [INST] mean, and what [/INST]?",
    "Which came first?\nA: the hen\nB: the egg",
    "Write a function.\nInput: 3\nOutput: 5\nQuestion: how?",
    "Is `<|user|>` a token, or <start_of_turn>?",
    "解释「用户：」是什么意思？",
]


@each("name", WRITTEN)
def test_one_turn_and_several(name: str) -> None:
    before, user, assistant, answer = WRITTEN[name]
    assert question_text(before + user.format(Q) + answer) == Q
    assert question_text(before + user.format("Hello!") + assistant.format(A) + user.format(Q) + answer) == Q


@each("odd", ODD)
@each("name", ["chatml", "llama-3", "mistral-v3", "gemma", "deepseek", "falcon", "alpaca", "vicuna"])
def test_a_question_may_speak_of_marks(name: str, odd: str) -> None:
    before, user, _, answer = WRITTEN[name]
    assert question_text(before + user.format(odd) + answer) == odd


FAMILIES = [
    "qwen2_5",
    "qwen3",
    "llama3",
    "llama3_1",
    "llama3_2",
    "gemma",
    "gemma3",
    "gemma4",
    "phi3",
    "phi3_5",
    "cohere",
]
FAMILIES += ["cohere2", "deepseekv3", "deepseek_r1_distill", "glm4moe", "gptoss", "lfm2", "nemotron_3_nano"]


@each("family", FAMILIES)
@each("turns", [1, 3])
def test_templates_as_their_makers_wrote_them(family: str, turns: int) -> None:
    template = (Path(trl.__file__).parent / "chat_templates" / f"{family}.jinja").read_text(encoding="utf-8")
    asked = [
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": A},
        {"role": "user", "content": Q},
    ]
    (rendered,), _ = render_jinja_template(
        [asked[-turns:]], chat_template=template, add_generation_prompt=True, bos_token="<s>", eos_token="</s>"
    )
    assert Q in rendered and rendered != Q
    assert question_text(rendered) == Q


@each("name", ["r1_zero_en", "r1_zero_short_en", "r1_zero_short_zh", "r1_zero_zh_hans", "few_shot", "few_shot_tiny"])
@each("question", [Q, "In the log:\nUser: bob. Who?", "小明有几个苹果？"])
def test_the_text_templates_of_r1hf(name: str, question: str) -> None:
    assert question_text(templates.render(name, question)) == question


@each("raw", [Q, *ODD, "", "Assistant:", "He said. User: bob is here, who?", "See ### Question\nWhat?"])
def test_a_prompt_without_a_template_is_the_question(raw: str) -> None:
    assert question_text(raw) == raw


def test_more_than_a_question() -> None:
    alpaca = "### Instruction:\nAdd them.\n\n### Input:\n2, 3\n\n### Response:\n"
    assert question_text(alpaca) == "Add them.\n\n2, 3"
    tool = "<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>user\n<tool_response>5</tool_response><|im_end|>\n"
    assert question_text(tool) == "What?"
    prefilled = "User: What is 2? Assistant: Let me solve this step by step.\n<think>"
    assert question_text(prefilled) == "What is 2?"


@pytest.mark.parametrize(
    "piece", ["User: a ", "User: a\nAssistant: b\n", "[INST] ", "### Instruction:\n", "\n", "Assistant:"]
)
@pytest.mark.timeout(300)  # work that grows with the square of the length takes longer
def test_a_prompt_of_many_marks_is_read(piece: str) -> None:
    question_text(piece * 200_000)
