"""benchmarks/gpu_smoke.py on a CPU: every part beside its estimate, errors as sentences, wheels small and of use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tables import each

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import gpu_smoke  # noqa: E402
import gpu_wheels  # noqa: E402


def wheel(folder: Path, name: str, *files: str) -> Path:
    with zipfile.ZipFile(folder / name, "w") as content:
        for file in files:
            content.writestr(file, "x = 1\n")
    return folder / name


def test_a_part_that_fails_or_is_late_is_recorded_with_its_sentence() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert "KeyError: 'nothing'" in gpu_smoke.run_part({"part": "nothing"}, 60.0, environment)["error"]
    assert "not done after its 0 s" in gpu_smoke.run_part({"part": "machine"}, 0.05, environment)["error"]


def test_without_time_no_part_begins_and_the_file_says_so(tmp_path: Path) -> None:
    words = ["--device", "cpu", "--shapes", "tiny", "--minutes", "0", "--json", str(tmp_path / "x.json")]
    done = subprocess.run([sys.executable, gpu_smoke.__file__, *words], capture_output=True, text=True)
    report = json.loads((tmp_path / "x.json").read_text())
    assert done.returncode == 1 and report["finished"] and os.listdir(tmp_path) == ["x.json"]
    assert {part["error"] for part in report["parts"].values()} == {"not begun: the 0 minutes were over"}


def test_stock_and_r1hf_are_held_against_each_other_where_both_ran() -> None:
    one, two = {"step": 2.0, "measured": {"peak": 100.0}}, {"step": 1.0, "measured": {"peak": 50.0}}
    found = gpu_smoke.against_stock(
        {"sft a trl": one, "sft a r1hf": two, "grpo a trl": {"error": "x"}, "grpo a r1hf": two}
    )
    assert found == {"sft a": {"step": 0.5, "peak": 0.5}}


def test_the_wheels_are_what_the_machine_lacks() -> None:
    brought = {*gpu_wheels.needs("torch"), *gpu_wheels.needs("transformers")}
    wanted = gpu_wheels.needs("r1hf", brought)
    assert {"r1hf", "trl", "peft", "accelerate", "datasets", "pyarrow", "wordfreq"} <= {*wanted}
    assert not {"torch", "numpy", "transformers", "sympy", "pytest"} & {*wanted}


def test_a_wheel_is_written_without_what_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    files = ("wordfreq/__init__.py", "wordfreq/data/large_en.msgpack.gz", "wordfreq/data/small_en.msgpack.gz")
    whole = wheel(tmp_path, "wordfreq-3.1.1-py3-none-any.whl", *files)
    gpu_wheels.shrink(whole, tmp_path / "small" / whole.name)
    gpu_wheels.unpack(tmp_path / "small", tmp_path / "site")
    assert sorted(os.listdir(tmp_path / "site/wordfreq/data")) == ["small_en.msgpack.gz"]


@each(
    "name, wrong",
    [
        (None, "holds no wheels"),
        ("a-1-cp39-cp39-manylinux_2_28_x86_64.whl", "is for cp39, and this is cp3"),
        ("a-1-py3-none-any.whl", ""),
        ("a-1-cp310-abi3-manylinux_2_28_x86_64.whl", ""),
    ],
)
def test_wheels_of_no_use_are_refused(name: str | None, wrong: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("wheels")
    if name:
        wheel(folder, name, "a.py")
    if wrong:
        with pytest.raises(SystemExit, match=wrong):
            gpu_wheels.unpack(folder, folder / "site")
    else:
        gpu_wheels.unpack(folder, folder / "site")
        assert (folder / "site" / "a.py").exists()


@pytest.mark.slow
def test_every_part_runs_on_a_cpu(tmp_path: Path) -> None:
    """Six processes, and six stages of the graph as processes of theirs."""
    words = ["--device", "cpu", "--steps", "1", "--shapes", "tiny", "--minutes", "25", "--part-seconds", "900"]
    done = subprocess.run([sys.executable, gpu_smoke.__file__, *words, "--json", str(tmp_path / "x.json")])
    report = json.loads((tmp_path / "x.json").read_text())
    assert not [part["error"] for part in report["parts"].values() if "error" in part]
    assert done.returncode == 0 and report["finished"] and {*report["against_stock"]} == {"sft tiny", "grpo tiny"}
    for name, part in report["parts"].items():
        if "case" in part:
            assert part["estimate_to_measured"]["peak"] > 0 and part["measured"]["attention"][0] == "sdpa", name
            assert len(part["measured"]["attention"]) == 2  # and the kernel
    assert [*report["parts"]["tiny graph"]["stages"]] == [
        "base",
        *(name for name in gpu_smoke.SHORT if name != "base"),
    ]
