"""`extends`: what a file takes from others, which value wins, and where a mistake stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.config import StageConfig, parse
from r1hf.core.yamlfile import read_yaml


@dataclass(kw_only=True)
class Config(StageConfig):
    rate: float = field(default=1.0)
    weights: dict[str, float] = field(default_factory=dict)


def written(directory: Path, **files: str) -> dict[str, Path]:
    for name, text in files.items():
        path = directory / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return {name: directory / f"{name}.yaml" for name in files}


def read(directory: Path, **files: str) -> tuple[dict[str, Any], list[str]]:
    paths = written(directory, **files)
    file = read_yaml(next(iter(paths.values())))
    return file.values, file.problems


def test_the_files_own_value_wins_then_the_later_file(tmp_path: Path) -> None:
    values, problems = read(
        tmp_path, top="extends: [one.yaml, two.yaml]\na: 1\n", one="a: 2\nb: 2\nc: 2\n", two="b: 3\nd: {x: 1}\n"
    )
    assert not problems
    assert values == {"a": 1, "b": 3, "c": 2, "d": {"x": 1}}


def test_a_mapping_is_not_merged(tmp_path: Path) -> None:
    values, _ = read(tmp_path, top="extends: one.yaml\nd: {y: 2}\n", one="d: {x: 1}\n")
    assert values == {"d": {"y": 2}}


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "family").mkdir()
    written(tmp_path / "common", base="extends: deeper/root.yaml\nb: 1\n")
    written(tmp_path / "common" / "deeper", root="a: 1\n")
    written(tmp_path / "family", top="extends: ../common/base.yaml\n")
    monkeypatch.chdir(tmp_path / "common")
    assert read_yaml("../family/top.yaml").values == {"a": 1, "b": 1}


def test_an_error_names_the_file_and_line_in_which_the_value_stands(tmp_path: Path) -> None:
    paths = written(tmp_path, top="extends: one.yaml\n\noutput_dir: here\n", one="# a comment\nrate: much\nrat: 1\n")
    problems = parse((Config,), ["--config", str(paths["top"])]).problems
    assert f"{paths['one']}:2: rate: 'much' is not a number" in problems
    assert any(text.startswith(f"{paths['one']}:3: unknown key 'rat'") for text in problems)


def test_the_place_is_that_of_the_value_that_won(tmp_path: Path) -> None:
    paths = written(tmp_path, top="extends: one.yaml\nrate: x\n", one="rate: 1\n")
    assert read_yaml(paths["top"]).where("rate") == f"{paths['top']}:2"


def test_a_value_given_higher_up_hides_no_mistake_of_its_own(tmp_path: Path) -> None:
    """A base that cannot be read is a problem though every key of it is set again."""
    values, problems = read(tmp_path, top="extends: one.yaml\na: 1\n", one="a: [1\n")
    assert values == {"a": 1}
    assert len(problems) == 1 and problems[0].startswith(f"{tmp_path / 'one.yaml'}:")


def test_a_missing_file_is_named_with_the_line_that_asks_for_it(tmp_path: Path) -> None:
    _, problems = read(tmp_path, top="a: 1\nextends: nowhere.yaml\n")
    assert problems == [f"{tmp_path / 'top.yaml'}:2: extends: there is no file {tmp_path / 'nowhere.yaml'}"]


def test_a_circle_ends_and_is_named(tmp_path: Path) -> None:
    values, problems = read(tmp_path, top="extends: one.yaml\na: 1\n", one="extends: top.yaml\nb: 1\n")
    assert values == {"a": 1, "b": 1}
    assert len(problems) == 1 and "one.yaml:1" in problems[0] and "in turn" in problems[0]
    assert "in turn" in read(tmp_path / "self", me="extends: me.yaml\n")[1][0]


def test_a_file_may_be_reached_twice(tmp_path: Path) -> None:
    values, problems = read(
        tmp_path, top="extends: [a.yaml, b.yaml]\n", a="extends: c.yaml\n", b="extends: c.yaml\n", c="x: 1\n"
    )
    assert values == {"x": 1} and not problems


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for wrong in ("3", "[a.yaml, 3]", "{a: b}", "['']"):
        _, problems = read(tmp_path, top=f"extends: {wrong}\n")
        assert problems and "is neither a file nor a list of files" in problems[0]


def test_the_request_is_that_of_the_values(tmp_path: Path) -> None:
    paths = written(
        tmp_path, top="extends: one.yaml\noutput_dir: x\n", one="rate: 2\n", flat="output_dir: x\nrate: 2\n"
    )
    shared, flat = (parse((Config,), ["--config", str(paths[name])]) for name in ("top", "flat"))
    assert not shared.problems and shared.request == flat.request == {"rate": 2.0}
