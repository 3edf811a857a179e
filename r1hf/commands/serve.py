"""Serve models over an OpenAI-compatible HTTP interface: vLLM, or Transformers where vLLM cannot be installed.

  r1hf serve runs/tiny                    every stage of a run, by its name (base, r1_zero, ..., r1, students)
  r1hf serve runs/tiny --chat             the same, with the chat in the browser; r1hf chat is serve --chat
  r1hf serve runs/big/r1 ORG/NAME         a directory and a model of the Hub
  r1hf serve mine=runs/a/r1 other=runs/b/r1    names of your own

Ends with Ctrl-C, and leaves no process behind. R1HF_API_KEY in the environment makes it ask for that key.
docs/serving.md says which engine serves what, and how memory is shared.
Exit status: 0 ended, 1 it could not start, or a model failed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from r1hf.core.errors import ConfigError

TINY = "runs/tiny"  # the run of r1hf demo: what is served where no model is named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="[NAME=] a model directory, LoRA adapter, run directory, or Hub id"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name that requests may call this server by (its address and localhost are known)",
    )
    parser.add_argument("--port", type=_port, help="port; 0 for any (default: the first free one from 8000 on)")
    parser.add_argument("--engine", choices=("auto", "vllm", "transformers"), default="auto", help="what generates")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where it generates")
    parser.add_argument("--memory", help="budget of all engines: 12GiB, or 60%% of what is free (default: 80%%)")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    parser.add_argument(
        "--max-model-len", type=_positive, help="tokens of prompt and completion (default: the model's)"
    )
    parser.add_argument(
        "--max-requests", type=_positive, default=64, help="most requests of one model at once, waiting ones included"
    )
    parser.add_argument("--reasoning-parser", default="auto", help="vLLM's name of one, none, or auto")
    parser.add_argument("--engine-args", default="", metavar="ARGS", help='more arguments of vLLM, in one "string"')
    parser.add_argument("--log-dir", help="where the engines' logs go (default: ~/.cache/r1hf/serve/PORT)")
    parser.add_argument("--chat", action="store_true", help="open the chat (app/) in front of it")


def run(options: argparse.Namespace) -> int:
    from r1hf.serving.run import Options, serve

    if not options.models:
        if not Path(TINY).is_dir():
            raise ConfigError(f"no model is named, and there is no {TINY}, which r1hf demo makes: r1hf serve MODEL")
        options.models = [TINY]
    return serve(Options(**vars(options)))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 65535")
    return number
