"""Samples kept in shards: killed at any moment, taken over, shared by workers, and the same rows at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from small_run import answered
from tables import each

from r1hf.commands import work
from r1hf.core.config import parse
from r1hf.core.errors import DataError, StageError
from r1hf.models import orphans, shards
from r1hf.models.generation import Generated, generate, join
from r1hf.models.orphans import Watch
from r1hf.models.sampler_config import SamplingConfig
from r1hf.models.sampling import Limits
from r1hf.models.transformers_sampling import TransformersSampler

QUESTIONS = [row["question"] for row in answered(20)]
LIMITS = Limits(temperature=1.0, max_new_tokens=8)
N = 2


class Logged(TransformersSampler):
    """Notes each sample that it has drawn in `log`, which several processes share."""

    log: Path | None = None

    def answers(self, asks: Any, limits: Limits) -> Iterator[Any]:
        for ask, completion in super().answers(asks, limits):
            if self.log is not None:
                with open(self.log, "a") as stream:
                    stream.write(f"{ask.place} {ask.sample}\n")
            yield ask, completion


class Streaming(Logged):
    """The same model, taken as an engine whose samples stand alone."""

    streams = True

    def answers(self, asks: Any, limits: Limits) -> Iterator[Any]:
        todo = iter(asks)
        while batch := list(islice(todo, self.batch_size)):
            yield from super().answers(batch, limits)


def settings(**given: object) -> SamplingConfig:
    words = [f"--{key}={value}" for key, value in {"output_dir": "made", "shard_size": 6, **given}.items()]
    (config,) = parse((SamplingConfig,), words).configs
    return config


def run(folder: Path, sampler: TransformersSampler, questions: list[str] = QUESTIONS, **given: Any) -> Generated:
    more = {key: given.pop(key) for key in ("ids", "empty_counts", "seed") if key in given}
    limits = given.pop("limits", LIMITS)
    config = settings(max_bad_samples=given.pop("max_bad_samples", 1), **given)
    return generate(folder, sampler, sampler.chat(questions), N, limits, config, **more)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("checkpoint-*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_looking_for_work_outlives_what_the_stage_renames(tmp_path: Path) -> None:
    stop = threading.Event()
    for number in range(40):
        (tmp_path / f"{number}.partial" / "deep").mkdir(parents=True)

    def rename() -> None:
        while not stop.is_set():
            for number in range(40):
                for one, two in (("partial", "done"), ("done", "partial")):
                    (tmp_path / f"{number}.{one}").rename(tmp_path / f"{number}.{two}")

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        assert [work.folders(tmp_path, "ledger.json") for _ in range(100)] == [[]] * 100
    finally:
        stop.set()
        thread.join()
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "ledger.json").touch()
    assert work.folders(tmp_path, "ledger.json") == [tmp_path / "a" / "b"]


def child(work: Callable[[], object]) -> int:
    """`work` in a process of its own, which knows no clean end."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


@pytest.fixture(scope="module")
def sampler(tiny_base: Path) -> Logged:
    found = Logged(str(tiny_base), 4)
    assert found.model is not None  # loaded before anything forks
    return found


@pytest.fixture(scope="module")
def undisturbed(sampler: Logged, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder, sampler)
    return rows(folder)


def test_each_row_says_what_it_is(undisturbed: list[dict[str, Any]], sampler: Logged, tiny_base: Path) -> None:
    assert [(row["place"], row["sample"]) for row in undisturbed] == [(i, j) for i in range(20) for j in range(N)]
    assert len({row["seed"] for row in undisturbed}) == 20 * N
    for row in undisturbed:
        assert row["id"] == str(row["place"] + 1) and row["model"] == str(tiny_base) and len(row["revision"]) == 64
        assert row["finish"] == ("length" if row["tokens"] == 8 else "stop") and row["engine"].startswith("transform")


def dies(module: Any, name: str, after: int, then: bool = False) -> None:
    """Has the process kill itself at a call of a function; then: when it has done its work."""
    real, calls = getattr(module, name), [0]

    def dying(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] > after:
            if then:
                real(*given, **named)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)

    setattr(module, name, dying)


def test_killed_five_times_where_it_hurts_and_the_rows_are_the_same(
    undisturbed: list[dict[str, Any]], sampler: Logged, tmp_path: Path
) -> None:
    folder, log = tmp_path / "made", tmp_path / "log"
    moments: list[Callable[[], None]] = [
        lambda: dies(shards.pq, "write_table", 0, then=True),  # the prompts are written, and not in their place
        lambda: dies(shards.os, "replace", 1),  # so is the ledger
        lambda: dies(shards.Shards, "write", 1),  # a shard is sampled and not written
        lambda: dies(shards.pq, "write_table", 1, then=True),  # written, and not renamed
        lambda: dies(shards.os, "replace", 1, then=True),  # renamed, and the claim not let go
    ]
    for moment in moments:

        def work(moment: Callable[[], None] = moment) -> None:
            sampler.log = log
            moment()
            run(folder, sampler)

        assert os.waitstatus_to_exitcode(os.waitpid(child(work), 0)[1]) == -signal.SIGKILL
    before = len(log.read_text().splitlines())
    assert before <= len(rows(folder)) + 2 * 6  # a shard each time that one was in work
    run(folder, sampler)
    assert rows(folder) == undisturbed


def test_an_engine_whose_samples_stand_alone_repeats_none_that_was_finished(
    undisturbed: list[dict[str, Any]], tiny_base: Path, sampler: Logged, tmp_path: Path
) -> None:
    folder, log = tmp_path / "made", tmp_path / "log"
    other = Streaming(sampler.model, 4, sampler.tokenizer)
    other.source = str(tiny_base)
    for taken in (2, 9, 5):

        def work(taken: int = taken) -> None:
            other.log = log
            dies(shards.Claim, "take", taken, then=True)
            run(folder, other)

        assert os.waitstatus_to_exitcode(os.waitpid(child(work), 0)[1]) == -signal.SIGKILL
    journal = min(folder.glob("*.jsonl"))
    before = journal.read_bytes()

    def take_up() -> None:
        dies(shards, "write_atomic", 0)
        run(folder, other)

    assert os.waitstatus_to_exitcode(os.waitpid(child(take_up), 0)[1]) == -signal.SIGKILL
    assert journal.read_bytes() == before, "a kill while it is taken up loses nothing"
    with journal.open("ab") as stream:
        stream.write(b'["half a li')
    other.log = log
    run(folder, other)
    drawn = Counter(log.read_text().splitlines())
    # What one read of four had under way at a kill is all that is drawn twice.
    assert len(drawn) == 20 * N and sum(drawn.values()) - len(drawn) <= 3 * 3
    assert rows(folder) == undisturbed and not list(folder.glob("*.jsonl"))


def test_workers_share_a_request_and_one_that_dies_is_replaced(
    undisturbed: list[dict[str, Any]], sampler: Logged, tmp_path: Path
) -> None:
    folder, log = tmp_path / "made", tmp_path / "log"

    def work() -> None:
        sampler.log = log
        run(folder, sampler)

    first = child(work)
    while not list(folder.glob("checkpoint-*.parquet")):
        time.sleep(0.005)
    others = [child(work), child(lambda: join(folder))]  # added in the middle
    os.kill(first, signal.SIGKILL)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in (first, *others)]
    assert codes[0] in (0, -signal.SIGKILL) and codes[1:] == [0, 0]
    assert rows(folder) == undisturbed
    drawn = Counter(log.read_text().splitlines())
    assert sum(count - 1 for count in drawn.values()) <= 6, "only what the dead one had in work is drawn twice"


def test_seeds_do_not_depend_on_shards_or_on_the_prompts_after(
    undisturbed: list[dict[str, Any]], sampler: Logged, tmp_path: Path
) -> None:
    def seeds(found: list[dict[str, Any]]) -> list[int]:
        return [row["seed"] for row in found]

    run(tmp_path / "other", sampler, shard_size=14)
    run(tmp_path / "fewer", sampler, QUESTIONS[:5])
    assert seeds(rows(tmp_path / "other")) == seeds(undisturbed)
    assert seeds(rows(tmp_path / "fewer")) == seeds(undisturbed[: 5 * N])
    assert rows(tmp_path / "fewer")[:6] == undisturbed[:6]


@each(
    "given, said",
    [
        ({"seed": 7}, "seed 42 -> 7"),
        ({"limits": LIMITS._replace(temperature=0.5)}, "temperature 1.0 -> 0.5"),
        ({"shard_size": 8}, "prompts_of_a_shard 3 -> 4"),
        ({"questions": QUESTIONS[:10]}, "prompts 20 -> 10"),
        ({"ids": [f"row {number}" for number in range(20)]}, "prompts_sha256"),
    ],
)
def test_another_request_does_not_touch_what_is_kept(
    given: dict[str, Any], said: str, sampler: Logged, kept: Path
) -> None:
    with pytest.raises(StageError, match=f"samples of another request .*{said}"):
        run(kept, sampler, **given)
    assert len(rows(kept)) == 20 * N


@pytest.fixture(scope="module")
def kept(sampler: Logged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    run(folder, sampler)
    return folder


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "empty": lambda path: path.write_bytes(b""),
    "a byte": lambda path: path.write_bytes(path.read_bytes()[:60] + b"\0\0\0\0" + path.read_bytes()[64:]),
    "rows gone": lambda path: pq.write_table(pq.read_table(path).slice(1), path),
    "another table": lambda path: pq.write_table(pq.read_table(path).select(["id"]), path),
}


@each("name", DAMAGES)
def test_a_damaged_shard_is_sampled_again_and_no_other(
    name: str, undisturbed: list[dict[str, Any]], sampler: Logged, kept: Path, tmp_path: Path
) -> None:
    path = sorted(kept.glob("checkpoint-*.parquet"))[3]
    DAMAGES[name](path)
    sampler.log = tmp_path / name
    try:
        run(kept, sampler)
    finally:
        log, sampler.log = sampler.log, None
    assert rows(kept) == undisturbed and len(log.read_text().splitlines()) == 6


def test_a_damaged_ledger_is_written_anew_unless_the_shards_are_of_another_request(
    sampler: Logged, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = kept / "ledger.json"
    right = ledger.read_text()
    for wrong in ("", "{", "[]", '{"asked": 1}', right[:50]):
        ledger.write_text(wrong)
        run(kept, sampler)
        assert ledger.read_text() == right and "written anew" in capsys.readouterr().out
    ledger.write_text("")
    with pytest.raises(StageError, match=r"checkpoint-00000.parquet holds samples of another request"):
        run(kept, sampler, seed=7)
    assert len(rows(kept)) == 20 * N
    ledger.write_text(right)


def test_what_is_no_answer_is_counted_under_its_reason_and_named(sampler: Logged, tmp_path: Path) -> None:
    context = sampler.model.config.max_position_embeddings
    questions = [*QUESTIONS[:9], "word " * 2 * context]
    given = {"ids": [*(f"gsm-{number}" for number in range(9)), "the long one"]}
    made = run(tmp_path / "made", sampler, questions, max_bad_samples=0.2, empty_counts=False, **given)
    assert made.faults["prompt too long"] == ["the long one"] * N
    assert [one.finish for one in list(made.groups())[9]] == ["failed"] * N
    with pytest.raises(DataError, match=r"2 of 20 .*max_bad_samples is 0.05: .*prompt too long: prompt the long one"):
        run(tmp_path / "made", sampler, questions, max_bad_samples=0.05, empty_counts=False, **given)
    run(tmp_path / "made", sampler, questions, max_bad_samples=0.2, empty_counts=False, **given)


def test_an_empty_answer_is_none(sampler: Logged, tmp_path: Path) -> None:
    silent = Logged(sampler.model, 4, sampler.tokenizer)
    own = silent.model.generation_config.eos_token_id
    silent.model.generation_config.eos_token_id = list(range(len(silent.tokenizer)))  # whatever it says ends it
    try:
        made = run(tmp_path / "kept", silent, empty_counts=False, max_bad_samples=0)
        assert made.fault_counts == {"empty answer": 20 * N}
        with pytest.raises(DataError, match=r"1 of 40 samples are no answer, .* empty answer: prompt \d"):
            run(tmp_path / "stopped", silent, max_bad_samples=0)
    finally:
        silent.model.generation_config.eos_token_id = own


def test_workers_join_a_stage_by_a_command_and_end_with_it(
    undisturbed: list[dict[str, Any]], tiny_base: Path, tmp_path: Path, sampler: Logged
) -> None:
    folder = tmp_path / "stage.partial" / "trainer" / "few_shot"
    with pytest.raises(StageError, match="no stage is at work"):
        work.run(Namespace(stage=str(tmp_path / "stage")))

    def join_in() -> None:
        work.run(Namespace(stage=f"{tmp_path / 'stage'}/"))

    sampler.log = tmp_path / "log"

    try:
        pid = child(lambda: run(folder, sampler))
        while not folder.is_dir():
            time.sleep(0.005)
        other = child(join_in)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert rows(folder) == undisturbed
        (tmp_path / "stage.partial").rename(tmp_path / "stage")
        assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 0
    finally:
        sampler.log = None


def test_a_worker_takes_the_threads_of_the_stage(
    sampler: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, threads = tmp_path / "made", torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))  # put back at the end
    run(folder, sampler, QUESTIONS[:3], num_threads=threads + 1)
    min(folder.glob("checkpoint-*.parquet")).unlink()
    try:
        join(folder)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)


def test_what_an_engine_started_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    started = tmp_path / "started"
    sleeper = "import subprocess, sys; subprocess.Popen(['sleep', '600']); subprocess.run(['sleep', '600'])"

    def start() -> None:
        Watch()
        subprocess.Popen([sys.executable, "-c", sleeper], start_new_session=True)
        started.touch()
        time.sleep(600)

    pid = child(start)
    parent = psutil.Process(pid)
    while not started.exists() or sum(one.name() == "sleep" for one in parent.children(recursive=True)) < 2:
        time.sleep(0.01)
    below = parent.children(recursive=True)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert len(below) == 4 and not psutil.wait_procs(below, timeout=300)[1]


def test_an_engine_that_wrote_over_its_environment_ends_too(tmp_path: Path) -> None:
    seen, numbers = tmp_path / "seen", tmp_path / "numbers"

    def watch() -> None:
        look = psutil.Process.children

        def looked(process: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
            found = look(process, recursive)
            seen.touch()
            return found

        psutil.Process.children = looked  # type: ignore[method-assign]
        sys.stdin, sys.argv = os.fdopen(os.pipe()[0]), ["orphans", "carried by nobody"]
        orphans.main()

    def start() -> None:
        engine = subprocess.Popen(["sleep", "600"], env={}, start_new_session=True)
        numbers.with_suffix(".part").write_text(f"{engine.pid} {child(watch)}", encoding="utf-8")
        numbers.with_suffix(".part").rename(numbers)
        time.sleep(600)

    pid = child(start)
    while not (numbers.exists() and seen.exists()):
        time.sleep(0.01)
    below = [psutil.Process(int(number)) for number in numbers.read_text(encoding="utf-8").split()]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not psutil.wait_procs(below, timeout=300)[1]


@pytest.mark.slow
def test_a_stage_starts_workers_of_its_own(
    undisturbed: list[dict[str, Any]], sampler: Logged, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "made", sampler, workers=2)
    assert rows(tmp_path / "made") == undisturbed
    said = capfd.readouterr()
    assert "ended with status" not in said.out and "Traceback" not in said.err
