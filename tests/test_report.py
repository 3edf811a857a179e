"""The report: what it holds, that model output cannot act in it, and that a damaged run still gets one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_run import GRAPH, HOSTILE, QUESTIONS, SCORES, manifest, write_json, write_rows, write_run
from tables import each

from r1hf.core.errors import DataError
from r1hf.explain.report import build_summary, payload, write_report
from r1hf.explain.report.charts import MAX_POINTS, smooth, thin
from r1hf.explain.report.curves import rl_curves
from r1hf.explain.report.graph import lay_out, layer_of
from r1hf.explain.report.load import RunData
from r1hf.explain.report.stages import info
from r1hf.explain.report.text import cut, duration, number, percent, visible
from r1hf.explain.report.trend import trend

MODELS = [
    "base", "r1_zero", "sft1", "reasoning_rl", "sft2", "r1", "student_qwen", "student_llama",
    "student_qwen_direct_rl", "student_llama_direct_rl",
]  # fmt: skip
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Elements and visible text of a page; fails on one that is not nested."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.text += data


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = write_run(tmp_path_factory.mktemp("finished") / "runs" / "tiny")
    write_report(run_dir, GRAPH)
    return run_dir


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "tiny", steps=12)


def page_of(run_dir: Path) -> tuple[str, Page]:
    html = (run_dir / "report.html").read_text(encoding="utf-8")
    return html, Page(html)


def summary_of(run_dir: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads((run_dir / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)


def test_summary_has_every_stage_with_scores_and_costs(finished: Path) -> None:
    summary = summary_of(finished)
    assert set(MODELS) <= set(summary["stages"])
    for name in MODELS:
        row = summary["stages"][name]
        assert row["pass_at_1"] == SCORES[name][0] and row["helpful_rate"] == SCORES[name][3]
        assert row["seconds"] == manifest(name, 42)["seconds"] and row["peak_rss_mb"] > 900
        assert row["stderr"] > 0 and row["helpful_stderr"] > 0 and row["truncation_rate"] is not None
    assert set(summary["other_stages"]) == {"cold_start", "rejection_sampling", "reward_models", "evaluate"}
    assert summary["other_stages"]["cold_start"]["metrics"]["rejected"]["wrong_answer"] == 812
    assert summary["seed"] == 42 and summary["settings"]["k"] == 4 and summary["missing"] == []
    assert summary["total_seconds"] == sum(manifest(stage, 42)["seconds"] for stage in GRAPH)
    assert summary["peak_rss_mb"] == max(manifest(stage, 42)["peak_rss_mb"] for stage in GRAPH)
    assert build_summary(finished, GRAPH) == summary


def test_a_model_without_a_stage_stands_before_what_grew_from_it(finished: Path) -> None:
    rows = list(summary_of(finished)["stages"])
    assert rows.index("student_qwen_base") + 1 == rows.index("student_qwen")
    assert [name for name in rows if name in MODELS] == MODELS


def test_table_is_readable_in_a_pipe(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = json.loads((run_dir / "evaluate" / "results.json").read_text())
    results["models"]["sft1"] = {"pass_at_1": None, "stderr": float("nan"), "format_rate": 0.5}
    write_json(run_dir / "evaluate" / "results.json", results)
    write_report(run_dir, GRAPH)
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split("  ")[0]: line for line in lines}
    assert "89.1 ± 1.2%" in rows["r1_zero"] and "1 min 32 s" in rows["r1_zero"]
    assert rows["sft1"].split() == ["sft1", "–", "50.0%", "–", "–", "–", "–", "–", "19", "s"]
    assert len({len(rows[name]) for name in MODELS}) == 1
    assert "\x1b" not in "".join(lines)
    assert summary_of(run_dir)["stages"]["sft1"]["stderr"] is None


def test_longer_problems_stand_beside_and_only_where_there_are_any(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_report(run_dir, GRAPH)
    assert "longer" not in capsys.readouterr().out.splitlines()[0]
    assert ">longer<" not in (run_dir / "report.html").read_text("utf-8")
    results = json.loads((run_dir / "evaluate" / "results.json").read_text())
    longer = {"pass_at_1": 0.125, "stderr": 0.02, "questions": 200, "intervals": {"pass_at_1": [0.1, 0.15]}}
    results["models"]["r1"]["longer"] = longer
    write_json(run_dir / "evaluate" / "results.json", results)
    write_report(run_dir, GRAPH)
    head, _, *lines = (re.split("  +", line.strip()) for line in capsys.readouterr().out.splitlines())
    rows = {line[0]: line for line in lines}
    assert head[1:3] == ["pass@1", "longer"]
    assert rows["r1"][2] == "12.5% (10.0–15.0)" and rows["base"][2] == "–" and rows["r1"][1].startswith("97.1")
    assert summary_of(run_dir)["stages"]["r1"]["longer"]["pass_at_1"] == 0.125
    page = (run_dir / "report.html").read_text("utf-8")
    assert ">longer<" in page and page.count("12.5%") == 1


def test_table_prints_where_the_terminal_has_only_ascii(run_dir: Path) -> None:
    code = "import sys, json, pathlib; from r1hf.explain.report import write_report; "
    code += "write_report(pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(run_dir), json.dumps(GRAPH)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"89.1 +/- 1.2%" in done.stdout


def test_page_loads_nothing_and_runs_nothing(finished: Path) -> None:
    html, page = page_of(finished)
    tags = {tag for tag, _ in page.elements}
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert [one for one in scripts if one.get("type") != "text/plain"] == [{}]
    assert not tags & {"link", "img", "iframe", "object", "embed", "base", "form", "foreignobject", "image"}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert not {"src", "srcset", "xlink:href", "action"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert all("url(" not in (value or "") or "url(#" in (value or "") for value in attributes.values())
    ours = html.replace(str(payload.script()), "")
    assert "http:" not in ours and "https:" not in ours and "@import" not in ours
    policies = [attributes["content"] for tag, attributes in page.elements if "http-equiv" in attributes]
    digest = base64.b64encode(
        hashlib.sha256(html.split("<script>")[1].split("</script>")[0].encode()).digest()
    ).decode()
    assert f"script-src 'sha256-{digest}'" in str(policies[0]) and "default-src 'none'" in str(policies[0])


def test_hostile_output_is_shown_and_not_obeyed(finished: Path) -> None:
    html, page = page_of(finished)
    assert "<script>alert" not in html and "<img" not in html
    assert html.count("</style>") == 1
    assert visible(HOSTILE).strip() in page.text
    assert "\x00" not in html and "\x1b" not in html


def test_every_stage_question_and_curve_is_there(finished: Path) -> None:
    html, page = page_of(finished)
    for stage in GRAPH:
        assert stage in page.text
    for question, _, _ in QUESTIONS:
        assert question in page.text
    assert "乘法在加法之前" in page.text
    labels = [attributes.get("aria-label") or "" for tag, attributes in page.elements if "data-plot" in attributes]
    for stage in ("r1_zero", "reasoning_rl", "r1", "student_qwen_direct_rl", "student_llama_direct_rl"):
        for panel in ("total reward", "reward by component", "completion length", "language consistency", "truncated"):
            assert any(label.startswith(f"{stage} {panel}") for label in labels), (stage, panel)
        for panel in ("groups without signal", "reflection words per 100 words", "entropy", "KL to the reference"):
            assert any(label.startswith(f"{stage} {panel}") for label in labels), (stage, panel)
        (length,) = (label for label in labels if label.startswith(f"{stage} completion length"))
        assert "all from" in length and "right from" in length and "wrong from" in length
    assert any("harmless from" in label and "at step 76" in label for label in labels)
    assert any(label.startswith("sft2 loss") for label in labels)
    assert "wrong answer" in page.text and "1,290" in page.text and "95.7%" in page.text
    assert "recipes/pipeline.py --config recipes/configs/tiny/pipeline.yaml --seed 42" in page.text
    assert "a1b2c3d4e5f6" in page.text and str(finished.parent.parent) not in html


def test_experts_loads_are_lists_and_their_imbalance_is_a_curve(run_dir: Path) -> None:
    for stage in ("sft1", "r1"):
        path = run_dir / stage / "log.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for layer in (1, 2):
            more = {f"experts/layer_{layer}/load": [0.5, 0.25, 0.25], f"experts/layer_{layer}/imbalance": 1.5 * layer}
            rows = [row | more for row in rows]
        write_rows(path, rows)
    write_report(run_dir, GRAPH)
    _, page = page_of(run_dir)
    labels = [attributes.get("aria-label") or "" for tag, attributes in page.elements if "data-plot" in attributes]
    for stage in ("sft1", "r1"):
        (label,) = (label for label in labels if label.startswith(f"{stage} expert imbalance"))
        assert "worst layer" in label and "mean of layers" in label
    assert sum("expert imbalance" in label for label in labels) == 2


def test_a_log_of_trl_alone_has_no_empty_panels() -> None:
    row = {"reward": 1.0, "completions/mean_length": 20.0, "frac_reward_zero_std": 0.25}
    run = RunData(Path("runs"), {"r1_zero": []}, logs={"r1_zero": [{"step": step, **row} for step in (1, 2)]})
    (stage,) = rl_curves(run)
    titles = [panel.title for panel in stage.panels]
    quiet, length = stage.panels[5].chart, stage.panels[2].chart
    assert titles[5:] == ["groups without signal"] and quiet is not None and "25.0% at step 2" in quiet.spoken
    assert length is not None and "all from" not in length.spoken and stage.panels[2].legend == []


def test_the_restart_from_the_base_stands_out(finished: Path) -> None:
    html, _ = page_of(finished)
    marked = [part for part in html.split("<path ")[1:] if 'class="edge marked"' in part]
    assert len(marked) == 2 and all("base → sft2" in part for part in marked)


def test_a_long_completion_is_cut_with_a_note(run_dir: Path) -> None:
    row = {
        "model": "r1",
        "question": "q",
        "answer": "1",
        "completion": "<think>" + "思" * 50_000 + "</think> <answer>1</answer>",
    }
    write_rows(run_dir / "evaluate" / "samples.jsonl", [row])
    write_report(run_dir, GRAPH)
    html, page = page_of(run_dir)
    assert html.count("思") < 5_000
    assert "… cut, 49,700 more characters" in page.text


def test_writing_again_changes_no_byte_and_leaves_no_file(finished: Path) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()}

    before = files()
    write_report(finished, GRAPH)
    assert files() == before and set(before) == {"summary.json", "report.html"}


def test_files_are_replaced_and_a_failed_write_leaves_no_half_file(run_dir: Path) -> None:
    (run_dir / "summary.json").write_text("old")
    os.link(run_dir / "summary.json", run_dir / "seen")
    write_report(run_dir, GRAPH)
    assert (run_dir / "seen").read_text() == "old" and summary_of(run_dir)["seed"] == 42
    (run_dir / "report.html").unlink()
    (run_dir / "report.html").mkdir()
    with pytest.raises(OSError):
        write_report(run_dir, GRAPH)
    assert [path.name for path in run_dir.iterdir() if path.name.endswith(".tmp")] == []


def no_evaluation(run_dir: Path) -> None:
    shutil.rmtree(run_dir / "evaluate")


def no_log(run_dir: Path) -> None:
    (run_dir / "r1_zero" / "log.jsonl").unlink()


def cut_log(run_dir: Path) -> None:
    with (run_dir / "r1_zero" / "log.jsonl").open("ab") as log:
        log.write(b'{"step": 13, "reward": 1.\n[1]\n\xff\xfe')


def no_row(run_dir: Path) -> None:
    results = json.loads((run_dir / "evaluate" / "results.json").read_text())
    del results["models"]["r1"]
    results["models"]["sft2"] = dict.fromkeys(results["models"]["sft2"])
    write_json(run_dir / "evaluate" / "results.json", results)


def no_samples(run_dir: Path) -> None:
    (run_dir / "evaluate" / "samples.jsonl").write_text("")


def bad_manifest(run_dir: Path) -> None:
    (run_dir / "sft2" / "manifest.json").write_text('{"format": 1,')


def strange_file(run_dir: Path) -> None:
    (run_dir / "r1" / "adapter_config.json").write_text("{}")


def other_log(run_dir: Path) -> None:
    (run_dir / "sft1" / "log.jsonl").write_text("[]\n7\n" + "[" * 5000 + "\n" + '{"step": NaN, "loss": 1e999}\n')


def pipes(run_dir: Path) -> None:
    (run_dir / "sft1" / "log.jsonl").unlink()
    (run_dir / "sft1" / "manifest.json").unlink()
    os.mkfifo(run_dir / "sft1" / "log.jsonl")
    os.mkfifo(run_dir / "sft1" / "manifest.json")


def deep(run_dir: Path) -> None:
    (run_dir / "sft1" / "manifest.json").write_text('{"metrics":' * 500 + "1" + "}" * 500)


def nothing(run_dir: Path) -> None:
    for stage in GRAPH:
        shutil.rmtree(run_dir / stage)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (no_evaluation, "No evaluation"),
        (no_log, "R1, 12 steps"),
        (cut_log, "r1_zero/log.jsonl: 3 unreadable lines skipped"),
        (no_row, "not measured"),
        (no_samples, "No sample answers"),
        (bad_manifest, "sft2/manifest.json could not be read"),
        (no_samples, "evaluate is not what its stage made: evaluate/samples.jsonl was changed"),
        (strange_file, "r1 is not what its stage made: r1/adapter_config.json: no stage made this"),
        (other_log, "sft1/log.jsonl: 3 unreadable lines skipped"),
        (pipes, "sft1/manifest.json could not be read: it is not a regular file"),
        (deep, "sft1/manifest.json could not be read: it is null or nested too deep"),
        (nothing, "Not finished, so without a manifest: base, r1_zero"),
    ],
)
def test_a_damaged_run_still_gets_a_page_that_says_so(run_dir: Path, damage: Any, said: str) -> None:
    damage(run_dir)
    write_report(run_dir, GRAPH)
    _, page = page_of(run_dir)
    assert said in page.text or damage is no_log
    assert set(MODELS) <= set(summary_of(run_dir)["stages"])
    curves = [attributes.get("aria-label") or "" for tag, attributes in page.elements if "data-plot" in attributes]
    assert any(label.startswith("r1_zero total reward") for label in curves) is (damage not in (no_log, nothing))


TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # with lone surrogates, which JSON can carry
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["step", "reward", "loss", "rewards/a_reward/mean", "completions/mean_length", "rewards/x/mean"]
)
FIELDS = st.sampled_from(["model", "question", "answer", "language", "completion", "correct", "language_share"])


@settings(max_examples=40)
@given(
    log=st.lists(st.dictionaries(KEYS, JSON), max_size=4),
    samples=st.lists(st.dictionaries(FIELDS, JSON), max_size=3),
    results=JSON | st.fixed_dictionaries({"models": st.dictionaries(st.sampled_from(MODELS), JSON), "settings": JSON}),
    parts=st.dictionaries(st.sampled_from(sorted(manifest("base", 1))), JSON),
)
def test_no_content_of_the_files_stops_the_report(
    tmp_path_factory: pytest.TempPathFactory, log: Any, samples: Any, results: Any, parts: Any
) -> None:
    run_dir = tmp_path_factory.mktemp("odd")
    for stage in ("r1_zero", "cold_start", "evaluate"):
        (run_dir / stage).mkdir()
        (run_dir / stage / "manifest.json").write_text(json.dumps({**manifest(stage, 1), **parts}))
    (run_dir / "r1_zero" / "log.jsonl").write_text("\n".join(map(json.dumps, log)))
    (run_dir / "evaluate" / "samples.jsonl").write_text("\n".join(map(json.dumps, samples)))
    (run_dir / "evaluate" / "results.json").write_text(json.dumps(results))
    write_report(run_dir, GRAPH)
    page_of(run_dir)
    assert "r1_zero" in summary_of(run_dir)["stages"]


def test_a_stage_that_went_on_from_a_checkpoint_keeps_the_later_values(run_dir: Path) -> None:
    rows = [{"step": step, "loss": value} for step, value in ((1, 9.0), (2, 8.0), (3, 7.0), (2, 1.0), (3, 0.5))]
    write_rows(run_dir / "sft1" / "log.jsonl", rows)
    write_report(run_dir, GRAPH)
    assert "sft1 loss: loss from 9 at step 1 to 0.5 at step 3" in (run_dir / "report.html").read_text(encoding="utf-8")


def test_checks_follow_the_numbers(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def states() -> dict[str, bool | None]:
        return {check["name"]: check["passed"] for check in build_summary(run_dir, GRAPH)["checks"]}

    assert set(states().values()) == {True}
    results = json.loads((run_dir / "evaluate" / "results.json").read_text())
    rows = results["models"]
    rows["r1_zero"]["language_consistency"] = rows["base"]["language_consistency"] + 0.01
    rows["r1"]["helpful_rate"] = rows["sft2"]["helpful_rate"] + 0.01
    rows["r1"]["pass_at_1"], rows["sft2"]["pass_at_1"] = 0.95, 0.97
    del rows["student_qwen_direct_rl"]
    write_json(run_dir / "evaluate" / "results.json", results)
    changed = {name: passed for name, passed in states().items() if passed is not True}
    assert changed == {"r1_zero_language": False, "r1_helpful": False, "distil_qwen": None}
    (run_dir / "sft1" / "manifest.json").unlink()
    assert states()["time"] is None and states()["memory"] is None
    write_report(run_dir, GRAPH)
    said = capsys.readouterr().out
    assert "held: 14 of 19, 3 not measured" in said and "NOT held: R1-Zero mixes languages" in said


def test_no_run_directory_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run directory at .*absent"):
        write_report(tmp_path / "absent", GRAPH)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=600), st.integers(1, 90))
def test_smoothing_stays_within_the_data_and_keeps_a_line(values: list[float], window: int) -> None:
    found = smooth([(float(step), value) for step, value in enumerate(values)], window)
    assert min(values) <= min(v for _, v in found) and max(v for _, v in found) <= max(values)
    assert len(found) == min(len(values), MAX_POINTS) and found[0][0] == 0 and found[-1][0] == len(values) - 1
    line = [(float(step), 3.0 - 0.5 * step) for step in range(len(values))]
    assert all(abs(value - (3.0 - 0.5 * step)) < 1e-6 for step, value in smooth(line, window))
    assert thin(range(1000))[0] == 0 and thin(range(1000))[-1] == 999 and len(thin(range(1000))) == MAX_POINTS


@st.composite
def dags(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{index}" for index in range(draw(st.integers(1, 9)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else [] for at, name in enumerate(names)
    }


@given(dags())
def test_layout_puts_edges_forward_and_no_box_on_another(graph: dict[str, list[str]]) -> None:
    depth, layout = layer_of(graph), lay_out(graph, 70.0, 20.0)
    assert all(depth[above] < depth[stage] for stage, upstream in graph.items() for above in upstream)
    assert set(layout.routes) == {(above, stage) for stage, upstream in graph.items() for above in upstream}
    for layer in layout.layers:
        for first, second in zip(layer, layer[1:], strict=False):
            needed = sum(35.0 if isinstance(node, str) else 10.0 for node in (first, second))
            assert layout.place[second] - layout.place[first] >= needed - 1e-6
    assert all(0 <= at <= layout.extent for at in layout.place.values())


def test_a_cycle_is_named() -> None:
    with pytest.raises(DataError, match="cycle: .*a"):
        layer_of({"a": ["b"], "b": ["a"]})


def test_numbers_read_as_a_person_writes_them() -> None:
    assert [duration(value) for value in (4.2, 59.4, 92, 3600, None)] == [
        "4.2 s",
        "59 s",
        "1 min 32 s",
        "1 h 00 min",
        "–",
    ]
    assert [percent(value) for value in (0.8913, 1, float("nan"), None, True)] == ["89.1%", "100.0%", "–", "–", "–"]
    assert visible("a\ud800\x1b") == "a?␛"
    assert number(10**400) is None and cut("a" * 105, 100) == ("a" * 105, 0) and cut("a" * 200, 100)[1] == 100


def test_the_trend_of_a_logged_number() -> None:
    rows = [{"step": step, "length": 20 + step / 10 + (-1) ** step} for step in range(1, 101)]
    rise, errors = trend(rows, "length") or (0.0, 0.0)
    assert rise == pytest.approx((29.55 - 20.55) / 20.55, abs=0.01) and errors > 10
    flat = [{"step": step, "length": 20.0 + (-1) ** step} for step in range(1, 101)]
    found = trend(flat, "length")
    assert found is not None and abs(found[0]) < 0.01 and abs(found[1]) < 2
    assert trend(rows[:9], "length") is None and trend(rows, "width") is None


def test_a_base_that_was_brought_is_not_the_tiny_world(run_dir: Path) -> None:
    path = run_dir / "base" / "manifest.json"
    write_json(path, json.loads(path.read_text()) | {"recipe": "recipes/import_model.py"})
    write_report(run_dir, GRAPH)
    _, page = page_of(run_dir)
    assert summary_of(run_dir)["checks"] == [] and "tiny world" not in page.text
    assert "brought in as it was published" in page.text and "Pretrained here" not in page.text


@each(
    "stage, kind",
    [
        ("student_qwen_1_5b", "sft"),
        ("student_on_policy", "sft"),
        ("direct_rl_qwen_32b", "rl"),
        ("r1_zero_32k", "rl"),
        ("student_base", "base"),
        ("problems", "data"),
        ("mine", "other"),
    ],
)
def test_stages_of_other_names_and_sizes_have_words(stage: str, kind: str) -> None:
    assert info(stage).kind == kind and bool(info(stage).about) is (kind != "other")
