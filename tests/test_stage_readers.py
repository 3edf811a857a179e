"""Whoever reads a finished stage refuses one that holds another file than its manifest lists, and names the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving_world import make_model
from test_manifest import manifest_of

from r1hf.commands.rollouts import _directory
from r1hf.core.errors import R1Error
from r1hf.models.loading import check_tokenizer, load_model, load_tokenizer
from r1hf.publish.plan import Options, make_plan
from r1hf.serving.models import resolve
from r1hf.stage.manifest import input_records, write_manifest


def checked(stage: Path) -> None:
    problems: list[str] = []
    check_tokenizer(problems, "model", str(stage))
    if problems:
        raise R1Error(problems[0])


READERS: dict[str, Callable[[Path], Any]] = {
    "a stage that reads it": lambda stage: input_records({"model": str(stage)}),
    "the model": lambda stage: load_model(str(stage)),
    "the tokenizer": lambda stage: load_tokenizer(str(stage)),
    "a configuration": checked,
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


def test_rollouts_are_those_that_the_stage_wrote(stage: Path) -> None:
    assert _directory(stage) == stage / "rollouts"
    more = stage / "rollouts/step-000002.parquet"
    more.write_bytes(b"rows")
    try:
        with pytest.raises(R1Error, match="step-000002.parquet: no stage made this"):
            _directory(stage)
    finally:
        more.unlink()


def test_a_push_reads_no_stranger(stage: Path) -> None:
    (stage / "merges.txt").write_text("")
    try:
        with pytest.raises(R1Error, match="merges.txt: no stage made this"):
            make_plan(stage, Options("me/one"))
    finally:
        (stage / "merges.txt").unlink()
