"""Generation that goes on after a kill: prompts in, n samples of each kept in shards (r1hf/models/shards.py).

`generate` is what stages call. Workers on other GPUs and machines join with `join`; whoever claims a shard writes it,
and the samples are the same whoever does.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1hf.core.errors import ConfigError, DataError, StageError, named
from r1hf.core.files import read_object, write_atomic
from r1hf.core.progress import Progress
from r1hf.models.sampler_config import SamplingConfig, open_sampler, settings_of
from r1hf.models.sampling import Ask, Completion, Limits, Sampler, whole
from r1hf.models.shards import Claim, Request, Shards, completions, write_parquet
from r1hf.models.workers import beside
from r1hf.stage.libraries import set_matmul_precision, set_threads

LEDGER, PROMPTS = "ledger.json", "prompts.parquet"
EMPTY = "empty answer"
_ASKED = {"prompts", "n", "seed", "prompts_of_a_shard", *Limits._fields}
_WAIT = 0.5  # seconds between two looks at shards that others work on


@dataclass
class Tally:
    """Samples that are no answer, under their reason, with the ids of their prompts.

    Raises DataError once they are more than the share `allowed` of the `total`. empty_counts: an empty answer is none.
    """

    total: int
    allowed: float
    empty_counts: bool = True
    bad: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Counts a sample of the prompt `name`; without a reason it is an answer."""
        if not reason:
            return
        self.bad.setdefault(reason, []).append(name)
        found = sum(len(ids) for reason, ids in self.bad.items() if reason != EMPTY or self.empty_counts)
        if found > self.allowed * self.total:
            raise DataError(
                f"{found} of {self.total} samples are no answer, and max_bad_samples is {self.allowed:g}: {self}; "
                "what was sampled is kept: mend the cause, or go on with a larger max_bad_samples"
            )

    def counts(self) -> dict[str, int]:
        return {reason: len(ids) for reason, ids in sorted(self.bad.items())}

    def __str__(self) -> str:
        return "; ".join(
            f"{reason}: {named([f'prompt {name}' for name in dict.fromkeys(ids)], ', ')}"
            for reason, ids in sorted(self.bad.items())
        )


def fault_of(item: Completion) -> str:
    """Why a sample is no answer; empty where it is one. Without what follows a colon: details differ."""
    if item.fault:
        return item.fault.partition(":")[0]
    return "" if item.tokens and item.text.strip() else EMPTY


class Generated:
    """The samples of a finished request, read shard by shard. faults: reason -> ids of the prompts."""

    def __init__(self, shards: Shards, tally: Tally):
        self.shards, self.faults, self.fault_counts = shards, tally.bad, tally.counts()

    def tables(self) -> Iterator[pa.Table]:
        """The shards, in the order of the prompts."""
        return map(self.shards.read, range(self.shards.count))

    def groups(self) -> Iterator[list[Completion]]:
        """The samples of each prompt, in the order of the prompts."""
        for table in self.tables():
            flat = completions(table)
            for start in range(0, len(flat), self.shards.request.n):
                yield flat[start : start + self.shards.request.n]


def generate(
    folder: Path,
    sampler: Sampler,
    prompts: Sequence[str],
    n: int,
    limits: Limits,
    config: SamplingConfig,
    *,
    seed: int | None = None,
    ids: Sequence[object] | None = None,
    name: str = "sampling",
    empty_counts: bool = True,
) -> Generated:
    """`n` samples of each prompt, kept in `folder`; what is there of the same request is not sampled again.

    ids: what messages call the prompts; their numbers from 1 where one is None or there are none. seed: that of the
    configuration if None. empty_counts: whether an empty answer counts towards `max_bad_samples`. Raises StageError
    where the folder is of another request, DataError where too many samples are no answer; what is finished stays.
    """
    own = [str(number if name is None else name) for number, name in enumerate(ids or [None] * len(prompts), 1)]
    size = config.shard_size or sampler.shard_batches * sampler.batch_size
    request = Request(
        *(list(prompts), own, n, limits, config.seed if seed is None else seed, max(1, size // n)),
        *(sampler.source, sampler.revision, settings_of(config)),
    )
    shards = _opened(folder, request)
    tally = Tally(len(prompts) * n, config.max_bad_samples, empty_counts)
    kept = [number for number in range(shards.count) if shards.finished(number)]
    ready = [number for number in kept if not (sampler.streams and shards.reopen(number))]
    _count_kept(shards, ready, tally)
    done = sum(len(shards.places(number)) for number in ready) * n
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(Progress(name, len(prompts) * n, "sample", done))
        if len(ready) < shards.count:
            stack.enter_context(beside(folder, config))
        others = work(shards, sampler, tally, progress)
    _count_kept(shards, others, tally)
    if tally.bad:
        print(f"  note: {name}: {sum(tally.counts().values())} samples are no answer: {tally}", flush=True)
    return Generated(shards, tally)


def work(shards: Shards, sampler: Sampler, tally: Tally, progress: Progress) -> list[int]:
    """Samples until every shard is finished, and returns those that others finished meanwhile."""
    missing = [number for number in range(shards.count) if not shards.present(number)]
    others: list[int] = []
    while missing:
        own: set[int] = set()
        for numbers in [missing] if sampler.streams else [[number] for number in missing]:
            own |= _sampled(shards, numbers, sampler, tally, progress)
        found = [number for number in missing if number not in own and shards.present(number)]
        progress.update(sum(len(shards.places(number)) for number in found) * shards.request.n)
        others += found
        missing = [number for number in missing if number not in own and number not in found]
        if not shards.folder.is_dir():
            break  # the stage has ended
        if missing and not own:
            time.sleep(_WAIT)
    return others


def _sampled(shards: Shards, numbers: Sequence[int], sampler: Sampler, tally: Tally, progress: Progress) -> set[int]:
    """Samples those of the shards that nobody else works on; they are claimed as the sampler comes to them."""
    held: dict[int, Claim] = {}
    written: set[int] = set()

    def finish(number: int) -> None:
        held[number].finish(sampler.engine)
        del held[number]
        written.add(number)

    def asks() -> Iterator[Ask]:
        for number in numbers:
            if (claim := shards.claim(number, journal=sampler.streams)) is None:
                continue
            held[number] = claim
            for (place, _), item in claim.made.items():
                tally.add(fault_of(item), shards.request.ids[place])
            progress.update(len(claim.made))
            left = claim.left
            if not left:
                finish(number)
            yield from left

    try:
        for ask, completion in sampler.answers(asks(), shards.request.limits):
            number = ask.place // shards.request.per_shard
            last = held[number].take(ask, item := whole(ask, completion))
            progress.update()
            if last:
                finish(number)
            tally.add(fault_of(item), shards.request.ids[ask.place])
    finally:
        for claim in held.values():
            claim.release()
    return written


def _count_kept(shards: Shards, numbers: Sequence[int], tally: Tally) -> None:
    for number in numbers:
        table = shards.read(number)
        for name, item in zip(table["id"].to_pylist(), completions(table), strict=True):
            tally.add(fault_of(item), name)


def _opened(folder: Path, request: Request) -> Shards:
    """The shards of a request in its folder, which is made. Raises StageError where it holds those of another."""
    folder.mkdir(parents=True, exist_ok=True)
    before = _ledger(folder)
    if before is not None and before["asked"] != request.asked:
        old, new = before["asked"], request.asked
        changed = [f"{key} {old.get(key)!r} -> {new.get(key)!r}" for key in new if old.get(key) != new.get(key)]
        raise StageError(
            f"{folder} holds samples of another request ({', '.join(changed)}); put that back to go on with them, or "
            "give them up with --restart true"
        )
    if before is None:
        table = pa.table({"id": list(request.ids), "prompt": list(request.prompts)})
        write_parquet(folder / PROMPTS, table)
    # Also where it is there: other workers take the servers of this run, and not those of a run before.
    content = {"asked": request.asked, "model": request.model, "settings": request.settings}
    content["path"] = os.path.abspath(request.model) if os.path.isdir(request.model) else request.model
    write_atomic(folder / LEDGER, json.dumps(content, indent=2) + "\n")
    return Shards(folder, request)


def _ledger(folder: Path) -> dict[str, Any] | None:
    """What the ledger says; None where there is none that can be read: shards say themselves what they are of."""
    try:
        found = read_object(folder / LEDGER)
    except FileNotFoundError:
        return None
    except ConfigError as error:
        print(f"note: {' '.join(error.problems)}; it is written anew", flush=True)
        return None
    kinds = {"asked": dict, "settings": dict, "model": str, "path": str}
    if all(isinstance(found.get(key), kind) for key, kind in kinds.items()) and _ASKED <= found["asked"].keys():
        return found
    print(f"note: {folder / LEDGER} is no ledger of samples; it is written anew", flush=True)
    return None


def join(folder: Path) -> None:
    """Works on the request of a folder until it is finished. Raises StageError where that cannot be done from here."""
    if (ledger := _ledger(folder)) is None:
        raise StageError(f"{folder} holds no {LEDGER}: there is nothing to work on")
    asked, table = ledger["asked"], pq.read_table(folder / PROMPTS)
    if len(list(folder.glob("checkpoint-*.parquet"))) * asked["prompts_of_a_shard"] >= asked["prompts"]:
        return
    set_threads(ledger["settings"].get("num_threads"))
    set_matmul_precision(ledger["settings"].get("matmul_precision", "highest"))
    source = ledger["model"] if os.path.isdir(ledger["model"]) else ledger["path"]
    with open_sampler(ledger["settings"], source) as sampler:
        request = Request(
            *(table["prompt"].to_pylist(), table["id"].to_pylist(), asked["n"]),
            *(Limits(*(asked[key] for key in Limits._fields)), asked["seed"], asked["prompts_of_a_shard"]),
            *(ledger["model"], sampler.revision, ledger["settings"]),
        )
        if request.asked != asked:
            wrong = [key for key in asked if request.asked.get(key) != asked[key]]
            raise StageError(f"{folder}: not the request of its ledger ({', '.join(wrong)}): another version or model")
        shards, total = Shards(folder, request), len(request.prompts) * request.n
        with Progress(folder.name, total, "sample") as progress:
            work(shards, sampler, Tally(total, 1.0), progress)
