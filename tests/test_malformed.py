"""Sixty malformed inputs of every file that r1hf reads: a sentence each, no traceback, no hang.

Each kind is put in the place of a sound file, and read by what reads it in production.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from malformed import Hangs, forms, watched
from pyarrow import parquet
from small_run import CONFIGS, ROOT, recipe

from r1hf.commands import main as command
from r1hf.core.config import parse
from r1hf.core.errors import R1Error
from r1hf.core.foreign_code import faults as foreign_faults
from r1hf.core.graph import load_graph
from r1hf.core.launch import processes_of
from r1hf.data.rows import load_rows
from r1hf.evaluation.compare import compare, load_results
from r1hf.evaluation.rejudge import rejudge
from r1hf.evaluation.samples import SCHEMA, read_table
from r1hf.explain.report.html import write_report
from r1hf.models.loading import check_chat_template, load_model
from r1hf.models.shapes import BUILT_IN, shape_of
from r1hf.pipeline.decisions import read_events
from r1hf.preflight.estimate.workload import read_sharding
from r1hf.preflight.rehearsal.makers import architecture
from r1hf.preflight.rehearsal.miniature import tiny_tokenizer, write_miniature
from r1hf.preflight.stages import is_pipeline, load
from r1hf.rewards.own import load_own
from r1hf.serving.models import read_model
from r1hf.stage.directory import StageLog
from r1hf.stage.locks import FileLock
from r1hf.stage.manifest import Output, fingerprint, prove, sha256_file, verify
from r1hf.stage.stage import _asked_before
from r1hf.text.chat_templates import chat_template
from r1hf.text.prompt_templates import load as load_template
from r1hf.trainers.callbacks import _logged
from r1hf.trainers.checkpoints import complete, last_whole
from r1hf.trainers.rollouts import write as write_rollouts

SOME = 8  # forms of each kind in a short run; all sixty in a slow one
COLUMNS = ("question", "answer", "language", "task")


@dataclass
class Kind:
    """A kind of file. name: its place below a directory. form: as in `forms`. read: what reads it, given its path.
    valid: a sound one, made where `around` has made what else lies in the directory.
    """

    name: str
    form: str
    read: Callable[[Path], Any]
    valid: Callable[[], bytes]
    around: Callable[[Path], Any] = field(default=lambda directory: None)


def _stage(path: Path) -> None:
    module = recipe("r1_zero")
    asked = parse(module.CONFIGS, ["--config", str(path)])
    module.preflight(asked)
    asked.check()


def _all(*readers: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Every reader; the sentence of one keeps nothing from the next. Raises R1Error with the sentences."""

    def read(path: Path) -> None:
        said = []
        for reader in readers:
            try:
                reader(path)
            except R1Error as error:
                said.append(str(error) if _names(error, path) else "")
        if said:
            raise R1Error(" ".join(said) if all(said) else "")

    return read


def _names(error: R1Error, path: Path) -> bool:
    """Whether an error names the file, or the directory that holds it."""
    return path.name in str(error) or str(path.parent) in str(error)


ROWS = [
    {
        **{"question": f"{n} + 1?", "answer": str(n + 1), "language": "en", "task": "reasoning"},
        **{"meta": {"level": n}, "messages": [{"role": "user", "content": "x"}], "tests": None},
    }
    for n in range(4)
]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def _csv() -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(ROWS)
    return stream.getvalue().encode()


def _parquet() -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(ROWS), stream)
    return stream.getvalue()


def _packed(path: Path) -> None:
    if path.is_file() and not path.is_symlink():
        path.write_bytes(gzip.compress(path.read_bytes()))
    load_rows(str(path), COLUMNS)


def _rows(**spec: Any) -> Callable[[Path], Any]:
    return lambda path: load_rows({"path": str(path), **spec} if spec else str(path), COLUMNS)


_PARTS = {"columns": {"question": "messages.0.content", "level": "meta.level"}, "min": {"meta.level": 0}}
_YAML = {
    "a stage's YAML": Kind("r1_zero.yaml", "yaml", _stage, (CONFIGS / "r1_zero.yaml").read_bytes),
    "a YAML that is extended": Kind(
        "base.yaml",
        "yaml",
        lambda path: _stage(path.with_name("own.yaml")),
        (CONFIGS / "r1_zero.yaml").read_bytes,
        lambda directory: (directory / "own.yaml").write_text("extends: base.yaml\n"),
    ),
    "a YAML to check": Kind("r1_zero.yaml", "yaml", _all(is_pipeline, load), (CONFIGS / "r1_zero.yaml").read_bytes),
    "a pipeline's YAML": Kind(
        "p.yaml", "yaml", lambda path: load_graph(path, ROOT / "recipes"), (CONFIGS / "pipeline.yaml").read_bytes
    ),
    "an accelerate YAML": Kind(
        "a.yaml", "yaml", _all(processes_of, read_sharding), (ROOT / "recipes/accelerate/zero3.yaml").read_bytes
    ),
}
_DATA = {
    "lines": Kind("d.jsonl", "jsonl", _rows(), lambda: LINES),
    "selected lines": Kind("d.jsonl", "jsonl", _rows(split="train"), lambda: LINES),
    "parts of lines": Kind("d.jsonl", "jsonl", _rows(**_PARTS), lambda: LINES),
    "a JSON list": Kind("d.json", "json", _rows(), lambda: json.dumps({"question": "x", "answer": "1"}).encode()),
    "broken gzip": Kind("d.jsonl.gz", "binary", _rows(), lambda: gzip.compress(LINES)),
    "gzip of broken lines": Kind("d.jsonl.gz", "jsonl", _packed, lambda: LINES),
    "CSV": Kind("d.csv", "text", _rows(), _csv),
    "parquet": Kind("d.parquet", "binary", _rows(), _parquet),
}


# What stages leave beside their work


def _checkpoint(directory: Path) -> None:
    made = directory / "checkpoint-3"
    made.mkdir()
    (made / "trainer_state.json").write_text(json.dumps({"global_step": 3, "max_steps": 6, "log_history": []}))
    for name in ("model.safetensors", "optimizer.pt", "rng_state.pth"):
        (made / name).write_bytes(bytes(range(256)))
    complete(made)


def _whole(path: Path) -> None:
    assert last_whole(path.parent.parent) is None or path.name != "optimizer.pt"


def _state(path: Path) -> None:
    """As if it had been written so: its hash is right."""
    if path.is_file() and not path.is_symlink():
        (path.parent / "complete.json").unlink()
        complete(path.parent)
    last_whole(path.parent.parent)


def _of_checkpoint(name: str) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        _checkpoint(Path(place))
        return (Path(place) / "checkpoint-3" / name).read_bytes()


LOG = b"".join(
    json.dumps({"step": n, "loss": 0.5, "rewards/format/mean": [1.0, None]}).encode() + b"\n" for n in (1, 2)
)
REQUEST = {"request": {"seed": 1}, "inputs": {"model": {"path": "x", "fingerprint": "y"}}, "made_by": {"trl": "1"}}


def _log(path: Path) -> None:
    log = StageLog(path)
    _all(_logged, lambda path: log.write({"step": 3}))(path)


_STATE = {
    "complete.json": Kind(
        "checkpoint-3/complete.json", "json", _whole, lambda: _of_checkpoint("complete.json"), _checkpoint
    ),
    "trainer_state.json": Kind(
        "checkpoint-3/trainer_state.json", "json", _state, lambda: _of_checkpoint("trainer_state.json"), _checkpoint
    ),
    "an optimizer's state": Kind(
        "checkpoint-3/optimizer.pt", "binary", _whole, lambda: bytes(range(256)), _checkpoint
    ),
    "log.jsonl": Kind("log.jsonl", "jsonl", _log, lambda: LOG),
    ".request.json": Kind(".request.json", "json", _asked_before, lambda: json.dumps(REQUEST).encode()),
    "a lock": Kind("made.lock", "text", lambda path: _take(path), lambda: b"1234\n"),
    "events": Kind("events.jsonl", "jsonl", lambda path: read_events(path.parent), lambda: LOG),
}


def _take(path: Path) -> None:
    lock = FileLock(path, "a test")
    try:
        lock.acquire()
    finally:
        lock.release()


# Models


@cache
def _model() -> Path:
    import tempfile

    directory = Path(tempfile.mkdtemp(prefix="malformed-"))
    write_miniature(directory, BUILT_IN["Qwen2.5-0.5B"], tiny_tokenizer())
    return directory


def _copy(directory: Path) -> None:
    shutil.copytree(_model(), directory, dirs_exist_ok=True)


def _preflight(path: Path) -> None:
    problems: list[str] = []
    source = str(path.parent)
    foreign_faults(source)
    check_chat_template(problems, "model", source)
    assert all(text.strip() for text in problems)


def _served(path: Path) -> None:
    read_model(path.parent, "m")


def _loaded(path: Path) -> None:
    load_model(str(path.parent))


def _shape(path: Path) -> None:
    _all(lambda path: shape_of(str(path.parent)), lambda path: architecture(str(path.parent), ()))(path)


def _adapter(directory: Path) -> None:
    shutil.copytree(_model(), directory / "base")
    for name in ("tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        shutil.copy(_model() / name, directory / name)
    (directory / "model.safetensors").rename(directory / "adapter_model.safetensors")


def _adapter_config() -> bytes:
    return json.dumps({"peft_type": "LORA", "r": 8, "base_model_name_or_path": "base", "lora_alpha": 16}).encode()


def _of_model(name: str, *readers: Callable[[Path], Any], form: str = "json") -> Kind:
    return Kind(name, form, _all(_preflight, _served, *readers), lambda: (_model() / name).read_bytes(), _copy)


def _index() -> bytes:
    return json.dumps({"metadata": {"total_size": 1}, "weight_map": {"a": "model.safetensors"}}).encode()


_MODELS = {
    "config.json": _of_model("config.json", _shape, _loaded),
    "tokenizer.json": _of_model("tokenizer.json"),
    "tokenizer_config.json": _of_model("tokenizer_config.json"),
    "generation_config.json": Kind(
        "generation_config.json",
        "json",
        _all(_preflight, _served, _loaded),
        lambda: json.dumps({"do_sample": True, "temperature": 0.6, "top_p": 0.95, "eos_token_id": [1, 2]}).encode(),
        _copy,
    ),
    "chat_template.jinja": _of_model("chat_template.jinja", form="text"),
    "special_tokens_map.json": Kind(
        "special_tokens_map.json", "json", _all(_preflight, _served), lambda: b'{"eos_token": "</s>"}', _copy
    ),
    "model.safetensors": _of_model("model.safetensors", _loaded, form="binary"),
    "an index of weights": Kind("model.safetensors.index.json", "json", _all(_served, _loaded), _index, _copy),
    "adapter_config.json": Kind(
        "adapter_config.json", "json", _all(_preflight, _served, _shape), _adapter_config, _adapter
    ),
}


# What a person writes


_QUESTION = {"question": "1 + 1?", "answer": "2", "completions": ["<think>a</think><answer>2</answer>", "b"]}
_COMPLETIONS = b'{"completion": "<think>a</think><answer>2</answer>"}\n{"completion": "b"}\n'


def _explained(*words: str) -> Callable[[Path], Any]:
    return lambda path: command.main(["explain", *words, str(path)])


def _rollouts() -> bytes:
    import tempfile

    names = ("prompt_id", "prompt", "completion")
    rows: dict[str, list[Any]] = {
        "step": [1, 1],
        **{name: ["a", "b"] for name in names},
        "tokens": [3, 4],
        "truncated": [False, True],
    }
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "step-1.parquet"
        rows |= {"rewards/accuracy": [1.0, None], "reward": [1.0, 0.0], "advantage": [1.0, -1.0]}
        write_rollouts(path, rows, ["accuracy"])
        return path.read_bytes()


_WRITTEN = {
    "a prompt template": Kind("t.txt", "text", lambda path: load_template(str(path)), lambda: b"Ask: {prompt}\n"),
    "a chat template": Kind(
        "t.jinja",
        "text",
        lambda path: chat_template(str(path)),
        (ROOT / "r1hf/text/templates/chat.jinja").read_bytes,
    ),
    "a group to explain": Kind("g.json", "json", _explained("--completions"), lambda: json.dumps(_QUESTION).encode()),
    "completions to explain": Kind(
        "c.jsonl", "jsonl", _explained("--question", "1 + 1?", "--answer", "2", "--completions"), lambda: _COMPLETIONS
    ),
    "rollouts": Kind(
        "step-1.parquet", "binary", lambda path: command.main(["rollouts", str(path.parent), "--wrong"]), _rollouts
    ),
}


MANIFEST = {
    **{"stage": "evaluate", "recipe": "recipes/evaluate.py", "command": ["recipes/evaluate.py"], "created": "2026"},
    **{"seconds": 1.5, "peak_rss_mb": 9.0, "seed": 1, "request": {}, "config": {"k": 4}, "inputs": {}, "outputs": {}},
    **{"metrics": {"pass_at_1": 0.5, "warnings": {"x": ["y"]}}, "versions": {"trl": "1"}, "git": {"revision": "a"}},
}


# What an evaluation leaves, and what is said of it

_OWN = b"def brevity(completions, **columns):\n    return [1.0 / (1 + len(text)) for text in completions]\n"


def _samples() -> bytes:
    columns = {name: [name] * 2 for name in SCHEMA.names if SCHEMA.field(name).type == pa.string()}
    columns |= {"row": [json.dumps(ROWS[0])] * 2, "model": ["one", "two"], "part": ["prompts"] * 2}
    numbers: dict[str, list[Any]] = {name: [0, 0] for name in ("question", "sample", "tokens", "seed")}
    verdicts = {"correct": [True, False], "well_formed": [True, True], "language_share": [1.0, None]}
    stream = io.BytesIO()
    parquet.write_table(pa.table({**columns, **numbers, **verdicts}, schema=SCHEMA), stream)
    return stream.getvalue()


def _results() -> bytes:
    numbers = {"pass_at_1": 0.5, "pass_at_1_interval": [0.1, 0.9], "questions": 1}
    settings = {"questions": "x", "k": 1, "reading": "prose"}
    return json.dumps({"format": 2, "settings": settings, "models": {"one": numbers, "two": numbers}}).encode()


def _evaluation(directory: Path) -> None:
    (directory / "samples.parquet").write_bytes(_samples())
    (directory / "results.json").write_bytes(_results())


def _compared(path: Path) -> None:
    """As if a stage had made the file so: its hash is right."""
    found = {one.name: Output(sha256_file(one), one.stat().st_size) for one in path.parent.iterdir() if one.is_file()}
    content = {
        **MANIFEST,
        "outputs": {name: vars(one) for name, one in found.items()},
        "fingerprint": fingerprint(found),
    }
    (path.parent / "manifest.json").write_text(json.dumps(content))
    _all(*_of_evaluation)(path)


_of_evaluation: tuple[Callable[[Path], Any], ...] = (
    lambda path: [compare(*load_results([f"{path.parent}:one", ":two"]))],
    lambda path: rejudge(path.parent),
)
_EVALUATED = {
    "samples.parquet": Kind("samples.parquet", "binary", lambda path: read_table(path), _samples),
    "samples of an evaluation": Kind(
        "evaluate/samples.parquet", "binary", _compared, _samples, lambda directory: _in(directory)
    ),
    "results of an evaluation": Kind(
        "evaluate/results.json", "json", _compared, _results, lambda directory: _in(directory)
    ),
    "a stage's manifest": Kind(
        "manifest.json",
        "json",
        _all(lambda path: prove(path.parent), lambda path: verify(path.parent)),
        lambda: json.dumps(_manifest()).encode(),
    ),
    "a reward of one's own": Kind("mine.py", "text", lambda path: load_own(f"{path}:brevity", {}), lambda: _OWN),
}


def _in(directory: Path) -> None:
    (directory / "evaluate").mkdir()
    _evaluation(directory / "evaluate")


def _manifest() -> dict[str, Any]:
    return {**MANIFEST, "outputs": {"model.safetensors": {"sha256": "0" * 64, "bytes": 7}}, "fingerprint": "0" * 64}


# What the report reads


RESULTS = {
    "settings": {"k": 4, "problems": 8, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 32},
    "models": {"r1": {"pass_at_1": 0.5, "stderr": 0.1, "format_rate": 1.0, "language_consistency": None}},
}
SAMPLES = [
    {"model": "r1", "question": "1 + 1?", "answer": "2", "language": "en", "task": "reasoning", "completion": "x"}
    | {"correct": True, "well_formed": False, "language_share": None}
]


def _report(directory: Path) -> None:
    stage = directory / "evaluate"
    stage.mkdir()
    (stage / "manifest.json").write_text(json.dumps(MANIFEST))
    (stage / "results.json").write_text(json.dumps(RESULTS))
    (stage / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SAMPLES))
    (stage / "log.jsonl").write_bytes(LOG)


def _reported(path: Path) -> None:
    write_report(path.parent.parent, {"r1": [], "evaluate": ["r1"]})


def _of_report(name: str, valid: Any, form: str = "json") -> Kind:
    rows = valid if form == "jsonl" else [valid]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return Kind(f"evaluate/{name}", form, _reported, lambda: data, _report)


_REPORT = {
    "a manifest in the report": _of_report("manifest.json", MANIFEST),
    "results.json": _of_report("results.json", RESULTS),
    "samples.jsonl": _of_report("samples.jsonl", SAMPLES, "jsonl"),
    "a log in the report": _of_report("log.jsonl", [json.loads(line) for line in LOG.splitlines()], "jsonl"),
}

KINDS: dict[str, Kind] = {**_YAML, **_DATA, **_STATE, **_MODELS, **_WRITTEN, **_EVALUATED, **_REPORT}


def faults(kind: Kind, seed: int, place: Path, some: int | None = None) -> dict[str, str]:
    """What went wrong, by the name of the form. some: with that many of the sixty forms, drawn with the seed."""
    found = {}
    made = forms(kind.valid(), kind.form, seed)
    drawn = random.Random(f"{kind.name} {seed}").sample(made, some or len(made))
    for number, (name, make) in enumerate(drawn):
        directory = place / str(number)
        directory.mkdir()
        kind.around(directory)
        path = directory / kind.name
        path.unlink(missing_ok=True)
        make(path)
        try:
            with watched():
                kind.read(path)
        except R1Error as error:
            if not _names(error, path):
                found[name] = f"the file is not named: {str(error)[:200]}"
        except (Exception, Hangs) as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            own = [one for one in traceback.extract_tb(error.__traceback__) if "site-packages" not in one.filename]
            where = [f"{Path(one.filename).name}:{one.lineno}" for one in own[-3:]]
            found[name] = f"{type(error).__name__}: {str(error)[:100]} ({', '.join(where)}; {last.name})"
        shutil.rmtree(directory, ignore_errors=True)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_malformed_file_gives_a_sentence(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = faults(KINDS[kind], 0, tmp_path, some=SOME)
    assert not found, "\n".join(f"{name}: {wrong}" for name, wrong in found.items())
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_forms_of_malformed_files(kind: str, tmp_path: Path) -> None:
    assert not faults(KINDS[kind], 1, tmp_path)
