"""Samples on disk: shards of parquet that appear whole or not at all, each claimed by one worker at a time.

FOLDER/ledger.json              what is asked, for other workers and for people
FOLDER/prompts.parquet          the prompts and their ids
FOLDER/checkpoint-00000.parquet a finished shard
FOLDER/checkpoint-00000.jsonl   finished samples of a shard in work, of an engine whose samples stand alone
FOLDER/.checkpoint-00000.lock   the claim; it dies with its process, and another takes the shard over
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1hf.core.errors import DataError, StageError
from r1hf.core.files import open_plain, parse_json, reason_of, write_atomic
from r1hf.models.sampling import TOO_LONG, Ask, Completion, Limits, asks_of
from r1hf.stage.locks import FileLock

FORMAT = 1
_MARK = b"r1hf.request"
SCHEMA = pa.schema(
    {
        "place": pa.int64(),  # the prompt's number from 0
        "id": pa.string(),
        "sample": pa.int64(),
        "text": pa.string(),
        "tokens": pa.int64(),
        "finish": pa.string(),  # stop, length or failed
        "fault": pa.string(),  # why it failed; empty where it did not
        "seed": pa.int64(),
        "engine": pa.string(),
        "model": pa.string(),
        "revision": pa.string(),
    }
)


@dataclass(frozen=True)
class Request:
    """What is asked of a model. per_shard: prompts of a shard. settings: what `open_sampler` makes the sampler of."""

    prompts: Sequence[str]
    ids: Sequence[str]
    n: int
    limits: Limits
    seed: int
    per_shard: int
    model: str
    revision: str
    settings: dict[str, Any]

    @cached_property
    def asked(self) -> dict[str, Any]:
        """All that the samples depend on, a key for each that a person may have changed."""
        digest = hashlib.sha256()
        for pair in zip(self.ids, self.prompts, strict=True):
            digest.update(json.dumps(pair).encode())
        return {
            "format": FORMAT,
            "prompts": len(self.prompts),
            "prompts_sha256": digest.hexdigest(),
            "n": self.n,
            **self.limits._asdict(),
            "seed": self.seed,
            "prompts_of_a_shard": self.per_shard,
            "model": self.revision or self.model,
            **{key: self.settings[key] for key in ("sampler", "vllm", "openai") if key in self.settings},
        }

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.asked, sort_keys=True).encode()).hexdigest()


class Shards:
    """The shards of a request in a folder.

    Reading one raises DataError where it is damaged, StageError where it is another request's.
    """

    def __init__(self, folder: Path, request: Request):
        self.folder, self.request = folder, request
        self.count = -(-len(request.prompts) // request.per_shard)
        self._proved: set[int] = set()

    def path(self, number: int) -> Path:
        return self.folder / f"checkpoint-{number:05d}.parquet"

    def journal(self, number: int) -> Path:
        return self.path(number).with_suffix(".jsonl")

    def _lock(self, number: int) -> FileLock:
        return FileLock(self.folder / f".checkpoint-{number:05d}.lock", f"the shard {self.path(number)}")

    def places(self, number: int) -> range:
        """The prompts of a shard."""
        start = number * self.request.per_shard
        return range(start, min(start + self.request.per_shard, len(self.request.prompts)))

    def asks(self, number: int) -> Iterator[Ask]:
        return asks_of(self.request.prompts, self.places(number), self.request.n, self.request.seed)

    def read(self, number: int) -> pa.Table:
        """A finished shard, in the order of prompts and samples."""
        path, places = self.path(number), self.places(number)
        try:
            with open_plain(path) as stream:
                table = pq.read_table(pa.PythonFile(stream, mode="r"))
            table.validate(full=True)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DataError(f"{path} cannot be read as a shard of samples: {reason_of(error)}") from error
        if (table.schema.metadata or {}).get(_MARK) != self.request.fingerprint.encode():
            raise StageError(
                f"{path} holds samples of another request; move it away, or give it up with --restart true"
            )
        wanted = [(place, sample) for place in places for sample in range(self.request.n)]
        held = table.schema.names == SCHEMA.names and list(
            zip(table["place"].to_pylist(), table["sample"].to_pylist(), strict=True)
        )
        if held != wanted:
            raise DataError(f"{path} does not hold the samples of prompts {places.start} to {places.stop - 1}")
        return table

    def present(self, number: int) -> bool:
        """Whether a shard is there; it is not looked into."""
        return number in self._proved or os.path.lexists(self.path(number))

    def finished(self, number: int) -> bool:
        """Whether a shard is there and whole. One that is damaged is deleted, with a note."""
        if number in self._proved:
            return True
        if not self.present(number):
            return False
        try:
            self.read(number)
        except DataError as error:
            print(f"note: {error}; its {len(self.places(number))} prompts are sampled again", flush=True)
            self.path(number).unlink(missing_ok=True)
            return False
        self._proved.add(number)
        return True

    def reopen(self, number: int) -> bool:
        """Takes a finished shard back into work where a server or an engine failed some of it: that may have been
        mended. Its other samples stay, in its journal. False where nothing failed, or another works on it."""
        lock = self._lock(number)
        if not lock.try_acquire():
            return False
        try:
            samples = completions(self.read(number))
            if not any(_may_pass(one.fault) for one in samples):
                return False
            mark, asks = self.request.fingerprint, self.asks(number)
            write_atomic(self.journal(number), "".join(_line(mark, *pair) for pair in zip(asks, samples, strict=True)))
            self.path(number).unlink()
            self._proved.discard(number)
            return True
        finally:
            lock.release()

    def write(self, number: int, made: dict[tuple[int, int], Completion], engine: str) -> None:
        """Writes a shard beside its place and renames it."""
        request, common = self.request, {"engine": engine}
        common |= {"model": request.model, "revision": request.revision}
        rows = []
        for ask in self.asks(number):
            item = made[ask.place, ask.sample]
            own = {"place": ask.place, "id": request.ids[ask.place], "sample": ask.sample, "seed": ask.seed}
            found = {"text": item.text, "tokens": item.tokens, "finish": item.finish, "fault": item.fault}
            rows.append({**own, **found, **common})
        table = pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata({_MARK: request.fingerprint}))
        write_parquet(self.path(number), table)
        self._proved.add(number)

    def claim(self, number: int, journal: bool) -> Claim | None:
        """A shard to work on; None where another works on it, or it is finished by now."""
        if not self.folder.is_dir():  # the stage has ended
            return None
        lock = self._lock(number)
        if not lock.try_acquire():
            return None
        if self.finished(number):
            lock.release()
            return None
        return Claim(self, number, lock, journal)


class Claim:
    """One shard in the hands of one worker. made: its samples so far, those of a worker before included."""

    def __init__(self, shards: Shards, number: int, lock: FileLock, journal: bool):
        self.shards, self.number, self._lock = shards, number, lock
        self.made: dict[tuple[int, int], Completion] = {}
        self._journal = shards.journal(number)
        self._handle: int | None = None
        if journal:
            self._take_up()

    @property
    def left(self) -> list[Ask]:
        """What is still to be sampled."""
        return [ask for ask in self.shards.asks(self.number) if (ask.place, ask.sample) not in self.made]

    def _take_up(self) -> None:
        """Reads what a killed worker had finished; its last line may be half written. What failed is left to do."""
        mark = self.shards.request.fingerprint
        wanted = {(ask.place, ask.sample): ask for ask in self.shards.asks(self.number)}
        kept = []
        with contextlib.suppress(OSError), open_plain(self._journal) as stream:
            for line in stream:
                if (found := _entry(line, mark)) is None or found[0] not in wanted:
                    break
                if not _may_pass(found[1].fault):
                    self.made[found[0]] = found[1]
                    kept.append(_line(mark, wanted[found[0]], found[1]))
        write_atomic(self._journal, "".join(kept))  # a kill in between loses nothing
        self._handle = os.open(self._journal, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def take(self, ask: Ask, completion: Completion) -> bool:
        """Keeps a sample. True where it was the shard's last."""
        self.made[ask.place, ask.sample] = completion
        if self._handle is not None:
            _write(self._handle, _line(self.shards.request.fingerprint, ask, completion).encode())
        return len(self.made) == len(self.shards.places(self.number)) * self.shards.request.n

    def finish(self, engine: str) -> None:
        self.shards.write(self.number, self.made, engine)
        self._journal.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Lets another have the shard."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        self._lock.release()


def _may_pass(fault: str) -> bool:
    """Whether a sample failed for a reason that can be mended, and is asked for again. A prompt stays too long."""
    return bool(fault) and not fault.startswith(TOO_LONG)


def completions(table: pa.Table) -> list[Completion]:
    """The samples of a shard."""
    columns = (table[name].to_pylist() for name in ("text", "tokens", "finish", "fault"))
    return [
        Completion(text, tokens, finish == "length", fault)
        for text, tokens, finish, fault in zip(*columns, strict=True)
    ]


def _line(mark: str, ask: Ask, item: Completion) -> str:
    """A line of a journal, which `_entry` reads."""
    return json.dumps([mark, ask.place, ask.sample, item.text, item.tokens, item.truncated, item.fault]) + "\n"


def _entry(line: bytes, mark: str) -> tuple[tuple[int, int], Completion] | None:
    """A line of a journal; None where it is half written, or of another request."""
    try:
        found = parse_json(line)
        own, place, sample, text, tokens, truncated, fault = found
    except (ValueError, TypeError):
        return None
    kinds = (int, int, str, int, bool, str)
    right = own == mark and all(isinstance(value, kind) for value, kind in zip(found[1:], kinds, strict=True))
    return ((place, sample), Completion(text, tokens, truncated, fault)) if right and line.endswith(b"\n") else None


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def write_parquet(path: Path, table: pa.Table) -> None:
    """Writes the table so that it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(table, temporary, compression="zstd")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
