"""The sampler over vLLM, for real on this machine's CPU: what `Sampler` gives, and the stages that use it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from small_run import answered, manifest, run_recipe, write

from r1hf.core.config import parse
from r1hf.core.errors import StageError
from r1hf.data.rows import load_rows
from r1hf.models.ray_sampling import RaySampler
from r1hf.models.sampler_config import SamplingConfig, check_sampler, load_sampler
from r1hf.models.transformers_sampling import TransformersSampler
from r1hf.models.vllm_sampling import VllmSampler

HERE = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not HERE, reason="vllm is not installed")
QUESTIONS = [row["question"] for row in answered(8)]


def said(**given: object) -> list[str]:
    problems: list[str] = []
    words = [f"--{key}={value}" for key, value in {"output_dir": "made", **given}.items()]
    (config,) = parse((SamplingConfig,), words).configs
    check_sampler(problems, config)
    return problems


def test_keys_that_cannot_be_followed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said() == []
    assert bool(said(sampler="vllm")) != HERE
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (found,) = said(sampler="vllm")
    assert "which is not installed" in found
    (found,) = said(vllm='{"max_model_len": 64}')
    assert "max_model_len" in found and "set sampler: vllm" in found


@pytest.fixture(scope="module")
def sampler(memorised: Path) -> Iterator[VllmSampler]:
    with VllmSampler(str(memorised), batch_size=16) as found:
        yield found


@pytest.mark.slow
@needs_vllm
def test_it_says_what_transformers_says(sampler: VllmSampler, memorised: Path) -> None:
    other = TransformersSampler(str(memorised))
    prompts = other.chat(QUESTIONS)
    assert sampler.chat(QUESTIONS) == prompts
    given = {"temperature": 0.01, "max_new_tokens": 60}
    groups = sampler.sample(prompts, 2, **given)
    assert groups == other.sample(prompts, 2, **given)
    assert [group[0].text for group in groups] == [row["completion"] for row in answered(8)]


@pytest.mark.slow
@needs_vllm
def test_seeds_lengths_and_order(sampler: VllmSampler) -> None:
    prompts = sampler.chat(QUESTIONS)
    hot = {"temperature": 2.0, "max_new_tokens": 12}
    first = sampler.sample(prompts, 3, seed=1, **hot)
    assert sampler.sample(prompts, 3, seed=1, **hot) == first
    assert sampler.sample(prompts, 3, seed=2, **hot) != first
    assert sampler.sample(prompts[:4], 3, seed=1, **hot) == first[:4]
    assert all(len(group) == 3 and len({sample.text for sample in group}) > 1 for group in first)
    assert all(sample.truncated == (sample.tokens == 12) for group in first for sample in group)
    assert sampler.sample([], 3) == []


@pytest.mark.slow
@needs_vllm
def test_a_stage_samples_with_it(memorised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(TransformersSampler, "answers")
    rows = write(tmp_path / "rows.jsonl", answered(8))
    general = write(tmp_path / "general.jsonl", [{"question": "Hi.", "completion": "Hello."}])
    out = run_recipe(
        "rejection_sampling",
        **{"model": memorised, "prompts": rows, "general": general, "output_dir": tmp_path / "made"},
        **{"samples": 2, "temperature": 0.01, "max_new_tokens": 60, "batch_size": 8, "sampler": "vllm"},
    )
    assert manifest(out)["metrics"]["sampled"] == 16
    assert len(load_rows(str(out / "data.jsonl"))) == 4, "three of them for the one general row"


@pytest.mark.slow
@needs_vllm
def test_what_vllm_refuses_is_said(memorised: Path) -> None:
    (config,) = parse((SamplingConfig,), ["--output_dir=made", "--sampler=vllm", '--vllm={"dtype": "none"}']).configs
    with pytest.raises(StageError, match="vLLM does not start with .*dtype"):
        load_sampler(config, str(memorised)).sample(["Hi."])


@pytest.mark.slow
@needs_vllm
def test_a_prompt_longer_than_the_context_fails_alone(memorised: Path) -> None:
    with VllmSampler(str(memorised), batch_size=4, max_model_len=64) as small:
        ((long,), (short,)) = small.sample(["word " * 200, small.chat(QUESTIONS[:1])[0]], 1, temperature=0.01)
    assert long.fault.startswith("prompt too long") and not short.fault


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("checkpoint-*.parquet")) for row in pq.read_table(path).to_pylist()]


def started(folder: Path, model: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(Path(__file__).with_name("generation_run.py")), str(folder), str(model), *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.Popen(command, env=environment)


def samples_in(folder: Path) -> int:
    lines = sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))
    return lines + 8 * len(list(folder.glob("checkpoint-*.parquet")))


@pytest.mark.slow
@needs_vllm
def test_killed_under_vllm_it_ends_with_the_rows_of_an_undisturbed_run(tiny_base: Path, tmp_path: Path) -> None:
    words = ("--sampler=vllm", "--batch_size=4", "--shard_size=8", "--vllm={max_model_len: 128}")
    for name, kills in (("whole", ()), ("killed", (20,))):
        for after in kills:
            process = started(tmp_path / name, tiny_base, *words)
            while samples_in(tmp_path / name) < after and process.poll() is None:
                time.sleep(0.002)
            below = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            assert process.wait() == -9
            assert below and not psutil.wait_procs(below, timeout=300)[1], "vLLM's own processes end too"
        assert started(tmp_path / name, tiny_base, *words).wait() == 0
    found, wanted = rows(tmp_path / "killed"), rows(tmp_path / "whole")
    assert len(found) == 80 and found == wanted


@pytest.mark.slow
@needs_vllm
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_ray_gives_what_vllm_gives_and_one_bad_row_ends_nothing(tiny_base: Path) -> None:
    given: Any = {"max_new_tokens": 12, "seed": 1}
    with VllmSampler(str(tiny_base), 16, max_model_len=128) as one:
        prompts = one.chat(QUESTIONS)
        wanted = one.sample(prompts, 2, **given)
    with RaySampler(str(tiny_base), 16, {"max_model_len": 128}) as many:
        found = many.sample([*prompts, "word " * 300], 2, **given)
    assert found[:-1] == wanted
    assert all(one.fault.startswith("prompt too long") for one in found[-1])
