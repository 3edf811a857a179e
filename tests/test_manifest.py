"""Manifests: a changed byte is found and named, equal content has one fingerprint, a manifest is whole or absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1hf.core.errors import IntegrityError, StageError
from r1hf.core.source import is_hub_id
from r1hf.stage.manifest import (
    LOG,
    MANIFEST,
    Manifest,
    Output,
    find_stage,
    fingerprint,
    fingerprint_path,
    git_state,
    hash_outputs,
    input_record,
    input_records,
    peak_rss_mb,
    read_manifest,
    verify,
    versions,
    write_manifest,
)


def manifest_of(directory: Path, **changes: Any) -> Manifest:
    outputs = hash_outputs(directory)
    values = {
        "stage": directory.name,
        "recipe": "recipes/make.py",
        "command": ["recipes/make.py"],
        "created": "2026-01-01T00:00:00Z",
        "seconds": 1.5,
        "peak_rss_mb": 10.0,
        "seed": 42,
        "request": {},
        "config": {},
        "inputs": {},
        "outputs": outputs,
        "fingerprint": fingerprint(outputs),
        "metrics": {"score": 0.5},
        "versions": {},
        "git": {"revision": None, "dirty": None},
    }
    return Manifest(**{**values, **changes})


def stage_with(directory: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    write_manifest(directory, manifest_of(directory))
    return directory


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    files = {"model.safetensors": b"weights", "sub/config.json": b"{}", "empty.txt": b"", LOG: b'{"step": 1}\n'}
    return stage_with(tmp_path / "base", files)


def test_round_trip(stage: Path) -> None:
    manifest = verify(stage)
    assert read_manifest(stage) == manifest == manifest_of(stage)
    assert set(manifest.outputs) == {"model.safetensors", "sub/config.json", "empty.txt", LOG}
    assert manifest.outputs["model.safetensors"].bytes == 7
    first = json.loads((stage / MANIFEST).read_text())
    assert list(first)[:2] == ["format", "stage"] and first["outputs"]["empty.txt"]["bytes"] == 0


@given(
    files=st.dictionaries(
        st.sampled_from(["a", "b.txt", "c/d", "c/e.json", "log.jsonl"]), st.binary(max_size=40), min_size=1
    ),
    data=st.data(),
)
def test_any_flipped_bit_is_found_and_named(
    tmp_path_factory: Any, files: dict[str, bytes], data: st.DataObject
) -> None:
    directory = stage_with(tmp_path_factory.mktemp("stage"), files)
    verify(directory)
    filled = sorted(name for name, content in files.items() if content)
    if not filled:
        return
    name = data.draw(st.sampled_from(filled))
    content = bytearray(files[name])
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    (directory / name).write_bytes(content)
    with pytest.raises(IntegrityError) as raised:
        verify(directory)
    assert f"{directory / name} was changed" in str(raised.value)
    assert str(raised.value).count("was changed") == 1
    assert "--force" in str(raised.value)
    (directory / name).write_bytes(files[name])
    verify(directory)


def test_truncated_missing_and_several(stage: Path) -> None:
    (stage / "model.safetensors").write_bytes(b"weight")
    (stage / "sub" / "config.json").unlink()
    with pytest.raises(IntegrityError) as raised:
        verify(stage)
    assert "model.safetensors was changed" in str(raised.value)
    assert "config.json is missing" in str(raised.value)


def test_part_of_a_stage_is_verified_alone(stage: Path) -> None:
    (stage / "model.safetensors").write_bytes(b"other")
    verify(stage, under="sub")
    with pytest.raises(IntegrityError):
        verify(stage)


# What libraries load by its name alone, and what only looks like an accident.
STRANGERS = [
    "adapter_config.json",
    "special_tokens_map.json",
    "additional_chat_templates/tool.jinja",
    "sub/tokenizer_config.json",
    "sub/deep/er/weights.safetensors",
    ".hidden/file",
    ".lock",
    "notes.txt",
    "config.json~",
    "log.jsonl.1",
    "._model.bin",
    "__pycache__.py",
]


@pytest.mark.parametrize("name", STRANGERS)
def test_a_file_that_no_manifest_lists_is_named(stage: Path, name: str) -> None:
    (stage / name).parent.mkdir(parents=True, exist_ok=True)
    (stage / name).write_text("{}")
    for check in (True, False):
        with pytest.raises(IntegrityError) as raised:
            verify(stage, contents=check)
        assert f"{stage / name}: no stage made this" in str(raised.value) and "move it away" in str(raised.value)
    (stage / name).unlink()
    verify(stage)  # an empty folder is nothing to load


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "sub/.DS_Store", "Thumbs.db", "desktop.ini", "._model.safetensors", "sub/._config.json"]
    + [".nfs00000000024e1a9f", ".cache/huggingface/download/x.lock", "__pycache__/a.pyc", ".ipynb_checkpoints/a"]
    + [".replaced", ".request.json"],
)
def test_what_systems_and_the_stage_itself_leave_behind_is_let_be(stage: Path, name: str) -> None:
    (stage / name).parent.mkdir(parents=True, exist_ok=True)
    (stage / name).write_bytes(b"\0")
    assert verify(stage) == verify(stage, contents=False)


def test_links_pipes_and_folders_in_a_stage(stage: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.json").write_text("{}")
    for name, make in {
        "link.json": lambda path: path.symlink_to(outside / "x.json"),
        "folder": lambda path: path.symlink_to(outside),
        "root": lambda path: path.symlink_to("/"),
        "loop": lambda path: path.symlink_to("."),
        "nowhere": lambda path: path.symlink_to("nothing"),
        ".DS_Store": lambda path: path.symlink_to(outside / "x.json"),
        "pipe": os.mkfifo,
    }.items():
        make(stage / name)
        with pytest.raises(IntegrityError, match=f"{name}: no stage made this"):
            verify(stage)
        (stage / name).unlink()
    # The listed files may lie elsewhere: a person moves what is large to another disk.
    (stage / "sub").rename(tmp_path / "moved")
    (stage / "sub").symlink_to(tmp_path / "moved")
    verify(stage)
    (tmp_path / "moved" / "more.json").write_text("{}")
    with pytest.raises(IntegrityError, match="sub/more.json: no stage made this"):
        verify(stage)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_something_else_in_the_place_of_a_listed_file(stage: Path, kind: str) -> None:
    path = stage / "model.safetensors"
    path.unlink()
    {"pipe": os.mkfifo, "folder": os.mkdir, "device": lambda path: os.symlink("/dev/zero", path)}[kind](path)
    with pytest.raises(IntegrityError, match="model.safetensors is not a regular file any more"):
        verify(stage)


def test_sizes_alone_are_looked_at_if_asked(stage: Path) -> None:
    (stage / "model.safetensors").write_bytes(b"WEIGHTS")
    verify(stage, contents=False)
    (stage / "model.safetensors").write_bytes(b"WEIGHT")
    with pytest.raises(IntegrityError, match="model.safetensors has 6 bytes and not 7"):
        verify(stage, contents=False)


def test_a_stranger_elsewhere_does_not_change_a_part(stage: Path) -> None:
    (stage / "adapter_config.json").write_text("{}")
    verify(stage, under="sub")
    verify(stage, under="sub/config.json")
    (stage / "sub" / "adapter_config.json").write_text("{}")
    verify(stage, under="sub/config.json")  # one file is read, and nothing beside it
    with pytest.raises(IntegrityError, match="sub/adapter_config.json: no stage made this"):
        verify(stage, under="sub")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stage": "x"}', '{"stage": "x", "outputs": {"a": {}}}', "\udcff"])
def test_a_manifest_that_cannot_be_read_is_refused(stage: Path, text: str) -> None:
    (stage / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(IntegrityError, match="manifest.json is not a manifest that can be read"):
        read_manifest(stage)


DEEP = json.loads("[" * 200 + "]" * 200)
HASH = {"sha256": "0" * 64, "bytes": 1}
MALFORMED: list[dict[str, Any]] = [
    {"outputs": {}},
    {"outputs": []},
    {"outputs": None},
    *({"outputs": {name: HASH}} for name in ("/etc/passwd", "../x", "a/../../x", "", "a\nb", "a//b", "./a", "a\0")),
    *({"outputs": {"a": HASH | {"sha256": value}}} for value in (None, 7, "", "0" * 63, "Z" * 64, [])),
    *({"outputs": {"a": HASH | {"bytes": value}}} for value in (None, "1", -1, True, 1.5, 2**80)),
    {"outputs": {"a": HASH | {"more": 1}}},
    *({key: None} for key in ("stage", "recipe", "command", "created", "seed", "request", "config", "metrics")),
    *({key: "text"} for key in ("seconds", "peak_rss_mb", "seed", "inputs", "versions", "git", "hardware", "command")),
    *({"seconds": value} for value in (1e300, True, {}, 10**400)),
    {"command": [1]},
    {"stage": ["x"]},
    {"format": "1"},
    {"digest": 7},
    {"git": {"revision": 7}},
    {"versions": {"torch": 2}},
    {"unknown": 1},
    {"config": DEEP},
    {"metrics": {"a": DEEP}},
    *({"inputs": {"model": value}} for value in ("base", ["base"], {"path": "x"}, {"path": 1, "fingerprint": ""}, 7)),
]


@pytest.mark.parametrize("changes", MALFORMED, ids=lambda changes: json.dumps(changes)[:40])
def test_a_manifest_of_another_shape_is_a_sentence(stage: Path, changes: dict[str, Any]) -> None:
    content = json.loads((stage / MANIFEST).read_text())
    (stage / MANIFEST).write_text(json.dumps(content | changes))
    for read in (read_manifest, verify, lambda directory: input_record(str(directory))):
        with pytest.raises(IntegrityError, match=f"{stage / MANIFEST} is not a manifest that can be read") as raised:
            read(stage)
        assert len(str(raised.value)) < 600 and "make the stage again" in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"stage": "x", "metrics": NaN}',
        '{"stage": "x", "seed": 1e999}',
        '{"stage": "\\ud800"}',
        '{"stage": 1' + "0" * 5000,
    ]
    + ["[" * 100_000, '{"stage":' * 100_000, '{"stage": "a", "stage": "b"}', "\ufeff{}", '{"outputs": 1}'],
)
def test_broken_json_is_a_sentence(stage: Path, text: str) -> None:
    (stage / MANIFEST).write_text(text)
    with pytest.raises(IntegrityError, match="is not a manifest that can be read"):
        read_manifest(stage)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop"])
def test_a_manifest_that_is_no_file(stage: Path, kind: str) -> None:
    path = stage / MANIFEST
    path.unlink()
    links = {"device": "/dev/zero", "loop": MANIFEST}
    {"pipe": os.mkfifo, "folder": os.mkdir}.get(kind, lambda path: os.symlink(links[kind], path))(path)
    with pytest.raises(IntegrityError, match="is not a manifest that can be read"):
        read_manifest(stage)


@given(st.data())
def test_whatever_a_manifest_holds_is_read_or_refused(tmp_path_factory: Any, data: st.DataObject) -> None:
    """Any value at any place, with the digest that fits it."""
    directory = stage_with(tmp_path_factory.mktemp("stage"), {"a": b"1"})
    content = json.loads((directory / MANIFEST).read_text())
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    value = st.recursive(leaf, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each))
    content[data.draw(st.sampled_from(sorted(content)))] = data.draw(value)
    (directory / MANIFEST).write_text(json.dumps(content))
    try:
        manifest = read_manifest(directory)
    except IntegrityError as error:
        assert MANIFEST in str(error)
        return
    if manifest is not None:
        write_manifest(directory, manifest)
        assert read_manifest(directory) == manifest


def test_an_edited_list_of_outputs_is_refused(stage: Path) -> None:
    (stage / "model.safetensors").write_bytes(b"forged!")
    content = json.loads((stage / MANIFEST).read_text())
    content["outputs"]["model.safetensors"] = vars(hash_outputs(stage)["model.safetensors"])
    (stage / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match="fingerprint does not fit"):
        verify(stage)


def test_later_formats_and_foreign_files(stage: Path) -> None:
    write_manifest(stage, manifest_of(stage, format=2))
    with pytest.raises(IntegrityError, match="format 2"):
        read_manifest(stage)
    (stage / MANIFEST).write_text('{"name": "a web page", "icons": []}')
    assert read_manifest(stage) is None
    assert read_manifest(stage / "none") is None
    with pytest.raises(IntegrityError, match="has no manifest.json"):
        verify(stage)


def test_the_fingerprint_is_of_content_and_not_of_the_log(tmp_path: Path) -> None:
    first = stage_with(tmp_path / "a", {"x": b"1", "y": b"2", LOG: b"slow"})
    second = stage_with(tmp_path / "b", {"y": b"2", "x": b"1", LOG: b"fast"})
    swapped = stage_with(tmp_path / "c", {"x": b"2", "y": b"1"})
    assert verify(first).fingerprint == verify(second).fingerprint != verify(swapped).fingerprint


def test_names_and_contents_do_not_run_together() -> None:
    one = {"ab": Output("c", 1)}
    two = {"a": Output("bc", 1)}
    assert fingerprint(one) != fingerprint(two)


def test_inputs_of_every_kind(stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = input_record("base")
    assert whole == {"path": "base", "fingerprint": verify(stage).fingerprint}
    part, file = input_record("base/sub"), input_record(str(stage / "sub" / "config.json"))
    assert len({whole["fingerprint"], part["fingerprint"]}) == 2
    assert part["fingerprint"] == file["fingerprint"]
    own = tmp_path / "own"
    own.mkdir()
    (own / "config.json").write_text("{}")
    assert input_record("own")["fingerprint"] == fingerprint_path(own)
    assert input_record("Qwen/Qwen2.5-0.5B@main")["fingerprint"] == "hub:Qwen/Qwen2.5-0.5B@main"
    with pytest.raises(StageError, match="base2 does not exist"):
        input_record("base2")
    records = input_records({"model": "base", "models": ["base", "own"]})
    assert records["model"] == whole and [one["path"] for one in records["models"]] == ["base", "own"]


def test_a_change_elsewhere_in_the_stage_does_not_change_a_part(stage: Path) -> None:
    before = input_record(str(stage / "sub"))
    (stage / "model.safetensors").write_bytes(b"other weights")
    write_manifest(stage, manifest_of(stage))
    assert input_record(str(stage / "sub")) == before


def test_an_edited_input_is_refused_unless_unchecked(stage: Path) -> None:
    (stage / "sub" / "config.json").write_text("{ }")
    with pytest.raises(IntegrityError, match="config.json was changed"):
        input_record(str(stage / "sub"))
    input_record(str(stage / "sub"), check=False)


def test_a_foreign_manifest_above_is_no_stage(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{broken")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text("{}\n")
    assert find_stage(tmp_path / "data") is None
    assert len(input_record(str(tmp_path / "data"))["fingerprint"]) == 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Qwen/Qwen2.5-0.5B", True),
        ("org/name@v1.0", True),
        ("runs/base", False),  # `runs` is a directory here
        ("./org/name", False),
        ("../name", False),
        ("/abs/path", False),
        ("a/b/c", False),
        ("gpt2", False),
        ("", False),
    ],
)
def test_hub_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert is_hub_id(text) is expected


def test_a_manifest_is_never_half_written(stage: Path) -> None:
    before = (stage / MANIFEST).read_bytes()
    with pytest.raises(ValueError):
        write_manifest(stage, manifest_of(stage, metrics={"bad": float("nan")}))
    assert (stage / MANIFEST).read_bytes() == before


def test_versions_and_git(tmp_path: Path) -> None:
    assert versions()["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "numpy" in versions()
    assert git_state(tmp_path / "none") == {"revision": None, "dirty": None}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert git_state(tmp_path) == {"revision": None, "dirty": None}
    (tmp_path / "a").write_text("1")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "a"], check=True)
    clean = git_state(tmp_path)
    assert len(clean["revision"]) == 40 and clean["dirty"] is False
    (tmp_path / "a").write_text("2")
    assert git_state(tmp_path) == {**clean, "dirty": True}


def test_peak_memory_counts_this_process_and_its_children() -> None:
    subprocess.run([sys.executable, "-c", "x = b'1' * 400_000_000"], check=True, env={**os.environ, "PYTHONPATH": ""})
    assert 380 < peak_rss_mb() < 100_000  # MiB
