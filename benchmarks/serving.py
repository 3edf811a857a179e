"""Serving, measured: start times, time to first token and tokens a second, bare server against gateway, cancellation.

python benchmarks/serving.py runs/tiny/r1 [--engine vllm] [--run runs/tiny] [--repeat 30]

One run prints one table, so that its ratios are of the same machine in the same minute. The bare server is the engine
that the gateway talks to, asked over the same kind of socket by the same client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil

QUESTION = "What is 2 + 3 * 4?"


@contextlib.contextmanager
def served(*arguments: str) -> Iterator[tuple[str, psutil.Process, float]]:
    """(URL, process, seconds from start to ready) of an `r1hf serve`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as logs:
        script = "import sys, argparse; from r1hf.commands.serve import *; p = argparse.ArgumentParser()"
        script += "; add_arguments(p); sys.exit(run(p.parse_args()))"
        command = [sys.executable, "-c", script, *arguments, "--port", str(port), "--log-dir", logs]
        began = time.perf_counter()
        process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ready:"):
                break
        else:
            sys.exit("".join(said))
        try:
            yield f"http://127.0.0.1:{port}", process, time.perf_counter() - began
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def engine_socket(process: psutil.Process, kind: str) -> str:
    """The Unix socket of the engine that `kind` names in its command line."""
    for child in process.children(recursive=True):
        words = child.cmdline()
        for option in ("--uds", "--socket"):
            if option in words and "r1hf.serving.guard" not in words and any(kind in word for word in words):
                return words[words.index(option) + 1]
    sys.exit(f"no {kind} engine found")


async def stream(session: aiohttp.ClientSession, url: str, model: str, tokens: int) -> tuple[float, float, int]:
    """(seconds to the first text, seconds to the end, events with text) of one streamed answer."""
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    body |= {"max_tokens": tokens, "ignore_eos": True, "temperature": 1.0}
    began, first, events = time.perf_counter(), 0.0, 0
    async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.content:
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:])["choices"]
                if choices and choices[0]["delta"].get("content"):
                    events += 1
                    first = first or time.perf_counter() - began
    return first, time.perf_counter() - began, events


async def measure(url: str, uds: str, model: str, repeat: int, many: int) -> dict[str, list[float]]:
    """Alternates between the bare server and the gateway, so that both see the same machine."""
    found: dict[str, list[float]] = {}
    timeout = aiohttp.ClientTimeout(total=None)
    bare = aiohttp.ClientSession(connector=aiohttp.UnixConnector(uds, limit=0), timeout=timeout)
    through = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
    async with bare, through:
        places = {"bare": (bare, "http://engine"), "gateway": (through, url)}
        for turn in range(repeat + 3):
            for name, (session, address) in places.items():
                first, total, events = await stream(session, address, model, 200)
                if turn >= 3:
                    found.setdefault(f"{name} first", []).append(first * 1000)
                    found.setdefault(f"{name} rate", []).append((events - 1) / (total - first))
        for _ in range(3):
            for name, (session, address) in places.items():
                began = time.perf_counter()
                results = await asyncio.gather(*(stream(session, address, model, 100) for _ in range(many)))
                seconds = time.perf_counter() - began
                found.setdefault(f"{name} many", []).append(sum(item[2] for item in results) / seconds)
    return found


async def cancellations(url: str, uds: str, model: str, repeat: int) -> list[float]:
    """Seconds from closing a streaming request at the gateway until the engine has nothing to do any more."""
    times = []
    async with aiohttp.ClientSession() as session, aiohttp.ClientSession(connector=aiohttp.UnixConnector(uds)) as bare:
        for _ in range(repeat):
            body = {"model": model, "prompt": QUESTION, "stream": True, "max_tokens": 1000, "ignore_eos": True}
            answer = await session.post(f"{url}/v1/completions", json=body)
            for _ in range(6):
                await answer.content.readline()
            began = time.perf_counter()
            answer.close()
            while await busy(bare):
                await asyncio.sleep(0.005)
            times.append(time.perf_counter() - began)
    return times


async def busy(bare: aiohttp.ClientSession) -> bool:
    """Whether the engine itself still generates: vLLM's /metrics, or the Transformers engine's /health."""
    async with bare.get("http://engine/metrics") as answer:
        if answer.status == 200:
            rows = [
                line for line in (await answer.text()).splitlines() if line.startswith("vllm:num_requests_running")
            ]
            return any(float(row.split()[-1]) > 0 for row in rows)
    async with bare.get("http://engine/health") as answer:
        return bool((await answer.json())["active"])


def row(name: str, *values: Any) -> None:
    print(f"{name:<46}" + "".join(f"{value:>14}" for value in values), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model directory")
    parser.add_argument("--run", help="a run directory: its start with the Transformers engine is timed too")
    parser.add_argument("--engine", choices=("vllm", "transformers"), default="vllm")
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--many", type=int, default=16, help="streams at once")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(f"{psutil.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    if options.run:
        with served(options.run, "--engine", "transformers") as (_, process, seconds):
            memory = sum(item.memory_info().rss for item in [process, *process.children(recursive=True)])
            row("run, transformers engine: start", f"{seconds:.1f} s")
            row("  resident memory of all processes", f"{memory / 2**20:.0f} MiB")
    with served(options.model, "--engine", options.engine) as (url, process, seconds):
        name = Path(options.model).name
        uds = engine_socket(process, "vllm" if options.engine == "vllm" else "transformers_server")
        memory = sum(item.memory_info().rss for item in [process, *process.children(recursive=True)])
        row(f"{name}, {options.engine}: start", f"{seconds:.1f} s")
        row("  resident memory of all processes", f"{memory / 2**20:.0f} MiB")
        found = asyncio.run(measure(url, uds, name, options.repeat, options.many))
        middle = {key: statistics.median(values) for key, values in found.items()}
        row("", "bare", "gateway", "difference")
        bare, through = middle["bare first"], middle["gateway first"]
        row("time to first token, median", f"{bare:.2f} ms", f"{through:.2f} ms", f"{through - bare:+.2f} ms")
        for key, text in (("rate", "one stream, tokens/s"), ("many", f"{options.many} streams, tokens/s in all")):
            bare, through = middle[f"bare {key}"], middle[f"gateway {key}"]
            row(text, f"{bare:.0f}", f"{through:.0f}", f"{through / bare:.1%}")
        times = asyncio.run(cancellations(url, uds, name, options.repeat))
        row("client gone → engine idle, median / worst", f"{statistics.median(times):.3f} s", f"{max(times):.3f} s")


if __name__ == "__main__":
    main()
