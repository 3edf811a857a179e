"""Rows whose answer is a program, as benchmarks publish their tests: asserts in Python, and packed cases."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import pickle
import zlib
from typing import Any

from r1hf.core.errors import DataError
from r1hf.data.rows import Row

_LARGEST = 256 << 20  # bytes of unpacked tests; LiveCodeBench's largest are some tens of MiB


class _Plain(pickle.Unpickler):
    """Reads text, numbers and lists of them. A pickle that asks for more, which could run code, is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise DataError(f"packed tests ask for {module}.{name}; tests are text and nothing else")


def unpacked(text: str) -> Any:
    """Tests as LiveCodeBench packs its private ones (base64 of zlib of a pickle of JSON text), or plain JSON text.

    Raises DataError for what is neither.
    """
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(base64.b64decode(text, validate=True), _LARGEST)
        if stream.unconsumed_tail:
            raise DataError(f"packed tests have more than {_LARGEST >> 20} MiB")
        found = _Plain(io.BytesIO(data)).load()
        return json.loads(found) if isinstance(found, str | bytes) else found
    except DataError:
        raise
    except (binascii.Error, zlib.error, pickle.UnpicklingError, ValueError, EOFError, IndexError, KeyError) as error:
        raise DataError(f"tests are neither JSON text nor packed as LiveCodeBench does: {text[:40]!r}…") from error


def with_tests(row: Row) -> Row:
    """A row of task `code` with its `tests`, whatever columns its benchmark has them in."""
    if row["task"] != "code" or row.get("tests"):
        return row
    if row.get("asserts"):
        return {**row, "tests": [{"stdin": "", "stdout": _token(row)}]}
    packed = [row[name] for name in ("public_test_cases", "private_test_cases") if row.get(name)]
    cases = [case for text in packed for case in (unpacked(text) if isinstance(text, str) else text)]
    return {**row, "tests": cases} if cases else row


def whole_program(row: Row, code: str) -> str:
    """The program that the sandbox runs: with asserts, these behind it, and a word that tells that all have held.

    The word depends on the row and no model has seen it: a program that ends early, or prints, does not say it.
    """
    asserts = row.get("asserts")
    if not asserts:
        return code
    call = f"check({row['entry_point']})\n" if row.get("entry_point") else ""
    return f"{code}\n\n{asserts}\n\n{call}print({_token(row)!r})\n"


def _token(row: Row) -> str:
    return hashlib.sha256(f"{row['question']}{row['asserts']}".encode("utf-8", "replace")).hexdigest()[:24]
