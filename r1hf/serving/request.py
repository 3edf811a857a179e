"""The limits of one completion or tokenization request, checked before anything is done for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from r1hf.serving.errors import Refused

MOST_SAMPLES = 64
MOST_MESSAGES = 2048
STOPS, STOP_LENGTH = 16, 256  # strings, and characters of one
LISTED = 1024  # entries of any other list or mapping of settings
SETTINGS = 32_768  # characters of all that is no part of the prompt
CHARACTERS = 16  # a token's, in any text that people write; tokenizers have longer ones for runs of spaces
_SHORTEST = 4096  # characters and bytes that are taken for any context
_PROMPT = ("messages", "prompt", "tools", "documents", "functions", "chat_template_kwargs", "tokens", "suffix")
# What reads files or addresses, or replaces what the server was started with.
_NEVER = ("prompt_embeds", "mm_processor_kwargs", "media_io_kwargs", "kv_transfer_params", "multi_modal_data")
_WHOLE = {
    "n": (1, MOST_SAMPLES),
    "best_of": (1, MOST_SAMPLES),
    "max_tokens": (0, 2**31 - 1),
    "max_completion_tokens": (0, 2**31 - 1),
    "min_tokens": (0, 2**31 - 1),
    "logprobs": (0, 20),
    "top_logprobs": (0, 20),
    "prompt_logprobs": (0, 20),
    "top_k": (-1, 2**31 - 1),
    "seed": (-(2**63), 2**63 - 1),
    "truncate_prompt_tokens": (-1, 2**31 - 1),
    "thinking_token_budget": (0, 2**31 - 1),
}


def most_bytes(context: int) -> int:
    """Bytes of a request's JSON that can fit a model's context of so many tokens."""
    return min(16 * 2**20, 2**16 + 24 * context)


def most_characters(context: int) -> int:
    """Characters of a prompt that can fit."""
    return _SHORTEST + CHARACTERS * context


def check_request(body: dict[str, Any], model: str, context: int) -> None:
    """Refuses what is too much for `model`, or of a type that an engine might read as something else.

    Numbers in text and booleans as numbers count as wrong: an engine that takes them would pass the limits here.
    """
    for name in _NEVER:
        if body.get(name) is not None:
            raise Refused(f"{name} is not taken by this server", param=name)
    for name, (least, most) in _WHOLE.items():
        value = body.get(name)
        if name == "logprobs" and isinstance(value, bool):
            continue  # chat completions have a switch of this name
        if value is not None and (type(value) is not int or not least <= value <= most):
            what = f"at most {most} samples a request" if most == MOST_SAMPLES else f"{least} to {most}"
            raise Refused(f"{name}: a whole number is expected, {what}", param=name)
    if isinstance(body.get("chat_template_kwargs"), dict) and "chat_template" in body["chat_template_kwargs"]:
        raise Refused("chat_template_kwargs: no template is taken from a request", param="chat_template_kwargs")
    _check_stop(body)
    _check_settings(body)
    _check_messages(body.get("messages"))
    prompts = _check_prompt(body, context)
    _check_length(body, model, context, prompts)
    if samples(body) > MOST_SAMPLES:
        raise Refused(f"n: at most {MOST_SAMPLES} samples a request, over all its prompts", param="n")


def samples(body: dict[str, Any]) -> int:
    """How many completions a request asks for, after `check_request`."""
    prompt = body.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1
    return prompts * max(body.get("n") or 1, body.get("best_of") or 1)


def _check_stop(body: dict[str, Any]) -> None:
    for name in ("stop", "bad_words"):
        stop = body.get(name)
        if stop is None:
            continue
        texts = [stop] if isinstance(stop, str) else stop
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise Refused(f"{name}: a text or a list of texts is expected", param=name)
        if len(texts) > STOPS or any(len(text) > STOP_LENGTH for text in texts):
            raise Refused(f"{name}: at most {STOPS} texts of {STOP_LENGTH} characters each", param=name)


def _check_settings(body: dict[str, Any]) -> None:
    """All fields that are no part of the prompt, together."""
    size = 0
    for name, value in body.items():
        size += len(name)
        if name in _PROMPT:
            continue
        size += sum(map(len, texts_in(value)))
        if isinstance(value, list | dict) and len(value) > LISTED:
            raise Refused(f"{name[:60]}: at most {LISTED} entries", param=name[:60])
        if isinstance(value, list | dict) and sum(1 for _ in values_in(value)) > 4 * LISTED:
            raise Refused(f"{name[:60]}: too many values", param=name[:60])
    if size > SETTINGS:
        raise Refused(f"the request has more than {SETTINGS:,} characters beside its prompt")


def _check_messages(messages: Any) -> None:
    if messages is None:
        return
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Refused("messages: a list of objects is expected", param="messages")
    if not messages:
        raise Refused("messages: give at least one", param="messages")
    if len(messages) > MOST_MESSAGES:
        raise Refused(f"messages: at most {MOST_MESSAGES}", param="messages")
    for message in messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        if not isinstance(content, str | list | None) or not isinstance(message.get("role"), str):
            raise Refused("messages: each needs a role, and a text as content", param="messages")
        # Other kinds would have an engine fetch an address that the client names.
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in parts):
            raise Refused("messages: only parts of type 'text' can be read", param="messages")


def _check_prompt(body: dict[str, Any], context: int) -> list[Any]:
    """The prompts of the request, each a text or a list of tokens."""
    prompt = body.get("prompt")
    many = isinstance(prompt, list) and prompt and not isinstance(prompt[0], int)
    prompts: list[Any] = prompt if many and isinstance(prompt, list) else [prompt]
    if len(set(map(type, prompts))) > 1:
        raise Refused("prompt: give texts or lists of tokens, not both", param="prompt")
    for name, lists in (("prompt", prompts), ("tokens", [body.get("tokens")])):
        for tokens in lists:
            if tokens is None or name == "prompt" and isinstance(tokens, str):
                continue
            if not isinstance(tokens, list) or not set(map(type, tokens)) <= {int}:
                raise Refused(f"{name}: a list of tokens, whole numbers, is expected", param=name)
            if tokens and not (0 <= min(tokens) and max(tokens) < 2**31):
                raise Refused(f"{name}: a token is outside the vocabulary", param=name)
            if len(tokens) > context:
                raise _too_long(context, f"{len(tokens):,} tokens", name)
    return prompts


def _check_length(body: dict[str, Any], model: str, context: int, prompts: list[Any]) -> None:
    most = most_characters(context)
    lengths = [len(prompt) for prompt in prompts if isinstance(prompt, str)]
    others = [sum(map(len, texts_in(body.get(name)))) for name in _PROMPT if name not in ("prompt", "tokens")]
    longest = max([sum(others), *lengths])
    if longest > most:
        where = "messages" if sum(others) > most else "prompt"
        raise _too_long(context, f"{longest:,} characters, more than {most:,} never fit it", where, model)


def _too_long(context: int, what: str, param: str, model: str = "") -> Refused:
    whose = f"The maximum context length of {model}" if model else "This model's maximum context length"
    return Refused(f"{whose} is {context} tokens. The request has {what}. Shorten it.", param=param)


def values_in(value: Any) -> Iterator[Any]:
    """Every value inside `value`, keys of objects too."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list):
            waiting += item


def texts_in(value: Any) -> Iterator[str]:
    return (item for item in values_in(value) if isinstance(item, str))
