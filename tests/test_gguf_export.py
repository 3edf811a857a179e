"""A model as a GGUF file: the same weights, tokens and prompts when it is read again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import small_gguf
import torch
from jinja2.sandbox import ImmutableSandboxedEnvironment
from small_gguf import write_gguf
from small_run import answered
from tables import each
from transformers import AutoModelForCausalLM

from r1hf.commands.main import main
from r1hf.models.gguf_export import export, plain_template
from r1hf.models.gguf_file import reading
from r1hf.models.gguf_tokenizer import read_tokenizer
from r1hf.models.intake import Wanted, look, take_in
from r1hf.models.loading import load_model, load_tokenizer
from r1hf.models.transformers_sampling import TransformersSampler
from r1hf.text.chat_templates import chat_template
from r1hf.text.round_trips import CONVERSATION, TEXTS, rendered

Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A model of an architecture, taken in from a GGUF file."""
    root = tmp_path_factory.mktemp("models")

    def make(architecture: str) -> Path:
        if not (root / architecture).exists():
            path = write_gguf(root / f"{architecture}.gguf", architecture)
            take_in(str(path), root / architecture, Wanted("float32"))
        return root / architecture

    return make


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_what_is_written_reads_back_the_same(architecture: str, directory: Make, tmp_path: Path) -> None:
    source, path = directory(architecture), tmp_path / "small.gguf"
    size = export(str(source), path, "f32", {"name": "small", "licence": "mit", "base_model": "o/m"})
    assert size == path.stat().st_size and os.listdir(tmp_path) == ["small.gguf"]
    wanted = small_gguf.small_model(architecture).state_dict()
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    with reading(path) as gguf:
        ours, tokenizer = gguf.model(torch.float32), read_tokenizer(gguf)
        assert gguf.get("general.license") == "mit"
    assert look(str(path), Wanted())[1].base_model == "o/m"
    for model in (ours, theirs):
        assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())
    own = load_tokenizer(str(source))
    assert (tokenizer.eos_token, tokenizer.pad_token) == (own.eos_token, own.pad_token)
    assert all(tokenizer.encode(text) == own.encode(text) for text in (*TEXTS, rendered(own)))


def test_each_type_of_weights_is_as_near_as_it_can_be(directory: Make, tmp_path: Path) -> None:
    wanted = small_gguf.small_model("llama").state_dict()
    sizes = {}
    for dtype, error in {"f32": 0.0, "f16": 1e-4, "bf16": 1e-3, "q8_0": 1e-2}.items():
        path = tmp_path / f"{dtype}.gguf"
        sizes[dtype] = export(str(directory("llama")), path, dtype)
        with reading(path) as gguf:
            found = gguf.model(torch.float32).state_dict()
        gap = max(float((value - wanted[name]).abs().max()) for name, value in found.items())
        assert gap <= error and (dtype == "f32" or gap > 0), (dtype, gap)
        assert torch.equal(found["model.norm.weight"], wanted["model.norm.weight"])  # vectors stay as they are
    assert sizes["f32"] > sizes["f16"] == sizes["bf16"] > sizes["q8_0"]


def test_a_stage_of_the_tiny_world_is_exported_with_its_tags_and_its_template(
    tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.gguf"
    assert main(["export", str(tiny_base), "--gguf", str(path), "--dtype", "f32"]) == 0
    assert "tiny.gguf" in capsys.readouterr().out
    own, model = load_tokenizer(str(tiny_base)), load_model(str(tiny_base))
    with reading(path) as gguf:
        again, written = read_tokenizer(gguf), gguf.model(torch.float32)
    ids = torch.tensor([own.encode("<think>\n12 + 34 = 46\n</think>")])
    assert again.encode("<think>\n12 + 34 = 46\n</think>") == ids[0].tolist()
    assert torch.equal(written(ids).logits, model(ids).logits)
    # llama-cpp-python's own environment, which knows no {% generation %}.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    shown = environment.from_string(str(again.chat_template)).render(
        messages=CONVERSATION, eos_token=own.eos_token, bos_token="", add_generation_prompt=False
    )
    assert shown == rendered(own)


@each("name", ["chat", "qwen", "llama", "r1_zero"])
def test_a_template_without_its_marks_of_training_writes_the_same(name: str) -> None:
    from r1hf.text.renderer import render

    for prefill in (True, False):
        text = chat_template(name) if name in ("chat", "r1_zero") else chat_template(name, prefill)
        plain = plain_template(text)
        assert "generation %}" not in plain.replace("add_generation", "") and "endgeneration" not in plain
        for messages, asked in ((CONVERSATION, False), (CONVERSATION[:1], True)):
            given = {"add_generation_prompt": asked, "eos_token": "<end>", "bos_token": "<begin>"}
            assert render(plain, messages, **given) == render(text, messages, **given)


def test_what_a_gguf_file_cannot_hold_is_refused_in_a_sentence_and_nothing_is_left(
    directory: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def changed(**values: object) -> Path:
        place = tmp_path / "changed"
        shutil.copytree(directory("llama"), place, dirs_exist_ok=True)
        content = json.loads((place / "config.json").read_text()) | values
        (place / "config.json").write_text(json.dumps(content))
        return place

    def refused(source: object, *words: str) -> str:
        out = tmp_path / "out.gguf"
        assert main(["export", str(source), "--gguf", str(out), *words]) == 1
        assert not list(tmp_path.glob("*out.gguf*"))
        return capsys.readouterr().err

    rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e5}
    assert "its positions are scaled (linear)" in refused(changed(rope_parameters=rope))
    assert "its activation is gelu" in refused(changed(hidden_act="gelu"))
    assert "does not exist" in refused(tmp_path / "nowhere" / "model")
    for path, said in (
        (tmp_path / "a.bin", "must end in .gguf"),
        (tmp_path / "no" / "a.gguf", "there is no directory"),
    ):
        assert main(["export", str(directory("llama")), "--gguf", str(path)]) == 1
        assert said in capsys.readouterr().err
    taken = tmp_path / "taken.gguf"
    taken.write_text("mine")
    assert main(["export", str(directory("llama")), "--gguf", str(taken)]) == 1
    assert "exists; choose another name" in capsys.readouterr().err and taken.read_text() == "mine"
    assert main(["export", str(directory("llama")), "--gguf", str(taken), "--overwrite"]) == 0


@pytest.mark.slow
def test_llama_cpp_loads_the_file_and_answers_as_transformers_does(memorised: Path, tmp_path: Path) -> None:
    """llama-cpp-python, where it is installed (it is built by a C compiler: pip install llama-cpp-python)."""
    llama_cpp = pytest.importorskip("llama_cpp")
    path = tmp_path / "small.gguf"
    export(str(memorised), path, "f32")
    engine = llama_cpp.Llama(str(path), n_ctx=512, n_threads=1, verbose=False)
    greedy = {"temperature": 0.0, "top_k": 1, "repeat_penalty": 1.0, "max_tokens": 48}
    with TransformersSampler(str(memorised)) as sampler:
        questions = [row["question"] for row in answered(4)]
        prompts = sampler.chat(questions)
        wanted = sampler.sample(prompts, temperature=0.0, max_new_tokens=48)
        for question, prompt, (own,) in zip(questions, prompts, wanted, strict=True):
            ids = engine.tokenize(prompt.encode(), add_bos=False, special=True)
            assert ids == sampler.encode([prompt])[0]
            assert engine.create_completion(ids, **greedy)["choices"][0]["text"] == own.text
            said = engine.create_chat_completion([{"role": "user", "content": question}], **greedy)
            assert said["choices"][0]["message"]["content"].strip() == own.text.strip()
