"""The sandbox itself: which one is chosen, what code may do in it, how a run ends, and that it ends."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_target import called, first_working

from r1hf.sandbox import (
    Limits,
    Sandbox,
    SandboxError,
    Session,
    Verdict,
    backends,
    cgroup,
    check_sandbox,
    run_code,
)
from r1hf.sandbox.inside import codec
from r1hf.sandbox.runtime import Runtime

pytestmark = pytest.mark.skipif(first_working() is None, reason="no sandbox works here")


@pytest.fixture(params=backends.ORDER)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    try:
        return check_sandbox(request.param)
    except SandboxError as error:
        pytest.skip(str(error))


def test_a_program_reads_and_prints(sandbox: Sandbox):
    result = run_code("a, b = map(int, input().split())\nprint(a + b)", "2 3\n", sandbox=sandbox)
    assert (result.verdict, result.stdout, result.exit_code) == (Verdict.OK, "5\n", 0)
    assert result.wall > 0 and result.peak_memory > 0


def test_a_function_returns_data(sandbox: Sandbox):
    code = "from collections import Counter\ndef f(x, *, y): return {'x': (x, y), 'c': Counter('aab'), 'n': 7**5000}"
    result = called(code, [[1, None]], sandbox, y={2.5})
    assert result.value == {"x": ([1, None], {2.5}), "c": {"a": 2, "b": 1}, "n": 7**5000}
    assert type(result.value["c"]) is dict


@pytest.mark.parametrize(
    ("code", "verdict", "detail"),
    [
        ("raise ValueError('no')", Verdict.RUNTIME_ERROR, "ValueError: no"),
        ("print('x'", Verdict.RUNTIME_ERROR, "SyntaxError"),
        ("exit(3)", Verdict.RUNTIME_ERROR, "exit status 3"),
        ("exit('bye')", Verdict.RUNTIME_ERROR, "bye"),
        ("exit()", Verdict.OK, ""),
        ("import sys; sys.exit(0)", Verdict.OK, ""),
        ("import time; time.sleep(60)", Verdict.TIMEOUT, "0.5 s"),
        ("while True: pass", Verdict.TIMEOUT, "0.5 s"),
        ("x = bytearray(1 << 34)", Verdict.OUT_OF_MEMORY, "bytes"),
        ("import os; os.kill(os.getpid(), 11)", Verdict.RUNTIME_ERROR, "SIGSEGV"),
        ("print('x' * (20 << 20))", Verdict.RUNTIME_ERROR, "bytes of output"),
        ("print('\\ud800')", Verdict.RUNTIME_ERROR, "UnicodeEncodeError"),
        ("x = '\ud800'", Verdict.RUNTIME_ERROR, "Unicode"),
        ("import \0", Verdict.RUNTIME_ERROR, "null bytes"),
    ],
)
def test_row_25_how_a_run_ends(code: str, verdict: Verdict, detail: str):
    result = run_code(code, limits=Limits(wall=0.5, cpu=5))
    assert result.verdict is verdict
    assert detail in result.detail


def test_cpu_time_has_its_own_cap():
    result = run_code("while True: pass", limits=Limits(wall=60, cpu=1))
    assert (result.verdict, result.detail) == (Verdict.TIMEOUT, "more than 1 s of CPU time")


def test_what_ordinary_programs_do_works(sandbox: Sandbox):
    code = """
        import asyncio, atexit, collections, dataclasses, datetime, decimal, hashlib, heapq, itertools, json, math
        import random, re, sqlite3, ssl, string, sys, tempfile, threading, typing
        from concurrent.futures import ThreadPoolExecutor
        atexit.register(lambda: print("last"))

        @dataclasses.dataclass
        class Point:
            x: int

        async def nothing():
            await asyncio.sleep(0)
            return 1

        sys.setrecursionlimit(10 ** 6)
        threading.stack_size(1 << 27)
        def deep(n):
            return 0 if n == 0 else 1 + deep(n - 1)
        thread = threading.Thread(target=lambda: print(deep(20000)))
        thread.start()
        thread.join()
        threading.stack_size(0)
        print(asyncio.run(nothing()), list(ThreadPoolExecutor(4).map(abs, [-1, -2])), Point(1))
        print(__name__, sys.stdin.read().split(), hash("a") == hash("a"))
        threading.Thread(target=lambda: print("thread")).start()
    """
    result = run_code(textwrap.dedent(code), "é\n✓", sandbox=sandbox)
    assert result.verdict is Verdict.OK, result
    lines = ["20000", "1 [1, 2] Point(x=1)", "__main__ ['é', '✓'] True", "thread", "last"]
    assert result.stdout.splitlines() == lines


def test_a_directory_to_write_in():
    if check_sandbox().backend == "landlock":
        pytest.skip("the landlock sandbox writes nothing")
    code = (
        "import tempfile\nopen('x', 'w').write('a')\nprint(open('x').read(), tempfile.TemporaryFile().write(b'abc'))"
    )
    assert run_code(code).stdout == "a 3\n"


def test_processes_if_allowed(sandbox: Sandbox):
    code = (
        "import os\npid = os.fork()\nif not pid: os._exit(7)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    assert run_code(code, sandbox=sandbox).verdict is Verdict.RUNTIME_ERROR
    allowed = run_code(code, sandbox=sandbox, limits=Limits(fork=True))
    if sandbox.backend == "landlock":
        assert allowed.verdict is Verdict.RUNTIME_ERROR
    elif os.geteuid() == 0 or "user" not in str(sandbox.layers):
        assert allowed.stdout == "7\n"


def test_text_hashes_are_the_same_in_every_run():
    """Or the same program could pass once and fail once."""
    assert len({run_code("print(hash('a'), list({'x', 'y', 'z'}))").stdout for _ in range(3)}) == 1


def test_nothing_is_left_for_the_next_case():
    code = """
        import os, builtins
        def leave():
            builtins.trace = 1
            os.environ["TRACE"] = "1"
            if os.access(".", os.W_OK):
                open("trace", "w").close()
        def look():
            return hasattr(builtins, "trace"), "TRACE" in os.environ, os.path.exists("trace")
    """
    with Session(check_sandbox(), textwrap.dedent(code)) as session:
        assert session.call("leave").verdict is Verdict.OK
        assert session.call("look").value == (False, False, False)


def test_a_program_is_run_and_called_in_one_session(sandbox: Sandbox):
    with Session(sandbox, "def f(x): return Counter(x)\nprint(1)") as session:
        assert session.run().stdout == "1\n" and session.call("f", ["aa"]).value == {"a": 2}


def test_a_timeout_leaves_the_other_cases_alone():
    code = "def f(n):\n    while n == 1: pass\n    return n"
    with Session(check_sandbox(), code, Limits(wall=0.5)) as session:
        verdicts = [session.call("f", [n]).verdict for n in range(3)]
    assert verdicts == [Verdict.OK, Verdict.TIMEOUT, Verdict.OK]


def test_all_cases_together_have_a_cap():
    with Session(check_sandbox(), "import time\ntime.sleep(60)", Limits(wall=30, total=0.5)) as session:
        results = [session.run() for _ in range(3)]
    assert {result.verdict for result in results} == {Verdict.TIMEOUT}
    assert "all cases" in results[-1].detail


def test_many_at_once():
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda n: run_code(f"print(input() * {n})", "a").stdout, range(24)))
    assert outputs == ["a" * n + "\n" for n in range(24)]


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_row_24_no_process_and_no_descriptor_stays():
    check_sandbox()
    before = children(), len(os.listdir("/proc/self/fd"))
    for code in ("print(1)", "while True: pass", "import os; os.abort()"):
        run_code(code, limits=Limits(wall=0.5))
    assert (children(), len(os.listdir("/proc/self/fd"))) == before


def test_a_killed_parent_takes_the_sandbox_along(sandbox: Sandbox):
    name = f"r1hf{os.getpid() % 10**6}{sandbox.backend[:3]}"
    program = (
        f"import ctypes, time\nprctl = ctypes.CDLL(None).prctl\nprctl(1, 0)\nprctl(15, b'{name}')\ntime.sleep(500)"
    )
    script = (
        "from r1hf.sandbox import *\n"
        f"run_code({program!r}, sandbox=Sandbox({sandbox.backend!r}), limits=Limits(wall=400, total=500))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])

    def running() -> bool:
        names = [path.read_text() for path in Path("/proc").glob("[0-9]*/comm") if path.exists()]
        return f"{name}\n" in names

    assert wait_for(running)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: not running())


def wait_for(condition, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except OSError:  # a process ended while we looked
            pass
        time.sleep(0.05)
    return False


def run_python(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_user_namespaces_serve_where_there_is_no_privilege():
    script = """
        from r1hf.sandbox import check_sandbox, run_code, SandboxError
        from r1hf.sandbox.inside import kernel
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.drop_capabilities(*([31] if kernel.has_capability(31) else []))  # CAP_SETFCAP, which root's map takes
        try:
            sandbox = check_sandbox("namespaces")
        except SandboxError as error:
            print("none:", error)
        else:
            print(sandbox.layers[0], run_code("import os; print(os.getpid(), os.getuid())", sandbox=sandbox).stdout)
    """
    found = run_python(script)
    if found.startswith("none:"):
        pytest.skip(found)
    assert "user" in found and found.split()[-2:] == ["2", "65534"]


def test_landlock_serves_where_there_are_no_namespaces():
    script = """
        import os
        from r1hf.sandbox import check_sandbox, run_code, SandboxError
        from r1hf.sandbox.inside import kernel, landlock
        uid = os.geteuid()
        try:
            kernel.unshare(kernel.CLONE_NEWUSER)
            open("/proc/self/uid_map", "w").write(f"{uid} {uid} 1")
            open("/proc/sys/user/max_user_namespaces", "w").write("0")
        except OSError as error:
            raise SystemExit(print("none:", error))
        kernel.drop_capabilities()
        if landlock.abi():
            sandbox = check_sandbox()
            print(sandbox.backend, run_code("print(6 * 7)", sandbox=sandbox).stdout)
        else:
            print("none: no Landlock")
    """
    found = run_python(script)
    if found.startswith("none:"):
        pytest.skip(found)
    assert found.split() == ["landlock", "42"]


def test_the_trial_notices_a_sandbox_that_holds_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    real = Sandbox.config
    monkeypatch.setattr(Sandbox, "config", lambda self, limits, _: real(Sandbox("none"), limits, str(tmp_path)))
    with pytest.raises(SandboxError, match="code in it can read a file of the host"):
        backends.try_backend("namespaces")


def test_a_sandbox_that_does_not_start_is_not_the_codes_fault():
    broken = Sandbox("namespaces", Runtime("/nowhere/python", (), (), ()))
    result = run_code("print(1)", sandbox=broken)
    assert result.verdict is Verdict.SANDBOX_FAILURE and "/nowhere/python" in result.detail
    dies = Sandbox("namespaces", Runtime("/bin/false", (), (), ()))
    assert run_code("print(1)", sandbox=dies).verdict is Verdict.SANDBOX_FAILURE
    blind = Sandbox("namespaces", Runtime(check_sandbox().runtime.executable, ("/nowhere",), (), ()))
    assert run_code("print(1)", sandbox=blind).verdict is Verdict.SANDBOX_FAILURE


def test_a_sandbox_can_be_pickled():
    assert pickle.loads(pickle.dumps(check_sandbox())) == check_sandbox()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.sets(st.integers())
        | st.frozensets(st.text())
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers(), st.booleans()), inner)
    ),
)


@given(plain)
def test_data_survives_the_wire(value: object):
    data = codec.encode(value)
    for back in (codec.decode(data), codec.plain(memoryview(data))):
        assert back == value and type(back) is type(value)


@given(
    st.binary(max_size=60) | plain.map(codec.encode).flatmap(lambda data: st.sampled_from([data[:-1], data + b"n"]))
)
def test_forged_bytes_are_data_or_an_error(data: bytes):
    try:
        codec.encode(codec.decode(data))
        codec.plain(memoryview(data))
    except codec.CodecError:
        pass


def test_a_group_counts_what_no_limit_of_a_process_does(sandbox: Sandbox):
    """Where this process may make a control group, all of the sandbox is in it, and only as long as it runs."""
    if not cgroup._parents():
        pytest.skip("no control group can be made here")
    with Session(sandbox, "import time\ntime.sleep(60)", Limits(wall=3)) as session:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(session.run)
            files = wait_for(lambda: session._group and session._group.files) and session._group.files
            assert wait_for(lambda: len(session.processes()) >= 3)
            for file in files:
                assert set(map(int, Path(file).read_text().split())) >= set(session.processes())
            assert asked.result().verdict is Verdict.TIMEOUT
    assert not any(Path(file).read_text() for file in files)


def test_memory_of_the_kernel_counts(sandbox: Sandbox):
    if not cgroup._parents():
        pytest.skip("no control group can be made here")
    group = cgroup.take(96 << 20, 64)
    try:
        limits = [
            (place / name).read_text()
            for place in group.places
            for name in ("memory.max", "memory.limit_in_bytes")
            if (place / name).exists()
        ]
        assert [int(limit) for limit in limits] == [96 << 20]
        numbers = [(place / "pids.max").read_text() for place in group.places if (place / "pids.max").exists()]
        assert numbers == ["64\n"]
    finally:
        cgroup.give(group)
