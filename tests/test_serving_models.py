"""What `r1hf serve` takes and what it refuses, before anything is started."""

import json
import shutil
import struct
from pathlib import Path

import pytest
from serving_world import make_adapter, make_model
from small_run import ROOT
from tables import each

from r1hf.core.errors import ConfigError
from r1hf.serving.knows import Known
from r1hf.serving.models import primary, read_model, resolve


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "one", context=512)


@pytest.fixture
def run(model: Path, tmp_path: Path) -> Path:
    """A run directory: three stages, a stage without a model, a reward model, and a stage that is being written."""
    for name in ("student_qwen", "base", "r1_zero", "judge", "r1.partial"):
        shutil.copytree(model, tmp_path / "run" / name)
    config = json.loads((tmp_path / "run/judge/config.json").read_text())
    config["architectures"] = ["Qwen2ForSequenceClassification"]
    (tmp_path / "run/judge/config.json").write_text(json.dumps(config))
    (tmp_path / "run/evaluate").mkdir()
    return tmp_path / "run"


def refusal(*sources: object) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve([str(source) for source in sources])
    return str(caught.value)


def test_a_directory_is_read(model: Path) -> None:
    (one,) = resolve([str(model)])
    assert (one.name, one.context, one.dtype, one.think_tokens) == ("one", 512, "float32", True)
    assert one.weight_bytes == (model / "model.safetensors").stat().st_size
    assert one.cache_bytes == 2 * 1 * 1 * 32 * 4  # keys and values of 1 layer, 1 head of 32, 4 bytes
    assert (one.temperature, one.top_p) == (0.6, 0.95)


PROSE = "It is a model of sorts."
FRONT = "---\nlicense: mit\n---\n\n# One\n\nA **model** for [cats](http://x) and `dogs`.\nIt purrs.\n\nMore."
OTHER = "One\n===\n\n<p>\n<img src=x>\n</p>\n\n| a | b |\n\n- a list of things.\n\n" + PROSE
CODE = "[Paper](x) | [Code](y) | [Weights](z)\n\n```py\nprint('what is code.')\n```\n\n" + PROSE
CHINESE = "这是一个会做算术的小模型，不会别的任何事情。"
SENTENCE = "A sentence of some length. "


@each(
    "card, said",
    [
        *[(None, None), ("", None), ("# One\n\nshort.", None)],
        (FRONT, "A model for cats and dogs. It purrs."),
        ("# One\nStraight after the title it begins.", "Straight after the title it begins."),
        *[(OTHER, PROSE), (CODE, PROSE), (f"## 模型\n\n{CHINESE}", CHINESE)],
        ("word " * 100 + "end.", ("word " * 59).strip() + "…"),
        (SENTENCE * 30, (SENTENCE * 11).strip()),
    ],
)
def test_a_model_says_what_its_card_says(model: Path, card: str | None, said: str | None) -> None:
    file = model / "README.md"
    try:
        if card is not None:
            file.write_text(card)
        assert read_model(model, "one").known == Known(said, False)
    finally:
        file.unlink(missing_ok=True)


def test_the_tiny_worlds_models_are_known_by_what_they_came_from_or_their_card(
    tiny_base: Path, model: Path, tmp_path: Path
) -> None:
    for place in (tiny_base, tiny_base / "student_llama_base"):
        assert read_model(place, "one").known == Known(None, True)
    shutil.copytree(model, tmp_path / "one")
    shutil.copy(ROOT / "model_cards/examples/tiny-r1.md", tmp_path / "one/README.md")
    known = read_model(tmp_path / "one", "one").known
    assert known.tiny_world and known.description and known.description.startswith("The last RL, from Dev3")


def test_a_run_gives_its_stages_in_order(run: Path) -> None:
    models = resolve([str(run)])
    assert [model.name for model in models] == ["base", "r1_zero", "student_qwen"]
    assert primary(models, [str(run)]).name == "r1_zero"
    assert primary(models[::-1], [str(run / "student_qwen"), str(run)]).name == "student_qwen"


def test_the_same_model_twice_is_one(run: Path) -> None:
    assert len(resolve([str(run), str(run / "base")])) == 3


def test_names_of_ones_own(run: Path) -> None:
    assert [model.name for model in resolve([f"a={run / 'base'}", f"b={run / 'base'}"])] == ["a", "b"]
    assert "a name fits one" in refusal(f"a={run}")


def test_two_models_of_one_name_are_refused(run: Path, model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "other" / "base")
    said = refusal(run / "base", tmp_path / "other" / "base")
    assert "two models are called 'base'" in said and "other_base=" in said


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    said = refusal("no/such/path", tmp_path / "empty", tmp_path / "file")
    assert "3 problems" in said
    assert "no/such/path does not exist" in said and "has no config.json" in said and "is a file" in said


def test_a_hub_id_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "could not be fetched from the Hub" in refusal("nobody/nothing")  # the tests run offline


def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "copy"))


def test_pickles_are_refused(model: Path, tmp_path: Path) -> None:
    directory = copy(model, tmp_path)
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    assert "pytorch_model.bin, a format that can run code" in refusal(directory)
    (directory / "pytorch_model.bin").unlink()
    assert "has no weights" in refusal(directory)


@pytest.mark.parametrize("damage", ["cut", "header", "empty", "huge header"])
def test_damaged_weights_are_refused(model: Path, tmp_path: Path, damage: str) -> None:
    file = copy(model, tmp_path) / "model.safetensors"
    content = file.read_bytes()
    changed = {
        "cut": content[:-100],
        "header": content[:20] + b"\0" * 20 + content[40:],
        "empty": b"",
        "huge header": struct.pack("<Q", 2**60) + content[8:],
    }
    file.write_bytes(changed[damage])
    said = refusal(file.parent)
    assert "model.safetensors is damaged" in said and "copy or make it again" in said


def test_missing_shards_are_named(model: Path, tmp_path: Path) -> None:
    directory = copy(model, tmp_path)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "weights are missing: model-00002-of-00002.safetensors" in refusal(directory)


@pytest.mark.parametrize("content", ["", "{", "[]", "\udcff"])
def test_an_unreadable_configuration(model: Path, tmp_path: Path, content: str) -> None:
    directory = copy(model, tmp_path)
    (directory / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert "config.json" in refusal(directory)


def test_a_model_without_a_tokenizer(model: Path, tmp_path: Path) -> None:
    directory = copy(model, tmp_path)
    (directory / "tokenizer.json").unlink()
    assert "has no tokenizer" in refusal(directory)


def test_a_reward_model_is_not_served(run: Path) -> None:
    assert "does not generate text" in refusal(run / "judge")


def test_tags_that_are_no_tokens(tmp_path: Path) -> None:
    assert not read_model(make_model(tmp_path / "m", think_tokens=False), "m").think_tokens


def test_an_adapter_brings_its_base(model: Path, tmp_path: Path) -> None:
    (adapter,) = resolve([str(make_adapter(tmp_path / "adapter", model))])
    assert (adapter.name, adapter.base, adapter.lora_rank, adapter.context) == ("adapter", model, 4, 512)
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    for change, said in (
        ({"peft_type": "IA3"}, "only LORA is served"),
        ({"base_model_name_or_path": "gone"}, "'gone'"),
    ):
        (tmp_path / "adapter/adapter_config.json").write_text(json.dumps({**config, **change}))
        assert said in refusal(tmp_path / "adapter")
