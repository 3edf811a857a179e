"""Configuration: every mistake is found, all of them at once, and what is right is read exactly."""

from __future__ import annotations

import dataclasses
import enum
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge
from hypothesis import given
from hypothesis import strategies as st
from tables import each

from r1hf.core.config import Parsed, StageConfig, describe, jsonable, parse
from r1hf.core.errors import ConfigError
from r1hf.core.redaction import MASK, redact, redact_argv


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class DemoConfig(StageConfig):
    model: str = field(metadata={"input": True, "help": "directory or Hub id to start from"})
    data: list[str] | None = field(default=None, metadata={"input": True})
    rate: float = 0.5
    limit: float | None = None
    steps: Annotated[int, Ge(0)] = 3
    mode: Literal["fast", "slow"] = "fast"
    colour: Colour | str = "red"
    names: list[str] = field(default_factory=list)
    weights: list[float] | None = None
    options: dict[str, Any] | None = None
    verbose: bool = False
    hub_token: str | None = None

    def __post_init__(self) -> None:
        if self.rate > 1:
            raise ValueError(f"rate is {self.rate}, at most 1")


def read(tmp_path: Path, text: str, *argv: str, schemas: tuple[type, ...] = (DemoConfig,)) -> Parsed:
    path = tmp_path / "demo.yaml"
    path.write_text(text)
    return parse(schemas, ["--config", str(path), *argv])


GOOD = "output_dir: out\nmodel: runs/base\n"


def test_yes_and_no_are_truth_values_only_where_one_is_meant(tmp_path: Path) -> None:
    text = "verbose: yes\nnames: [no, on]\nhub_token: off\noptions: {cache: no, no: [yes]}\n"
    parsed = read(tmp_path, f"output_dir: out\nmodel: no\ndata: [no]\n{text}")
    parsed.check()
    (config,) = parsed.configs
    assert (config.verbose, config.names, config.hub_token) == (True, ["no", "on"], "off")
    assert (config.model, config.data, config.options) == ("no", ["no"], {"cache": False, "no": [True]})
    assert "is not a number" in read(tmp_path, GOOD + "rate: yes\n").problems[0]


def test_file_and_overrides(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        GOOD + "rate: 2e-4\nnames: [a, b]\nsteps: 7\n",
        "--steps",
        "9",
        "--weights=[1, 2.5]",
        "--verbose",
        "--options",
        "{min_lr: 1e-6}",
        "--limit=-1",
    )
    parsed.check()
    (config,) = parsed.configs
    assert (config.rate, config.names, config.steps) == (2e-4, ["a", "b"], 9)
    assert (config.weights, config.verbose, config.options, config.limit) == ([1.0, 2.5], True, {"min_lr": 1e-6}, -1.0)
    assert parsed.inputs == {"model": "runs/base"}
    assert parsed.request == {
        "limit": -1.0,
        "names": ["a", "b"],
        "options": {"min_lr": 1e-6},
        "rate": 2e-4,
        "steps": 9,
        "verbose": True,
        "weights": [1.0, 2.5],
    }


def test_equal_requests_however_they_are_written(tmp_path: Path) -> None:
    first = read(tmp_path, GOOD + "rate: 1\nnames: [a]\n")
    second = parse((DemoConfig,), ["--names=[a]", "--output-dir", "elsewhere", "--model", "other", "--rate", "1.0"])
    assert first.request == second.request == {"names": ["a"], "rate": 1.0}


def test_all_problems_at_once_with_line_and_nearest_key(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        "model: m\nrat: 0.1\nsteps: many\nmode: quick\nverbose: 3\n"
        "names: a\nqqqqqq: 1\nweights: [1, x]\nlimit: true\n",
        "--colour",
        "green",
        "stray",
    )
    text = "\n".join(parsed.problems)
    path = tmp_path / "demo.yaml"
    assert f"{path}:2: unknown key 'rat'; did you mean 'rate'?" in parsed.problems
    assert f"{path}:3: steps: 'many' is not a whole number" in text
    assert f"{path}:4: mode: 'quick' is not one of 'fast', 'slow'" in text
    assert f"{path}:5: verbose: 3 is not true or false" in text
    assert f"{path}:6: names: 'a' is not a list of texts" in text
    assert f"{path}:7: unknown key 'qqqqqq'; --help lists every key" in text
    assert f"{path}:8: weights: [1, 'x'] is not a list of numbers or null (see item 2)" in text
    assert f"{path}:9: limit: true is not a number or null" in text
    assert "command line: colour: 'green' is not one of 'red', 'blue'" in text
    assert "command line: 'stray' belongs to no key" in text
    assert "output_dir is missing" in text
    assert len(parsed.problems) == 11
    with pytest.raises(ConfigError) as raised:
        parsed.check()
    assert raised.value.problems == parsed.problems


KEYS = ["größe", "学习率", "raté", "\u202erate", "rate\u200b", "\x00", "\udcff", "😀", "", "a b", "=", "r" * 300]


@each("key", KEYS)
def test_a_key_of_other_letters_is_unknown_in_a_file_and_on_the_command_line(tmp_path: Path, key: str) -> None:
    file = tmp_path / "demo.yaml"
    file.write_text(GOOD + json.dumps(key, ensure_ascii=not key.isprintable()) + ": 1\n")
    (found,) = parse((DemoConfig,), ["--config", str(file)]).problems
    assert found.startswith(f"{file}:") and "unknown key" in found
    file.write_text(GOOD)
    found = parse((DemoConfig,), ["--config", str(file), f"--{key}=1"]).problems[0]
    assert found.startswith("command line") and ("unknown key" in found or "belongs to no key" in found)


def test_what_the_dataclass_itself_refuses_comes_with_the_rest(tmp_path: Path) -> None:
    parsed = read(tmp_path, GOOD + "rate: 3\nsteps: -1\nunknown_thing: 1\n")
    text = "\n".join(parsed.problems)
    assert "DemoConfig: rate is 3.0, at most 1 (seen without steps, which could not be read)" in text
    assert "steps: -1: Input should be greater than or equal to 0" in text
    assert "unknown key 'unknown_thing'" in text
    assert parsed.configs == (None,)


def test_missing_required_keys_are_each_named_once() -> None:
    @dataclass
    class Second:
        output_dir: str

    parsed = parse((DemoConfig, Second), [])
    assert [problem.split(" is missing")[0] for problem in parsed.problems] == ["output_dir", "model"]
    assert "directory or Hub id to start from" in parsed.problems[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: [1\n", "demo.yaml:3: not valid YAML"),
        ("- a\n- b\n", "expected `key: value` lines, found a list"),
        ("rate: 1\nsteps: 2\nrate: 2\n", "demo.yaml:3: the key 'rate' is already set on line 1"),
        ("options: {x: 1, x: 2}\n", "the key 'x' is already set on line 1"),
        ("1: a\n", "the key 1 is not text"),
        ("rate: !!python/object/apply:os.system [ls]\n", "not valid YAML"),
        ("rate: \x00\n", "not valid YAML"),
        ("rate: 2026-13-45\n", "demo.yaml:1: rate: '2026-13-45' is not a number"),
        ("options: &a [*a]\n", "not valid YAML"),
        ("names: " + "[" * 5000, "not valid YAML"),
    ],
)
def test_bad_yaml_is_a_problem_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(read(tmp_path, text).problems)


def test_unreadable_files(tmp_path: Path) -> None:
    missing = parse((StageConfig,), ["--config", str(tmp_path / "none.yaml")])
    assert any("none.yaml: cannot be read: No such file" in problem for problem in missing.problems)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\n")
    assert "cannot be read" in parse((StageConfig,), ["--config", str(tmp_path / "latin.yaml")]).problems[0]
    assert "cannot be read" in parse((StageConfig,), ["--config"]).problems[0]


def test_text_that_looks_like_a_number_on_the_command_line() -> None:
    parsed = parse((DemoConfig,), ["--output_dir", "2026", "--model", "1e3"])
    parsed.check()
    assert (parsed.configs[0].output_dir, parsed.configs[0].model) == ("2026", "1e3")


def test_anchors_and_merges(tmp_path: Path) -> None:
    parsed = read(tmp_path, GOOD + "options: &o {a: 1}\nnames: [x]\n", "--rate", "0.1")
    assert parsed.configs[0].options == {"a": 1}


def test_shared_keys_reach_every_schema(tmp_path: Path) -> None:
    @dataclass
    class Other:
        seed: int = 0
        output_dir: str | None = None
        hidden: int = field(init=False, default=1)

    parsed = read(tmp_path, GOOD + "seed: 7\n", schemas=(DemoConfig, Other))
    parsed.check()
    assert [config.seed for config in parsed.configs] == [7, 7]
    assert parsed.configs[1].output_dir == "out"
    assert "unknown key 'hidden'" in read(tmp_path, GOOD + "hidden: 7\n", schemas=(DemoConfig, Other)).problems[0]


def test_help_lists_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse((DemoConfig,), ["--steps", "x", "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    for item in dataclasses.fields(DemoConfig):
        assert f"--{item.name}: " in out
    assert "--model: text, required. directory or Hub id to start from" in out
    assert "--mode: one of 'fast', 'slow', default 'fast'" in out


def test_no_secret_reaches_what_is_written(tmp_path: Path) -> None:
    secret = "hf_" + "CanaryCanaryCanary"
    parsed = read(
        tmp_path, GOOD + f"hub_token: {secret}\noptions: {{api_key: {secret}, eos_token: <end>, n: {secret}}}\n"
    )
    parsed.check()
    assert parsed.configs[0].hub_token == secret
    written = json.dumps([parsed.request, parsed.resolved(), redact_argv(["--hub_token", secret, f"--x={secret}"])])
    assert secret not in written
    assert parsed.request["options"] == {"api_key": MASK, "eos_token": "<end>", "n": MASK}
    wrong = read(tmp_path, GOOD + f"steps: {secret}\n")
    assert secret not in "\n".join(wrong.problems)
    assert redact_argv(["--hub-token=abc", "--password", "p", "--steps", "1"]) == [
        f"--hub-token={MASK}",
        "--password",
        MASK,
        "--steps",
        "1",
    ]


def test_inputs_are_paths_and_no_part_of_the_request() -> None:
    parsed = parse((DemoConfig,), ["--output_dir", "o", "--model", "m", "--data=[a, b/c]"])
    assert parsed.input_paths == [("model", "m"), ("data", "a"), ("data", "b/c")]
    assert "data" not in parsed.request


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_jsonable_is_json_and_stable(value: Any) -> None:
    plain = jsonable(value)
    json.dumps(plain, allow_nan=False)
    assert jsonable(plain) == plain
    json.dumps(redact(plain), allow_nan=False)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "rate": st.floats(0, 1),
            "steps": st.integers(0, 10**6),
            "mode": st.sampled_from(["fast", "slow"]),
            "names": st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=5), max_size=3),
            "verbose": st.booleans(),
            "limit": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        },
    )
)
def test_any_good_value_survives_the_file_and_the_command_line(tmp_path_factory: Any, values: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("yaml") / "c.yaml"
    # As JSON, which is YAML: its texts are quoted, where PyYAML writes 0E0 without quotes and r1hf reads a number.
    path.write_text(json.dumps({"output_dir": "o", "model": "m", **values}, ensure_ascii=False), encoding="utf-8")
    from_file = parse((DemoConfig,), ["--config", str(path)])
    words = [f"--{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    from_words = parse((DemoConfig,), ["--output_dir", "o", "--model", "m", *words])
    for parsed in (from_file, from_words):
        parsed.check()
        for key, value in values.items():
            assert getattr(parsed.configs[0], key) == value
    assert from_file.request == from_words.request


@given(st.text(max_size=40))
def test_no_text_makes_the_reader_fail(tmp_path_factory: Any, text: str) -> None:
    path = tmp_path_factory.mktemp("yaml") / "c.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    parsed = parse((StageConfig,), ["--config", str(path)])
    assert all(isinstance(problem, str) for problem in parsed.problems)


@pytest.fixture(scope="module")
def schemas() -> tuple[type, ...]:
    """The schemas that the recipes really use."""
    from trl import GRPOConfig

    return (StageConfig, GRPOConfig)


def test_trl_scientific_numbers_and_resolved_dump(schemas: tuple[type, ...], tmp_path: Path) -> None:
    text = "output_dir: o\nlearning_rate: 2e-4\nuse_cpu: true\nbf16: false\nlr_scheduler_kwargs: {min_lr: 1e-6}\n"
    parsed = read(tmp_path, text, "--max-steps", "20", schemas=schemas)
    parsed.check()
    args = parsed.configs[1]
    assert (args.learning_rate, args.max_steps, args.lr_scheduler_kwargs) == (2e-4, 20, {"min_lr": 1e-6})
    resolved = parsed.resolved()
    assert json.loads(json.dumps(resolved, allow_nan=False)) == resolved
    assert resolved["learning_rate"] == 2e-4 and resolved["beta"] == args.beta


def test_trl_every_mistake_together(schemas: tuple[type, ...], tmp_path: Path) -> None:
    text = (
        "output_dir: o\nuse_cpu: true\nnum_generation: 4\nnum_generations: 3\nper_device_train_batch_size: 4\n"
        "steps_per_generation: 1\nbf16: sometimes\nlr_scheduler_type: cosin\n"
    )
    parsed = read(tmp_path, text, schemas=schemas)
    problems = "\n".join(parsed.problems)
    assert "demo.yaml:3: unknown key 'num_generation'; did you mean 'num_generations'?" in problems
    assert "demo.yaml:7: bf16: 'sometimes' is not true or false or null" in problems
    assert "demo.yaml:8: lr_scheduler_type: 'cosin' is not one of 'linear', 'cosine'" in problems
    assert "GRPOConfig: generation_batch_size (4) must be divisible by num_generations (3)" in problems
    assert len(parsed.problems) == 4


def test_trl_help_names_every_key(schemas: tuple[type, ...]) -> None:
    text = describe(schemas)
    for schema in schemas:
        for item in dataclasses.fields(schema):
            assert not item.init or f"--{item.name}: " in text
