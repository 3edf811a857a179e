"""A run that was trained, measured and pushed answers a stranger: scripts/check_hub.py, whole."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub_run import finish
from small_run import ROOT, SFT, answered, run_recipe, write

from r1hf.rewards import accuracy_reward

QUESTION = "What is 2 + 3 * 4?"
ANSWER = "<think>3 * 4 = 12. 2 + 12 = 14.</think> <answer>14</answer>"
ROW = {"question": QUESTION, "completion": ANSWER, "answer": "14", "language": "en", "task": "reasoning"}


@pytest.fixture(scope="module")
def trained(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base, mix, a model that `sft` taught the mix by heart, and its evaluation, by the recipes themselves."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    shutil.copytree(tiny_base, run / "base", ignore=shutil.ignore_patterns("manifest.json", ".*"))
    finish(run / "base", "base", {}, {"vocabulary": 300}, max_steps=4)
    mix = write(run / "rejection_sampling/data.jsonl", [ROW, *answered(7)])
    inputs = {"model": str(run / "base"), "prompts": str(run / "base/data/train.jsonl")}
    finish(run / "rejection_sampling", "rejection_sampling", inputs, {"sampled": 16, "kept": 8, "rejected": {}})
    training = {**SFT, "max_steps": 250, "learning_rate": 5e-3, "logging_steps": 50}
    run_recipe("sft", model=run / "base", data=mix, output_dir=run / "r1", **training)
    measured = {"models": [str(run / "base"), str(run / "r1")], "prompts": run / "base/data/held_out.jsonl"}
    measured |= {"general_prompts": run / "base/data/general_held_out.jsonl", "longer_prompts": "null"}
    asked = json.loads((run / "base/data/held_out.jsonl").read_text(encoding="utf-8").splitlines()[0])["question"]
    run_recipe("evaluate", output_dir=run / "evaluate", k=2, general_k=1, shown=[asked], **measured)
    return run


def check_hub(run: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/check_hub.py"), str(run), "--repo", "me/tiny-r1"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=900)


@pytest.mark.slow
def test_a_stranger_gets_answers_in_the_right_form(trained: Path) -> None:
    done = check_hub(trained)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    said = {name: text for name, _, text in (line.partition(": ") for line in done.stdout.splitlines())}
    ways = ["from_pretrained", "pipeline", *(["vllm"] if importlib.util.find_spec("vllm") else [])]
    for way in ways:
        assert said[way] == f"{ANSWER!r} (answer 14)"
    assert json.loads(said["load_dataset"]) == {"mix": {"train": 8}}
    assert accuracy_reward([""], [ANSWER], answer=["14"]) == [1.0]
    (trained / "r1/model.safetensors").write_bytes(b"not the model")
    refused = check_hub(trained)
    assert refused.returncode == 1 and "the push failed" in refused.stderr
