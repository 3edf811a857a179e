"""Tokenizers and chat template: what was trained on is what is loaded, and prompt and completion meet on a token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import answered, right_response
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase
from trl.chat_template_utils import has_generation_markers

from r1hf.core.errors import ConfigError
from r1hf.data.packing import pack
from r1hf.models.loading import check_chat_template, load_model, load_tokenizer, save_model
from r1hf.text import prompt_templates as templates
from r1hf.text.chat_templates import chat_template
from r1hf.text.forms import to_cold_start
from r1hf.text.grammar import SEPARATOR, TAGS
from r1hf.world import corpus, general
from r1hf.world.arithmetic import held_out_problems, training_problems
from r1hf.world.models import build_model, train_tokenizer

SHAPE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
ARCHITECTURES = ("qwen2", "llama")
NO_TEMPLATE = "has no chat template"


def real_texts() -> list[str]:
    """Prompts and completions of every stage, in both languages, and some that the tokenizer has never seen."""
    problems = held_out_problems()[:20] + training_problems()[:20]
    prompts = [
        templates.render(name, problem.question)
        for problem in problems
        for name in ("r1_zero_short_en", "r1_zero_short_zh", "few_shot_tiny", "direct_tiny", "r1_zero_en")
    ]
    completions = [right_response(problem) for problem in problems]
    completions += [row["completion"] for row in general.sft_rows(60, seed=1)]
    completions += [to_cold_start("第一步：5 * 7 = 35。", "答案是 41。")]
    odd = ["<think></think><answer>", "答案<answer>是</answer>的", "  two  spaces\n\n\tand\ttabs ", "naïve 🙂 ١٢", ""]
    return prompts + completions + list(corpus.documents(9, 200)) + odd


@pytest.fixture(scope="module")
def trained() -> PreTrainedTokenizerBase:
    """A tokenizer as `recipes/base.py` makes it."""
    tokenizer = train_tokenizer(corpus.vocabulary_texts(0, 1500), 512)
    tokenizer.chat_template = chat_template()
    return tokenizer


@pytest.fixture(scope="module")
def saved(trained: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tokenizer beside a model of each architecture."""
    directory = tmp_path_factory.mktemp("saved")
    for architecture in ARCHITECTURES:
        save_model(build_model(architecture, trained, SHAPE), trained, directory / architecture)
    return {architecture: directory / architecture for architecture in ARCHITECTURES}


@pytest.fixture(params=ARCHITECTURES)
def loaded(request: pytest.FixtureRequest, saved: dict[str, Path]) -> PreTrainedTokenizerBase:
    """The same tokenizer as anyone would load it."""
    return AutoTokenizer.from_pretrained(saved[request.param])


def test_the_loaded_tokenizer_gives_the_ids_that_were_trained_on(
    trained: PreTrainedTokenizerBase, loaded: PreTrainedTokenizerBase
) -> None:
    texts = real_texts()
    assert loaded(texts)["input_ids"] == trained(texts)["input_ids"]
    assert loaded.chat_template == trained.chat_template
    assert (loaded.eos_token_id, loaded.pad_token_id) == (trained.eos_token_id, trained.pad_token_id)
    assert len(loaded) == len(trained) <= 512


def test_decoding_gives_the_text_back(loaded: PreTrainedTokenizerBase) -> None:
    for text in real_texts():
        ids = loaded(text)["input_ids"]
        assert loaded.decode(ids) == loaded.decode(ids, skip_special_tokens=True) == text


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=40))
def test_any_text_survives(trained: PreTrainedTokenizerBase, text: str) -> None:
    # Qwen2 normalises to NFC; nothing else may change.
    import unicodedata

    assert trained.decode(trained(text)["input_ids"]) == unicodedata.normalize("NFC", text)


def test_each_tag_is_one_ordinary_token(loaded: PreTrainedTokenizerBase) -> None:
    for tag in TAGS:
        (token,) = loaded(tag)["input_ids"]
        assert token not in loaded.all_special_ids
        assert loaded.decode([token], skip_special_tokens=True) == tag
        assert token in loaded(f"x{tag}y")["input_ids"] and token in loaded(f"想{tag}，")["input_ids"]
    assert len({loaded(tag)["input_ids"][0] for tag in TAGS}) == len(TAGS)


def test_digits_are_tokens_of_their_own(loaded: PreTrainedTokenizerBase) -> None:
    ids = loaded("12 * 34 = 408")["input_ids"]
    assert [token for token in map(loaded.decode, ids) if token.strip().isdigit()] == list("1234408")


def test_the_end_token_is_special_and_the_model_agrees(saved: dict[str, Path]) -> None:
    for directory in saved.values():
        tokenizer, model = load_tokenizer(str(directory)), load_model(str(directory))
        assert tokenizer.padding_side == "left"
        assert tokenizer.decode([tokenizer.eos_token_id], skip_special_tokens=True) == ""
        assert model.config.eos_token_id == tokenizer.eos_token_id
        assert model.config.vocab_size == len(tokenizer)
        assert model.dtype.itemsize == 4 and not model.training


def test_a_saved_directory_is_an_ordinary_one(saved: dict[str, Path]) -> None:
    for architecture, directory in saved.items():
        assert AutoModelForCausalLM.from_pretrained(directory).config.model_type == architecture
        names = {path.name for path in directory.iterdir()}
        assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
        assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
        generation = GenerationConfig.from_pretrained(directory)
        assert (generation.temperature, generation.top_p, generation.do_sample) == (0.6, 0.95, True)


def test_packing_ends_every_document(trained: PreTrainedTokenizerBase) -> None:
    (block,) = pack(["User: hi", "", "用户：你好"], trained, block_size=9)["input_ids"]
    assert trained.decode(block).startswith(f"User: hi{trained.eos_token}{trained.eos_token}用户")


# The chat template

TURNS = [
    ("What is 2 + 3 * 4?", "<think>3 * 4 = 12</think> <answer>14</answer>"),
    ("2 + 3 * 4 等于多少？", "<think>先算 3 * 4 = 12</think> <answer>14</answer>"),
    ("Hello, I am Anna.", "Hello Anna."),
    ("你好，我是小明。", "你好小明。"),
    ("What is 6 + 5 * 7?", to_cold_start("Step 1: 5 * 7 = 35.", "The answer is 41.")),
    ("Go on.", "<think>\nline\n\nline\n</think>\n\nDone."),
]


def ids_of(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]], **options: Any) -> list[int]:
    return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)["input_ids"]


def conversation(question: str, completion: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": completion}]


def assert_prefix(tokenizer: PreTrainedTokenizerBase, question: str, completion: str) -> None:
    prompt = ids_of(tokenizer, conversation(question, completion)[:1], add_generation_prompt=True)
    whole = ids_of(tokenizer, conversation(question, completion))
    assert whole[: len(prompt)] == prompt
    assert tokenizer.decode(whole[len(prompt) :]) == completion + tokenizer.eos_token


@pytest.mark.parametrize(("question", "completion"), TURNS)
def test_the_prompt_is_an_exact_prefix(loaded: PreTrainedTokenizerBase, question: str, completion: str) -> None:
    assert_prefix(loaded, question, completion)


def test_the_prompt_is_an_exact_prefix_for_every_row_that_is_trained_on(loaded: PreTrainedTokenizerBase) -> None:
    for row in answered(40) + general.sft_rows(40, seed=3):
        assert_prefix(loaded, row["question"], row["completion"])


WORDS = st.text(alphabet="ab 7*+=。，：？想<>/\n\té🙂", min_size=1, max_size=30)


@given(WORDS.map(str.strip).filter(bool), WORDS.map(str.strip).filter(bool))
def test_the_prompt_is_an_exact_prefix_of_any_text(
    trained: PreTrainedTokenizerBase, question: str, completion: str
) -> None:
    assert_prefix(trained, question, completion)


def test_the_short_templates_and_the_chat_template_are_one(trained: PreTrainedTokenizerBase) -> None:
    """R1-Zero is trained through the text template and evaluated through the chat template."""
    messages = [{"role": "user", "content": "What is 2 + 3 * 4?"}]
    chat = trained.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert chat == templates.render("r1_zero_short_en", "What is 2 + 3 * 4?")


def masked(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]]) -> list[str]:
    """The runs of text that the generation mask covers."""
    made = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    runs: list[list[int]] = []
    last = 0
    for token, used in zip(made["input_ids"], made["assistant_masks"], strict=True):
        if used and not last:
            runs.append([])
        if used:
            runs[-1].append(token)
        last = used
    return [tokenizer.decode(run) for run in runs]


@pytest.mark.parametrize(("question", "completion"), TURNS)
def test_the_generation_mask_covers_the_completion_and_its_end(
    loaded: PreTrainedTokenizerBase, question: str, completion: str
) -> None:
    assert has_generation_markers(loaded.chat_template)
    assert masked(loaded, conversation(question, completion)) == [completion + loaded.eos_token]


def test_earlier_turns_lose_their_reasoning_and_the_last_keeps_it(loaded: PreTrainedTokenizerBase) -> None:
    eos = loaded.eos_token
    messages = conversation(*TURNS[0]) + conversation(*TURNS[1])
    text = loaded.apply_chat_template(messages, tokenize=False)
    assert text == (
        f"User: What is 2 + 3 * 4?\nAssistant:\n<answer>14</answer>{eos}\n"
        f"User: 2 + 3 * 4 等于多少？\nAssistant:\n<think>先算 3 * 4 = 12</think> <answer>14</answer>{eos}"
    )
    assert masked(loaded, messages) == [f"<answer>14</answer>{eos}", f"{TURNS[1][1]}{eos}"]
    asked = loaded.apply_chat_template(messages[:3], add_generation_prompt=True, tokenize=False)
    assert text.startswith(asked) and "3 * 4 = 12" not in asked


def test_a_system_prompt_comes_first(loaded: PreTrainedTokenizerBase) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *conversation("Hi.", "Hello.")]
    text = loaded.apply_chat_template(messages, tokenize=False)
    assert text == f"Be brief.\nUser: Hi.\nAssistant:\nHello.{loaded.eos_token}"


@pytest.mark.parametrize("content", ["<answer>14</answer>", "", None])
def test_reasoning_in_a_field_of_its_own(loaded: PreTrainedTokenizerBase, content: str | None) -> None:
    split = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": content, "reasoning_content": "12"}]
    inline = conversation("Q?", f"<think>12</think> {content or ''}")
    assert loaded.apply_chat_template(split, tokenize=False) == loaded.apply_chat_template(inline, tokenize=False)
    earlier = loaded.apply_chat_template([*split, *conversation("R?", "S")], tokenize=False)
    assert "12" not in earlier and "<think>" not in earlier


def test_a_template_by_name_or_file(tmp_path: Path) -> None:
    own = tmp_path / "own.jinja"
    own.write_text("{{ messages }}", encoding="utf-8")
    assert chat_template(str(own)) == "{{ messages }}"
    assert "generation" in chat_template("chat")
    for wrong in ("chatt", str(tmp_path / "none.jinja"), "../errors"):
        with pytest.raises(ConfigError, match="neither a .jinja file nor one that r1hf ships"):
            chat_template(wrong)


def test_the_check_for_a_chat_template(saved: dict[str, Path], tmp_path: Path) -> None:
    def problems(source: str | None) -> list[str]:
        found: list[str] = []
        check_chat_template(found, "model", source)
        return found

    assert problems(str(saved["qwen2"])) == problems("org/name") == problems(None) == []
    bare = AutoTokenizer.from_pretrained(saved["llama"])
    bare.chat_template = None
    bare.save_pretrained(tmp_path / "bare")
    assert (
        NO_TEMPLATE in problems(str(tmp_path / "bare"))[0]
        and str(tmp_path / "bare") in problems(str(tmp_path / "bare"))[0]
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokenizer.json").write_text("{nope", encoding="utf-8")
    (tmp_path / "broken" / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "X"}), encoding="utf-8")
    for name in ("empty", "broken"):
        (problem,) = problems(str(tmp_path / name))
        assert problem.startswith("model: no tokenizer can be loaded") and "\n" not in problem


def test_a_revision_after_an_at_sign_is_no_part_of_the_name(saved: dict[str, Path]) -> None:
    assert len(load_tokenizer(f"{saved['qwen2']}@main")) == len(load_tokenizer(str(saved["qwen2"])))
    assert load_model(f"{saved['qwen2']}@main").num_parameters() == load_model(str(saved["qwen2"])).num_parameters()


def test_special_separators_are_plain_text(loaded: PreTrainedTokenizerBase) -> None:
    """`| special_token |` is the seeds' form; it must not vanish when TRL decodes completions."""
    assert loaded.decode(loaded(SEPARATOR)["input_ids"], skip_special_tokens=True) == SEPARATOR
