"""A finished run for the Hub's tests: real manifests and real, very small models; the scores are invented."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub_server import HubServer
from small_run import ROOT, write

from r1hf.stage.manifest import Manifest, fingerprint, hardware, hash_outputs, input_records, versions, write_manifest

TOKEN = "hf_CanaryCanaryCanaryCanary"
SCORES = {
    "format_rate": 0.975,
    "language_consistency": 0.985,
    "mean_completion_tokens": 31.5,
    "truncation_rate": 0.0125,
    "unjudged_rate": 0.0,
    "helpful_rate": 0.625,
    "helpful_stderr": 0.0375,
    "harmless_rate": 0.875,
    "harmless_stderr": 0.025,
}


def finish(directory: Path, recipe: str, inputs: Mapping[str, Any], metrics: Mapping[str, Any], **config: Any) -> Path:
    """The manifest of a stage whose files lie in `directory`, as the stage itself would write it."""
    outputs = hash_outputs(directory)
    values: dict[str, Any] = {"output_dir": str(directory), "seed": 7, **inputs, **config}
    manifest = Manifest(
        stage=directory.name,
        recipe=f"recipes/{recipe}.py",
        command=[f"recipes/{recipe}.py", "--output_dir", f"runs/{directory.name}"],
        created="2026-01-02T03:04:05Z",
        seconds=12.5,
        peak_rss_mb=900.0,
        seed=7,
        request=dict(config),
        config=values,
        inputs=input_records(inputs),
        outputs=outputs,
        fingerprint=fingerprint(outputs),
        metrics=dict(metrics),
        versions=versions(),
        git={"revision": "a1b2c3d4e5f60718293a4b5c6d7e8f9012345678", "dirty": False},
        hardware=hardware(),
    )
    write_manifest(directory, manifest)
    return directory


def model_stage(directory: Path, source: Path, recipe: str, change: float, **inputs: Any) -> Path:
    """A model of its own: the source's with every weight scaled, and a manifest."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(
        source, directory, ignore=shutil.ignore_patterns("manifest.json", "log.jsonl", "data", "student_*")
    )
    weights = {name: weight * change for name, weight in load_file(source / "model.safetensors").items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    write(directory / "log.jsonl", [{"step": 1, "loss": 0.5}])
    metrics = {"optimizer_steps": 20, "loss": 0.5}
    return finish(directory, recipe, {k: str(v) for k, v in inputs.items()}, metrics, learning_rate=1e-4, beta=0.001)


def evaluate(run: Path, models: Mapping[str, Path], **settings: Any) -> Path:
    """An evaluation of these models on the base's held-out problems."""
    directory = run / "evaluate"
    shutil.rmtree(directory, ignore_errors=True)
    scores = {
        name: {"pass_at_1": round(0.5 + 0.03 * index, 3), "stderr": 0.012 + index / 1000, **SCORES}
        for index, name in enumerate(models)
    }
    shared = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64, "k": 4, "general_k": 8}
    shared |= {"problems": 12, "general_prompts": 4, **settings}
    write(directory / "samples.jsonl", [{"model": "r1", "question": "What is 2 + 3 * 4?", "language": "en"}])
    (directory / "results.json").write_text(json.dumps({"settings": shared, "models": scores}))
    held_out = str(run / "base/data/held_out.jsonl")
    inputs = {"models": [str(path) for path in models.values()], "prompts": held_out}
    return finish(directory, "evaluate", inputs, {"models": scores})


def make_run(run: Path, base: Path) -> Path:
    """Base, R1-Zero, cold start, the mix, Dev3, reward models, R1, one student, evaluation."""
    shutil.copytree(base, run / "base", ignore=shutil.ignore_patterns("manifest.json", ".*"))
    finish(run / "base", "base", {}, {"vocabulary": 300}, max_steps=4)
    prompts = run / "base/data/train.jsonl"
    zero = model_stage(run / "r1_zero", run / "base", "r1_zero", 1.01, model=run / "base", prompts=prompts)
    row = {"question": "What is 2 + 2 * 2?", "answer": "6", "language": "en", "task": "reasoning"}
    answered = row | {"completion": "<think>2 * 2 = 4.</think> <answer>6</answer>"}
    write(run / "cold_start/data.jsonl", [answered | {"method": "rewrite"}])
    counts = {"kept": 1, "by_method": {"rewrite": 1}, "rejected": {"rewrite": {"wrong_answer": 3}}}
    inputs = {"model": str(run / "base"), "zero": str(zero), "prompts": str(prompts)}
    finish(run / "cold_start", "cold_start", inputs, counts, samples=2)
    write(run / "rejection_sampling/data.jsonl", [answered, row | {"completion": "Hello.", "answer": None}])
    counts = {"sampled": 4, "kept": 1, "rejected": {"duplicate": 1, "wrong_answer": 2}, "general": 1}
    inputs = {"model": str(zero), "prompts": str(prompts), "general": str(run / "base/data/general_sft.jsonl")}
    finish(run / "rejection_sampling", "rejection_sampling", inputs, counts, samples=4, temperature=1.0)
    mix = run / "rejection_sampling/data.jsonl"
    sft2 = model_stage(run / "sft2", run / "base", "sft", 1.02, model=run / "base", data=mix)
    files = ("helpful_pairs", "helpful_pairs_test", "harmless", "harmless_test")
    data = dict(zip(("helpful", "helpful_test", "harmless", "harmless_test"), files, strict=True))
    write(run / "reward_models/log.jsonl", [{"step": 1}])
    write(run / "reward_models/helpful/note.jsonl", [{}])
    inputs = {key: str(run / f"base/data/{name}.jsonl") for key, name in data.items()}
    finish(run / "reward_models", "reward_models", {"model": str(run / "base"), **inputs}, {"helpful_accuracy": 0.75})
    r1 = model_stage(run / "r1", run / "base", "all_scenario_rl", 1.03, model=sft2, prompts=prompts)
    student_base = run / "base/student_llama_base"
    student = model_stage(run / "student_llama", student_base, "distill", 1.04, model=student_base, data=mix)
    models = {"base": run / "base", "r1_zero": zero, "sft2": sft2, "r1": r1}
    evaluate(run, models | {"student_llama_base": student_base, "student_llama": student})
    return run


def environment(hub: HubServer, home: Path, token: str | None = TOKEN, **more: str) -> dict[str, str]:
    """The environment of a person whose Hub is `hub` and who has this checkout."""
    return hub.environment(home, token) | {"PYTHONPATH": str(ROOT)} | more


def push(*words: Any, env: Mapping[str, str], timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """`r1hf push` in a process of its own."""
    command = [sys.executable, str(ROOT / "recipes/push.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=dict(env), timeout=timeout)


def python(code: str, env: Mapping[str, str], timeout: float = 300) -> str:
    """What a program prints that knows nothing of r1hf's tests."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(env), timeout=timeout)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
