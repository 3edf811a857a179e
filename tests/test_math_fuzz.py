"""The fuzzing target that holds r1hf against math-verify, and the reader of math-verify's own labelled pairs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from fuzz_math import findings  # noqa: E402
from peer_pairs import labelled_pairs, ours  # noqa: E402


def test_made_answers_are_judged_as_they_were_meant():
    found, tried = findings(150, start=3)
    assert sum(tried.values()) == 150 and len(tried) > 6
    assert [finding for finding in found if finding.r1hf is not finding.made.same] == []


def test_the_same_seed_makes_the_same_answers():
    assert findings(20, start=5) == findings(20, start=5)


def test_labelled_pairs_are_read_out_of_tests_that_are_not_run(tmp_path):
    rows = r'[("$9$", "Answer \\( 9 \\)", 1), ("$9$", "$8$", 0), ("$9$", "9.0", 1, 6), ("$9$", "$8$", 0)]'
    path = tmp_path / "test_all.py"
    path.write_text(f"raise SystemExit\n@pytest.mark.parametrize('gold,pred,expected', {rows})\ndef test(): ...\n")
    pairs = labelled_pairs(path)
    assert pairs == [("$9$", r"Answer \( 9 \)", True), ("$9$", "$8$", False)]
    assert [ours(gold, prediction) for gold, prediction, _ in pairs] == [True, False]
