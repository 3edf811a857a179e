"""A table hides no case that fails, tries those after it, and says which they were."""

from __future__ import annotations

import pytest
from tables import each


def test_all_that_fail_are_named() -> None:
    tried = []

    @each("number, even", [(2, True), (3, True), (4, True), (5, True)])
    def table(number: int, even: bool) -> None:
        tried.append(number)
        assert (number % 2 == 0) is even, f"{number} is odd"

    with pytest.raises(
        AssertionError, match=r"2 of 4 cases fail(?s:.)*number=3, even=True(?s:.)*number=5.*\n.*5 is odd"
    ):
        table()
    assert tried == [2, 3, 4, 5]


@each("name", ["HOME", "PATH"])
def test_fixtures_and_tables_go_together(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "here")


def test_an_empty_table_is_no_test() -> None:
    with pytest.raises(AssertionError):
        each("case", [])
