"""The predicted memory is what a step takes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from r1hf.preflight.estimate import peak_memory as memory

spec = importlib.util.spec_from_file_location("bench", Path(__file__).parents[2] / "benchmarks" / "plan.py")
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["r1hf", "trl"])
@pytest.mark.parametrize(
    "case",
    [("sft", "deep", 4, 1, 0, 128, False, False), ("grpo", "wide", 8, 2, 16, 24, False, True)],
    ids=["sft", "grpo"],
)
def test_prediction_is_within_15_percent_of_the_resident_peak(case, trainer, tmp_path):
    bench.make_model(tmp_path, case[1])
    found = bench.launch(case, trainer, str(tmp_path))
    predicted = memory.predict(bench.job_of(case, gpu=False), None)
    assert predicted.peak == pytest.approx(found["peak"], rel=0.15)


def test_every_case_of_the_benchmark_can_be_predicted():
    for case in [*bench.CPU.values(), *bench.GPU.values()]:
        assert memory.predict(bench.job_of(case, gpu=case in bench.GPU.values()), bench.DEVICES["H100"]).peak > 0
