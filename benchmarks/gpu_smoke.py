"""What works on this GPU, and how far r1hf's estimates are off, in less than eight minutes and one JSON.

    python benchmarks/gpu_smoke.py --make-wheels wheels --python 3.12    # where there is a network
    python benchmarks/gpu_smoke.py --wheels wheels --json gpu.json       # on the GPU machine, from a checkout
    python benchmarks/gpu_smoke.py --device cpu --steps 1 --shapes tiny  # the same on a CPU, to try it

A part is a process of its own: steps of SFT and of GRPO with random weights in the shapes of Qwen2.5, by stock TRL
and by r1hf with the same settings (bf16 on a GPU, float32 on a CPU), each beside the estimate of `r1hf plan`; and
stages of the tiny graph. What fails or runs out of time is recorded with its error, and the rest goes on. The file is
written anew after each part. Nothing but the standard library is imported here.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu_wheels import make_wheels, unpack

ROOT = Path(__file__).resolve().parents[1]
SHAPES = {"qwen": ("Qwen2.5-0.5B", "Qwen2.5-1.5B"), "tiny": ("tiny",)}
LEAST = 5.0  # seconds: with less left a part is not begun
TINY = ROOT / "recipes" / "configs" / "tiny"
SHORT: dict[str, dict[str, Any]] = {
    "base": {"documents": 3000, "tokenizer_documents": 1000, "max_steps": 60},
    "r1_zero": {"max_steps": 4, "warmup_steps": 0, "per_device_train_batch_size": 64},
    "sft": {"num_train_epochs": 1, "max_steps": 20},
    "reward_models": {"max_steps": 20},
    "r1": {"max_steps": 4, "warmup_steps": 0, "preference_steps": 2, "per_device_train_batch_size": 64},
    "evaluate": {"k": 1, "general_k": 1, "shown": []},
}

DATA = "base/data/"
# Stage: its file in recipes/configs/tiny, its inputs. None that keeps right samples: a base of 60 steps has none.
GRAPH: dict[str, tuple[str, dict[str, Any]]] = {
    "base": ("base", {}),
    "r1_zero": ("r1_zero", {"model": "base", "prompts": f"{DATA}train.jsonl"}),
    "sft": ("sft", {"model": "base", "data": f"{DATA}general_sft.jsonl"}),
    "reward_models": (
        "reward_models",
        {
            **{"model": "base", "helpful": f"{DATA}helpful_pairs.jsonl", "harmless": f"{DATA}harmless.jsonl"},
            **{"helpful_test": f"{DATA}helpful_pairs_test.jsonl", "harmless_test": f"{DATA}harmless_test.jsonl"},
        },
    ),
    "r1": (
        "all_scenario_rl",
        {
            **{"model": "sft", "prompts": f"{DATA}train.jsonl", "general_prompts": f"{DATA}general_train.jsonl"},
            **{"helpful_model": "reward_models/helpful", "harmless_model": "reward_models/harmless"},
        },
    ),
    "evaluate": (
        "evaluate",
        {
            **{"models": ["base", "r1"], "prompts": f"{DATA}held_out.jsonl"},
            "general_prompts": f"{DATA}general_held_out.jsonl",
        },
    ),
}


def case_of(kind: str, shape: str, gpu: bool) -> tuple[Any, ...]:
    """As in `plan.py`: kind, shape, rows, accumulation, prompt and completion tokens, checkpointing, reference."""
    checkpointing = shape == "Qwen2.5-1.5B"
    if kind == "sft":
        return ("sft", shape, 8 if gpu else 4, 1, 0, 2048 if gpu else 64, checkpointing, False)
    return ("grpo", shape, 16, 1, 128 if gpu else 16, 256 if gpu else 24, checkpointing, True)


def parts(shapes: str, gpu: bool) -> dict[str, dict[str, Any]]:
    """Name -> what the part's process is told. The small shape and the graph come before the large shape."""
    made: dict[str, dict[str, Any]] = {"machine": {"part": "machine"}}
    for shape in SHAPES[shapes]:
        for kind in ("sft", "grpo"):
            for trainer in ("trl", "r1hf"):
                case = case_of(kind, shape, gpu)
                made[f"{kind} {shape} {trainer}"] = {"part": "steps", "case": case, "trainer": trainer}
        made.setdefault("tiny graph", {"part": "graph"})
    return made


def machine() -> dict[str, Any]:
    import importlib.metadata
    import platform

    import torch

    found: dict[str, Any] = {"python": platform.python_version(), "cores": os.cpu_count()}
    for name in ("torch", "transformers", "trl", "accelerate", "peft", "r1hf"):
        found[name] = importlib.metadata.version(name)
    if torch.cuda.is_available():
        seen = torch.cuda.get_device_properties(0)
        found |= {"gpu": seen.name, "gpu_bytes": seen.total_memory, "cuda": torch.version.cuda}
    return found


def steps(told: dict[str, Any]) -> dict[str, Any]:
    """Steps of one trainer beside the estimate for them; memory in bytes, time in seconds."""
    import plan
    import torch

    case, gpu = tuple(told["case"]), torch.cuda.is_available()
    directory = Path(told["work"]) / case[1]
    if not (directory / "tokenizer.json").exists():  # what is written last
        plan.make_model(directory, case[1])
    device = plan.device_here()
    job = plan.job_of(case, gpu)
    memory = plan.memory.predict(job, device)
    times = plan.times.predict(job, device) if device and device.flops else None
    found = plan.run_case(case, told["trainer"], str(directory), told["steps"] + 1)  # the first one warms up
    seconds = sorted(found["steps"][1:])[told["steps"] // 2]
    estimated = {"peak": memory.peak, "needed": memory.needed, "phase": memory.worst.name}
    return {
        **{"case": case, "bf16": gpu, "measured": found, "step": seconds},
        "estimate": estimated | {"step": times.step if times else None},
        "estimate_to_measured": {
            "peak": round(memory.peak / found["peak"], 3),
            "step": round(times.step / seconds, 3) if times else None,
        },
    }


def graph(told: dict[str, Any]) -> dict[str, Any]:
    """The stages of `GRAPH` as a person runs them, and what their manifests say."""
    run, file = Path(told["work"]) / "tiny", Path(told["work"]) / "pipeline.yaml"
    stages = {}
    for name, (config, inputs) in GRAPH.items():
        own = {} if config == "evaluate" else {"use_cpu": told["device"] == "cpu"}
        stages[name] = {"config": str(TINY / f"{config}.yaml"), "inputs": inputs, "set": {**SHORT[name], **own}}
    file.write_text(json.dumps({"run_dir": str(run), "seed": 42, "launch": "python", "stages": stages}))
    words = [sys.executable, str(ROOT / "recipes" / "pipeline.py"), "--config", str(file)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found: dict[str, Any] = {}
    for name in stages:
        if (written := run / name / "manifest.json").exists():
            manifest = json.loads(written.read_text(encoding="utf-8"))
            found[name] = {key: manifest[key] for key in ("seconds", "peak_rss_mb", "metrics")}
    if done.returncode != 0:
        return {"stages": found, "error": f"the pipeline ended with {done.returncode}: {last_lines(done.stdout, 6)}"}
    return {"stages": found}


PARTS = {"machine": lambda told: machine(), "steps": steps, "graph": graph}


def last_lines(text: str, count: int) -> str:
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-count:])[-800:]


def run_part(told: dict[str, Any], seconds: float, environment: dict[str, str]) -> dict[str, Any]:
    """A part as a process of its own, ended with all that it started when its time is up."""
    words = [sys.executable, str(Path(__file__).resolve()), "--part", json.dumps(told)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        process = subprocess.Popen(words, stdout=out, stderr=errors, env=environment, start_new_session=True)
        try:
            process.wait(seconds)
            late = False
        except subprocess.TimeoutExpired:
            late = True
            end(process)
        for stream in (out, errors):
            stream.seek(0)
        said, wrong = out.read(), errors.read()
    took = {"seconds": round(time.monotonic() - began, 1)}
    if late:
        return took | {
            "error": f"not done after its {seconds:.0f} s; the last that it said: {last_lines(said + wrong, 2)}"
        }
    if process.returncode != 0:
        return took | {"error": last_lines(wrong or said, 1) or f"it ended with {process.returncode}"}
    return took | json.loads(said.splitlines()[-1])


def end(process: subprocess.Popen[bytes]) -> None:
    """First asked, as the pipeline then ends its stages; then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def against_stock(found: dict[str, Any]) -> dict[str, Any]:
    """r1hf to stock TRL, where both were measured: step time and peak memory."""
    ratios = {}
    for name, own in found.items():
        stock = found.get(name.removesuffix("r1hf") + "trl")
        if name.endswith(" r1hf") and stock and "step" in own and "step" in stock:
            peak = own["measured"]["peak"] / stock["measured"]["peak"]
            ratios[name.removesuffix(" r1hf")] = {
                "step": round(own["step"] / stock["step"], 3),
                "peak": round(peak, 3),
            }
    return ratios


def smoke(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All parts, and what was found so far in the file after each."""
    deadline = time.monotonic() + 60 * options.minutes
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    if options.wheels:
        site = work / "site-packages"  # by this name dill knows what is a library, and pickles it by reference
        unpack(options.wheels, site)
        path.insert(1, str(site))  # after the checkout, which may be newer than the wheel of r1hf
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "HF_HUB_OFFLINE": "1"}
    if options.device == "cpu":
        environment |= {
            "CUDA_VISIBLE_DEVICES": "",
            "MALLOC_MMAP_THRESHOLD_": "65536",
            "MALLOC_TRIM_THRESHOLD_": "65536",
        }
    report: dict[str, Any] = {"device": options.device, "shapes": options.shapes, "parts": {}, "finished": False}
    listed = parts(options.shapes, options.device == "cuda")
    for name, told in listed.items():
        left = deadline - time.monotonic()
        given = min(left, options.part_seconds)
        told |= {"work": str(work), "device": options.device, "steps": options.steps}
        if left < LEAST:
            report["parts"][name] = {"error": f"not begun: the {options.minutes:g} minutes were over"}
        else:
            report["parts"][name] = run_part(told, given, environment)
        found = report["parts"][name]
        print(f"{name}: {found.get('error') or 'done'} ({found.get('seconds', 0):.0f} s)", flush=True)
        report |= {"against_stock": against_stock(report["parts"]), "finished": len(report["parts"]) == len(listed)}
        write(options.json, report)
    return report


def write(path: Path, report: dict[str, Any]) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(report, indent=1), encoding="utf-8")
    os.replace(beside, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--shapes", choices=tuple(SHAPES), default="qwen")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each trainer, after one that warms up")
    parser.add_argument("--minutes", type=float, default=8.0, help="after these no part goes on")
    parser.add_argument("--part-seconds", type=float, default=150.0, help="most that one part may take")
    parser.add_argument("--json", type=Path, default=Path("gpu_smoke.json"), help="what is written")
    parser.add_argument("--wheels", type=Path, help="folder of wheels that is put first on the path")
    parser.add_argument("--make-wheels", type=Path, metavar="DIR", help="make that folder, and do nothing else")
    parser.add_argument("--python", default="3.12", help="the GPU machine's Python, for --make-wheels")
    parser.add_argument("--present", default="", help="packages that are there, with commas, for --make-wheels")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        told = json.loads(options.part)
        print(json.dumps(PARTS[told["part"]](told)))
    elif options.make_wheels:
        size = make_wheels(options.make_wheels, options.python, options.present.split(",") if options.present else [])
        print(f"{options.make_wheels}: {size / 1e6:.1f} MB")
    else:
        with tempfile.TemporaryDirectory() as work:
            report = smoke(options, Path(work))
        sys.exit(any("error" in part for part in report["parts"].values()))


if __name__ == "__main__":
    main()
