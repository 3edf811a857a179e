"""Progress: lines with rate and time left where there is no terminal, a bar where there is one."""

from __future__ import annotations

import io
import re

import pytest

from r1hf.core import progress
from r1hf.core.progress import Progress


class Clock:
    """`time.monotonic` that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress.time, "monotonic", made.monotonic)
    return made


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("r1_zero", 100, "step") as bar:
        for _ in range(40):
            clock.now += 1.0
            bar.update(1, "reward 1.5")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "  r1_zero  15/100 steps  1.0 step/s  01:25 left  reward 1.5",
        "  r1_zero  30/100 steps  1.0 step/s  01:10 left  reward 1.5",
    ]
    assert bar.done == 40


def test_no_line_before_its_time_and_none_without_work(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("fast", 3, "step") as bar:
        clock.now += progress.LINE_EVERY - 0.1
        bar.update(3)
    with Progress("nothing", 0, "sample"):
        clock.now += 60
    assert capsys.readouterr().out == ""


def test_a_rate_of_nothing_is_no_crash(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("slow", 5, "step") as bar:
        clock.now += 20
        bar.update(0)
    assert "0/5 steps  0.0 step/s  ? left" in capsys.readouterr().out


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    with Progress("r1_zero", 4, "step") as bar:
        bar.update(4, "reward 2")
        assert not bar._bar.disable and bar._bar.n == 4
    assert re.search("r1_zero", terminal.getvalue())
    assert capsys.readouterr().out == ""


def test_an_error_inside_goes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        with Progress("x", 1, "step"):
            _ = 1 / 0
