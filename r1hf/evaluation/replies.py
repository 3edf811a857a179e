"""What a judging model replied: one JSON object with a verdict and a reason, or the name of what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r1hf.text.grammar import parse

LONGEST = 20_000  # characters of a reply that are looked at
MOST_OBJECTS = 200
VERDICTS = {"correct": True, "incorrect": False}

FAULTS = {
    "no_reply": "nothing came back",
    "cut_off": "the reply, or the thought before it, was cut off",
    "no_json": "no JSON object with a verdict",
    "no_ticket": "the verdict does not carry the ticket of the question: quoted, or made up",
    "several_verdicts": "verdicts that contradict each other",
    "unknown_verdict": "a verdict that is none of those that were asked for",
    "no_reason": "no reason beside the verdict",
}


@dataclass(frozen=True)
class Reply:
    """verdict: None where the reply says none; `fault` is then one of FAULTS."""

    verdict: Any
    reason: str = ""
    fault: str = ""


class _TwiceError(ValueError):
    """A key that stands twice in one object."""


def read_reply(
    text: str, ticket: str, *, truncated: bool = False, verdicts: Mapping[str, bool | float] = VERDICTS
) -> Reply:
    """The verdict in a reply. Only objects with the `ticket` count: what a judged answer wrote itself has none.

    verdicts: the words that may be said, in small letters, and what each means.

    Never raises, whatever the text is, and never guesses from prose.
    """
    if not text.strip():
        return Reply(None, fault="cut_off" if truncated else "no_reply")
    text = text[:LONGEST]
    response = parse(text)
    if response.reasoning is not None:
        text = response.answer or ""
        if response.truncated or not text:
            return Reply(None, fault="cut_off")
    found, twice = _objects(text)
    own = [one for one in found if one.get("ticket") == ticket]
    if twice or len({repr(one.get("verdict")) for one in own}) > 1:
        return Reply(None, fault="several_verdicts")
    if not own:
        fault = "no_ticket" if found else "cut_off" if truncated or _opens(text) else "no_json"
        return Reply(None, fault=fault)
    return _verdict(own[-1], verdicts)


def _verdict(one: dict[str, Any], verdicts: Mapping[str, bool | float]) -> Reply:
    said, reason = one.get("verdict"), one.get("analysis")
    if not isinstance(said, str) or said.strip().lower() not in verdicts:
        return Reply(None, fault="unknown_verdict")
    if not isinstance(reason, str) or not reason.strip():
        return Reply(None, fault="no_reason")
    return Reply(verdicts[said.strip().lower()], reason.strip())


def _objects(text: str) -> tuple[list[dict[str, Any]], bool]:
    """The JSON objects in a text that hold a verdict, not those within others; and whether one has a key twice."""
    decoder = json.JSONDecoder(object_pairs_hook=_once, strict=False)
    found: list[dict[str, Any]] = []
    twice, place = False, text.find("{")
    for _ in range(MOST_OBJECTS):
        if place < 0:
            break
        try:
            value, end = decoder.raw_decode(text, place)
        except _TwiceError:
            twice, end = True, place + 1
        except (ValueError, RecursionError):
            end = place + 1
        else:
            if isinstance(value, dict) and "verdict" in value:
                found.append(value)
        place = text.find("{", end)
    return found, twice


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise _TwiceError
    return dict(pairs)


def _opens(text: str) -> bool:
    return text.count("{") > text.count("}")
