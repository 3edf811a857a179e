"""Directories that are no models, in every file that `r1hf serve` reads: a sentence each, at once."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving_world import make_adapter, make_model

from r1hf.core.errors import ConfigError
from r1hf.serving.models import ServedModel, resolve

pytestmark = pytest.mark.timeout(600)  # a pipe that is waited for
MADE_BY = "provenance/manifest.json"
MANIFEST = {
    "format": 1, "stage": "r1", "recipe": "sft", "command": [], "created": "", "seconds": 1.0, "peak_rss_mb": 1.0,
    "seed": 0, "request": {}, "config": {"prompt_template": "r1_zero"}, "inputs": {},
    "outputs": {"model.safetensors": {"sha256": "0" * 64, "bytes": 1}},
    "fingerprint": "", "metrics": {}, "versions": {}, "git": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = make_model(tmp_path_factory.mktemp("models") / "base", context=512)
    index = {"metadata": {"total_size": 1}, "weight_map": {"model.embed_tokens.weight": "model.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "provenance").mkdir()  # as pushed to the Hub
    (directory / MADE_BY).write_text(json.dumps(MANIFEST))
    (directory / "generation_config.json").write_text('{"temperature": 0.5, "top_p": 0.9}')
    return directory


@pytest.fixture
def model(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "model"))


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def pipe(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.parent.mkdir(exist_ok=True)
    os.mkfifo(file)


def folder(directory: Path) -> None:
    (directory / "config.json").unlink()
    (directory / "config.json").mkdir()


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda directory: edit(directory / "config.json", **changes)


def file(name: str, content: str | bytes) -> Callable[[Path], None]:
    data = content.encode() if isinstance(content, str) else content
    return lambda directory: (directory / name).write_bytes(data) and None


def index(*names: Any) -> Callable[[Path], None]:
    return file("model.safetensors.index.json", json.dumps({"weight_map": dict(enumerate(names))}))


JSON_FILES = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json", MADE_BY,
              "model.safetensors.index.json")  # fmt: skip
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    **{
        f"{name}: {kind}": (file(name, content), name)
        for name in JSON_FILES
        for kind, content in {
            "empty": "", "no JSON": "{", "deep": "[" * 100_000, "deep objects": '{"a":' * 100_000, "binary": b"\xff\0",
        }.items()
    },
    **{f"{name}: a list": (file(name, "[1]"), name) for name in JSON_FILES},
    **{f"{name}: a pipe": (lambda d, name=name: pipe(d / name), f"{name} is not a regular file")
       for name in (*JSON_FILES, "model.safetensors", "chat_template.jinja",
                    "additional_chat_templates/tool.jinja", "adapter_config.json", "special_tokens_map.json")},
    "a device": (lambda d: (d / "merges.txt").symlink_to("/dev/zero"), "merges.txt is not a regular file"),
    "a folder as configuration": (folder, "config.json"),
    "a context of text": (config(max_position_embeddings="many"), "max_position_embeddings is 'many'"),
    "a context of 10^400": (config(max_position_embeddings=10**400), "max_position_embeddings is 1"),
    "a negative context": (config(max_position_embeddings=-5), "max_position_embeddings is -5"),
    "a context that is true": (config(max_position_embeddings=True), "max_position_embeddings is True"),
    "infinite heads": (file("config.json", '{"num_attention_heads": 1e999}'), "num_attention_heads is inf"),
    "layers in a list": (config(num_hidden_layers=[1]), "num_hidden_layers is [1]"),
    "no heads": (config(num_attention_heads=0, head_dim=None), "num_attention_heads is 0"),
    "a dtype in a list": (config(dtype=["float32"]), "dtype is ['float32']"),
    "a text_config of text": (config(text_config="x"), "text_config is 'x'"),
    "architectures of text": (config(architectures="Qwen2ForCausalLM"), "architectures is 'Qwen2ForCausalLM'"),
    "architectures of numbers": (config(architectures=[3]), "architectures is [3]"),
    "temperature of text": (file("generation_config.json", '{"temperature": "hot"}'), "temperature is 'hot'"),
    "temperature NaN": (file("generation_config.json", '{"temperature": NaN}'), "temperature is nan"),
    "top_p of 3": (file("generation_config.json", '{"top_p": 3}'), "top_p is 3"),
    "a vocabulary of numbers": (file("tokenizer.json", '{"model": {"vocab": [1]}}'), "is not a tokenizer"),
    "a tokenizer's model in a list": (file("tokenizer.json", '{"model": [1]}'), "is not a tokenizer"),
    "tokens of text": (file("tokenizer.json", '{"model": {}, "added_tokens": "abc"}'), "is not a tokenizer"),
    "an index of numbers": (index(3), "weight_map does not give"),
    "an index elsewhere": (index("../../model.safetensors"), "weight_map does not give"),
    "an index with an absolute path": (index("/dev/zero"), "weight_map does not give"),
    "an index of no path": (index("a\0b"), "weight_map does not give"),
    "an index of a list": (file("model.safetensors.index.json", '{"weight_map": [1]}'), "weight_map does not give"),
    "an index of what is not there": (index("model-2.safetensors"), "weights are missing: model-2.safetensors"),
    "a template of no text": (file("chat_template.jinja", b"\xff"), "cannot be read as UTF-8"),
    "a template of 10 MB": (file("chat_template.jinja", b" " * 10**7), "which no chat template needs"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_no_model_is_a_sentence(model: Path, name: str) -> None:
    harm, said = DAMAGES[name]
    harm(model)
    with pytest.raises(ConfigError) as caught:
        resolve([str(model)])
    assert said in str(caught.value) and str(model) in str(caught.value)


ODD: dict[str, Callable[[Path], None]] = {
    "a context as a fraction": config(max_position_embeddings=512.0),
    "nothing said": config(architectures=None, dtype=None, torch_dtype="float32", head_dim=None),
    "a text model inside": config(text_config={"max_position_embeddings": 512, "num_attention_heads": 2}),
    "no index": lambda d: (d / "model.safetensors.index.json").unlink(),
    "no manifest": lambda d: (d / MADE_BY).unlink(),
    "another tool's manifest": file(MADE_BY, "{}"),
    "a prompt template that is not here": lambda d: edit(d / MADE_BY, config={"prompt_template": "x" * 5000}),
    "prompt templates of odd types": lambda d: edit(d / MADE_BY, config={"prompt_template": {"en": [3]}}),
    "a prompt template of somebody": lambda d: edit(d / MADE_BY, config={"prompt_template": "~nobody/x.txt"}),
    "no generation_config.json": lambda d: (d / "generation_config.json").unlink(),
    "greedy": file("generation_config.json", '{"temperature": 0, "top_p": null, "do_sample": false}'),
    "named templates": lambda d: edit(
        d / "tokenizer_config.json", chat_template=[{"name": ["x"]}, {"name": "default", "template": "{{ 1 }}"}, 3]
    ),
    "a template that divides by zero": file("chat_template.jinja", "{{ 1 / (messages | length - 1) }}"),
    "a template that recurses": file("chat_template.jinja", "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}"),
    "a template that loops": file("chat_template.jinja", "{% for a in range(99999) %}{% for b in range(99999) %}"
                                  "{% endfor %}{% endfor %}"),
    "a template of brackets": file("chat_template.jinja", "{{ " + "(" * 50_000 + " }}"),
    "a template that includes itself": file("chat_template.jinja", "{% include 'chat_template.jinja' %}"),
    "a template that is cut": file("chat_template.jinja", "{% for m in messages %}{{ m"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_served_all_the_same(model: Path, name: str) -> None:
    ODD[name](model)
    (one,) = resolve([str(model)])
    assert one.context == 512 and one.prompt.source


@pytest.mark.parametrize(
    "source", ["x" * 5000, "a/" + "x" * 5000, "~nobody-here/x", "a\0b", "", "=", "a=\0", "\udcff"]
)
def test_what_is_no_path(source: str) -> None:
    with pytest.raises(ConfigError):
        resolve([source])


@pytest.mark.parametrize(
    "change",
    [
        {"base_model_name_or_path": 3}, {"base_model_name_or_path": "x" * 5000}, {"base_model_name_or_path": "a\0b"},
        {"r": "8"}, {"r": -1}, {"r": 10**400}, {"peft_type": ["LORA"]}, {"peft_type": None},
    ],
)  # fmt: skip
def test_an_adapter_that_is_none(base: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    adapter = make_adapter(tmp_path / "adapter", base)
    edit(adapter / "adapter_config.json", **change)
    with pytest.raises(ConfigError) as caught:
        resolve([str(adapter)])
    assert "adapter" in str(caught.value)


def test_an_adapters_base_is_looked_at_too(base: Path, model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", model)
    assert resolve([str(adapter)])
    pipe(model / "tokenizer_config.json")
    with pytest.raises(ConfigError, match="not a regular file"):
        resolve([str(adapter)])


def test_a_damaged_stage_of_a_run_is_named_with_the_others(base: Path, tmp_path: Path) -> None:
    for name in ("base", "sft1", "r1"):
        shutil.copytree(base, tmp_path / "run" / name)
    pipe(tmp_path / "run/sft1/config.json")
    (tmp_path / "run/r1/config.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError) as caught:
        resolve([str(tmp_path / "run")])
    assert "sft1/config.json is not a regular file" in str(caught.value) and "r1/config.json" in str(caught.value)


FUZZED = (*JSON_FILES, "model.safetensors", "chat_template.jinja", "adapter_config.json")
VALUES: list[Any] = [
    None, True, -1, 0, 2**70, 1e308, float("nan"), float("inf"), "", "x", "\ud800", "\0", "../x", [], [[]], {}, [3],
    {"a": 1}, {"": None}, "x" * 10_000, 10**400,
]  # fmt: skip


PIECES = (b"\0", b"[" * 5000, b"{{", b"{% if %}", b'"', b"\xff", b"9" * 5000)


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value within."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(min(len(value), 20)):
            found += [(value, key), *places(value[key])]
    return found


def mutated(data: bytes, luck: random.Random) -> bytes:
    kind = luck.randrange(5)
    if kind == 0:
        return data[: luck.randrange(len(data))]
    if kind == 1:
        at = luck.randrange(len(data))
        return data[:at] + bytes([luck.randrange(256)]) + data[at + 1 :]
    if kind == 2 or not data.startswith(b"{\n") and not data.startswith(b'{"'):
        at = luck.randrange(len(data))
        return (
            data[:at] + luck.choice([b"\0", b"[" * 5000, b"{{", b"{% if %}", b'"', b"\xff", b"9" * 5000]) + data[at:]
        )
    content = json.loads(data)
    container, key = luck.choice(places(content))
    container[key] = luck.choice(VALUES)
    return json.dumps(content).encode()


@pytest.mark.parametrize("name", FUZZED)
def test_sixty_files_at_random(base: Path, model: Path, tmp_path: Path, name: str) -> None:
    """Each is served, or refused with a sentence."""
    directory, luck = model, random.Random(name)
    if name == "adapter_config.json":
        directory = make_adapter(tmp_path / "adapter", base)
    original, refused = (directory / name).read_bytes(), 0
    for _ in range(60):
        (directory / name).write_bytes(mutated(original, luck))
        try:
            assert isinstance(resolve([str(directory)])[0], ServedModel)
        except ConfigError as error:
            refused += 1
            assert error.problems and all(len(text) > 20 for text in error.problems)
    assert refused or name == "chat_template.jinja"
