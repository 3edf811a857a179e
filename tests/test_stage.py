"""Stages as real processes: their output appears whole or not at all, whatever happens to them."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from r1hf.commands.recipe import run
from r1hf.core.config import Parsed, StageConfig, parse
from r1hf.core.errors import IntegrityError, StageError
from r1hf.core.files import sibling
from r1hf.stage.directory import StageLog, recover
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.locks import FileLock, identity
from r1hf.stage.manifest import MANIFEST, verify
from r1hf.stage.stage import Stage

ROOT = Path(__file__).resolve().parents[1]
MAKE = ROOT / "tests" / "dummy_recipes" / "make.py"


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("R1HF_")}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), **more}


def make(*argv: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(MAKE), *argv], capture_output=True, text=True, env=environment(**more), timeout=300
    )


def start(*argv: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(MAKE), *argv], stderr=subprocess.PIPE, text=True, env=environment(**more)
    )


def wait_for(path: Path, process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        assert process is None or process.poll() is None, "the process ended too early"
        time.sleep(0.01)


def parsed_for(output_dir: Path, *argv: str) -> Parsed:
    return parse((StageConfig,), ["--output_dir", str(output_dir), *argv])


def test_a_finished_stage(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "base"
    done = make("--output_dir", str(out), "--text", "hello", "--seed", "7")
    assert done.returncode == 0, done.stderr
    manifest = verify(out)
    assert set(manifest.outputs) == {"half.txt", "log.jsonl", "out.txt", "sub/part.txt"}
    assert (manifest.stage, manifest.seed, manifest.recipe) == ("base", 7, "dummy_recipes/make.py")
    assert manifest.request == {"seed": 7, "text": "hello"}
    assert manifest.metrics["score"] == 0.25
    assert manifest.command[1:3] == ["--output_dir", str(out)]
    assert [path.name for path in out.parent.iterdir()] == ["base"]


def test_equal_runs_have_equal_outputs_and_other_seeds_do_not(tmp_path: Path) -> None:
    prints = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert make("--output_dir", str(tmp_path / name), "--seed", seed).returncode == 0
        prints.append(verify(tmp_path / name).fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_row_18_an_edited_input_is_refused_by_name_and_a_good_one_recorded(tmp_path: Path) -> None:
    base, child = str(tmp_path / "base"), tmp_path / "child"
    assert make("--output_dir", base).returncode == 0
    assert make("--output_dir", str(child), "--model", base).returncode == 0
    assert verify(child).inputs == {"model": {"path": base, "fingerprint": verify(Path(base)).fingerprint}}
    (tmp_path / "base" / "out.txt").write_text("edited")
    done = make("--output_dir", str(child), "--model", base)
    assert done.returncode == 2
    assert "base/out.txt was changed" in done.stderr and "Traceback" not in done.stderr
    verify(child)


def test_problems_of_configuration_and_inputs_come_together(tmp_path: Path) -> None:
    done = make("--output_dir", str(tmp_path / "x"), "--model", str(tmp_path / "gone" / "base"), "--txt", "1")
    assert done.returncode == 2
    assert "2 problems in the configuration" in done.stderr
    assert "unknown key 'txt'; did you mean 'text'?" in done.stderr
    assert "gone/base does not exist; run the stage that makes it first" in done.stderr
    assert not (tmp_path / "x").exists() and list(tmp_path.iterdir()) == []


def test_preflight_of_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert make("--output_dir", str(tmp_path / "base")).returncode == 0
    (tmp_path / "half.partial").mkdir()
    (tmp_path / "bare").mkdir()

    def problems(*paths: str, planned: tuple[str, ...] = ()) -> list[str]:
        parsed = Parsed((), [], {}, {"models": list(paths)}, [], frozenset(planned))
        preflight_inputs(parsed)
        return parsed.problems

    assert problems("base", "base/sub", "org/name", "org/name@v1") == []
    assert "made no 'other'" in problems("base/other")[0]
    assert "did not finish" in problems("half")[0]
    assert "is empty" in problems("bare")[0]
    assert len(problems("gone", "bare", "a/b/c")) == 3
    assert problems("gone", planned=("models",)) == []


@pytest.mark.parametrize("fault", ["no finish", "exception", "nothing written", "NaN"])
def test_a_stage_that_did_not_do_its_work_leaves_the_old_output(tmp_path: Path, fault: str) -> None:
    out = tmp_path / "base"
    assert make("--output_dir", str(out)).returncode == 0
    before = verify(out)
    with pytest.raises((StageError, RuntimeError)) as raised:
        with Stage(parsed_for(out), recipe=MAKE) as stage:
            stage.log.write({"step": 1})
            if fault != "nothing written":
                (stage.work / "file").write_text("x")
            if fault == "exception":
                raise RuntimeError("boom")
            if fault == "NaN":
                stage.finish({"models": {"base": [1.0, float("nan")]}})
            if fault == "nothing written":
                stage.finish({})
    expected = {
        "no finish": "without finish",
        "exception": "boom",
        "nothing written": "wrote no output",
        "NaN": r"metric 'models.base[1]' is nan",
    }
    assert expected[fault] in str(raised.value)
    assert verify(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_the_unfinished_work_can_be_kept_for_a_look(tmp_path: Path) -> None:
    done = make("--output_dir", str(tmp_path / "a"), "--finish", "false", R1HF_KEEP_PARTIAL="1")
    assert done.returncode == 2 and "without finish" in done.stderr
    assert (tmp_path / "a.partial" / "out.txt").exists()
    assert make("--output_dir", str(tmp_path / "a")).returncode == 0
    assert not (tmp_path / "a.partial").exists()


def test_a_directory_that_no_stage_made_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = make("--output_dir", str(tmp_path / "mine"))
    assert done.returncode == 2 and "no stage made it" in done.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_sigterm_and_ctrl_c_end_it_cleanly(tmp_path: Path) -> None:
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = start("--output_dir", str(tmp_path / "a"), "--sleep", "30")
        wait_for(tmp_path / "a.partial" / "half.txt", process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == status, errors
        assert list(tmp_path.iterdir()) == []


def test_a_second_writer_waits_then_names_the_first(tmp_path: Path) -> None:
    process = start("--output_dir", str(tmp_path / "a"), "--sleep", "30")
    wait_for(tmp_path / "a.partial" / "half.txt", process)
    done = make("--output_dir", str(tmp_path / "a"))
    assert done.returncode == 2
    assert f"in use by process {process.pid}" in done.stderr
    process.kill()
    process.wait()
    done = make("--output_dir", str(tmp_path / "a"))
    assert done.returncode == 0, done.stderr


def test_locks(tmp_path: Path) -> None:
    first, second = (FileLock(tmp_path / "x.lock", "it") for _ in range(2))
    first.acquire()
    with pytest.raises(StageError, match=f"it is in use by process {os.getpid()}"):
        second.acquire(wait=0.15)
    first.release()
    second.acquire()
    second.release()
    assert not (tmp_path / "x.lock").exists()
    (tmp_path / "x.lock").write_text("99999\n")  # left by an owner that was killed
    first.acquire()
    first.release()


def test_a_stage_stops_when_its_pipeline_is_killed(tmp_path: Path) -> None:
    pulse = tmp_path / "pulse"
    pipeline = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process = start(
        "--output_dir",
        str(tmp_path / "a"),
        "--sleep",
        "30",
        R1HF_PIPELINE_PID=identity(pipeline.pid) or "",
        PULSE=str(pulse),
    )
    wait_for(pulse, process)
    pipeline.kill()
    pipeline.wait()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 3 and "is gone" in errors
    size = pulse.stat().st_size
    time.sleep(0.2)
    assert pulse.stat().st_size == size
    assert not (tmp_path / "a").exists()
    late = make("--output_dir", str(tmp_path / "a"), R1HF_PIPELINE_PID=f"{os.getpid()}:1")  # a reused pid
    assert late.returncode == 3


KILLED_AT_RENAME = """
    import os, sys
    from pathlib import Path
    sys.path.insert(0, {recipes!r})
    import make
    left = [int(sys.argv.pop(1))]
    for name in ("rename", "replace"):
        def moved(self, target, original=getattr(Path, name)):
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1
            return original(self, target)
        setattr(Path, name, moved)
    make.main(recipe=make.__file__)
"""


@pytest.mark.parametrize("renames", range(4))
def test_a_kill_between_any_two_renames_loses_nothing(tmp_path: Path, renames: int) -> None:
    out = tmp_path / "a"
    assert make("--output_dir", str(out), "--text", "old").returncode == 0
    script = textwrap.dedent(KILLED_AT_RENAME).format(recipes=str(MAKE.parent))
    command = [sys.executable, "-c", script, str(renames), "--output_dir", str(out), "--text", "new"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == (9 if renames < 3 else 0), done.stderr
    recover(out)
    # Before the manifest is in place the work does not count; from then on it is complete.
    assert verify(out).request["text"] == ("old" if renames == 0 else "new")
    assert make("--output_dir", str(out), "--text", "new").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("limit", [4000, 6500])  # too small at the start; for the manifest only
def test_a_full_disk_leaves_the_old_output(tmp_path: Path, limit: int) -> None:
    out = tmp_path / "a"
    assert make("--output_dir", str(out)).returncode == 0
    before = verify(out)
    done = subprocess.run(
        [sys.executable, str(MAKE), "--output_dir", str(out), "--text", "x" * 5000],
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode != 0 and "File too large" in done.stderr
    assert "make room and repeat" in done.stderr and "Traceback" not in done.stderr
    assert verify(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RANK", "1")
        with Stage(parsed_for(tmp_path / "a"), recipe=__file__) as stage:
            stage.log.write({"step": 1})
            stage.finish({"score": 1.0})
    assert list(tmp_path.iterdir()) == []


TWO_RANKS = """
    import os, time
    import torch.distributed as dist
    from r1hf.core.config import StageConfig, parse
    from r1hf.stage.stage import Stage
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    with Stage(parse((StageConfig,)), recipe="recipes/two.py") as stage:
        time.sleep(rank)  # the slower rank's file is part of the output
        (stage.work / f"shard{rank}").write_text(str(rank))
        stage.log.write({"step": 1})
        stage.finish({"score": 1.0})
    assert (stage.output_dir / "manifest.json").exists()
"""


@pytest.mark.slow
def test_ranks_of_a_distributed_run_publish_once(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(textwrap.dedent(TWO_RANKS))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    done = subprocess.run(
        [*launch, str(tmp_path / "two.py"), "--output_dir", str(tmp_path / "out")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert set(verify(tmp_path / "out").outputs) == {"log.jsonl", "shard0", "shard1"}
    assert len((tmp_path / "out" / "log.jsonl").read_text().splitlines()) == 1


# The threads of Gloo get no time while this process has work, as on a machine that is busy elsewhere.
STARVED = """
    import os, sys
    import torch, torch.distributed as dist
    from r1hf.core.errors import DataError
    from r1hf.commands.recipe import run

    def main():
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))
        model(torch.ones(1, 2)).sum().backward()
        core = {min(os.sched_getaffinity(0))}
        for thread in map(int, os.listdir("/proc/self/task")):
            os.sched_setaffinity(thread, core)
            if thread != os.getpid():
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
        for _ in range(20):
            dist.all_gather([torch.zeros(4)], torch.ones(4))
        exec(sys.argv[1])

    run(main)
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="threads can be starved on Linux alone")
@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        ("print('made')", 0, ""),
        ("raise SystemExit(143)", 143, ""),
        ("raise DataError('row 3 has no answer')", 2, "row 3 has no answer"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_distributed_run_ends_while_a_thread_of_gloo_is_behind(end: str, status: int, said: str) -> None:
    words = [sys.executable, "-c", textwrap.dedent(STARVED), end]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (status, "made\n" if status == 0 else ""), done.stderr
    assert said in done.stderr and ("Traceback" in done.stderr) is (status == 1)


def test_the_log_is_plain_json_on_disk_at_once(tmp_path: Path) -> None:
    log = StageLog(tmp_path / "log.jsonl")
    log.write({"step": 1, "loss": float("nan"), "中": [1, (2,)]})
    log.write({"step": 2})
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows == [{"step": 1, "loss": None, "中": [1, [2]]}, {"step": 2}]


def test_no_secret_in_anything_that_a_stage_leaves(tmp_path: Path) -> None:
    secret = "hf_" + "CanaryCanaryCanary"
    assert make("--output_dir", str(tmp_path / "a"), "--comment", secret, HF_TOKEN=secret).returncode == 0
    for path in (tmp_path / "a").rglob("*"):
        assert path.is_dir() or secret not in path.read_text()
    assert "***" in (tmp_path / "a" / MANIFEST).read_text()


def test_run_prints_errors_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: BaseException) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["recipes/sft.py"])
    for error, status in ((IntegrityError("a was changed"), 2), (KeyboardInterrupt(), 130)):
        with pytest.raises(SystemExit) as stopped:
            run(lambda error=error: fail(error))
        assert stopped.value.code == status
    assert capsys.readouterr().err == "sft.py: a was changed\n"
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)


def test_stages_need_no_torch(tmp_path: Path) -> None:
    code = "import sys, r1hf.stage.stage, r1hf.pipeline.command; print({'torch', 'trl', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_seeds_and_threads_reach_torch(tmp_path: Path) -> None:
    import torch

    draws = []
    threads = torch.get_num_threads()
    try:
        for name in ("a", "b"):
            with Stage(parsed_for(tmp_path / name, "--seed", "5", "--num_threads", "1"), recipe=__file__) as stage:
                draws.append(torch.rand(2).tolist())
                assert torch.get_num_threads() == 1
                (stage.work / "file").write_text("x")
                stage.finish({})
    finally:
        torch.set_num_threads(threads)
    assert draws[0] == draws[1]
    assert sibling(tmp_path / "a", "lock").exists() is False
