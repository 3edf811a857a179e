"""A report in a real browser: it asks for nothing, model output stays text, keyboard and phone are enough."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from report_run import HOSTILE

from r1hf.explain.health.panel import examine
from r1hf.explain.report.single import render_single
from r1hf.explain.runs.read import read_run

pytestmark = pytest.mark.slow


@pytest.fixture
def report(tmp_path: Path) -> str:
    rows = [
        {
            "step": step,
            "prompt": f"What is {group} + 1?",
            "completion": HOSTILE
            if (step, group, place) == (2, 0, 0)
            else f"<think>so {place}</think> <answer>{place}",
            "accuracy": float(place == 1),
            "format": 0.5,
        }
        for step in range(1, 9)
        for group in range(4)
        for place in range(4)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    out = tmp_path / "page.html"
    out.write_text(render_single(examine(read_run(path))), encoding="utf-8")
    return out.as_uri()


@pytest.mark.parametrize("width", [1280, 390])
def test_report(browser: Any, report: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    asked: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(report)
    page.wait_for_selector("#r-list .row")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.fill("#r-text", "OWNED")
    assert page.text_content("#r-count") == "1 fit"
    assert "<script>alert('owned')</script>" in page.text_content("#r-detail")
    page.click("#r-clear")
    page.evaluate("document.querySelector('.more-filters').open = true")
    page.fill("#r-step-low", "8")
    page.select_option("#r-verdict", "right")
    assert page.text_content("#r-count") == "4 fit"
    page.focus("#r-list")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    assert page.get_attribute("#r-list", "aria-activedescendant") == "r-3"
    assert "What is 3 + 1?" in page.text_content("#r-detail") and page.locator("#r-detail tbody tr").count() == 4
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "r-detail"
    page.goto(f"{report}#rollout/rows.jsonl/{4 * 4}")
    page.wait_for_function("document.querySelector('#r-detail').textContent.includes('owned')")
    page.locator(".plot").first.scroll_into_view_if_needed()
    page.wait_for_selector(".plot canvas")
    assert {url.split("#")[0] for url in asked} == {report} and problems == []
    page.close()
