"""The paper's students by name, and the names that introductory articles get wrong."""

from pathlib import Path
from typing import Any

import pytest
from small_run import answered, recipe, write
from tables import each

from r1hf.core.config import Parsed, parse
from r1hf.core.errors import ConfigError
from r1hf.models.students import STUDENTS, student
from r1hf.text.chat_templates import chat_template

# arXiv:2501.12948v2, table of the distilled models.
PAPER = {
    "Qwen-1.5B": ("Qwen/Qwen2.5-Math-1.5B", 1e-4),
    "Qwen-7B": ("Qwen/Qwen2.5-Math-7B", 8e-5),
    "Qwen-14B": ("Qwen/Qwen2.5-14B", 7e-5),
    "Qwen-32B": ("Qwen/Qwen2.5-32B", 6e-5),
    "Llama-8B": ("meta-llama/Llama-3.1-8B", 5e-5),
    "Llama-70B": ("meta-llama/Llama-3.3-70B-Instruct", 2e-5),
}


def test_there_are_six() -> None:
    assert {name: (entry.base, entry.learning_rate) for name, entry in STUDENTS.items()} == PAPER
    assert {(e.batch_size, e.context, e.epochs, e.min_lr_rate) for e in STUDENTS.values()} == {
        (64, 32768, (2, 3), 0.1)
    }


@each("entry", STUDENTS.values(), ids=STUDENTS)
def test_each_is_found_by_its_names(entry) -> None:
    for name in (entry.name, entry.name.upper(), entry.base, f"deepseek-ai/DeepSeek-R1-Distill-{entry.name}"):
        assert student(name) is entry
    assert "prefill_think | default(true)" in chat_template(entry.template, entry.prefill)
    assert entry.licence_chain[0] == (entry.base, entry.licence)


@pytest.mark.parametrize(
    ("name", "hints"),
    [
        ("Llama-14B", ["Qwen-14B", "Llama-8B", "Llama-70B"]),
        ("Qwen-8B", ["Qwen-7B", "Llama-8B"]),
        ("Quen-7B", ["Qwen-7B"]),
        ("gpt2", ["there are"]),
    ],
)
def test_an_unknown_name_fails_and_says_what_there_is(name: str, hints: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        student(name)
    assert name in str(error.value) and all(hint in str(error.value) for hint in hints)


def test_llama_students_keep_llamas_licence() -> None:
    licences = {name: entry.licence for name, entry in STUDENTS.items()}
    assert licences["Llama-8B"] == "llama3.1" and licences["Llama-70B"] == "llama3.3"
    assert {licence for name, licence in licences.items() if name.startswith("Qwen")} == {"apache-2.0"}


# By the recipe


def configured(tmp_path: Path, **given: Any) -> Parsed:
    rows = write(tmp_path / "rows.jsonl", answered(2))
    words = [f"--{key}={value}" for key, value in {"data": rows, "output_dir": tmp_path / "made", **given}.items()]
    distill = recipe("distill")
    parsed = parse(distill.CONFIGS, [*words, "--use_cpu", "--bf16=false"])
    distill.preflight(parsed)
    return parsed


@pytest.mark.parametrize("entry", STUDENTS.values(), ids=STUDENTS)
def test_the_recipe_takes_each_student_by_name(entry, tmp_path: Path) -> None:
    parsed = configured(tmp_path, student=entry.name)
    config, args = parsed.configs
    assert parsed.problems == [] and parsed.inputs["model"] == config.model == entry.base
    assert (config.chat_template, config.prefill_think) == (entry.template, True)
    assert (args.learning_rate, args.max_length, args.num_train_epochs) == (entry.learning_rate, 32768, 2)
    assert args.lr_scheduler_kwargs == {"min_lr_rate": 0.1} and args.completion_only_loss


def test_a_key_that_is_given_wins_over_the_student(tmp_path: Path) -> None:
    parsed = configured(tmp_path, student="Qwen-7B", learning_rate="3e-5", max_length=4096, model="org/other")
    config, args = parsed.configs
    assert (config.model, args.learning_rate, args.max_length) == ("org/other", 3e-5, 4096)
    assert parsed.inputs["model"] == "org/other" and parsed.problems == []


def test_any_other_model_goes_by_its_id(tmp_path: Path) -> None:
    parsed = configured(tmp_path, model="org/any-model@v1")
    assert parsed.problems == [] and parsed.configs[1].learning_rate == 5e-5


def test_the_recipe_names_what_there_is(tmp_path: Path) -> None:
    said = configured(tmp_path, student="Llama-14B").problems
    assert len(said) == 1 and "Llama-14B" in said[0] and "Qwen-14B, Llama-8B, Llama-70B" in said[0]
    (said,) = configured(tmp_path).problems
    assert "model is missing" in said and "Qwen-1.5B" in said
