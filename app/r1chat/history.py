"""The chats that a browser keeps, as plain JSON: {"version", "open", "chats": [{"id", "title", "turns"}]}.

A turn is {"question", "reply"}; a reply is `Reply.snapshot()`, or None where it was never finished. Functions return
new values and change none. What comes from a browser may be anything: `restore` is the door.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from r1chat.reply import VERDICTS

VERSION = 1
MAX_CHATS = 30
MAX_BYTES = 400_000  # browsers give a page five million; each event sends it all
MAX_TITLE = 48
MAX_TURNS = 200  # of a chat; the page draws them all with each picture

Turn = dict[str, Any]
Store = dict[str, Any]

_INTERRUPTED = {"verdict": "failed", "problem": {"kind": "interrupted"}, "phase": "done"}
_REPLY = {
    "model": "",
    "form": "none",
    "thought": None,
    "answer": "",
    "phase": "done",
    "verdict": "failed",
    "problem": None,
    "waiting_for": None,
    "over_budget": False,
    "finish": None,
    "tokens": 0,
    "thinking_tokens": 0,
    "thinking_seconds": None,
    "first_token_seconds": None,
    "tokens_per_second": None,
    "seconds": 0.0,
}


def new_store() -> Store:
    return {"version": VERSION, "open": None, "chats": []}


def restore(value: Any) -> Store:
    """The store in `value`, without whatever in it is not one."""
    if not isinstance(value, Mapping) or value.get("version") != VERSION or not isinstance(value.get("chats"), list):
        return new_store()
    chats = []
    for chat in value["chats"][:MAX_CHATS]:
        if isinstance(chat, Mapping) and isinstance(chat.get("turns"), list):
            turns = [turn for turn in map(_restore_turn, chat["turns"][-MAX_TURNS:]) if turn]
            if turns:
                title = str(chat.get("title") or "")[:MAX_TITLE] or _title(turns)
                chats.append({"id": str(chat.get("id") or _new_id()), "title": title, "turns": turns})
    known = {chat["id"] for chat in chats}
    opened = value.get("open")
    return {
        "version": VERSION,
        "open": opened if isinstance(opened, str) and opened in known else None,
        "chats": chats,
    }


def _restore_turn(turn: Any) -> Turn | None:
    if not isinstance(turn, Mapping) or not isinstance(turn.get("question"), str):
        return None
    reply = turn.get("reply")
    if not isinstance(reply, Mapping):
        return {"question": turn["question"], "reply": {**_REPLY, **_INTERRUPTED}}
    kept = {key: _kept(key, reply.get(key)) for key in _REPLY}
    if kept["phase"] != "done" or kept["verdict"] == "failed" and not kept["problem"]:
        kept |= _INTERRUPTED
    return {"question": turn["question"], "reply": kept}


def _kept(key: str, value: Any) -> Any:
    """A part of a reply if it is of its kind, else what stands for nothing."""
    default = _REPLY[key]
    if key == "verdict":
        fits = value in VERDICTS if isinstance(value, str) else False
    elif key == "problem":
        fits = isinstance(value, Mapping) and all(isinstance(item, str | int | None) for item in value.values())
    elif key.endswith(("seconds", "second", "tokens")):
        whole = isinstance(default, int)
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    else:
        fits = isinstance(value, bool if isinstance(default, bool) else str)
    return value if fits else default


def open_turns(store: Store) -> list[Turn]:
    """The turns of the chat that is open; none for a new one."""
    return next((chat["turns"] for chat in store["chats"] if chat["id"] == store["open"]), [])


def with_turns(store: Store, turns: list[Turn]) -> Store:
    """The open chat now holds `turns`; the first turn of a new chat makes it. The latest chat comes first."""
    chats = store["chats"]
    opened = next((chat for chat in chats if chat["id"] == store["open"]), None)
    others = [chat for chat in chats if chat is not opened]
    if not turns:
        return {**store, "open": None, "chats": others}
    identity = opened["id"] if opened else _new_id()
    changed = {"id": identity, "title": _title(turns), "turns": turns}
    return _trimmed({**store, "open": identity, "chats": [changed, *others][:MAX_CHATS]})


def opened(store: Store, identity: str | None) -> Store:
    known = {chat["id"] for chat in store["chats"]}
    return {**store, "open": identity if isinstance(identity, str) and identity in known else None}


def _trimmed(store: Store) -> Store:
    """Without the oldest chats, then the oldest turns of the open one, until it fits the browser."""
    chats = list(store["chats"])
    while len(chats) > 1 and _size(chats) > MAX_BYTES:
        chats.pop()
    while len(chats[0]["turns"]) > 1 and _size(chats) > MAX_BYTES:
        chats[0] = {**chats[0], "turns": chats[0]["turns"][1:]}
    return {**store, "chats": chats}


def _size(chats: list[Any]) -> int:
    return len(json.dumps(chats))


def _title(turns: list[Turn]) -> str:
    text = " ".join(turns[0]["question"].split())
    return text if len(text) <= MAX_TITLE else text[: MAX_TITLE - 1] + "…"


def _new_id() -> str:
    return secrets.token_hex(6)


def messages(turns: list[Turn], question: str, system: str = "") -> list[dict[str, str]]:
    """What is sent: earlier questions that were answered, without their thoughts (R1's templates drop them), and the
    new one. Failed and empty answers are left out with their questions."""
    sent = [{"role": "system", "content": system.strip()}] if system.strip() else []
    for turn in turns:
        reply = turn["reply"]
        if reply["answer"] and not (reply["problem"] and not reply["answer"].strip()):
            sent.append({"role": "user", "content": turn["question"]})
            sent.append({"role": "assistant", "content": reply["answer"]})
    return [*sent, {"role": "user", "content": question}]


def export(turns: list[Turn]) -> str:
    """The chat as a JSON document, thoughts and measurements included."""
    rows: list[dict[str, Any]] = []
    for turn in turns:
        reply = dict(turn["reply"])
        thought, answer = reply.pop("thought"), reply.pop("answer")
        for name in ("phase", "waiting_for"):
            reply.pop(name)
        rows.append({"role": "user", "content": turn["question"]})
        rows.append({"role": "assistant", "reasoning_content": thought, "content": answer, "r1hf": reply})
    document = {"format": 1, "exported": datetime.now(UTC).isoformat(timespec="seconds"), "messages": rows}
    return json.dumps(document, ensure_ascii=False, indent=2)
