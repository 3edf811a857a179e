"""Find what would fail in a configuration before it is launched.

  r1hf doctor rewards --config recipes/configs/tiny/r1_zero.yaml

Exit status: 0 nothing found, 1 something that must be mended.
"""

from __future__ import annotations

import argparse
import importlib

CHECKS = {
    "rewards": ("r1hf.commands.doctor_rewards", "do golden completions earn most, and cheats less?"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    checks = parser.add_subparsers(dest="check", metavar="CHECK", required=True)
    for name, (module, line) in CHECKS.items():
        part = importlib.import_module(module)
        check = checks.add_parser(
            name, help=line, description=part.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        part.add_arguments(check)


def run(options: argparse.Namespace) -> int:
    return int(importlib.import_module(CHECKS[options.check][0]).run(options))
