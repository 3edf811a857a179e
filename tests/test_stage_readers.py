"""Whoever reads a finished stage refuses one that holds another file than its manifest lists, and names the file."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving_world import make_adapter, make_model
from test_manifest import manifest_of

from r1hf.commands.rollouts import _rows
from r1hf.core.config import parse
from r1hf.core.errors import R1Error
from r1hf.core.foreign_code import faults
from r1hf.evaluation.config import EvaluateConfig, preflight
from r1hf.explain.runs.read import rollout_directory
from r1hf.models.loading import check_tokenizer, load_model, load_tokenizer
from r1hf.publish.scores import NoEvaluation
from r1hf.publish.targets import Options, make_plan
from r1hf.serving.models import resolve
from r1hf.stage.manifest import input_records, write_manifest


def checked(stage: Path) -> None:
    problems = faults(stage)  # which reading the configuration names
    check_tokenizer(problems, "model", str(stage))
    if problems:
        raise R1Error(problems[0])


def evaluated(stage: Path) -> None:
    words = ["--models", f"[{stage}]", "--prompts", "org/held-out", "--output_dir", str(stage.parent / "out")]
    parsed = parse((EvaluateConfig,), words)
    preflight(parsed)
    parsed.check()
    input_records(parsed.inputs | {"prompts": str(stage)})


def pushed(stage: Path) -> None:
    with contextlib.suppress(NoEvaluation):  # which is asked for once the stage is proved
        make_plan(stage, Options("me/one"))


READERS: dict[str, Callable[[Path], Any]] = {
    "a stage that reads it": lambda stage: input_records({"model": str(stage)}),
    "the model": lambda stage: load_model(str(stage)),
    "the tokenizer": lambda stage: load_tokenizer(str(stage)),
    "a configuration": checked,
    "an evaluation": evaluated,
    "a push": pushed,
    "serve": lambda stage: resolve([str(stage)]),
    "serve, as a run": lambda stage: resolve([str(stage.parent)]),
}
STRANGERS = ["adapter_config.json", "special_tokens_map.json", "additional_chat_templates/x.jinja", ".hidden.jinja"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = make_model(tmp_path_factory.mktemp("run") / "base", context=64)
    (directory / "rollouts").mkdir()
    (directory / "rollouts/step-000001.parquet").write_bytes(b"rows")
    write_manifest(directory, manifest_of(directory))
    return directory


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("reader", READERS)
def test_a_stage_with_a_stranger_is_not_read(reader: str, name: str, stage: Path) -> None:
    path = stage / name
    READERS[reader](stage)
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    try:
        with pytest.raises(R1Error) as raised:
            READERS[reader](stage)
    finally:
        path.unlink()
    assert f"{name}: no stage made this" in str(raised.value) and "move it away" in str(raised.value)
    (stage / ".DS_Store").write_bytes(b"\0")
    READERS[reader](stage)


def manifest_with(**changes: Any) -> Callable[[Path], Any]:
    def edit(stage: Path) -> None:
        content = json.loads((stage / "manifest.json").read_text())
        (stage / "manifest.json").write_text(json.dumps({**content, "digest": None, **changes}))

    return edit


def grown(stage: Path) -> None:
    with (stage / "config.json").open("a") as stream:
        stream.write(" ")


def one_more_listed(stage: Path) -> None:
    outputs = json.loads((stage / "manifest.json").read_text())["outputs"]
    manifest_with(outputs={**outputs, "more.safetensors": {"sha256": "0" * 64, "bytes": 1}})(stage)


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no outputs": (manifest_with(outputs={}), "it lists no outputs"),
    "one more output": (one_more_listed, "more.safetensors is missing"),
    "an output less": (lambda stage: (stage / "generation_config.json").unlink(), "generation_config.json is missing"),
    "an output that is another": (grown, "config.json"),
    "a fingerprint of another list": (manifest_with(fingerprint="0" * 64), "fingerprint does not fit"),
    "an output as a link elsewhere": (
        lambda stage: [(stage / "config.json").unlink(), (stage / "config.json").symlink_to("/etc/hostname")],
        "config.json",
    ),
    "a manifest that is cut": (lambda stage: (stage / "manifest.json").write_text('{"stage": "ba'), "manifest.json"),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_stage_that_is_not_its_list_is_not_read(reader: str, stage: Path, tmp_path: Path) -> None:
    for name, (harm, said) in DAMAGES.items():
        harmed = Path(shutil.copytree(stage, tmp_path / name / "base"))
        harm(harmed)
        with pytest.raises(R1Error) as raised:
            READERS[reader](harmed)
        assert said in str(raised.value) and str(harmed) in str(raised.value), (name, str(raised.value))


def test_an_adapter_of_a_stage_that_is_not_its_list_is_not_served(stage: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(stage, tmp_path / "base"))
    adapter = make_adapter(tmp_path / "adapter", base)
    assert resolve([str(adapter)])
    (base / "special_tokens_map.json").write_text("{}")
    with pytest.raises(R1Error, match="special_tokens_map.json: no stage made this"):
        resolve([str(adapter)])


def test_rollouts_are_those_that_the_stage_wrote(stage: Path) -> None:
    assert rollout_directory(stage) == stage / "rollouts"
    more = stage / "rollouts/step-000002.parquet"
    more.write_bytes(b"rows")
    try:
        with pytest.raises(R1Error, match="step-000002.parquet: no stage made this"):
            _rows(stage / "rollouts", "last")
    finally:
        more.unlink()
