"""Code: does the program pass its hidden tests? (DeepSeek-R1 §2.2.2)"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import ConfigDict

from r1hf.core.errors import ConfigError, DataError
from r1hf.rewards._common import Bounds, Ids, Prompts, Replies, Rewards, column, completion_texts, missing
from r1hf.sandbox import Limits, Sandbox, Verdict, check_sandbox
from r1hf.sandbox.runtime import PACKAGES
from r1hf.verify.code import CodeVerdict, final_code, verify_codes
from r1hf.verify.code_cases import Case, check_room, parse_tests
from r1hf.verify.code_compare import checked_tolerance
from r1hf.verify.code_layouts import ROW_KEYS


@dataclass(frozen=True)
class CodeReward:
    """1.0 for a program that passes every test of its row, 0.0 for one that does not or for no program at all.

    The program is the last closed Python block of the answer (`r1hf.verify.code.final_code`), the tests are the
    column `tests` (`r1hf.verify.code_cases`); the function of functional tests may be named by the row's `fn_name`,
    `func_name`, `entry_point`, `metadata` or `starter_code`. `partial` pays the share of tests passed. `tolerance` is
    for decimals (None: 1e-6), `packages` are the installed ones that programs may import. None where the row has no
    tests or the sandbox failed. Raises SandboxError where no sandbox works, when it is made: before training; and
    DataError for a row by which no program can be judged, which `fault` tells beforehand.

    Resists: the first lines of the expected output only, or more than it; the score printed; `exit(0)`; objects that
    equal everything; patched builtins; results written to the harness's pipes; a program in the thought only, or cut
    off; another integer within the tolerance; a program that does nothing, where some tests expect nothing. Not a
    program that has the tests by heart: they must not be in the prompt.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}

    prefilled: bool = False
    tests_column: str = "tests"
    partial: bool = False
    limits: Limits = field(default_factory=Limits)
    tolerance: float | None = None
    workers: int = 0
    sandbox: str = "auto"
    unsafe_exec: bool = False
    packages: tuple[str, ...] = PACKAGES
    __name__ = "code_reward"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    outcome: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = ("code",)

    def __post_init__(self) -> None:
        problems = []
        for check in (lambda: checked_tolerance(self.tolerance), self._sandbox):
            try:
                check()
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(problems)

    def __call__(self, prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
        tests = column(columns, self.tests_column, len(completions), self.__name__)
        texts = completion_texts(completions, prefilled=self.prefilled)
        rewards: Rewards = [None] * len(texts)
        runs: dict[int, tuple[str, list[Case]]] = {}
        named = {key: columns[key] for key in ROW_KEYS if isinstance(columns.get(key), list)}
        for row, (text, given) in enumerate(zip(texts, tests, strict=True)):
            try:
                cases = self._cases({self.tests_column: given, **{key: values[row] for key, values in named.items()}})
            except DataError as error:
                raise DataError(f"row {row} of the batch, column {self.tests_column!r}: {error}") from error
            if cases is None:
                continue
            if (code := final_code(text, prefilled=self.prefilled)) is None:
                rewards[row] = 0.0
            else:
                runs[row] = code, cases
        verdicts = self._verify(list(runs.values()))
        for row, verdict in zip(runs, verdicts, strict=True):
            rewards[row] = verdict.fraction if self.partial else verdict.score
        _log(columns.get("log_metric"), verdicts)
        return rewards

    def fault(self, row: Mapping[str, Any]) -> str | None:
        """Why no program can be judged by the tests of a row of the data set; None where one can, or it has none."""
        try:
            self._cases(row)
        except DataError as error:
            return f"{self.tests_column}: {error}"
        return None

    def _sandbox(self) -> Sandbox:
        return check_sandbox(self.sandbox, unsafe_exec=self.unsafe_exec, packages=self.packages)

    def _cases(self, row: Mapping[str, Any]) -> list[Case] | None:
        tests = row.get(self.tests_column)
        if missing(tests) or tests in ([], (), {}, ""):
            return None
        cases = parse_tests(tests, {key: row[key] for key in ROW_KEYS if key in row})
        check_room(cases, self.limits)
        return cases

    def _verify(self, runs: list[tuple[str, list[Case]]]) -> list[CodeVerdict]:
        """Each different program once."""
        distinct: dict[bytes, int] = {}
        places = [distinct.setdefault(pickle.dumps(run), len(distinct)) for run in runs]
        chosen = [places.index(place) for place in range(len(distinct))]
        verdicts = verify_codes(
            [runs[index][0] for index in chosen],
            [runs[index][1] for index in chosen],
            self.limits,
            workers=self.workers,
            sandbox=self._sandbox(),
            tolerance=self.tolerance,
            run_all=self.partial,
        )
        return [verdicts[place] for place in places]


def _log(log_metric: Any, verdicts: Sequence[CodeVerdict]) -> None:
    """The share of each verdict among the programs that ran, through TRL's `log_metric`."""
    if callable(log_metric) and verdicts:
        for kind in Verdict:
            log_metric(f"code/{kind.value}", sum(verdict.verdict is kind for verdict in verdicts) / len(verdicts))


def get_code_reward(
    *,
    prefilled: bool = False,
    tests_column: str = "tests",
    partial: bool = False,
    limits: Limits | None = None,
    tolerance: float | None = None,
    workers: int = 0,
    sandbox: str = "auto",
    unsafe_exec: bool = False,
    packages: Sequence[str] = PACKAGES,
) -> CodeReward:
    """A code reward. `unsafe_exec` allows to run without a sandbox where none works: every file is then open to it."""
    return CodeReward(
        prefilled,
        tests_column,
        partial,
        limits or Limits(),
        tolerance,
        workers,
        sandbox,
        unsafe_exec,
        (packages,) if isinstance(packages, str) else tuple(packages),
    )


def code_reward(prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
    """`CodeReward` with its defaults: the tests are the column `tests`."""
    return CodeReward()(prompts, completions, completion_ids, **columns)
