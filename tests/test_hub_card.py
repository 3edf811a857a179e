"""Cards: every number from its file, no placeholder, no value that nobody measured."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_run import evaluate, finish, make_run, model_stage
from huggingface_hub import RepoCard
from markdown_it import MarkdownIt
from small_run import ROOT, write

from r1hf.core.errors import R1Error
from r1hf.publish.card import CardError, check, one_line, render, shown, templates
from r1hf.publish.context import Place, Run, dataset_context, model_context
from r1hf.publish.data import data_configs
from r1hf.publish.graph import draw
from r1hf.publish.licences import Source
from r1hf.publish.lineage import Made, sources
from r1hf.publish.scores import load_evaluation
from r1hf.publish.targets import Options, Plan, make_plan
from r1hf.text.chat_templates import chat_template


@pytest.fixture(scope="module")
def run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("hub") / "toy", tiny_base)


def card(plan: Plan, repo: str = "me/one", branch: str | None = None) -> str:
    (target,) = [t for t in plan.targets if (t.place.repo, t.place.branch) == (repo, branch) and t.name != "data"]
    (readme,) = [item for item in target.uploads if item.path == "README.md"]
    assert isinstance(readme.source, bytes)
    return readme.source.decode()


def plan(path: Path, **options: object) -> Plan:
    return make_plan(path, Options("me/one", **options))  # type: ignore[arg-type]


def test_the_numbers_are_the_measured_ones(run: Path) -> None:
    text = card(plan(run / "r1"))
    results = json.loads((run / "evaluate/results.json").read_text())["models"]
    table = [line for line in text.splitlines() if "±" in line]
    assert len(table) == len(results)
    for name, scores in results.items():
        (row,) = [line for line in table if re.match(rf"\| (\*\*)?{name}(\*\*)? \|", line)]
        assert f"{100 * scores['pass_at_1']:.1f} ± {100 * scores['stderr']:.1f}%" in row
    assert [line.split("|")[2].strip() for line in table[:3]] == ["this model", "base", "trained from"]
    for words in (
        "2 + 3 * 4",
        "vllm serve me/one",
        'pipeline("text-generation", model="me/one")',
        "12 s",
        "a1b2c3d4e5f6",
    ):
        assert words in text
    assert "cores of" in text  # the hardware


def test_a_prefilled_thought_is_told(run: Path, tmp_path: Path) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")
    base = toy / "r1"
    (base / "chat_template.jinja").write_text(chat_template("qwen", prefill=True))
    finish(base, "all_scenario_rl", {"model": str(toy / "sft2")}, {"optimizer_steps": 20})
    evaluate(toy, {"base": toy / "base", "r1": base})
    words = "ends a prompt in `<think>`"
    assert words in card(plan(base)) and words not in card(plan(run / "r1"))


def test_the_teacher_stands_beside_its_student(run: Path) -> None:
    rows = [line for line in card(plan(run / "student_llama")).splitlines() if "±" in line]
    assert [row.split("|")[2].strip() for row in rows[:3]] == ["this model", "base", "teacher"]
    assert rows[1].startswith("| student_llama_base") and rows[2].startswith("| r1_zero")


def test_the_front_matter_is_what_the_hub_reads(run: Path) -> None:
    whole = make_plan(run, Options("me/toy"))
    front = yaml.safe_load(card(whole, "me/toy").split("---")[1])
    assert front == {
        "license": "apache-2.0",
        "base_model": "me/toy-base",
        "base_model_relation": "finetune",
        "datasets": ["me/toy"],
        "language": ["en"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["reasoning", "r1hf", "trl", "grpo"],
    }
    zero = card(whole, "me/toy", "r1_zero-step-20")
    assert "datasets" not in yaml.safe_load(zero.split("---")[1])  # it learned from rewards alone
    assert 'revision="r1_zero-step-20"' in zero and "--revision r1_zero-step-20" in zero


def test_the_same_run_gives_the_same_card(run: Path) -> None:
    assert [t.tag for t in make_plan(run, Options("me/a")).targets] == [
        t.tag for t in make_plan(run, Options("me/a")).targets
    ]


def test_the_rendered_card_reads_well(run: Path) -> None:
    for target in make_plan(run, Options("me/toy")).targets:
        (readme,) = [item for item in target.uploads if item.path == "README.md"]
        text = readme.source.decode()  # type: ignore[union-attr]
        assert text.startswith("---\n") and "\n\n\n" not in text
        lines = text.splitlines()
        for before, line in zip(lines, lines[1:], strict=False):
            if line.startswith("|") and not before.startswith("|"):
                assert before == "", f"a table needs an empty line above: {before!r}"
            if line.startswith("#") and "```" not in text.split(line)[0].rsplit("\n\n", 1)[-1]:
                assert before == "" or before.startswith("```") or before == "" or line.startswith("# on a CPU")


def test_a_hub_base_is_linked_and_its_licence_kept(run: Path, tmp_path: Path) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")
    shutil.rmtree(toy / "r1")
    model_stage(toy / "r1", toy / "base", "distill", 1.0, model="meta-llama/Llama-3.1-8B@main")
    evaluate(toy, {"r1": toy / "r1"})
    with pytest.raises(R1Error, match="push to me/Llama-one"):
        make_plan(toy / "r1", Options("me/one"))
    with pytest.raises(R1Error, match="must stay; asked for mit"):
        make_plan(toy / "r1", Options("me/Llama-one", licence="mit"))
    text = card(make_plan(toy / "r1", Options("me/Llama-one")), "me/Llama-one")
    front = yaml.safe_load(text.split("---")[1])
    assert (front["license"], front["base_model"]) == ("llama3.1", "meta-llama/Llama-3.1-8B")
    assert "Built with Llama" in text


def test_data_of_unknown_licence_must_be_stated(run: Path, tmp_path: Path) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")
    shutil.rmtree(toy / "r1")
    model_stage(toy / "r1", toy / "base", "distill", 1.0, model=toy / "base", data="org/data@v1")
    evaluate(toy, {"base": toy / "base", "r1": toy / "r1"})
    with pytest.raises(R1Error, match="--base-license org/data=ID"):
        plan(toy / "r1")
    with pytest.raises(R1Error, match="forbids commercial use"):
        plan(toy / "r1", licences={"org/data": "cc-by-nc-4.0"}, licence="mit")
    assert "| org/data | data | cc-by-4.0 |" in card(plan(toy / "r1", licences={"org/data": "cc-by-4.0"}))


def test_prompts_that_were_mixed_are_all_named_and_published(run: Path, tmp_path: Path) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")
    write(
        tmp_path / "own.jsonl",
        [{"problem": "What is 2 + 2 * 2?", "answer": "6"}, {"problem": "7 + 7", "answer": "14"}],
    )
    own = {"path": str(tmp_path / "own.jsonl"), "columns": {"question": "problem"}, "where": {"answer": "6"}}
    data = str(toy / "base/data")
    mixed = json.loads((toy / "cold_start/manifest.json").read_text())
    inputs = {"model": str(toy / "base"), "prompts": [f"{data}/train.jsonl", own]}
    finish(toy / "cold_start", "cold_start", inputs, mixed["metrics"])
    counts = json.loads((toy / "rejection_sampling/manifest.json").read_text())["metrics"]
    inputs |= {"model": str(toy / "r1_zero"), "general": f"{data}/general_sft.jsonl"}
    finish(toy / "rejection_sampling", "rejection_sampling", inputs, counts)
    results = json.loads((toy / "evaluate/results.json").read_text())["models"]
    models = [
        str(toy / name) for name in ("base", "base/student_llama_base", "r1_zero", "sft2", "r1", "student_llama")
    ]
    inputs = {"models": models, "prompts": [f"{data}/held_out.jsonl", own]}
    finish(toy / "evaluate", "evaluate", inputs, {"models": results})
    whole = make_plan(toy, Options("me/toy", licences={own["path"]: "mit"}))
    files = {(t.place.repo, t.name): {item.path: item.source for item in t.uploads} for t in whole.targets}
    cards = {name: content["README.md"].decode() for name, content in files.items()}  # type: ignore[union-attr]
    for section in cards[("me/toy", "data")].split("## ")[1:]:
        if section.startswith(("cold_start", "mix")):
            assert "| Prompts | base/data/train.jsonl" in section and "| Prompts | own.jsonl" in section
            assert "held-out questions" in section and "| Decontamination | 0 rows" not in section
    held_out = files[("me/toy-held-out", "held-out")]["reasoning/test.jsonl"]
    assert isinstance(held_out, bytes)
    rows = [json.loads(line) for line in held_out.splitlines()]
    assert sum(row["question"] == "What is 2 + 2 * 2?" for row in rows) == 1, "its own names, and the rows selected"
    assert not any(row["question"] == "7 + 7" for row in rows)
    assert len(rows) == 1 + len((toy / "base/data/held_out.jsonl").read_text().splitlines())
    assert "own.jsonl" in cards[("me/toy-held-out", "held-out")]


def test_what_was_found_of_contamination_is_told(run: Path, tmp_path: Path) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")
    found = {"prompts": {"overlapping": 3, "share": 0.25, "whole": 1}, "words": 10, "unread": ["x: gone"]}
    for read, said in (([{"data": "d", "rows": 4}], True), ([], False)):
        evaluate(toy, {name: toy / name for name in ("base", "sft2", "r1")}, contamination={**found, "read": read})
        text = " ".join(card(plan(toy / "r1")).split())
        told = (
            "Of these problems 3 (25.0%) share a run of 10 words with the data that the evaluated models were trained"
        )
        assert (f"{told} on, and 1 stand there whole; some of that data could not be read again." in text) is said


def test_a_judging_model_and_its_errors_are_told(run: Path, tmp_path: Path) -> None:
    made = Path(shutil.copytree(run, tmp_path / "run"))
    assert "are judged by rule on" in card(plan(made / "r1"))
    measured = {"helpful": {"error_rate": 0.05, "judged": 120}}
    evaluate(made, {"r1": made / "r1"}, general_judge="org/judge", judge_measured=measured)
    told = card(plan(made / "r1"))
    assert "are judged by the model `org/judge` on" in told and "wrong on 5.0% of 120 labelled rows (helpful)" in told


def test_an_evaluation_without_errors_is_none(run: Path, tmp_path: Path) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")
    content = json.loads((toy / "evaluate/results.json").read_text())
    content["models"]["r1"]["stderr"] = None
    (toy / "evaluate/results.json").write_text(json.dumps(content))
    inputs = {"models": [str(toy / "r1")], "prompts": str(toy / "base/data/held_out.jsonl")}
    finish(toy / "evaluate", "evaluate", inputs, {"models": content["models"]})
    with pytest.raises(R1Error, match="no pass@1 with an error"):
        plan(toy / "r1")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("pass@1 is {{ nothing_measured_this }}", "uses a value that no manifest or evaluation gives"),
        ("It reaches 97.3% on everything.", "number typed into the template"),
        ("pass@1: 79.8", "number typed into the template"),
        ("0.5 ± 0.1", "number typed into the template"),
        ("TODO: write this", "is a placeholder"),
        ("[More Information Needed]", "is a placeholder"),
        ("{{ value }}", "a value is missing"),
        ("{% if %}", "broken.md.jinja:1"),
    ],
)
def test_a_template_that_would_lie_is_refused(source: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "broken.md.jinja").write_text(source)
    with pytest.raises(CardError) as error:
        render("broken.md.jinja", {"value": None}, tmp_path)
    assert words in str(error.value)


def test_placeholders_are_found_in_any_card() -> None:
    for line in ("{{ name }}", "[insert name]", "FIXME", "<placeholder>", "score: nan"):
        with pytest.raises(CardError):
            check(f"fine\n{line}\n", "card")
    check("A list: [1, 2], non-Infinite, nano, informed.", "card")


def test_the_shipped_templates_hold_no_typed_result() -> None:
    assert {path.name for path in templates().glob("*.jinja")} >= {"model.md.jinja", "dataset.md.jinja"}


def test_the_examples_are_rendered_cards() -> None:
    examples = sorted((templates() / "examples").glob("*.md"))
    assert examples
    for path in examples:
        check(path.read_text(encoding="utf-8"), path.name)


NUMBER = re.compile(r"\d+(?:\.\d+)?")


INTERVAL = re.compile(r"\(\d+\.\d–\d+\.\d\)")


def numbers(line: str) -> tuple[str, list[str]]:
    """Name, and the first number of each cell after the role of a row: no error, no interval."""
    cells = [cell.strip(" *`") for cell in line.strip("|").split("|")]
    return cells[0], [found[0] for cell in cells[2:] if (found := NUMBER.findall(cell))]


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_examples_and_the_readme_show_one_run(readme: str) -> None:
    """Every model's numbers, in every card: the README's are those of the evaluation that the cards were made from."""
    table = (ROOT / readme).read_text(encoding="utf-8").partition("<!-- results:begin -->")[2]
    shown = dict(numbers(line) for line in table.splitlines() if "±" in line and " s |" in line or "– |" in line)
    assert len(shown) == 12
    cards = [path for path in (templates() / "examples").glob("*.md") if not path.name.endswith(".dataset.md")]
    assert len(cards) == len(shown)
    for path in cards:
        rows = [line for line in path.read_text(encoding="utf-8").splitlines() if len(INTERVAL.findall(line)) == 3]
        assert {name for name, _ in map(numbers, rows)} == set(shown)
        for name, found in map(numbers, rows):
            truncated = 4
            assert [*found[:truncated], *found[truncated + 1 :]] == shown[name][:6], (path.name, name)


HOSTILE = [
    '"}]); __import__("os").system("id"); print([{"x": "',
    "x\n```\n\n<script>alert(1)</script>",
    "\\",
    "a\rb\u2028c\x0bd\x85e",
    "<img src=x onerror=alert(1)>",
    "[click](https://evil.example) ![x](https://evil.example/p.png)",
    "https://evil.example/ and www.evil.example and a@evil.example",
    "```mermaid\ngraph TD\n```",
    "---\nlicense: other\n---",
    "| x | y |\n|---|---|",
    "`code` **bold** _under_ ~~gone~~ &lt;b&gt; $x$ # head",
    "\n# head\n\n- list\n1. list\n> quote\n<!-- hidden",
    "\u202eevil\u202c",
    "; rm -rf ~; $(id) 'q' \"",
]


def tokens_of(text: str) -> list[Any]:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse(text.split("\n---\n", 1)[1])
    return [token for each in tokens for token in (each, *(each.children or []))]


def shape(text: str) -> list[tuple[str, str, str]]:
    """What a renderer makes of a card, without its words."""
    kinds = ("fence", "code_block", "html_block", "html_inline", "link_open", "image", "heading_open", "hr")
    return [
        (token.type, token.info, str(token.attrs.get("href", ""))) for token in tokens_of(text) if token.type in kinds
    ]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_value_is_more_than_words_in_a_card(text: str, run: Path) -> None:
    """A question, names, settings, columns: each is put into both templates, and the card keeps its shape."""
    made = Run(load_evaluation(run / "evaluate"), {"r1": Place("me/one")})
    stage = Made(run / "r1")
    context = model_context(stage, Place("me/one", branch="r1"), "mit", sources(stage, {}), made)
    plain = render("model.md.jinja", context)
    spoilt = context | {
        **{key: text for key in ("name", "paper", "question", "licence", "revision", "hardware", "method")},
        "graph": draw([dataclasses.replace(stage, inside=text)], text),
        "hyperparameters": {text: text},
        "inputs": [(text, text, text)] * len(context["inputs"]),
        "sources": [Source(text, text, text)] * len(context["sources"]),
        "manifest": dataclasses.replace(
            stage.manifest, recipe=text, command=[text], versions={text: text}, git={"revision": text, "dirty": True}
        ),
        "rows": [row | {"name": text} for row in context["rows"]],
    }
    card = render("model.md.jinja", spoilt)
    assert shape(card) == shape(plain) and not set("\r\u2028\u202e\x85\x0b") & set(card)
    for address in ("https://evil", "www.evil", "a@evil"):  # a link wherever it is not code
        assert address not in "".join(token.content for token in tokens_of(card) if token.type == "text")
    (snippet,) = [token.content for token in tokens_of(card) if token.info == "python"]
    values = [node.value for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.Constant)]
    assert text in values and len(ast.parse(snippet).body) == 4
    for line in next(token.content for token in tokens_of(card) if token.info == "sh").splitlines():
        assert line.startswith("#") or not line or shlex.split(line)[:2] in (["vllm", "serve"], ["python", "-m"])

    configs = data_configs(Made(run / "cold_start"))
    whole = dataset_context(configs, Place("me/one", "dataset"), "mit", [], made)
    odd = whole["configs"][0] | {"columns": [text, "question"], "sampling": {text: text}, "rejected": {text: 3}}
    odd |= {"generators": [(text, text)], "name": text, "about": text}
    before = render("dataset.md.jinja", whole | {"configs": [whole["configs"][0] | {"rejected": {"x": 3}}]})
    after = render("dataset.md.jinja", whole | {"configs": [odd], "first": text, "repo": text, "licence": text})
    assert shape(after) == shape(before)
    headed = render("dataset.md.jinja", whole | {"front": {"license": "mit", "tags": [text]}})
    front = RepoCard(headed).data.to_dict()
    assert front == {"license": "mit", "tags": [one_line(text)]}


def test_ordinary_values_are_shown_as_they_are() -> None:
    for text in (
        "r1_zero",
        "62.5 ± 3.8%",
        "2 cores of Intel(R) Xeon(R)",
        "Qwen/Qwen2.5-0.5B",
        "中文 答案",
        "1,290",
        "",
    ):
        assert shown(text) == text
    assert shown("a|b") == "`a\\|b`" and shown(3) == "3"
