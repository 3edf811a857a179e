"""What every server asks of a request before it works for it: whose page sent it, how long it is, how deep.

Standard library only: the chat uses it too.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Collection
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from r1hf.serving.errors import Refused

DEPTH = 32  # of lists and objects inside each other
VALUES = 20_000  # in a request's JSON, lists of tokens apart
BODY_SECONDS = 20.0  # for the whole of a body
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::[0-9]{0,5})?")


def host_of(header: str) -> str | None:
    """The name or address in a Host header, in lower case; None if it is none."""
    match = _HOST.fullmatch(header)
    return match[1].strip("[]").rstrip(".").lower() or None if match else None


def host_name(text: str) -> str | None:
    """A host name or [address] without a port, as `host_of` gives it; None if it is none."""
    return None if re.search(r":[0-9]*$", text.rpartition("]")[2]) else host_of(text)


def is_own_host(header: str, local: str | None, names: Collection[str] = ()) -> bool:
    """Whether a Host header means this server, which a page of another site with a name of its own cannot say.

    local: the address that the client reached. names: those that the server is known by, besides.
    """
    host = host_of(header)
    if host is None:
        return False
    if host in names:
        return True
    address = _address(local or "")
    if host == "localhost":
        return address is None or address.is_loopback
    return address is not None and _address(host) == address


def is_own_origin(origin: str, host: str) -> bool:
    """Whether the page that sends a request was had from `host` itself, as its Origin header says."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False


def client_name(address: str) -> str:
    """Whom limits count: an IPv4 address, or the network of an IPv6 one, of which each client has 2^64."""
    found = _address(address)
    if isinstance(found, IPv6Address) and not found.is_loopback:
        return f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return str(found or address)


def _address(text: str) -> Any:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def check_head(length: str | None, encoding: str | None, limit: int) -> None:
    """Refuses a body by its headers: if it is compressed, so that nobody knows its length, or over `limit` bytes."""
    if encoding and encoding.strip().lower() != "identity":
        raise Refused(f"a body in Content-Encoding {encoding[:40]!r} is not taken: send it as it is", 415)
    if length and length.isascii() and length.isdigit() and int(length[:20]) > limit:
        raise _too_large(limit)


async def read_body(pieces: AsyncIterator[bytes], limit: int, seconds: float = BODY_SECONDS) -> bytes:
    """A body of at most `limit` bytes, however it is sent. Raises Refused with 413 or 408."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in pieces:
                body += piece
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise Refused(f"the request was not complete within {seconds:g} s", 408) from None
    return bytes(body)


def _too_large(limit: int) -> Refused:
    return Refused(f"the request is larger than the {limit:,} bytes that are taken here; shorten it", 413)


def read_json(body: bytes) -> Any:
    """The JSON in a body, UTF-8 whatever its headers say. Raises Refused where it is none, too deep or too much."""

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        value = json.loads(body.decode("utf-8"), parse_constant=constant)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        digits = "integer string" in str(error)
        reason = "a number has too many digits" if digits else str(error)[:200]
        raise Refused(f"the request is not JSON: {reason}") from None
    _walk(value)
    return value


def _too_deep() -> Refused:
    return Refused(f"the request's JSON is nested deeper than {DEPTH} levels")


def _walk(value: Any) -> None:
    """Counts values and levels; lists of whole numbers, which prompts can be, at one step each."""
    waiting, count = [(value, 1)], 0
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, float) and item - item != 0:  # infinite, as 1e999 is
            raise Refused("the request has a number that is too large")
        if isinstance(item, str):
            check_text(item)
        if not isinstance(item, list | dict):
            continue
        if depth > DEPTH:
            raise _too_deep()
        inside = item if isinstance(item, list) else [*item, *item.values()]
        numbers = isinstance(item, list) and set(map(type, item)) <= {int}
        count += 1 if numbers else len(inside)
        if count > VALUES:
            raise Refused(f"the request's JSON has more than {VALUES:,} values")
        if not numbers:
            waiting += [(part, depth + 1) for part in inside]


def check_text(text: str) -> None:
    """Refuses half of a surrogate pair, of which no tokenizer can make anything."""
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        raise Refused("the request has a text with half a character (a lone surrogate)") from None
