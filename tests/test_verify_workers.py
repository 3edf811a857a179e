"""Hostile answers and golds on any thread, and the life of the worker processes."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from hostile import HOSTILE

from r1hf.rewards import accuracy_reward, get_accuracy_reward
from r1hf.verify import final_answer, pool, verify_math, verify_math_batch
from r1hf.verify.math import _judge as judge_here

SYMBOLIC = r"\sum_{k=1}^{n} k"  # only a worker reads it
ENDLESS = r"\sum_{i=1}^{99} \sum_{j=1}^{99} \sum_{k=1}^{99} \sin(i^j+k)"
ROOT = str(Path(__file__).parents[1])


@pytest.fixture(autouse=True, scope="module")
def _no_workers_left():
    yield
    pool.close_workers()
    assert not _workers(os.getpid())


def _workers(pid):
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child for child in children if "r1hf.verify.worker" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", HOSTILE)
def test_row_19_hostile_text_is_judged(kind):
    text = HOSTILE[kind]
    assert verify_math(text, r"\sqrt{2}") is False
    assert verify_math(text, "15") is False
    assert verify_math(text, text + " ") in (True, None)
    assert verify_math("2x + 1", text) in (False, None)
    final_answer(text, fallback="last_number")
    final_answer("<think>a</think>" + text)


@pytest.mark.timeout(300)
def test_hostile_texts_on_sixteen_threads_at_once():
    assert len(HOSTILE) >= 60
    with ThreadPoolExecutor(16) as threads:
        here = list(threads.map(lambda text: verify_math(text, r"\sqrt{2}"), HOSTILE.values()))
    assert here == [False] * len(HOSTILE)


@pytest.mark.timeout(600)
def test_threads_judge_as_the_main_thread_does():
    pairs = [("14", "14"), ("x + 1", "1 + x"), (r"\frac{n(n+1)}{2}", SYMBOLIC), ("n", SYMBOLIC), ("x", ENDLESS)]
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.extend(verify_math(*pair) for pair in pairs))
    thread.start()
    thread.join()
    assert verdicts == [verify_math(*pair) for pair in pairs] == [True, True, True, False, None]


@pytest.mark.timeout(600)
def test_a_question_over_its_budget_costs_the_next_one_nothing():
    assert pool.judge(ENDLESS, SYMBOLIC) is False  # the prediction's fault
    assert pool.judge(r"\frac{n(n+1)}{2}", SYMBOLIC) is True
    assert pool.judge("x", ENDLESS) is None  # the gold's fault
    assert pool.judge("9^{9^{9^{9}}}", SYMBOLIC) is False
    assert pool.judge(r"\frac{n^2+n}{2}", SYMBOLIC) is True


@pytest.mark.timeout(600)
def test_a_killed_worker_is_replaced():
    assert pool.judge(r"\frac{n(n+1)}{2}", SYMBOLIC) is True
    for worker in _workers(os.getpid()):
        worker.kill()
    assert pool.judge(r"\frac{n}{2}(n+1)", SYMBOLIC) is True


@pytest.mark.timeout(600)
def test_a_worker_keeps_to_its_memory():
    assert pool.judge(r"\prod_{k=1}^{3} (2^{2^{40}})", SYMBOLIC) is False
    assert max((worker.memory_info().rss for worker in _workers(os.getpid())), default=0) < 2 << 30


@pytest.mark.timeout(600)
def test_a_reward_judges_its_batch_with_the_workers():
    golds = [SYMBOLIC, SYMBOLIC, "14", "???", ENDLESS]
    answers = [r"\frac{n(n+1)}{2}", "n", "14", "14", "x"]
    texts = [f"<think>a</think> <answer>{answer}</answer>" for answer in answers]
    expected = [1.0, 0.0, 1.0, None, None]
    assert accuracy_reward(prompts=[""] * 5, completions=texts, answer=golds) == expected
    conversations = [[{"role": "assistant", "content": text}] for text in texts]
    reward = pickle.loads(pickle.dumps(get_accuracy_reward(answer_column="gold")))
    assert reward(prompts=[""] * 5, completions=conversations, gold=golds) == expected


def test_nothing_starts_for_what_is_judged_here():
    pool.close_workers()
    verify_math_batch(["14", "x+1", "(0,1)", "[1,2]", "no"], ["15", "1+x", "0<x<1", "1", "yes"])
    assert judge_here("x", r"\sqrt{2}") is False
    assert not _workers(os.getpid())


def _start(body):
    code = f"import os, sys, time, threading\nfrom r1hf.verify import verify_math, pool\n{textwrap.dedent(body)}"
    # No main guard, no importable main module: as a notebook or a torchrun script may be.
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ROOT},
    )


def _gone(processes, seconds=300):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.timeout(600)
def test_no_process_is_left_at_exit():
    program = _start(
        rf"""
        assert verify_math(r"\frac{{n(n+1)}}{{2}}", r"{SYMBOLIC}") is True
        print("judged", flush=True)
        sys.stdin.read()
        """
    )
    assert program.stdout.readline() == "judged\n"
    workers = _workers(program.pid)
    program.communicate(timeout=300)
    assert workers and _gone(workers) and program.returncode == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fork", [False, True], ids=["alone", "with a forked child that holds the pipe"])
def test_no_process_is_left_when_the_parent_is_killed(fork):
    program = _start(
        rf"""
        assert verify_math(r"\frac{{n(n+1)}}{{2}}", r"{SYMBOLIC}") is True
        if {fork} and not os.fork():
            time.sleep(30)
            os._exit(0)
        threading.Thread(target=verify_math, args=("x", r"{ENDLESS}"), daemon=True).start()
        print("judged", flush=True)
        time.sleep(60)
        """
    )
    assert program.stdout.readline() == "judged\n"
    everyone = psutil.Process(program.pid).children(recursive=True)
    workers = _workers(program.pid)
    program.send_signal(signal.SIGKILL)
    program.wait()
    workers = [worker for worker in workers if "-c" not in worker.cmdline()[1:2]]
    assert workers and _gone(workers)
    for process in everyone:
        if process.is_running():
            process.kill()


@pytest.mark.timeout(600)
def test_a_forked_child_has_workers_of_its_own():
    program = _start(
        rf"""
        assert verify_math(r"\frac{{n(n+1)}}{{2}}", r"{SYMBOLIC}") is True
        child = os.fork()
        assert verify_math("n^2", r"{SYMBOLIC}") is False
        assert verify_math("x^2 + x", "x(x+1)") is True
        if not child:
            pool.close_workers()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert verify_math(r"\frac{{n^2+n}}{{2}}", r"{SYMBOLIC}") is True
        """
    )
    assert program.wait(timeout=300) == 0
