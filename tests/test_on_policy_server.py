"""On-policy distillation from a teacher behind vLLM's own server, on this machine's CPU."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_run import answered, log, manifest, run_recipe, write
from vllm_double import running
from vllm_run import vllm

from r1hf.core.errors import StageError
from r1hf.models.loading import load_tokenizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
]
OPTIONS = ("--max-logprobs", "-1", "--logprobs-mode", "processed_logprobs")
STEPS = {"per_device_train_batch_size": 4, "max_steps": 2, "logging_steps": 1, "max_completion_length": 12}


@pytest.fixture(scope="module")
def address(memorised: Path) -> Iterator[str]:
    with vllm(str(memorised), os.environ, *OPTIONS) as port:
        yield f"http://127.0.0.1:{port}"


def distilled(student: Path, teacher: Path, directory: Path, **more: object) -> list[float]:
    """The loss of each step."""
    rows = write(directory / "rows.jsonl", answered(8))
    given = {"model": student, "teacher": teacher, "prompts": rows, "output_dir": directory / "out"}
    out = run_recipe("on_policy_distill", "on_policy.yaml", **{**given, **STEPS, **more})
    assert manifest(out)["metrics"]["method"] == "same_vocabulary"
    assert (out / "model.safetensors").exists()
    return [row["loss"] for row in log(out) if "loss" in row]


def test_a_server_teaches_what_the_teacher_in_this_process_teaches(
    tiny_base: Path, memorised: Path, address: str, tmp_path: Path
) -> None:
    """Forward KL over the whole vocabulary: the one case in which both see the same."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    every = {"beta": 0.0, "loss_top_k": len(load_tokenizer(str(memorised))), "loss_add_tail": False}
    here = distilled(tiny_base, memorised, tmp_path / "here", beta=0.0)
    there = distilled(tiny_base, memorised, tmp_path / "there", teacher_server=json.dumps(address), **every)
    assert len(here) == 2 and min(here) > 0.1
    assert there == pytest.approx(here, rel=0.02)


def test_reverse_kl_takes_the_tokens_that_the_student_wrote(
    tiny_base: Path, memorised: Path, address: str, tmp_path: Path
) -> None:
    losses = distilled(tiny_base, memorised, tmp_path, teacher_server=json.dumps(address), beta=1.0)
    assert len(losses) == 2 and all(math.isfinite(loss) and loss > 2e-3 for loss in losses)


def test_the_teacher_itself_has_nothing_to_learn(memorised: Path, address: str, tmp_path: Path) -> None:
    losses = distilled(memorised, memorised, tmp_path, teacher_server=json.dumps(address), learning_rate=1e-12)
    assert max(map(abs, losses)) < 1e-3


def test_a_server_whose_context_is_too_short_is_named(
    tiny_base: Path, memorised: Path, address: str, tmp_path: Path
) -> None:
    given = {"teacher_server": json.dumps(address), "max_completion_length": 200, "temperature": 3.0}
    with pytest.raises(StageError, match=f"vLLM server at {address} failed .after step 0.: .*400.*--model TEACHER"):
        distilled(tiny_base, memorised, tmp_path, **given)
    assert not (tmp_path / "out").exists()


def test_a_server_that_breaks_off_is_named(tiny_base: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    with running(list(range(300, 310)), tokenizer.eos_token_id) as server:
        server.faults["/v1/completions"] = "cut"
        with pytest.raises(StageError, match="failed .after step 0.: .*repeat this command"):
            distilled(tiny_base, tiny_base, tmp_path, teacher_server=json.dumps(server.url))
