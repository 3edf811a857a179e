"""Chat templates that fail or never end are one sentence before the run, in bounded time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from small_run import answered, arguments, launched, recipe, write

from r1hf.core.config import parse
from r1hf.core.errors import ConfigError
from r1hf.models.loading import load_tokenizer
from r1hf.text.bounded import bounded
from r1hf.text.chat_templates import chat_template
from r1hf.text.template_checks import turn_end
from r1hf.trainers.sft import SFTStageConfig
from r1hf.trainers.training_tokenizer import training_tokenizer

BODY = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}"
NESTED = "".join(f"{{% for i{n} in range(99999) %}}" for n in range(4)) + "{% endfor %}" * 4
BAD = {
    "divides by zero": ("{{ 1 // 0 }}", "ZeroDivisionError"),
    "recurses": ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "RecursionError"),
    "loops": (NESTED, "did not end within 0.2 s"),
    "counts too high": ("{{ 9 ** (9 ** 9) }}", "did not end within 0.2 s"),
    "grows": ("{{ 'a' * 20000000000 }}", "memory"),
    "writes for ever": ("{% for i in range(99999) %}{{ 'a' * 9999 }}{% endfor %}", "memory"),
    "raises": ("{{ raise_exception('not for you') }}", "not for you"),
    "is no template": ("{% if %}", "TemplateSyntaxError"),
    "reaches out": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
    "fails where a prompt ends": ("{% if add_generation_prompt %}{{ 1 / 0 }}{% endif %}", "ZeroDivisionError"),
}


def with_template(base: Path, directory: Path, text: str) -> Path:
    tokenizer = load_tokenizer(str(base))
    tokenizer.chat_template = text
    tokenizer.save_pretrained(directory)
    return directory


@pytest.mark.parametrize("kind", BAD)
def test_a_template_that_cannot_be_used_is_named(
    kind: str, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r1hf.text.bounded.CPU", 0.2)
    text, said = BAD[kind]
    directory = with_template(tiny_base, tmp_path / "model", text + BODY)
    rows = write(tmp_path / "rows.jsonl", answered(4))
    own = tmp_path / "own.jinja"
    own.write_text(text + BODY)
    for model, more in ((directory, {}), (tiny_base, {"chat_template": own})):
        words = arguments("sft.yaml", model=model, data=rows, output_dir=tmp_path / "o", **more)
        parsed = parse(recipe("sft").CONFIGS, words)
        recipe("sft").preflight_sft(parsed)
        assert len(parsed.problems) == 1, parsed.problems
        assert "the chat template fails on a question and an answer" in parsed.problems[0], parsed.problems
        assert said in parsed.problems[0] and str(model) in parsed.problems[0], parsed.problems
    with pytest.raises(ConfigError, match="the chat template fails"):  # what a Hub id's meets
        training_tokenizer(SFTStageConfig(output_dir="o", model=str(directory), data="d"))


@pytest.mark.parametrize("name", ["chat", "qwen", "llama", "r1_zero"])
def test_our_own_pass(name: str, tiny_base: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    tokenizer.chat_template = chat_template(name)
    assert not [found for found in turn_end(tokenizer) if found.name == "template_fails"]


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b"", b" \n"])
def test_a_file_that_is_no_template(content: bytes, tiny_base: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.jinja"
    own.write_bytes(content)
    rows = write(tmp_path / "rows.jsonl", answered(4))
    words = arguments("sft.yaml", model=tiny_base, data=rows, output_dir=tmp_path / "o", chat_template=own)
    parsed = parse(recipe("sft").CONFIGS, words)
    recipe("sft").preflight_sft(parsed)
    assert len(parsed.problems) == 1 and "own.jinja" in parsed.problems[0], parsed.problems


def test_bounded_gives_back_what_it_is_given() -> None:
    text = "é\ud800" * 100_000
    assert bounded(lambda: text) == text
    assert bounded(str) == ""
    with pytest.raises(RuntimeError, match="KeyError"):
        bounded(lambda: {}["x"])
    with pytest.raises(RuntimeError, match="did not end"):
        bounded(lambda: os._exit(1))


@pytest.mark.slow
def test_the_recipe_ends_with_a_sentence(tiny_base: Path, tmp_path: Path) -> None:
    directory = with_template(tiny_base, tmp_path / "model", NESTED + BODY)
    rows = write(tmp_path / "rows.jsonl", answered(4))
    words = arguments("sft.yaml", model=directory, data=rows, output_dir=tmp_path / "o")
    done = launched(sys.executable, "recipes/sft.py", *words)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "did not end within 1 s" in done.stderr
