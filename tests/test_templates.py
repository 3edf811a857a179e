"""Prompt templates: exact to the last character, plain replacement, the user's own files, clear errors."""

import pytest
from tables import each

from r1hf.core.errors import ConfigError
from r1hf.models.loading import chat_template
from r1hf.text import prompt_templates as templates
from r1hf.world.models import train_tokenizer

OURS = {
    *("r1_zero_en", "r1_zero_zh_hans", "r1_zero_zh_hant", "r1_zero_short_en", "r1_zero_short_zh"),
    *("few_shot", "direct", "plain_en"),
    *(f"{name}_{language}" for name in ("few_shot", "direct") for language in ("en", "zh_hans", "zh_hant")),
}


def test_names():
    assert OURS <= set(templates.names())


@each("name", sorted(OURS))
def test_each_holds_the_question_once(name):
    text = templates.render(name, "2 + 3 * 4 = ?")
    assert text.count("2 + 3 * 4 = ?") == 1 and templates.PLACEHOLDER not in text


def test_short_templates_keep_their_last_line_break():
    assert templates.render("r1_zero_short_en", "Q") == "User: Q\nAssistant:\n"
    assert templates.render("r1_zero_short_zh", "问") == "用户：问\n助手：\n"


def test_chinese_templates_name_the_four_tags():
    for name in ("r1_zero_zh_hans", "r1_zero_zh_hant"):
        text = templates.render(name, "2 + 3 * 4 等于多少？")
        assert "<think></think>" in text and "<answer></answer>" in text
        assert text.endswith(":2 + 3 * 4 等于多少？。助手:")


@pytest.mark.parametrize("prompt", ["{x}", "{prompt}", "{}", r"\frac{1}{2} \1 \g<0>", "%s $x"])
def test_the_question_is_left_as_it_is(prompt):
    assert templates.render("r1_zero_short_en", prompt) == f"User: {prompt}\nAssistant:\n"


def test_own_file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(b"Frage: {prompt}\r\nAntwort:")
    assert templates.render(str(path), "2 + 2?") == "Frage: 2 + 2?\r\nAntwort:"


def test_unknown_name_names_the_nearest():
    with pytest.raises(ConfigError, match="r1_zero_eng.*did you mean 'r1_zero_en'"):
        templates.render("r1_zero_eng", "Q")


def test_unfit_files(tmp_path):
    lost = tmp_path / "lost.txt"
    lost.write_text("User: {question}")
    with pytest.raises(ConfigError, match="lost.txt.*{prompt}"):
        templates.render(str(lost), "Q")
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe{prompt}")
    with pytest.raises(ConfigError, match="UTF-8"):
        templates.render(str(binary), "Q")


@pytest.mark.parametrize("bos", [None, "<bos>"])
def test_the_papers_prompt_as_a_chat_template_is_the_papers_prompt(bos):
    tokenizer = train_tokenizer(["1 2 3"], 300)
    tokenizer.bos_token = bos
    asked = [{"role": "user", "content": "2 + 3 * 4 = ?"}]
    for name, text in (
        ("r1_zero", templates.render("r1_zero_en", "2 + 3 * 4 = ?")),
        ("chat", "User: 2 + 3 * 4 = ?\nAssistant:\n"),
    ):
        tokenizer.chat_template = chat_template(name)
        prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        assert prompt == (bos or "") + text
        whole = tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": "14"}], tokenize=False)
        assert whole.startswith(prompt) and whole.endswith("14" + tokenizer.eos_token)


EACH = {"en": "few_shot_en", "zh": "few_shot_zh_hans", "zh-Hant": "few_shot_zh_hant"}


@each(
    "language, question, name",
    [
        ("en", "What is 2 + 2?", "en"),
        ("en-US", "?", "en"),
        ("English", "?", "en"),
        (None, "What is 2 + 2?", "en"),
        (None, "2 + 2 = ?", "en"),
        ("zh", "2 + 3 * 4 等于多少？", "zh_hans"),
        ("zh", "2 + 3 * 4 等於多少？", "zh_hant"),
        (None, "火車以時速 60 英里行駛 2 小時", "zh_hant"),
        (None, "火车以时速 60 英里行驶 2 小时", "zh_hans"),
        ("zh-TW", "2 + 2", "zh_hant"),
        ("zh_Hant", "2 + 2", "zh_hant"),
        ("zh-CN", "等於", "zh_hans"),
        ("fr", "Combien font deux et deux ?", None),
        ("xx", "What?", None),
    ],
)
def test_the_template_of_a_row_is_that_of_its_language(language, question, name):
    assert templates.chosen(EACH, language, question) == (name and f"few_shot_{name}")
    assert templates.chosen("mine", language, question) == "mine"


@each("name", ["rewrite_en", "rewrite_zh_hans", "rewrite_zh_hant"])
def test_fields_are_filled_in_at_once(name):
    given = {"question": "{draft} {0}", "draft": "{verdict}", "verdict": r"\1 {question}"}
    text = templates.fill(name, **given)
    assert all(value in text for value in given.values()) and "| special_token |" in text


def test_a_template_without_a_field_is_named():
    with pytest.raises(ConfigError, match="few_shot_en.txt does not hold {question} and {draft}"):
        templates.fill("few_shot_en", question="Q", draft="D")
