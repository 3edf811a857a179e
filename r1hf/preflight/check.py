"""The front door: a file is read once, then its settings, rewards, rehearsal and estimate are looked at in turn.

What goes wrong in one part is a finding of that part, and keeps no other from its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from r1hf.core.errors import ConfigError, R1Error
from r1hf.models.shapes import Shape
from r1hf.preflight.configuration import check_configuration, placed
from r1hf.preflight.estimate.cost import Total, total_of
from r1hf.preflight.estimate.estimate_part import check_estimate
from r1hf.preflight.estimate.one_stage import StagePlan
from r1hf.preflight.facts import Facts, Machine
from r1hf.preflight.finding import Finding
from r1hf.preflight.rehearsal.makers import Maker, makers_of
from r1hf.preflight.rehearsal.miniature import Miniatures
from r1hf.preflight.rehearsal.rehearse import rehearse
from r1hf.preflight.rehearsal.result import Rehearsal
from r1hf.preflight.rewards.rewards_part import check_rewards
from r1hf.preflight.rewards.verdicts import RewardReport
from r1hf.preflight.settings.packages import check_versions
from r1hf.preflight.settings.settings_part import check_settings
from r1hf.preflight.stages import Loaded, load, selected

PARTS = ("settings", "rewards", "rehearsal", "estimate")
CONFIGURATION = "configuration"  # what the reading finds: reported whatever parts are asked for
Progress = Callable[[str, int, int, str], None]  # part, stages that are done, of how many, the stage that comes


@dataclass(frozen=True)
class Asked:
    """What a person asks for. parts: some of `PARTS`. stages: of a pipeline, all if empty. sets: KEY=VALUE, or
    STAGE.KEY=VALUE. processes, launched: what a launcher has started already, and what it was asked for, in words.
    rows: of each prompt file, for the rewards; 0 for all. seed: which of them.
    """

    file: Path
    parts: tuple[str, ...] = PARTS
    stages: tuple[str, ...] = ()
    recipe: str | None = None
    sets: tuple[str, ...] = ()
    launch: Path | None = None
    processes: int | None = None
    launched: tuple[str, ...] = ()
    run_dir: str | None = None
    machine: Machine = Machine()
    rows: int = 8
    seed: int = 0


@dataclass
class StageReport:
    """What was found about one stage, by part; and what the parts know beyond that."""

    facts: Facts
    findings: dict[str, list[Finding]] = field(default_factory=dict)
    rewards: RewardReport | None = None
    rehearsal: Rehearsal | None = None

    @property
    def name(self) -> str:
        return self.facts.stage.name

    @property
    def plan(self) -> StagePlan | None:
        """The estimate, where it was asked for and can be made."""
        if "estimate" not in self.findings or not isinstance(self.facts.plan, StagePlan):
            return None
        return self.facts.plan


@dataclass
class Report:
    """Of one file. common: what is true of every stage."""

    asked: Asked
    stages: list[StageReport]
    common: list[Finding] = field(default_factory=list)

    @property
    def findings(self) -> Iterator[tuple[str, str, Finding]]:
        """(stage, part, finding) of all; the stage is empty for what is common."""
        for finding in self.common:
            yield "", CONFIGURATION, finding
        for stage in self.stages:
            for part, found in stage.findings.items():
                for finding in found:
                    yield stage.name, part, finding

    @property
    def passed(self) -> bool:
        return all(finding.grade != "error" for _, _, finding in self.findings)

    @property
    def total(self) -> Total:
        plans = [stage.plan for stage in self.stages if stage.plan is not None]
        return total_of(plans, self.asked.machine.price)


def check(asked: Asked, progress: Progress = lambda part, done, count, stage: None) -> Report:
    """Looks at what `asked` names. Raises ConfigError where there is nothing to look at."""
    cluster = asked.machine.cluster
    gpus = 1 if cluster is None else cluster.count
    progress("reading", 0, 1, str(asked.file))
    loaded, problems, graph = load(
        asked.file, asked.recipe, asked.sets, asked.launch, asked.processes, asked.run_dir, gpus
    )
    shapes: dict[str, Shape] = {}
    every = [StageReport(Facts(stage, asked.machine, shapes)) for stage in loaded]
    report = Report(asked, selected(every, asked.stages), [Finding("error", "pipeline", text) for text in problems])
    if "settings" in asked.parts:
        report.common += check_versions()
    makers = makers_of(asked.file, graph) if "rehearsal" in asked.parts else []
    with tempfile.TemporaryDirectory(prefix="r1hf-check-") as directory:
        work = _Work(asked, Path(directory), Miniatures(Path(directory) / "models"), makers)
        work.configurations(report, every)
        for part in asked.parts:
            for number, stage in enumerate(report.stages):
                progress(part, number, len(report.stages), stage.name)
                with _contained(stage, part):
                    work.do(part, stage)
                stage.findings[part] = [one for one in stage.findings[part] if not _said(one, stage)]
    return report


@dataclass(frozen=True)
class _Work:
    """The parts of one check, and what its rehearsals share."""

    asked: Asked
    directory: Path
    miniatures: Miniatures
    makers: Sequence[Maker]

    def configurations(self, report: Report, every: Sequence[StageReport]) -> None:
        """What the reading found, of all stages, before any part begins."""
        for stage in report.stages:
            inputs = "settings" in self.asked.parts
            stage.findings[CONFIGURATION] = check_configuration(stage.facts, inputs)
        if {"settings", "estimate"} & set(self.asked.parts):
            for stage in every:  # each model's shape is that of the stage before it, asked for or not
                if stage.facts.stage.configs is not None:
                    with suppress(Exception):  # the parts say so
                        _ = stage.facts.plan

    def do(self, part: str, report: StageReport) -> None:
        """One part of one stage."""
        stage = report.facts.stage
        if stage.configs is None:
            report.findings[part] = [Finding("skipped", part, "the configuration cannot be built", "mend it first")]
        elif part == "settings":
            report.findings[part] = check_settings(report.facts)
        elif part == "rewards":
            report.findings[part], report.rewards = check_rewards(report.facts, self.asked.rows, self.asked.seed)
        elif part == "rehearsal":
            self._rehearse(report, stage)
        else:
            report.findings[part] = check_estimate(report.facts)

    def _rehearse(self, report: StageReport, stage: Loaded) -> None:
        place = self.directory / stage.name
        place.mkdir()
        report.rehearsal = rehearse(stage, place, self.miniatures, self.makers, self.asked.launched)
        wrong = [placed(report.facts, text, "rehearsal") for text in report.rehearsal.problems]
        report.findings["rehearsal"] = report.rehearsal.findings() + wrong


def _said(finding: Finding, stage: StageReport) -> bool:
    """Whether an error is one that the reading has named already."""
    problems = stage.facts.stage.problems
    return finding.grade == "error" and any(
        finding.found in problem or problem in finding.found for problem in problems
    )


@contextmanager
def _contained(stage: StageReport, part: str) -> Iterator[None]:
    """What a part raises is a finding: it hides nothing of the others."""
    try:
        yield
    except R1Error as error:
        texts = error.problems if isinstance(error, ConfigError) else [str(error)]
        stage.findings[part] = [Finding("error", part, text) for text in texts]
    except Exception as error:  # a fault of the check itself, or of a recipe of one's own
        text = f"this check failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        stage.findings[part] = [Finding("error", part, text, "please report it, if the recipe is r1hf's own")]
