"""The `r1hf` command line: finds the subcommand, imports only that one, and shows a person's errors as sentences."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys

import r1hf
from r1hf.core.errors import R1Error
from r1hf.core.files import way_out
from r1hf.core.secrets import mask, mask_tracebacks
from r1hf.core.yamlfile import nearest

COMMANDS = {
    "audit": ("r1hf.commands.audit", "what became of the samples of cold start and rejection sampling"),
    "chat": ("r1hf.commands.serve", "serve a run, and open the chat in the browser: serve --chat"),
    "compare": ("r1hf.commands.compare", "hold evaluated models against each other, question by question"),
    "completion": ("r1hf.commands.completion", "print the completion of commands and options for bash or zsh"),
    "demo": ("r1hf.commands.run_recipe", "train the whole pipeline in the tiny world: recipe pipeline --config tiny"),
    "evaluate": ("r1hf.commands.evaluate", "evaluate models on a benchmark, or judge kept samples again"),
    "explain": ("r1hf.commands.explain", "what is wrong with a run, r1hf's or not; GRPO step by step"),
    "export": ("r1hf.commands.export", "write a model as one GGUF file, for llama.cpp and what is built on it"),
    "init": ("r1hf.commands.init", "begin with rows of your own, or with a copy of the recipes"),
    "check": (
        "r1hf.commands.check",
        "try a stage or a pipeline before it is launched",
    ),
    "judge": ("r1hf.commands.judge", "measure how often a judging model is wrong, on labelled rows"),
    "plan": ("r1hf.commands.check", "memory, time and cost alone: check --only estimate"),
    "pull": ("r1hf.commands.pull", "download from the Hub, and prove whose it is by its signature"),
    "push": ("r1hf.commands.push", "push a run or a stage to the Hub, with its card"),
    "recipe": ("r1hf.commands.run_recipe", "run a recipe by its name, with a configuration of r1hf's or yours"),
    "review": ("r1hf.commands.review", "accept, edit or reject the rows of cold start or rejection sampling"),
    "report": ("r1hf.commands.report", "one HTML file about a run, r1hf's or not, or about runs side by side"),
    "rollouts": ("r1hf.commands.rollouts", "show what a policy wrote in training, with its rewards"),
    "work": ("r1hf.commands.work", "sample for a stage that runs, on another GPU or machine"),
    "serve": ("r1hf.commands.serve", "serve models over an OpenAI-compatible interface, with the chat if asked"),
}
_SHORT = {  # what a short name adds
    "chat": ["--chat"],
    "demo": ["pipeline", "--config", "tiny"],
    "plan": ["--only", "estimate"],
}
_GONE = {"doctor": "check FILE.yaml", "dry-run": "check FILE.yaml --only rehearsal"}


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand and returns its exit status: 1 for an error that a person can mend, 2 for wrong usage."""
    arguments = sys.argv[1:] if argv is None else argv
    mask_tracebacks()
    parser, name = _parser(), _command_name(arguments)
    if name is None:
        parser.parse_args(arguments)
        parser.print_help()
        return 2
    if name in _GONE:
        parser.error(f"there is no command '{name}'; write r1hf {_GONE[name]}")
    if name not in COMMANDS:
        parser.error(f"no command '{name}'; {nearest(name, list(COMMANDS))}")
    module = importlib.import_module(COMMANDS[name][0])
    subparser = argparse.ArgumentParser(prog=f"r1hf {name}", description=module.__doc__)
    subparser.formatter_class = argparse.RawDescriptionHelpFormatter
    module.add_arguments(subparser)
    try:
        asked = arguments[1:]
        short = [] if asked[:1] in (["--help"], ["-h"]) else _SHORT.get(name, [])
        status = int(module.run(subparser.parse_args([*short, *asked])))
        sys.stdout.flush()
        return status
    except R1Error as error:
        print(mask(f"r1hf {name}: {error}"), file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read it has seen enough: head, less
        _say_no_more()
        return 0
    except OSError as error:
        if (advice := way_out(error)) is None:
            raise
        _say_no_more()
        print(mask(f"r1hf {name}: {error}; {advice}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _say_no_more() -> None:
    """Sends what is still to be printed to nowhere: Python would fail at it once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):  # no real output, in a notebook
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _command_name(arguments: list[str]) -> str | None:
    return next((argument for argument in arguments[:1] if not argument.startswith("-")), None)


def _parser() -> argparse.ArgumentParser:
    lines = "\n".join(f"  {name:<12}{line}" for name, (_, line) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="r1hf",
        description="DeepSeek-R1's training pipeline on the Hugging Face stack.",
        epilog=f"commands:\n{lines}\n\n`r1hf COMMAND --help` explains one.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="r1hf COMMAND ...",
    )
    parser.add_argument("--version", action="version", version=f"r1hf {r1hf.__version__}")
    return parser
