"""One stage's rehearsal: its recipe goes its whole way on miniatures in a temporary directory, and trains nothing."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import time
import traceback
import typing
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from r1hf.core.config import StageConfig, jsonable
from r1hf.core.errors import ConfigError, NothingKept, R1Error
from r1hf.core.source import paths_of
from r1hf.models.loading import find_tokenizer
from r1hf.pipeline.check import planned_processes
from r1hf.preflight.rehearsal.made_up_rows import first_rows, local, made_up, write_source
from r1hf.preflight.rehearsal.makers import Maker, architecture
from r1hf.preflight.rehearsal.miniature import Miniatures
from r1hf.preflight.rehearsal.portable import portable
from r1hf.preflight.rehearsal.result import Rehearsal
from r1hf.preflight.stages import Loaded
from r1hf.stage.libraries import quiet_libraries
from r1hf.trainers.batch_sizes import BatchSizes
from r1hf.trainers.build_only import building

# What makes data recipes and the base short; a key counts only where the recipe has it.
_SHORT = {
    **{"documents": 300, "tokenizer_documents": 300, "problems": 2, "samples": 1, "k": 1, "general_k": 1},
    **{"max_new_tokens": 8, "shown": [], "undecided": "keep"},
    **{"judge_max_new_tokens": 8, "judge_retries": 0},
}
_LIMITS = ("max_prompt_length", "max_length")
_ROWS = 16
_FILE = "rehearsal.yaml"
_STAND_IN = re.compile(rf"\S*/{re.escape(_FILE)}:\d+: ")  # the person's own file has the key elsewhere


def rehearse(
    stage: Loaded, directory: Path, miniatures: Miniatures, makers: Sequence[Maker] = (), launched: Sequence[str] = ()
) -> Rehearsal:
    """Rehearses a stage whose configuration was built, in `directory`, which is new.

    What goes wrong is in the result's `problems`; nothing that the stage reads or made before is touched. makers: the
    stages that make the models which it reads. launched: what a launcher has asked for, in words.
    """
    began = time.monotonic()
    done = Rehearsal()
    done.untried += launched
    if stage.launch is not None and not launched:
        done.untried.append(f"launch with {stage.launch}")
    if stage.processes > 1:
        done.untried.append(f"{stage.processes} processes (their arithmetic was checked)")
    try:
        _Attempt(stage, directory, miniatures, makers, done).run()
    except ConfigError as error:
        done.problems += error.problems
    except R1Error as error:
        done.problems.append(str(error))
    done.seconds = time.monotonic() - began
    return done


class _Attempt:
    """One rehearsal under way."""

    def __init__(
        self, stage: Loaded, directory: Path, miniatures: Miniatures, makers: Sequence[Maker], done: Rehearsal
    ):
        assert stage.module is not None and stage.parsed is not None
        self.stage, self.module, self.parsed = stage, stage.module, stage.parsed
        self.config: StageConfig = next(one for one in self.parsed.configs if isinstance(one, StageConfig))
        self.directory, self.miniatures, self.makers, self.done = directory, miniatures, makers, done
        self.places: dict[str, str] = {}  # a stand-in's path -> what it stands for

    def run(self) -> None:
        """Runs the recipe; raises what it raises, in the words of the person's own paths."""
        quiet_libraries()
        file = self.directory / _FILE
        values = self._values()
        typed = [text.partition("=")[0] for text in self.stage.sets]
        words = [f"--{key}={json.dumps(jsonable(values.pop(key)))}" for key in dict.fromkeys(typed) if key in values]
        file.write_text(yaml.safe_dump(jsonable(values), allow_unicode=True), encoding="utf-8")
        with planned_processes(self.stage.processes), building() as under_way:
            try:
                _quietly(self.module, ["--config", str(file), *words])
            except NothingKept:
                self.done.built.append("samples of 8 tokens by random weights, of which the filters kept none")
            except ConfigError as error:
                raise ConfigError([self._in_own_words(text) for text in error.problems]) from error
            except R1Error as error:
                raise type(error)(self._in_own_words(str(error))) from error
        self.done.built += under_way.built
        if not self.done.built:
            self.done.built.append("the whole recipe, on samples of 8 tokens by random weights")

    def _in_own_words(self, text: str) -> str:
        for place, source in self.places.items():
            text = text.replace(place, source)
        return _STAND_IN.sub("", text)

    def _values(self) -> dict[str, Any]:
        """The keys that were given, with what is short, small and here in place of the rest."""
        values, untried = portable({**self.parsed.request, **self.stage.hidden})
        self.done.untried += untried
        values |= {key: value for key, value in _SHORT.items() if hasattr(self.config, key)}
        values |= self._inputs(self.directory / "in")
        if "rewards" in values:  # one's own file lies beside the person's configuration, not beside this one
            values["rewards"] = getattr(self.config, "rewards", values["rewards"])
        if any("the tiny world's tokenizer" in by for _, by in self.done.replaced):
            gone = [key for key in _LIMITS if values.pop(key, None) is not None]
            self.done.untried += [f"{key} (it counts another tokenizer's tokens)" for key in gone]
        output = str(self.directory / "out" / Path(self.config.output_dir).name)
        self.done.replaced.append((self.config.output_dir, "a temporary directory, deleted again"))
        self.places[output] = self.config.output_dir
        values["output_dir"] = output
        values["max_bad_rows"] = 1.0  # one of a few rows is more than one of all, whose share is checked before
        if self._trains:
            values |= {"use_cpu": True, "bf16": False, "disable_tqdm": True}
        return values

    @property
    def _trains(self) -> bool:
        return any(hasattr(config, "use_cpu") for config in self.parsed.configs)

    def _inputs(self, directory: Path) -> dict[str, Any]:
        """Each input field with something of this machine in place of what it names."""
        directory.mkdir(parents=True)
        made: dict[str, Any] = {}
        hints = typing.get_type_hints(type(self.config))
        for name, value in self.parsed.inputs.items():
            if name == "rewards" or name not in hints:  # code, which runs as it is; what people decided of other rows
                continue
            if _names_models(hints[name]):
                sources = value if isinstance(value, list) else [value]
                places = [self._model(name, source, directory / f"{name}-{n}") for n, source in enumerate(sources)]
                made[name] = places if isinstance(value, list) else places[0]
            else:
                made[name] = self._rows(name, value, directory)
        return made

    def _model(self, name: str, source: str, directory: Path) -> str:
        found = architecture(source, self.makers)
        tokenizer = find_tokenizer(source)
        kept = "its own tokenizer" if tokenizer is not None else "the tiny world's tokenizer and r1hf's chat template"
        place = directory / Path(source.partition("@")[0]).name
        what = self.miniatures.write(
            place, found, source, tokenizer, classifier=name.endswith("_model") and name != "base_model"
        )
        self.done.replaced.append((source, f"{what}, {kept}"))
        self.places[str(place)] = source
        return str(place)

    def _rows(self, name: str, value: Any, directory: Path) -> str:
        shown = ", ".join(paths_of(value))
        count = self._rows_needed()
        if local(value):
            rows, lost = first_rows(value, count, self.config.seed, self.config.max_bad_rows)
            self.done.replaced.append((shown, f"its first {len(rows)} rows{''.join(f'; {note}' for note in lost)}"))
        else:
            templates = getattr(self.config, "prompt_template", None)
            rows = made_up(name, count, set(templates) if isinstance(templates, dict) else None)
            self.done.replaced.append((shown, f"{len(rows)} made-up rows"))
            if not isinstance(value, str):
                self.done.untried.append(f"columns, filters and limits of {name} (its rows are not here)")
        place = write_source(directory, name, rows)
        self.places[place] = shown
        return place

    def _rows_needed(self) -> int:
        """As many as fill one batch, or the prompts of one generation."""
        if not self._trains:
            return 2
        values = self.parsed.resolved()
        sizes = BatchSizes.of(values, self.stage.processes)
        return max(_ROWS, sizes.generation // sizes.group if "num_generations" in values else sizes.step)


def _names_models(hint: Any) -> bool:
    """Data fields may hold a mapping; models are a text or a list of texts."""
    return hint in (str, list[str], str | None, list[str] | None)


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
