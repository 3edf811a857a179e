"""The documentation as a site, and the commands of its pages for newcomers: each is run here, or said why not."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from reference import reference
from test_docs import FENCE, ROOT, commands

from r1hf.commands.main import COMMANDS, main
from r1hf.rewards.table import TABLE

PAGES = [
    *(ROOT / "docs" / f"{name}.md" for name in ("index", "tour", "report", "story", "own-data", "one-gpu", "share")),
    *(ROOT / "docs" / f"{name}.md" for name in ("use-a-model", "differences", "troubleshooting")),
    *(ROOT / "docs" / "zh").glob("*.md"),
]
# Why a command that begins so is not run here; what it takes is checked in test_docs.py.
NOT_RUN = {
    "r1hf recipe r1_zero": "trains for minutes; test_init.py and test_package.py train with it",
    "r1hf recipe distill": "trains a model of the Hub",
    "r1hf check my.yaml --resolved": "needs the model, or the Hub",
    "r1hf check my.yaml": "rehearses a model of the Hub; test_init.py checks a smaller one",
    "r1hf check recipes/configs/qwen2.5-0.5b": "for a GPU; test_recipe_promises.py holds its plan",
    "r1hf plan": "for a GPU; test_recipe_promises.py holds its plan",
    "r1hf check recipes/configs/tiny/mixed.yaml": "needs a sandbox; test_mixed_tasks.py does it",
    "r1hf evaluate": "needs a data set of the Hub",
    "r1hf push": "needs the Hub; test_hub_push.py does it",
    "r1hf serve": "serves until it is ended; test_serving_gateway.py does it",
    "r1hf chat": "serves until it is ended; test_serving_gateway.py does it",
    "r1hf init my.csv --out other.yaml --model models/my-base": "its model is a placeholder",
    "python recipes/pipeline.py --config recipes/configs/qwen2.5-0.5b": "for a GPU",
    "python recipes/pipeline.py --config recipes/configs/tiny": "trains; its --list is r1hf recipe pipeline --list",
}
SHELL = "\n".join(block for page in PAGES for block in FENCE.findall(page.read_text("utf-8")))
LINES = sorted(
    line
    for line in {line for page in PAGES for line in commands(page)}
    if re.search(rf"^(?:\.venv/bin/)?{re.escape(line)}$", SHELL, re.MULTILINE)
)
RUN = [line for line in LINES if not line.startswith(tuple(NOT_RUN))]
FILES = {  # what the command's file is in the example
    "my.csv": [("question", "answer"), ("What is 1 + 2?", "3"), ("What is 2 + 3?", "5")],
    "body": [("body", "key"), ("What is 1 + 2?", "3"), ("What is 2 + 3?", "5")],
    "内容": [("内容", "结果"), ("一加二等于几？", "3"), ("二加三等于几？", "5")],
    "--count-from": [
        ("question", "A", "B", "C", "answer"),
        ("Which?", "x", "y", "z", "1"),
        ("What?", "u", "v", "w", "2"),
    ],
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory as a reader's, with the recipes."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", RUN)
def test_commands_of_the_first_pages_run(line: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = next((rows for key, rows in reversed(FILES.items()) if key in line), FILES["my.csv"])
    words = shlex.split(line, comments=True)
    for name in {"outputs/my-grpo", "runs/tiny/r1_zero"} & set(words):
        shutil.copytree(ROOT / "tests/fixtures/runs/all_right", place / name)
    delimiter = words[words.index("--delimiter") + 1] if "--delimiter" in words else ","
    encoding = words[words.index("--encoding") + 1] if "--encoding" in words else "utf-8"
    with open("my.csv", "w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    found_a_fault = words[1] == "explain" and len(words) > 2 and not words[2].startswith("-")
    assert main(words[1:]) == int(found_a_fault), capfd.readouterr()


def test_every_reason_for_not_running_is_used() -> None:
    assert not [start for start in NOT_RUN if not any(line.startswith(start) for line in LINES)]


def test_the_reference_names_all_that_there_is() -> None:
    text = reference()
    assert all(f"### `r1hf {name}`" in text for name in COMMANDS)
    assert all(f"\n| `{name}` |" in text for name in TABLE)
    assert "| `rewards` |" in text and "| `math_500` |" in text and text.count("Exit status") == len(COMMANDS)


def test_the_site_builds_with_every_page_and_asks_no_other_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page is in the navigation, and no link leads nowhere: zensical would stop there (--strict)."""
    pytest.importorskip("zensical")
    import site_pages

    nav = set(re.findall(r'= "([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text("utf-8")))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert nav == pages | {"reference.md"}
    for name in ("zensical.toml", "docs"):
        source = ROOT / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path)
    monkeypatch.setattr(site_pages, "ROOT", tmp_path)
    monkeypatch.setattr(site_pages, "SOURCE", tmp_path / "build" / "docs")
    monkeypatch.setattr(site_pages, "TARGET", tmp_path / "site")
    assert site_pages.main() == 0
    assert (tmp_path / "site" / "zh" / "tour.html").is_file() and sys.executable
    (tmp_path / "site" / "x.html").write_text('<script src="https://cdn.example/a.js"></script>')
    assert site_pages.requests() == ['x.html: <script src="https://cdn.example/a.js']
