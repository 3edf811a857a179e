"""Writes the tables of results in README.md and README.zh.md from finished runs of `make demo`.

    python scripts/results.py runs/tiny runs/seed-7 runs/seed-1

The first run gives the large table; where there are more, all of them give the small one, a row for each seed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROLES = {
    "base": ("base", "基座"),
    "r1_zero": ("R1-Zero", "R1-Zero"),
    "sft1": ("Dev1", "Dev1"),
    "reasoning_rl": ("Dev2", "Dev2"),
    "sft2": ("Dev3", "Dev3"),
    "r1": ("R1", "R1"),
    "student_qwen_base": ("before distillation", "蒸馏之前"),
    "student_qwen": ("distilled", "蒸馏"),
    "student_qwen_direct_rl": ("direct RL", "直接强化学习"),
    "student_llama_base": ("before distillation", "蒸馏之前"),
    "student_llama": ("distilled", "蒸馏"),
    "student_llama_direct_rl": ("direct RL", "直接强化学习"),
}
HEADS = (
    "| stage | in the paper | pass@1 | format | language | tokens | helpful | harmless | time |",
    "| 阶段 | 论文中的名称 | pass@1 | 格式 | 语言 | 词元数 | 有用 | 无害 | 用时 |",
)
NOTES = (
    "Percent, from one `make demo` (seed {seed}, two CPU cores): {minutes} of stages, peak memory {memory} GiB.",
    "单位为百分比，取自一次 `make demo`（种子 {seed}，双核 CPU）：各阶段共 {minutes}，内存峰值 {memory} GiB。",
)
SEED_HEADS = (
    "The same with other seeds (pass@1, of the base and R1-Zero also the language):",
    "换用其他种子（pass@1；基座与 R1-Zero 另附语言一致率）：",
)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def large_table(summary: dict[str, Any], language: int) -> list[str]:
    lines = [HEADS[language], "|---|---|--:|--:|--:|--:|--:|--:|--:|"]
    for name, roles in ROLES.items():
        row = summary["stages"][name]
        cells = [f"{percent(row['pass_at_1'])} ± {percent(row['stderr'])}"]
        cells += [percent(row[key]) for key in ("format_rate", "language_consistency")]
        cells += [f"{row['mean_completion_tokens']:.1f}", percent(row["helpful_rate"]), percent(row["harmless_rate"])]
        cells.append("–" if row.get("seconds") is None else f"{row['seconds']:.0f} s")
        lines.append(f"| `{name}` | {roles[language]} | " + " | ".join(cells) + " |")
    return lines


def seed_table(runs: dict[int, dict[str, Any]], language: int) -> list[str]:
    shown = [name for name in ROLES if not name.endswith("_base")]
    lines = ["| seed | " + " | ".join(f"`{name}`" for name in shown) + " |", "|--:" * (len(shown) + 1) + "|"]
    for seed, summary in runs.items():
        cells = []
        for name in shown:
            row = summary["stages"][name]
            more = f" ({percent(row['language_consistency'])})" if name in ("base", "r1_zero") else ""
            cells.append(percent(row["pass_at_1"]) + more)
        lines.append(f"| {seed} | " + " | ".join(cells) + " |")
    return [SEED_HEADS[language], "", *lines]


def facts(run: Path) -> tuple[int, float, float]:
    """(seed, seconds of all stages, peak memory in GiB), from the manifests."""
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(run.glob("*/manifest.json"))]
    seconds, peak = sum(one["seconds"] for one in manifests), max(one["peak_rss_mb"] for one in manifests)
    return manifests[0]["seed"], seconds, peak / 1024


def main(paths: list[str]) -> None:
    runs = [Path(path) for path in paths]
    summaries = {facts(run)[0]: json.loads((run / "summary.json").read_text(encoding="utf-8")) for run in runs}
    seed, seconds, memory = facts(runs[0])
    minutes = (f"{seconds // 60:.0f} min {seconds % 60:.0f} s", f"{seconds // 60:.0f} 分 {seconds % 60:.0f} 秒")
    for language, name in enumerate(("README.md", "README.zh.md")):
        note = NOTES[language].format(seed=seed, minutes=minutes[language], memory=f"{memory:.2f}")
        lines = [*large_table(summaries[seed], language), "", note]
        if len(summaries) > 1:
            lines += ["", *seed_table(summaries, language)]
        text = (ROOT / name).read_text(encoding="utf-8")
        block = "<!-- results:begin -->\n\n" + "\n".join(lines) + "\n\n<!-- results:end -->"
        before, _, rest = text.partition("<!-- results:begin -->")
        text = before + block + rest.partition("<!-- results:end -->")[2]
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
