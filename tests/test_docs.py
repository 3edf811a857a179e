"""What the pages name is there: links and their headings, files, and commands with their options."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1hf.commands.main import COMMANDS
from r1hf.pipeline.command import main as run_pipeline

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/**/*.md"), ROOT / "app/README.md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
OURS = ("r1hf", "recipes", "tests", "scripts", "benchmarks", "app", "model_cards", "docs", "requirements", "configs")
PLACE = re.compile(rf"(?<![\w./-])(?:{'|'.join(OURS)})/[\w./-]*\w/?")
MODULE = re.compile(r"(?<![\w./-])r1hf(?:\.\w+)+")


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text("utf-8"))
    return {slug(line.lstrip("#")) for line in text.splitlines() if re.match(r"#{1,6} ", line)}


def commands(page: Path) -> Iterator[str]:
    """Lines of a page that are commands of r1hf or of its recipes, as a shell would take them, comments left out."""
    text = page.read_text("utf-8")
    shell = [block for block in FENCE.findall(text) if re.match(r"```(sh|bash|console)\n", block)]
    lines = [line for block in shell for line in block.replace("\\\n", " ").splitlines()]
    lines += CODE.findall(FENCE.sub("", text)) if page.name != "CHANGELOG.md" else []
    for line in lines:
        found = re.match(r"\s*(?:\$ )?(?:\.venv/bin/)?((?:r1hf|python recipes/pipeline\.py) \S.*)", line)
        if found and "…" not in line and " world / " not in line:  # what the tiny world hashes
            yield found[1].strip()


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        path, _, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            continue
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            lost.append(target)
    assert not lost


def is_there(place: str) -> bool:
    """`configs/` is short for `recipes/configs/`; what a run makes lies in runs/ and is none of these."""
    return (ROOT / place).exists() or (ROOT / "recipes" / place).exists()


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_files_and_modules_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    places = {place for code in CODE.findall(text) for place in PLACE.findall(code)}
    places -= {place for place in places if place.startswith("configs/mine")} | {"tests/test_all.py"}  # math-verify's
    lost = sorted(place for place in places if not is_there(place))
    for name in sorted(set(MODULE.findall(text))):
        parts = name.split(".")
        heads = ["/".join(parts[:end]) for end in range(len(parts), 1, -1)]
        if not any((ROOT / f"{head}.py").exists() or (ROOT / head).is_dir() for head in heads):
            lost.append(name)
    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_a_page_names_are_taken(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = [f"{command}: {said}" for command in commands(page) if (said := refused(command, capsys))]
    assert not wrong, "\n".join(wrong)


def refused(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is wrong with a command: its name, or options that it does not have. Nothing is run."""
    words = shlex.split(command, comments=True)
    words = words[: next((at for at, word in enumerate(words) if word in ("&", "|", "&&", ">")), None)]
    if words[0] == "r1hf":
        if words[1] not in (*COMMANDS, "--help", "--version"):
            return f"no command {words[1]}"
        parser = argparse.ArgumentParser()
        if words[1] in COMMANDS:
            importlib.import_module(COMMANDS[words[1]][0]).add_arguments(parser)
        known = parser.format_help() + " --version"
    else:
        with pytest.raises(SystemExit):
            run_pipeline(ROOT / "recipes", ["--help"])
        known = capsys.readouterr().out
    options = {word.partition("=")[0] for word in words[1:] if re.fullmatch(r"--[\w-]+(=.*)?", word)}
    return ", ".join(sorted(options - set(re.findall(r"--[\w-]+", known))))


@pytest.mark.parametrize(
    ("command", "good"),
    [
        ("r1hf check X.yaml --only settings", True),
        ("r1hf plan X.yaml --gpus 8xH100 --launch zero3.yaml   # a comment", True),
        ("r1hf doctor X.yaml", False),
        ("r1hf check --config X.yaml", False),
        ("r1hf evaluate --tasks math_500", False),
        ("python recipes/pipeline.py --config X.yaml --list", True),
        ("python recipes/pipeline.py --config X.yaml --dry-run", False),
    ],
)
def test_a_command_that_is_gone_is_found(command: str, good: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert (refused(command, capsys) == "") is good


@pytest.mark.parametrize(("heading", "anchor"), [("Two tokenizers", "two-tokenizers"), ("`r1hf check`", "r1hf-check")])
def test_anchors_are_githubs(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor
