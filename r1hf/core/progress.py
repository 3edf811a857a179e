"""Progress with rate and time left: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

LINE_EVERY = 15.0  # seconds between lines where there is no terminal


class Progress:
    """Counts `total` units of work: `with Progress("r1_zero", 150, "step") as progress: progress.update(1)`.

    `done` units were done before; rate and time left are of the rest.
    """

    def __init__(self, name: str, total: int, unit: str, done: int = 0):
        self.name, self.total, self.unit = name, total, unit
        self.done = self._before = done
        self._started = self._printed = time.monotonic()
        self._bar = tqdm(total=total, initial=done, desc=name, unit=unit, leave=False) if sys.stderr.isatty() else None

    def update(self, count: int = 1, note: str = "") -> None:
        self.done += count
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._printed >= LINE_EVERY:
            self._printed = now
            rate = (self.done - self._before) / (now - self._started)
            left = tqdm.format_interval((self.total - self.done) / rate) if rate else "?"
            text = f"  {self.name}  {self.done}/{self.total} {self.unit}s  {rate:.1f} {self.unit}/s  {left} left"
            print(f"{text}  {note}".rstrip(), flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
