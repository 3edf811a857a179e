"""Chat templates of Qwen and Llama bases: the same tokens in a prompt, in training, and in what the model writes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from chat_bases import BASES, save
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl.chat_template_utils import has_generation_markers, is_chat_template_stop_token_trained

from r1hf.core.errors import ConfigError
from r1hf.text import served_prompts as served
from r1hf.text import template_checks
from r1hf.text.chat_templates import FAMILIES, chat_template, dress, family

Messages = list[dict[str, Any]]
KINDS = [(name, prefill) for name in FAMILIES for prefill in (False, True)]


@pytest.fixture(scope="module")
def tokenizers() -> dict[tuple[str, bool], PreTrainedTokenizerBase]:
    made = {}
    for name in FAMILIES:
        base = BASES[name]()
        for prefill in (False, True):
            made[name, prefill] = copy.deepcopy(base)
            dress(made[name, prefill], "auto", prefill)
    return made


def ids_of(tokenizer: PreTrainedTokenizerBase, messages: Messages, **options: Any) -> list[int]:
    return list(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)["input_ids"])


def text_of(tokenizer: PreTrainedTokenizerBase, messages: Messages, **options: Any) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))


def prompt_of(tokenizer: PreTrainedTokenizerBase, messages: Messages, **options: Any) -> list[int]:
    return ids_of(tokenizer, messages, add_generation_prompt=True, **options)


def runs(tokenizer: PreTrainedTokenizerBase, messages: Messages, **options: Any) -> list[list[int]]:
    """The stretches of tokens that TRL's assistant mask covers."""
    made = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **options
    )
    found: list[list[int]] = []
    last = 0
    for token, used in zip(made["input_ids"], made["assistant_masks"], strict=True):
        if used:
            found[-1:] = [[*found[-1], token]] if last else [*found[-1:], [token]]
        last = used
    return found


SIGNS = "ab 7*+=()。，：？想<>/.-\n\té🙂"
TEXT = st.text(alphabet=SIGNS, max_size=24)
WORDS = TEXT.filter(lambda text: bool(text.strip()))
THOUGHT = TEXT.map(lambda text: text.replace("<", "").replace(">", "") + "THOUGHT")
GAP = st.sampled_from(["", " ", "\n", "\n\n"])


@st.composite
def turns(draw: st.DrawFn) -> dict[str, Any]:
    """An assistant's turn in each form that data, clients and servers give it."""
    form = draw(st.sampled_from(["plain", "inline", "reasoning_content", "reasoning", "unclosed"]))
    content, thought, gap = draw(TEXT), draw(THOUGHT), draw(GAP)
    if form == "plain":
        return {"role": "assistant", "content": content}
    if form == "inline":
        return {"role": "assistant", "content": f"<think>{gap}{thought}{gap}</think>{gap}{content}"}
    if form == "unclosed":
        return {"role": "assistant", "content": f"<think>{gap}{thought}"}
    return {"role": "assistant", form: gap + thought, "content": content}


@st.composite
def conversations(draw: st.DrawFn) -> Messages:
    made: Messages = [{"role": "system", "content": draw(TEXT)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        made += [{"role": "user", "content": draw(WORDS)}, draw(turns())]
    return made


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50)
@given(messages=conversations(), keep=st.booleans())
def test_prompt_and_completion_meet_on_a_token(
    tokenizers: dict[tuple[str, bool], PreTrainedTokenizerBase], kind: tuple[str, bool], messages: Messages, keep: bool
) -> None:
    """What is trained on is the prompt as it will be asked, and then the tokens of the completion's own text."""
    tokenizer = tokenizers[kind]
    more = {"keep_reasoning": keep}
    prompt, whole = prompt_of(tokenizer, messages[:-1], **more), ids_of(tokenizer, messages, **more)
    assert whole[: len(prompt)] == prompt
    completion = whole[len(prompt) :]
    assert completion[-1] == tokenizer.eos_token_id and tokenizer.eos_token_id not in completion[:-1]
    text = tokenizer.decode(completion[:-1])
    assert tokenizer.encode(text, add_special_tokens=False) == completion[:-1], "what it writes is what it learned"
    assert runs(tokenizer, messages, **more)[-1] == completion, "TRL's two masks agree"
    rendered = text_of(tokenizer, messages, **more)
    assert tokenizer.encode(rendered, add_special_tokens=False) == whole and tokenizer.decode(whole) == rendered
    if kind[1]:
        assert tokenizer.decode(prompt).endswith("<think>\n") and not text.startswith("<think>")
    assert "THOUGHT" in text or "THOUGHT" not in str(messages[-1])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50)
@given(messages=conversations())
def test_history_has_no_reasoning_and_training_keeps_it(
    tokenizers: dict[tuple[str, bool], PreTrainedTokenizerBase], kind: tuple[str, bool], messages: Messages
) -> None:
    tokenizer = tokenizers[kind]
    asked = [*messages, {"role": "user", "content": "And?"}]
    shown = text_of(tokenizer, asked, add_generation_prompt=True)
    assert "THOUGHT" not in shown and shown.count("<think>") - str(asked).count("<think>") <= kind[1]
    thoughts = sum("THOUGHT" in str(message) for message in messages)
    kept = text_of(tokenizer, messages, keep_reasoning=True)
    assert kept.count("THOUGHT") == thoughts
    # A turn that lost its thought has no loss: the model must not learn to answer without one.
    trained = [tokenizer.decode(run) for run in runs(tokenizer, asked)]
    plain = [m for m in messages if m["role"] == "assistant" and "THOUGHT" not in str(m)]
    assert len(trained) == len(plain)
    assert len(runs(tokenizer, messages, keep_reasoning=True)) == sum(m["role"] == "assistant" for m in messages)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(thought=THOUGHT.map(str.strip), answer=WORDS.map(str.strip))
def test_a_turn_is_the_same_in_every_form(
    tokenizers: dict[tuple[str, bool], PreTrainedTokenizerBase], kind: tuple[str, bool], thought: str, answer: str
) -> None:
    tokenizer = tokenizers[kind]
    content = f"<think>\n{thought}\n</think>\n\n{answer}"
    forms = [
        {"content": content},
        {"content": f"\n{answer}", "reasoning": f"\n{thought} \n"},
        {"content": answer, "reasoning_content": thought},
    ]
    if kind[1]:
        forms.append({"content": content.removeprefix("<think>\n")})  # as the model itself wrote it
    question = {"role": "user", "content": "Why?"}
    made = [ids_of(tokenizer, [question, {"role": "assistant", **form}]) for form in forms]
    assert all(one == made[0] for one in made)
    # Prefilling moves the border between prompt and completion, and not a token.
    other = ids_of(tokenizer, [question, {"role": "assistant", **forms[0]}], prefill_think=not kind[1])
    assert other == made[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_template_survives_saving(
    tokenizers: dict[tuple[str, bool], PreTrainedTokenizerBase], kind: tuple[str, bool], tmp_path: Path
) -> None:
    tokenizer = tokenizers[kind]
    loaded = AutoTokenizer.from_pretrained(save(tokenizer, kind[0], tmp_path))
    for messages in EXAMPLES:
        assert prompt_of(loaded, messages) == prompt_of(tokenizer, messages)
        assert ids_of(loaded, messages) == ids_of(tokenizer, messages)
    assert (loaded.eos_token, loaded.pad_token) == (tokenizer.eos_token, tokenizer.pad_token)
    assert not template_checks.findings(loaded)
    assert served.prompt_of(tmp_path, {}).form == ("prefilled" if kind[1] else "inline")
    assert has_generation_markers(loaded.chat_template) and is_chat_template_stop_token_trained(loaded)


EXAMPLES: list[Messages] = [
    [{"role": "user", "content": "What is 2 + 3 * 4?"}],
    [
        {"role": "system", "content": "Think first."},
        {"role": "user", "content": "2 + 3 * 4 等于多少？"},
        {"role": "assistant", "content": "<think>\n3 * 4 = 12\n</think>\n\n14"},
        {"role": "user", "content": "And 5 * 5?\n\n"},
    ],
    [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "reasoning": "A greeting.", "content": "\n\nHello!"},
        {"role": "user", "content": "(a) or (b)?"},
        {"role": "assistant", "content": "(a)"},
        {"role": "user", "content": "\nWhy?"},
    ],
]


def test_the_end_is_the_turns_own_and_padding_another(tokenizers: Any) -> None:
    for (name, _), tokenizer in tokenizers.items():
        assert tokenizer.eos_token == FAMILIES[name][0] and tokenizer.pad_token != tokenizer.eos_token
        assert tokenizer.pad_token_id is not None and family(tokenizer) == name
        assert prompt_of(tokenizer, EXAMPLES[0]).count(tokenizer.bos_token_id) == (name == "llama")


def test_both_templates_have_one_body() -> None:
    bodies = {name: chat_template(name).partition("{%- set prefill")[2] for name in FAMILIES}
    assert len(set(bodies.values())) == 1 and all(bodies.values())


def test_a_template_that_does_not_fit_is_refused(tokenizers: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"writes <\|eot_id\|>, .*does not have; its vocabulary fits 'qwen'"):
        dress(tokenizers["qwen", False], "llama")
    with pytest.raises(ConfigError, match="neither a .jinja file nor one that r1hf ships: chat, r1_zero, qwen, llama"):
        chat_template("mistral")
    with pytest.raises(ConfigError, match="cannot prefill"):
        chat_template("chat", prefill=True)
    own = tmp_path / "own.jinja"
    own.write_text(chat_template("qwen"))
    assert chat_template(str(own), prefill=True) == chat_template("qwen", prefill=True) != chat_template(str(own))


def test_other_roles_are_refused(tokenizers: Any) -> None:
    with pytest.raises(Exception, match="no role 'tool' in this chat template"):
        text_of(tokenizers["qwen", False], [{"role": "tool", "content": "1"}])
