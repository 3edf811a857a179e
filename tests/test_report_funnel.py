"""The report draws what became of a data stage's samples, what people decided of them, and how its judge errs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from report_run import GRAPH, HOSTILE, write_json, write_run
from tables import each

from r1hf.data.audit import FILE, SPARE, STEPS, WORDS, Audit, step_of
from r1hf.data.filters import Verdict
from r1hf.explain.report import write_report
from r1hf.explain.report.funnels import funnels, judges, reviews
from r1hf.explain.report.load import RunData, load_run
from r1hf.models.sampling import Completion

REASONS = (None, None, "truncated", "wrong_answer", "wrong_answer", "duplicate", "leak", SPARE)


def audited(run: Path, stage: str = "rejection_sampling") -> Path:
    audit = Audit()
    for number, reason in enumerate(REASONS):
        row = {"question": f"What is {number // 4} + 1? {HOSTILE}", "language": "en", "task": "reasoning"}
        right = step_of(reason) not in STEPS[:2]
        verdict = Verdict(right, str(number), "judge" if number else "rule")
        place = audit.add(row, Completion(f"{HOSTILE} sample {number}", 10 + number, False), verdict, reason)
        if reason == "leak":
            audit.drop(place, reason, f"gsm8k {HOSTILE}")
    audit.write(run / stage / FILE)
    return run


def told(run: Path, stage: str, **metrics: Any) -> None:
    path = run / stage / "manifest.json"
    manifest = json.loads(path.read_text())
    write_json(path, {**manifest, "metrics": {**manifest["metrics"], **metrics}})


REVIEW = {
    **{"rows": 40, "accept": 20, "edit": 4, "reject": 6, "conflict": 2, "undecided": 8, "trained_on": 32},
    "by_reviewer": {"ann": {"decided": 32, "share": 0.8}, HOSTILE: {"decided": 10, "share": 0.25}},
    "agreement": [{"reviewers": ["ann", "bob"], "rows": 10, "alike": 8, "kappa": 0.615}],
}
JUDGE = {
    "model": "/home/somebody/judge-7b",
    "asked": 120,
    "measured": {"labelled": 400, "judged": 390, "error_rate": 0.05, "error_interval": [0.03, 0.08]},
}


def test_the_page_draws_the_funnel_and_who_judged(tmp_path: Path) -> None:
    run = audited(write_run(tmp_path / "run"))
    told(run, "sft2", review=REVIEW)
    told(run, "rejection_sampling", judge=JUDGE)
    write_report(run, GRAPH)
    page = (run / "report.html").read_text()
    assert page.count('<article class="funnel"') == 1 and "8 samples of 2 prompts" in page
    counts = dict(re.findall(r'<th scope="row">(\w+)</th><td class="shape">.*?<td class="number">([^<]*)</td>', page))
    assert list(counts) == list(STEPS) and counts["parsed"] == "7 (87.5%)" and counts["kept"] == "2 (25.0%)"
    for said in ("wrong answer", WORDS["leak"], "repeats <bdi>gsm8k", "1/4 to 1/2", "judged by: kept of sampled"):
        assert said in page
    for said in (
        "ann decided 32 (80.0%)",
        "8 of 10 alike, Cohen&#39;s κ 0.61",
        "wrong: 5.0% (95% interval 3.0% to 8.0%)",
    ):
        assert said in page
    assert "verdicts on 390 of 400 labelled rows" in page and "judge-7b" in page and "/home/somebody" not in page
    assert "<script>alert" not in page and "<img" not in page and page.count("<script>") == 1


def test_a_run_without_audit_review_or_judge_says_nothing_of_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_report(run, GRAPH)
    page = (run / "report.html").read_text()
    assert (
        '<article class="funnel"' not in page
        and "what people decided" not in page
        and "the judge is wrong" not in page
    )


def test_a_damaged_audit_is_a_note_that_tells_nothing_of_the_machine(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "cold_start" / FILE).write_bytes(b"PAR1 and no more")
    loaded = load_run(audited(run), GRAPH)
    assert [one.stage for one in funnels(loaded)] == ["rejection_sampling"]
    (note,) = [note for note in loaded.notes if FILE in note and "cannot be read" in note]
    assert note.startswith("cold_start/audit.parquet") and str(tmp_path) not in note


@each(
    "group, value",
    [
        ("review", None),
        ("review", "by hand"),
        ("review", {}),
        ("review", {"rows": "many", "by_reviewer": [1], "agreement": {"a": 1}}),
        ("review", {"rows": 0, "accept": 0, "by_reviewer": {"ann": 3}, "agreement": [1, {"reviewers": 2}]}),
        ("judge", []),
        ("judge", {"measured": None}),
        ("judge", {"measured": {}}),
        ("judge", {"model": None, "measured": {"error_rate": None, "error_interval": [None]}}),
        ("judge", {"measured": {"error_rate": float("nan"), "error_interval": ["a", "b"]}}),
    ],
)
def test_a_manifest_of_another_version_fails_nothing(group: str, value: Any) -> None:
    run = RunData(Path("nowhere"), {"sft1": []}, manifests={"sft1": {"metrics": {group: value}}})
    assert all(said.summary for said in reviews(run)) and all(lines for _, _, lines in judges(run))
