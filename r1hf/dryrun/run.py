"""One stage's dry run: read as for a launch, resolved configuration written, then the recipe on miniatures."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
import traceback
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from r1hf.core.config import Parsed, StageConfig, jsonable, parse
from r1hf.core.errors import ConfigError, NothingKept, R1Error
from r1hf.core.files import write_atomic
from r1hf.core.source import paths_of
from r1hf.data.rows import NO_GOLD
from r1hf.doctor.load import assume_gpu
from r1hf.doctor.templates import find_tokenizer
from r1hf.dryrun.machine import UNREADABLE, portable
from r1hf.dryrun.miniature import Known, architecture, tiny_tokenizer, write_miniature
from r1hf.dryrun.report import Report
from r1hf.dryrun.rows import first_rows, local, made_up, write_source
from r1hf.pipeline.check import load_recipe, planned_processes, read_stage
from r1hf.rehearsal import rehearsal
from r1hf.stage.directory import sibling
from r1hf.stage.stage import quiet_libraries

# What makes data recipes and the base short; a key counts only where the recipe has it.
_SHORT = {
    **{"documents": 300, "tokenizer_documents": 300, "problems": 2, "samples": 1, "k": 1, "general_k": 1},
    **{"max_new_tokens": 8, "shown": []},
}
_LIMITS = ("max_prompt_length", "max_length")
_ROWS = 16


@dataclass
class Job:
    """A stage to try. argv: as on its command line. processes: of the launch to come. family: stages that make models.
    untried: what the launch asks for and this process has not.
    """

    name: str
    recipe: Path
    argv: list[str]
    config: Path | None = None
    processes: int = 1
    family: Sequence[Known] = ()
    untried: list[str] = field(default_factory=list)


def dry_run(job: Job) -> Report:
    """Tries one stage. What is wrong with it is in the report's `problems`; nothing that it reads or made is touched.

    Beside the stage's output directory `NAME.dry-run.yaml` is written: every key with its final value.
    """
    began = time.monotonic()
    report = Report(job.name, job.recipe, job.config)
    report.untried += job.untried
    if job.processes > 1:
        report.untried.append(f"{job.processes} processes (their arithmetic was checked)")
    try:
        module, parsed, given = read_as_launched(job)
        report.notes += parsed.notes
        report.resolved = _write_resolved(job, parsed, given)
        with tempfile.TemporaryDirectory(prefix="r1hf-dry-run-") as directory:
            _rehearse(job, module, parsed, given, Path(directory), report)
    except ConfigError as error:
        report.problems += error.problems
    except R1Error as error:
        report.problems.append(str(error))
    report.seconds = time.monotonic() - began
    return report


def read_as_launched(job: Job) -> tuple[ModuleType, Parsed, dict[str, Any]]:
    """The recipe, its configuration as on the machine of the launch, and the keys that were given.

    Raises ConfigError with all problems.
    """
    try:
        module = load_recipe(job.recipe)
    except Exception as error:
        raise ConfigError(f"{job.recipe} cannot be imported: {type(error).__name__}: {error}") from error
    quiet_libraries()
    known = parse(module.CONFIGS, job.argv)
    missing = [name for name, value in known.inputs.items() if any(not Path(p).exists() for p in paths_of(value))]
    hidden = {key: known.request[key] for key in UNREADABLE if known.request.get(key) is not None}
    words = [*job.argv, *(f"--{key}=null" for key in hidden)]
    told = {"recipe": str(job.recipe), "own": words, "inputs": {name: [] for name in missing}, "overrides": []}
    with assume_gpu():
        _, parsed, problems = read_stage(told | {"processes": job.processes})
    if parsed is None or problems:
        raise ConfigError(problems)
    return module, parsed, {**parsed.request, **hidden}


def _write_resolved(job: Job, parsed: Parsed, given: Mapping[str, Any]) -> Path:
    values = parsed.resolved()
    values |= {key: given[key] for key in UNREADABLE if given.get(key) is not None}
    path = sibling(Path(values["output_dir"]), "dry-run.yaml")
    head = f"# Every key of {job.recipe.name}{f' with {job.config}' if job.config else ''} as resolved by a dry run.\n"
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith("# Every key of "):
        raise ConfigError(f"{path} exists and no dry run wrote it; move it away, or choose another output_dir")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, head + yaml.safe_dump(values, sort_keys=True, allow_unicode=True, width=119))
    return path


def _rehearse(
    job: Job, module: ModuleType, parsed: Parsed, given: Mapping[str, Any], directory: Path, report: Report
) -> None:
    """Runs the recipe in `directory`; raises what it raises."""
    values, untried = portable(given)
    report.untried += untried
    config = next(one for one in parsed.configs if isinstance(one, StageConfig))
    values |= {key: value for key, value in _SHORT.items() if hasattr(config, key)}
    values |= _inputs(job, parsed, config, directory / "in", report)
    if any("the tiny world's tokenizer" in by for _, by in report.replaced):
        gone = [key for key in _LIMITS if values.pop(key, None) is not None]
        report.untried += [f"{key} (it counts another tokenizer's tokens)" for key in gone]
    values["output_dir"] = str(directory / "out" / Path(config.output_dir).name)
    report.replaced.append((config.output_dir, "a temporary directory, deleted again"))
    trainer = _is_trainer(parsed)
    if trainer:
        values |= {"use_cpu": True, "bf16": False, "disable_tqdm": True}
    file = directory / "rehearsal.yaml"
    file.write_text(yaml.safe_dump(jsonable(values), allow_unicode=True), encoding="utf-8")
    with planned_processes(job.processes), rehearsal() as under_way:
        try:
            _quietly(module, ["--config", str(file)])
        except NothingKept:
            report.built.append("samples of 8 tokens by random weights, of which the filters kept none")
    report.built += under_way.built
    if not report.built:
        report.built.append("the whole recipe, on samples of 8 tokens by random weights")


def _is_trainer(parsed: Parsed) -> bool:
    return any(hasattr(config, "use_cpu") for config in parsed.configs)


def _quietly(module: ModuleType, argv: list[str]) -> None:
    """The recipe's main; what it prints is shown only where it fails."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            module.main(argv)
    except R1Error:
        raise
    except Exception as error:
        print(said.getvalue()[-3000:], file=sys.stderr)
        traceback.print_exc()
        raise ConfigError(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}") from error


def _inputs(job: Job, parsed: Parsed, config: StageConfig, directory: Path, report: Report) -> dict[str, Any]:
    """Each input field with something of this machine in place of what it names."""
    directory.mkdir(parents=True)
    made: dict[str, Any] = {}
    hints = typing.get_type_hints(type(config))
    for name, value in parsed.inputs.items():
        if _names_models(hints[name]):
            sources = value if isinstance(value, list) else [value]
            places = [_model(job, name, n, source, directory, report) for n, source in enumerate(sources)]
            made[name] = places if isinstance(value, list) else places[0]
        else:
            made[name], allowed = _rows(job, parsed, config, name, value, directory, report)
            made["max_bad_rows"] = max(allowed, made.get("max_bad_rows", 0.0))
    return made


def _names_models(hint: Any) -> bool:
    """Data fields may hold a mapping; models are a text or a list of texts."""
    return hint in (str, list[str], str | None, list[str] | None)


def _model(job: Job, name: str, number: int, source: str, directory: Path, report: Report) -> str:
    found = architecture(source, job.family)
    tokenizer = find_tokenizer(source)
    kept = "its own tokenizer" if tokenizer is not None else "the tiny world's tokenizer and r1hf's chat template"
    classifier = name.endswith("_model")
    place = directory / f"{name}-{number}" / Path(source.partition("@")[0]).name
    count = write_miniature(place, found.config, tokenizer or tiny_tokenizer(), classifier)
    kind = (found.config.get("text_config") or found.config).get("model_type")
    what = f"random weights, {kind}{' classifier' if classifier else ''} of {count:,} parameters ({found.origin})"
    report.replaced.append((source, f"{what}, {kept}"))
    return str(place)


def _rows(
    job: Job, parsed: Parsed, config: StageConfig, name: str, value: Any, directory: Path, report: Report
) -> tuple[str, float]:
    """A file for a data field, and the share of its rows that may be bad."""
    args = parsed.configs[-1]
    count, allowed = 2, config.max_bad_rows
    if _is_trainer(parsed):
        groups = getattr(args, "num_generations", None)
        batch = args.per_device_train_batch_size * args.gradient_accumulation_steps * job.processes
        count = max(_ROWS, args.generation_batch_size // groups if groups else batch)
    templates = getattr(config, "prompt_template", None)
    shown = ", ".join(paths_of(value))
    if local(value):
        rows, lost, total = first_rows(value, count, config.seed, config.max_bad_rows)
        allowed = min(1.0, config.max_bad_rows * total / len(rows))  # as many as among all of them
        without = f"; {lost} have {NO_GOLD} and are left out" if lost else ""
        report.replaced.append((shown, f"its first {len(rows)} rows{without}"))
    else:
        rows = made_up(name, count, set(templates) if isinstance(templates, dict) else None)
        report.replaced.append((shown, f"{len(rows)} made-up rows"))
        if not isinstance(value, str):
            report.untried.append(f"columns, filters and limits of {name} (its rows are not here)")
    return write_source(directory, name, rows), allowed
