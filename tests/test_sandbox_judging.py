"""What comes back from a sandbox is looked at within bounds, and what goes in says nothing of what is expected."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_target import first_working

from r1hf.core.errors import DataError
from r1hf.sandbox import Limits, Verdict, check_sandbox, session
from r1hf.sandbox.inside import codec
from r1hf.verify.code import verify_code
from r1hf.verify.code_compare import same_text, same_value
from r1hf.verify.code_layouts import shown

PRIME = 2**61 - 1  # numbers that differ by it have one hash
needs_sandbox = pytest.mark.skipif(first_working() is None, reason="no sandbox works here")


def sent(tests: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that goes into the sandbox while a program that is always wrong is judged."""
    found: list[bytes] = []
    real, sandbox = session._send, check_sandbox()

    def send(process: Any, data: bytes, deadline: float) -> None:
        found.append(bytes(data))
        real(process, data, deadline)

    with monkeypatch.context() as patch:
        patch.setattr(session, "_send", send)
        patch.setattr("r1hf.sandbox.backends.secrets.randbelow", lambda most: 7)
        verify_code("def f(x): return x\nprint('?')", tests, run_all=True, sandbox=sandbox)
    return found


@needs_sandbox
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([{"stdin": "1", "stdout": "YES"}], [{"stdin": "1", "stdout": "NO"}]),
        ([{"stdin": "1", "stdout": "a" * 9_000_000}], [{"stdin": "1", "stdout": ""}, {"stdin": "2", "stdout": "b"}]),
        ([{"stdin": "1", "stdout": "0.5"}], [{"stdin": "1", "stdout": "1"}]),
        ([{"function": "f", "args": [1], "expected": 1}], [{"function": "f", "args": [1], "expected": [[]] * 10**5}]),
        ([{"function": "f", "args": [1], "expected": 0.5}], [{"function": "f", "args": [1], "expected": {"a": None}}]),
    ],
)
def test_what_goes_in_does_not_depend_on_what_is_expected(one, other, monkeypatch: pytest.MonkeyPatch):
    sides = [sent(tests, monkeypatch) for tests in (one, other)]
    count = min(map(len, sides))  # a second case is there only once the first has been run
    assert count >= 2 and sides[0][:count] == sides[1][:count]


@needs_sandbox
def test_a_long_output_is_right_where_it_is_expected_and_too_much_where_it_is_not():
    code = "print('x' * 3_000_000)"
    assert verify_code(code, [{"stdin": "", "stdout": "x" * 3_000_000}]).score == 1.0
    verdict = verify_code(code, [{"stdin": "", "stdout": "x"}])
    assert verdict.verdict is Verdict.RUNTIME_ERROR and "bytes of output" in verdict.detail
    with pytest.raises(DataError, match="test 0 expects 2000 bytes, and the limit on output is 1000"):
        verify_code("", [{"stdin": "", "stdout": "x" * 2000}], Limits(output=1000))


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "expected", "detail"),
    [
        ("def f(): return [None] * 500_000", [None], "more than 10002 values"),
        ("def f(): return {i: i for i in range(400_000)}", {1: 1}, "bytes of output"),
        ("def f(): return 1 << 10_000_000", 1, "bytes of output"),
        ("def f(): return 1 << 1_000_000", 1, "an integer of 1000001 bits"),
        ("def f(): return 'x' * 10**6", "y", "xxx…"),
        (f"def f(): return {{{PRIME} * i for i in range(1, 4000)}}", {1}, "returned {"),
    ],
)
def test_a_large_value_is_wrong_without_being_read(code: str, expected: object, detail: str):
    verdict = verify_code(code, [{"function": "f", "args": [], "expected": expected}])
    assert verdict.score == 0.0 and detail in verdict.detail


@needs_sandbox
@pytest.mark.parametrize("value", [{1: {2: 3}}, {(1, 2): {3}}, {frozenset({1}), frozenset()}, {None: 1}, set(), {}])
def test_dicts_and_sets_are_still_right(value: object):
    assert verify_code(f"def f(): return {value!r}", [{"function": "f", "args": [], "expected": value}]).score == 1.0


def tables(keys: list[int]) -> list[bytes]:
    whole = b"".join(b"i%x;" % key for key in keys)
    return [b"S%x;" % len(keys) + whole, b"d%x;" % len(keys) + whole.replace(b";", b";n")]


@pytest.mark.parametrize("data", tables([PRIME * i for i in range(1, 60_001)] + list(range(1, 60_003))))
def test_keys_of_one_place_are_never_hashed(data: bytes):
    value = codec.foreign(memoryview(data), 10**6)
    assert isinstance(value, (codec.Table, codec.Bag)) and len(value) == 120_002
    assert not same_value(value, {1: None}) and not same_value(value, {1})
    assert len(shown(value)) < 300
    with pytest.raises(codec.CodecError, match="share their places"):
        codec.plain(memoryview(data))


@pytest.mark.parametrize(
    ("data", "expected", "same"),
    [
        (b"d2;i1;T i2;T".replace(b" ", b""), {1: True, 2: True}, True),
        (b"d2;i1;Ti1;T", {1: True, 2: True}, False),  # a key twice
        (b"d1;TT", {1: True}, False),
        (b"d1;l0;T", {1: True}, False),  # a list is no key
        (b"d1;i1;T", {"1": True}, True),  # as JSON writes it
        (b"S2;i1;i1;", {1, 2}, False),
        (b"S1;F1;i1;", {frozenset({1})}, True),
        (b"l1;i1;", {1}, False),
        (b"S1;i1;", [1], False),
        (b"d0;", set(), False),
        (b"S0;", {}, False),
        (b"d0;", [], False),
    ],
)
def test_forged_tables(data: bytes, expected: object, same: bool):
    assert same_value(codec.foreign(memoryview(data), 100), expected) is same


@pytest.mark.parametrize("data", [b"l5;nnnnn", b"d3;nnnnnn", b"l1;" * 5 + b"n"])
def test_no_more_values_are_read_than_allowed(data: bytes):
    assert codec.foreign(memoryview(data), 7)
    with pytest.raises(codec.CodecError, match="more than 5 values"):
        codec.foreign(memoryview(data), 5)


ends = st.text(alphabet=" \n\t\r\x0c.59a-e", max_size=12)


def by_lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


@given(ends, ends)
def test_texts_are_the_same_line_by_line(one: str, other: str):
    """The quick way says what a look at every line would."""
    if by_lines(one) == by_lines(other):
        assert same_text(one, other, reals=False)
    else:
        assert not same_text(one, other, reals=False)


@pytest.mark.parametrize(
    "value",
    [
        1,
        -7,
        2**5000,
        "a'b",
        b"x",
        0.5,
        None,
        True,
        [],
        (),
        (1,),
        (1, 2),
        {},
        {1: [2]},
        [[1, "x"]] * 99,
        {"a": {"b": 1}},
    ],
)
def test_a_value_is_shown_as_python_writes_it(value: object):
    if isinstance(value, int) and value.bit_length() > 800:
        assert shown(value) == "an integer of 5001 bits"
    else:
        assert shown(value) == repr(value)[:200] + "…" * (len(repr(value)) > 200)
