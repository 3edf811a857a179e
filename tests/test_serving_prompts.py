"""How served models are prompted: chat templates made from prompt templates, and the form of an answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1hf.text import prompt_templates as templates
from r1hf.text.chat_templates import chat_template
from r1hf.text.renderer import render
from r1hf.text.served_prompts import chat_template_for, own_template, prompt_of

ZERO = {"en": "r1_zero_short_en", "zh": "r1_zero_short_zh"}
# DeepSeek-R1-Distill's template opens the thought for the model.
DISTILL = (
    "{% for message in messages %}{% if message['role'] == 'user' %}<U>{{ message['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<A><think>\\n' }}{% endif %}"
)


def ask(template: str, *turns: tuple[str, str]) -> str:
    return render(template, [{"role": role, "content": content} for role, content in turns], eos_token="<end>")


# What models are asked with: the texts for a judge and a rewriter have other slots.
ASKING = [name for name in templates.names() if not name.startswith(("judge", "rewrite"))]


@given(st.text(), st.sampled_from(ASKING))
def test_a_single_question_is_rendered_as_the_stage_was_trained(question: str, name: str) -> None:
    assert ask(chat_template_for({"en": templates.load(name)}), ("user", question)) == templates.render(name, question)


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"])), st.text(min_size=1))
def test_any_template_text_survives_jinja(before: str, question: str) -> None:
    text = before + "{prompt}{{ x }}{% if %}\"'\\"
    assert ask(chat_template_for({"": text}), ("user", question)) == text.replace("{prompt}", question)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("What is 2 + 3 * 4?", "r1_zero_short_en"),
        ("2 + 3 * 4 等于多少？", "r1_zero_short_zh"),
        ("2 + 3 * 4", "r1_zero_short_en"),
        ("", "r1_zero_short_en"),
    ],
)
def test_the_script_of_the_question_chooses_the_language(question: str, name: str) -> None:
    template = chat_template_for({language: templates.load(item) for language, item in ZERO.items()})
    assert ask(template, ("user", question)) == templates.render(name, question)


def test_earlier_turns_are_kept_without_their_thoughts() -> None:
    template = chat_template_for({"en": templates.load("r1_zero_short_en")})
    turns = [("system", "Be brief."), ("user", "a?"), ("assistant", "<think>no {{ one }}</think> b"), ("user", "c?")]
    assert ask(template, *turns) == "Be brief.\nUser: a?\nAssistant:\n b<end>\nUser: c?\nAssistant:\n"


def test_forms(tmp_path) -> None:
    (tmp_path / "chat_template.jinja").write_text(DISTILL)
    assert prompt_of(tmp_path, {}).form == "prefilled"
    (tmp_path / "chat_template.jinja").write_text(chat_template())
    assert (prompt_of(tmp_path, {}).form, prompt_of(tmp_path, {}).kind) == ("inline", "chat")
    assert prompt_of(tmp_path, {"format_mode": "cold_start"}).form == "cold_start"
    paid = {"rewards": {"accuracy": 1.0, "format": {"weight": 1.0, "mode": "cold_start"}}}
    assert prompt_of(tmp_path, paid).form == "cold_start"
    assert prompt_of(tmp_path, {"rewards": {"format": 1.0}}).form == "inline"


def test_a_stage_trained_on_a_prompt_template_is_served_with_it(tmp_path) -> None:
    (tmp_path / "chat_template.jinja").write_text(DISTILL)
    prompt = prompt_of(tmp_path, {"prompt_template": ZERO})
    assert (prompt.kind, prompt.form, prompt.languages) == ("template", "inline", ("en", "zh"))
    assert ask(prompt.source, ("user", "hi")) == templates.render("r1_zero_short_en", "hi")
    assert prompt_of(tmp_path, {"prompt_template": "r1_zero_en"}).languages == ()


def test_a_lost_prompt_template_falls_back_and_says_so(tmp_path) -> None:
    (tmp_path / "chat_template.jinja").write_text(chat_template())
    prompt = prompt_of(tmp_path, {"prompt_template": "my/lost.txt"})
    assert prompt.kind == "chat" and "my/lost.txt" in prompt.note


def test_a_model_without_any_template_can_be_talked_to(tmp_path) -> None:
    prompt = prompt_of(tmp_path, {})
    assert ask(prompt.source, ("user", "hi")) == "User: hi\nAssistant:\n" and prompt.note


@pytest.mark.parametrize(
    "stored", [DISTILL, [{"name": "tool_use", "template": "x"}, {"name": "default", "template": DISTILL}]]
)
def test_templates_inside_the_tokenizer_configuration_are_found(tmp_path, stored) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": stored}))
    assert own_template(tmp_path) == DISTILL


def test_a_template_that_we_cannot_render_is_left_to_the_engine(tmp_path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('no') }}")
    assert prompt_of(tmp_path, {}).form == "inline"
