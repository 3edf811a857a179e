"""The licence chain: what a base or data forbids."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1hf.publish.licences import KEEPS, NO_DERIVATIVES, NONCOMMERCIAL, OWN, PERMISSIVE, LicenceError, Source, choose
from r1hf.publish.lineage import Made, sources

KNOWN = sorted(PERMISSIVE | KEEPS | NONCOMMERCIAL | NO_DERIVATIVES)


def base(licence: str | None, role: str = "base or teacher") -> Source:
    return Source("org/thing", role, licence)


@pytest.mark.parametrize(
    ("licences", "wanted", "repo", "chosen"),
    [
        (["apache-2.0"], None, "me/x", "apache-2.0"),
        (["apache-2.0", "mit"], "mit", "me/x", "mit"),
        (["llama3.1"], None, "me/Llama-x", "llama3.1"),
        (["llama3.3", "mit"], None, "me/llama-x", "llama3.3"),
        (["cc-by-nc-4.0"], None, "me/x", "cc-by-nc-4.0"),
        (["cc-by-sa-4.0", "apache-2.0"], None, "me/x", "cc-by-sa-4.0"),
        ([], None, "me/x", OWN),
    ],
)
def test_allowed(licences: list[str], wanted: str | None, repo: str, chosen: str) -> None:
    assert choose([base(licence) for licence in licences], wanted, repo) == chosen


@pytest.mark.parametrize(
    ("licences", "wanted", "words"),
    [
        ([None], None, "--base-license org/thing=ID"),
        (["llama3.1"], "apache-2.0", "must stay; asked for apache-2.0"),
        (["llama3.1"], None, "push to me/Llama-x"),
        (["llama3.1", "llama3.3"], None, "must stay"),
        (["cc-by-nc-4.0"], "mit", "forbids commercial use"),
        (["llama3.1", "cc-by-nc-4.0"], None, "forbids commercial use"),
        (["cc-by-nd-4.0"], None, "allows no derived work"),
        (["apache-2.0"], "my-own", "not one that r1hf knows"),
    ],
)
def test_refused(licences: list[str | None], wanted: str | None, words: str) -> None:
    with pytest.raises(LicenceError, match="the licence forbids this push") as error:
        choose([base(licence) for licence in licences], wanted, "me/x")
    assert words in str(error.value)


@given(st.lists(st.sampled_from([*KNOWN, None]), max_size=4), st.sampled_from([None, *KNOWN]))
def test_what_is_chosen_never_frees_what_a_source_binds(licences: list[str | None], wanted: str | None) -> None:
    try:
        chosen = choose([base(licence) for licence in licences], wanted, "me/Llama-x")
    except LicenceError:
        return
    assert None not in licences and not NO_DERIVATIVES & set(licences)
    assert all(licence == chosen for licence in licences if licence in KEEPS)
    if NONCOMMERCIAL & set(licences):
        assert chosen in NONCOMMERCIAL


def test_a_benchmark_that_was_kept_out_is_no_source(tmp_path: Path) -> None:
    made = Made(tmp_path)
    bench = {"path": "org/bench@1", "fingerprint": "f", "repo": "org/bench"}
    inputs: Any = {"prompts": {"path": "a.jsonl", "fingerprint": "g"}, "decontaminate": [bench]}
    vars(made)["manifest"] = SimpleNamespace(stage="mix", recipe="sft.py", inputs=inputs, outputs={}, config={})
    assert [source.name for source in sources(made, {})] == ["a.jsonl"]
