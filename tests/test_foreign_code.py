"""Code that comes with a model never runs, and nobody is asked whether it may."""

from __future__ import annotations

import ast
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import ROOT, answered, arguments, recipe, write
from trl import GRPOConfig, SFTConfig

from r1hf.core.config import parse
from r1hf.core.errors import ConfigError
from r1hf.core.foreign_code import asked_for, faults
from r1hf.models.loading import forget_code, load_model, load_tokenizer, training_arguments
from r1hf.trainers.reward_model import new_reward_model

TOLD = {"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config", "AutoTokenizer": ["evil.Tokenizer", None]}


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def copied(base: Path, directory: Path) -> Path:
    """The files of a model alone, without what else its stage made."""
    directory.mkdir(parents=True)
    for path in base.iterdir():
        if path.is_file() and path.name != "manifest.json":
            shutil.copy(path, directory)
    return directory


def with_code(base: Path, directory: Path, **config: Any) -> Path:
    """A model of an architecture that only its own code knows; the code writes a file beside itself."""
    copied(base, directory)
    edit(directory / "config.json", model_type="evil", auto_map=TOLD, **config)
    edit(directory / "tokenizer_config.json", tokenizer_class="EvilTokenizer", auto_map=TOLD)
    (directory / "evil.py").write_text(f"open({str(directory / 'ran')!r}, 'w').close()\nclass Model: ...\n")
    return directory


def pickled(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    torch.save({}, directory / "pytorch_model.bin")


def custom_generate(directory: Path) -> None:
    (directory / "custom_generate").mkdir()
    (directory / "custom_generate" / "generate.py").write_text("raise SystemExit")


def replaced_by_pipe(name: str) -> Callable[[Path], None]:
    def harm(directory: Path) -> None:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).unlink(missing_ok=True)
        os.mkfifo(directory / name)

    return harm


BAD = {
    "auto_map": (
        lambda d: edit(d / "config.json", auto_map=TOLD),
        "Transformers knows 'qwen2' itself: delete the key",
    ),
    "another repository's": (lambda d: edit(d / "config.json", auto_map={"AutoModel": "a/b--c.D"}), "a/b--c.D"),
    "an odd auto_map": (lambda d: edit(d / "config.json", auto_map=["evil.Model"]), "code of its own"),
    "unknown": (
        lambda d: edit(d / "config.json", auto_map=TOLD, model_type="evil"),
        "take a model whose architecture",
    ),
    "a tokenizer's": (lambda d: edit(d / "tokenizer_config.json", auto_map=TOLD), "tokenizer_config.json brings code"),
    "a processor's": (
        lambda d: (d / "processor_config.json").write_text('{"auto_map": {"AutoProcessor": "p.P"}}'),
        "processor_config.json brings code",
    ),
    "custom_generate": (custom_generate, "custom_generate brings code"),
    "a pickle": (pickled, "pytorch_model.bin, a format that can run code"),
    "a pipe": (replaced_by_pipe("model.safetensors"), "model.safetensors is not a regular file"),
    "a pipe as configuration": (replaced_by_pipe("config.json"), "config.json is not a regular file"),
    "a pipe as template": (replaced_by_pipe("additional_chat_templates/a.jinja"), "a.jinja is not a regular file"),
    "no JSON": (lambda d: (d / "config.json").write_bytes(b"\0\xff"), "config.json cannot be read as JSON"),
    "deep JSON": (lambda d: (d / "config.json").write_text("[" * 100_000), "nested too deep"),
    "a list": (lambda d: (d / "config.json").write_text("[1]"), "config.json is not a JSON object"),
}


@pytest.mark.parametrize("kind", BAD)
def test_row_30_what_a_directory_must_not_hold(kind: str, tiny_base: Path, tmp_path: Path) -> None:
    harm, said = BAD[kind]
    directory = copied(tiny_base, tmp_path / "model")
    harm(directory)
    assert any(said in text for text in faults(directory)), faults(directory)
    rows = write(tmp_path / "rows.jsonl", answered(4))
    parsed = parse(recipe("sft").CONFIGS, arguments("sft.yaml", model=directory, data=rows, output_dir=tmp_path / "o"))
    assert any(text.startswith("model: ") and said in text for text in parsed.problems)
    recipe("sft").preflight_sft(parsed)
    assert len([text for text in parsed.problems if said in text]) == 1, "said once"
    for load in (load_model, load_tokenizer, lambda source: new_reward_model(source, None)):
        with pytest.raises(ConfigError):
            load(str(directory))


@pytest.mark.parametrize("more", [(), ("optimizer.pt", "rng_state.pth", "training_args.bin"), ("pytorch_model.bin",)])
def test_what_it_may_hold(more: tuple[str, ...], tiny_base: Path, tmp_path: Path) -> None:
    """A trainer's checkpoint, and a pickle beside safetensors, which is never read."""
    directory = copied(tiny_base, tmp_path / "model")
    for name in more:
        torch.save({}, directory / name)
    edit(directory / "config.json", auto_map={})
    assert faults(directory) == []
    load_model(str(directory))


@pytest.mark.parametrize("odd", ["nowhere", "a\0b", "x" * 5000, "rows.jsonl", "data"])
def test_what_is_no_model_is_others_to_judge(odd: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.bin").write_bytes(b"")
    assert faults(str(tmp_path / odd)) == []


CODE, PICKLE = "would run code that comes with a model", "weights that are pickles"


@pytest.mark.parametrize(
    ("name", "key", "value", "said"),
    [
        ("sft", "trust_remote_code", True, CODE),
        ("r1_zero", "trust_remote_code", True, CODE),
        ("reward_models", "trust_remote_code", True, CODE),
        ("on_policy_distill", "trust_remote_code", True, CODE),
        ("evaluate", "trust_remote_code", True, CODE),
        ("base", "trust-remote-code", True, CODE),
        ("sft", "model_init_kwargs", {"trust_remote_code": True}, CODE),
        ("sft", "model_init_kwargs", {"trust_remote_code": None}, CODE),
        ("sft", "model_init_kwargs", {"trust_remote_code": "false"}, CODE),
        ("sft", "model_init_kwargs", {"deep": [{"trust_remote_code": 1}]}, CODE),
        ("r1_zero", "model_init_kwargs", {"attn_implementation": "a/b", "allow_all_kernels": True}, CODE),
        ("on_policy_distill", "teacher_model_init_kwargs", {"trust_remote_code": True}, CODE),
        ("r1_zero", "generation_kwargs", {"custom_generate": "someone/code"}, CODE),
        ("sft", "model_init_kwargs", {"use_safetensors": False}, PICKLE),
        ("sft", "model_init_kwargs", {"weights_only": False}, PICKLE),
        ("sft", "model_init_kwargs", "trust", "is not a mapping"),
        ("sft", "chat_template_path", "someone/else", "write chat_template: auto"),
        ("sft", "model_init_kwargs", {"trust_remote_code": False, "use_safetensors": True, "dtype": "bfloat16"}, None),
        ("sft", "trust_remote_code", False, None),
        ("r1_zero", "generation_kwargs", {"custom": "trust_remote_code"}, None),
    ],
)
@pytest.mark.parametrize("form", ["command line", "JSON text", "file"])
def test_what_a_configuration_may_ask_for(
    name: str, key: str, value: Any, said: str | None, form: str, tmp_path: Path
) -> None:
    text = json.dumps(value)
    if form == "file":
        (tmp_path / "c.yaml").write_text(f"{key.replace('-', '_')}: {text}\n")
        words = ["--config", str(tmp_path / "c.yaml")]
    else:
        words = [f"--{key}={json.dumps(text) if form == 'JSON text' and text[0] == '{' else text}"]
    key = key.replace("-", "_")
    found = [text for text in parse(recipe(name).CONFIGS, words).problems if f": {key}: " in text]
    assert bool(found) == bool(said), found
    if said:
        assert len(found) == 1 and said in found[0] and found[0].startswith((f"{tmp_path}/c.yaml:1", "command line"))


def test_a_file_that_names_one_mapping_many_times_is_gone_through_once() -> None:
    value: Any = {"trust_remote_code": True}
    for _ in range(40):
        value = [value] * 9
    assert CODE in str(asked_for("model_init_kwargs", {"x": value}))


@pytest.mark.parametrize("kind", [SFTConfig, GRPOConfig])
def test_trl_is_told_so_whatever_the_arguments_say(kind: Any, tmp_path: Path) -> None:
    args = kind(output_dir=str(tmp_path), use_cpu=True, bf16=False, trust_remote_code=True)
    args.model_init_kwargs = {"trust_remote_code": True, "use_safetensors": False, "dtype": "bfloat16"}
    training_arguments(args)
    assert args.trust_remote_code is False
    assert args.model_init_kwargs == {"trust_remote_code": False, "use_safetensors": True, "dtype": "bfloat16"}


def test_an_output_names_no_code(tiny_base: Path) -> None:
    """As of a model of the Hub that Transformers knows itself and that names code for older versions."""
    model = load_model(str(tiny_base))
    model.config.auto_map = TOLD
    forget_code(model)
    assert "auto_map" not in model.config.to_dict()


TRIES = """
import sys
from recipes import sft
from r1hf.models.loading import load_model
from r1hf.commands.recipe import run
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
for load in (AutoConfig.from_pretrained, AutoTokenizer.from_pretrained, AutoModelForCausalLM.from_pretrained):
    try:
        load(sys.argv[1])  # as a library would, which says nothing of remote code
        print("LOADED")
    except ValueError as error:
        print("REFUSED", type(error).__name__)
run(lambda: sft.main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_row_30_at_a_terminal_nobody_is_asked(tiny_base: Path, tmp_path: Path) -> None:
    """With a `y` already typed."""
    directory = with_code(tiny_base, tmp_path / "model")
    rows = write(tmp_path / "rows.jsonl", answered(4))
    words = arguments("sft.yaml", model=directory, data=rows, output_dir=tmp_path / "made")
    master, slave = pty.openpty()
    os.write(master, b"y\ny\ny\ny\n")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", TRIES, str(directory), *words]
    done = subprocess.Popen(
        command, env=env, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    said = b""
    while True:
        try:
            piece = os.read(master, 1 << 16)
        except OSError:  # the other end is closed
            break
        said += piece
    os.close(master)
    text = said.decode()
    assert done.wait() == 2 and text.count("REFUSED ValueError") == 3, text
    assert "[y/N]" not in text and "LOADED" not in text and "Traceback" not in text, text
    assert text.count("brings code of its own (auto_map:") == 2 and "take a model whose architecture" in text
    assert (
        not (directory / "ran").exists()
        and not list(tmp_path.glob("home/**/evil*"))
        and not (tmp_path / "made").exists()
    )


LOADS = {"from_pretrained", "from_config", "pipeline", "LLM"}
SAFE = {"NO_CODE", "WEIGHTS", "given", "named"}  # mappings that hold `trust_remote_code: False`
WITHOUT = {"GenerationConfig", "PeftModel"}  # which know no remote code


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and "from_pretrained" in str(node.value)
    ]
    for text in texts:  # scripts that are run as text
        try:
            found += [node for node in ast.walk(ast.parse(str(text))) if isinstance(node, ast.Call)]
        except SyntaxError:
            continue
    return found


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_every_call_that_loads_says_no_to_code() -> None:
    left_out, seen = [], 0
    for folder in ("r1hf", "recipes", "app", "scripts", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for call in calls(path):
                owner = getattr(getattr(call.func, "value", None), "id", "")
                if name_of(call) not in LOADS or owner in WITHOUT or owner == "" and name_of(call) == "from_config":
                    continue
                seen += 1
                named = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
                spread = {ast.unparse(item.value).split(".")[-1] for item in call.keywords if item.arg is None}
                spread |= {part for text in spread for part in SAFE if part in text}
                if named.get("trust_remote_code") != "False" and not spread & SAFE:
                    left_out.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    assert seen > 10 and not left_out
