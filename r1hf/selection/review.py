"""One person's review of a stage's rows: what is shown, what is decided, and what the others said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any, Literal, NamedTuple

from r1hf.core.errors import ConfigError, DataError
from r1hf.data.agreement import about, agreements, outcome
from r1hf.data.decisions import KINDS, Decided, Decision, Journal, files_of, latest, read
from r1hf.data.review_queue import Item, load_items
from r1hf.selection.edits import FORMS, Checked, Checker
from r1hf.stage.manifest import read_manifest

Status = Literal["to decide", "decided", "conflicts", "all"]
STATUSES: tuple[Status, ...] = ("to decide", "decided", "conflicts", "all")
KEPT = "kept"


class Filters(NamedTuple):
    """What is shown; an empty text is any. reason: `kept`, or why the stage rejected a row."""

    status: Status = "to decide"
    method: str = ""
    language: str = ""
    reason: str = ""


def find_stage_to_review(place: Path) -> Path:
    """`place` itself, or the one stage in a run whose rows people review: cold start where there is one.

    Raises ConfigError.
    """
    if not place.is_dir():
        raise ConfigError(f"{place} is not a directory: name a stage, such as runs/mine/cold_start, or its run")
    if read_manifest(place) is not None:
        return place
    made: dict[str, list[Path]] = {}
    for folder in sorted(path for path in place.iterdir() if path.suffix not in (".partial", ".old")):
        manifest = read_manifest(folder)
        if manifest is not None and (recipe := Path(manifest.recipe).stem) in FORMS:
            made.setdefault(recipe, []).append(folder)
    for recipe in FORMS:
        found = made.get(recipe, [])
        if len(found) > 1:
            raise ConfigError(f"{place} holds {', '.join(map(str, found))}: name one of them")
        if found:
            return found[0]
    raise ConfigError(f"{place} holds no finished stage of {' or '.join(FORMS)}: make one, or name its directory")


class Review:
    """The rows of a stage, and one reviewer's journal. Safe to call from several threads.

    sample: so many of the rows, the same for every reviewer. Raises what Checker, Journal and load_items raise.
    """

    def __init__(self, stage: Path, reviewer: str, sample: int | None = None):
        self.stage, self.reviewer = stage, reviewer
        self.checker = Checker(stage)
        items = load_items(stage)
        if sample is not None:
            chosen = set(sorted(item.key for item in items)[:sample])  # a key is a hash: any order of rows gives these
            items = [item for item in items if item.key in chosen]
        self.items = {item.key: item for item in items}
        self._places = {key: place for place, key in enumerate(self.items)}
        self.journal = Journal(stage, reviewer)
        self._lock = RLock()
        self._read: dict[Path, tuple[tuple[int, int], Decided]] = {}
        self.broken: dict[str, str] = {}  # reviewer -> what is wrong with the file

    def check(self, key: str, text: str) -> Checked:
        return self.checker([self.items[key]], [text])[0]

    def decide(self, key: str, kind: str, text: str | None = None) -> Checked | None:
        """Keeps a decision, if it is one that training can use; returns what was found of the text that it stands for.

        An edit, and the acceptance of a row that the stage rejected, must pass the stage's own filters and verdict.
        Raises DataError with what is wrong, and nothing is changed.
        """
        item = self.items[key]
        if kind not in KINDS:
            raise DataError(f"decision is {kind!r:.40}, not one of {', '.join(KINDS)}")
        text = (text or "").strip() if kind == "edit" else None
        if text == item.text:
            kind, text = "accept", None
        found = None
        if kind == "edit" or (kind == "accept" and not item.kept):
            found = self.check(key, item.text if text is None else text)
            if found.fault is not None:
                raise DataError(found.said)
        with self._lock:
            self.journal.decide(Decision(key, kind, text))
        return found

    def undo(self) -> Decision | None:
        with self._lock:
            return self.journal.undo()

    @property
    def mine(self) -> Decided:
        return self.journal.decided

    def others(self) -> dict[str, Decided]:
        """What the other reviewers decided until now. Of a file that is broken, what it said before; see `broken`."""
        with self._lock:
            self.broken = {}
            paths = [path for path in files_of(self.stage) if path != self.journal.path]
            for path in paths:
                seen = path.stat()
                stamp = (seen.st_size, seen.st_mtime_ns)
                if path in self._read and self._read[path][0] == stamp:
                    continue
                try:
                    self._read[path] = (stamp, latest(read(path)[0]))
                except DataError as error:
                    self.broken[path.stem] = str(error)
            return {path.stem: self._read[path][1] for path in paths if path in self._read}

    def everybody(self) -> dict[str, Decided]:
        return {**self.others(), self.reviewer: dict(self.mine)}

    def conflict(self, key: str, everybody: dict[str, Decided]) -> bool:
        said = about(key, everybody)
        return bool(said) and outcome(said) is None

    def shown(self, filters: Filters) -> list[str]:
        """The keys of the rows that the filters leave, in their order."""
        mine, everybody = dict(self.mine), self.everybody() if filters.status == "conflicts" else {}
        tests = {
            "to decide": lambda key: key not in mine,
            "decided": lambda key: key in mine,
            "conflicts": lambda key: self.conflict(key, everybody),
            "all": lambda key: True,
        }
        test = tests[filters.status]
        return [item.key for item in self.items.values() if _fits(item, filters) and test(item.key)]

    def near(self, keys: Sequence[str], key: str | None, step: int) -> str | None:
        """Of `keys`, the one that follows `key` (step 1) or comes before it (-1), round the end; None of none.

        `key` need not be among them. With step 0 it stays where it is, if it is one of them.
        """
        if not keys or (step == 0 and key in keys):
            return key if keys else None
        place = self._places.get(key or "", -1)
        if step < 0:
            return next((one for one in reversed(keys) if self._places[one] < place), keys[-1])
        return next((one for one in keys if self._places[one] > place), keys[0])

    def choices(self) -> dict[str, list[tuple[str, int]]]:
        """The values that each filter can take, with the number of rows."""
        items = self.items.values()
        counted = {
            "method": Counter(method for item in items for method in item.methods),
            "language": Counter(item.language for item in items),
            "reason": Counter(item.reason or KEPT for item in items),
        }
        return {name: counts.most_common() for name, counts in counted.items()}

    def progress(self) -> dict[str, Any]:
        """How many rows, how many of each decision by this reviewer, conflicts, and agreement with each other one."""
        everybody, mine = self.everybody(), dict(self.mine)
        kinds = Counter(mine[key].kind for key in self.items if key in mine)
        return {
            "rows": len(self.items),
            "decided": kinds.total(),
            **{kind: kinds[kind] for kind in KINDS},
            "conflicts": sum(self.conflict(key, everybody) for key in self.items) if len(everybody) > 1 else 0,
            "agreement": [one for one in agreements(everybody, self.items) if self.reviewer in one["reviewers"]],
        }

    def close(self) -> None:
        self.journal.close()


def _fits(item: Item, filters: Filters) -> bool:
    return (
        filters.method in ("", *item.methods)
        and filters.language in ("", item.language)
        and filters.reason in ("", item.reason or KEPT)
    )
