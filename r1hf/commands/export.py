"""Write a trained model as one file for llama.cpp and what is built on it (llama-cpp-python, Ollama, LM Studio).

    r1hf export runs/tiny/r1 --gguf tiny-r1.gguf
    r1hf export runs/tiny --gguf tiny-r1.gguf --dtype q8_0      the run's last model
    r1hf export me/tiny-r1 --gguf tiny-r1.gguf                  from the Hub

The chat template goes along. Llama and Qwen2 architectures; needs the package gguf (pip install 'r1hf[gguf]').
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from r1hf.core.errors import ConfigError, R1Error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="RUN_OR_MODEL", help="a run, a stage, a model's directory or a Hub id")
    parser.add_argument("--gguf", type=Path, required=True, metavar="FILE.gguf", help="the file to write")
    parser.add_argument("--dtype", choices=("f16", "bf16", "q8_0", "f32"), default="f16", help="of the weights")
    parser.add_argument("--overwrite", action="store_true", help="replace the file where it is there already")


def run(options: argparse.Namespace) -> int:
    from r1hf.models.gguf_export import export
    from r1hf.serving.models import primary, resolve

    path: Path = options.gguf
    if path.suffix.lower() != ".gguf":
        raise ConfigError(f"--gguf {path}: the file's name must end in .gguf, by which it is known")
    if os.path.lexists(path) and not options.overwrite:
        raise ConfigError(f"--gguf {path} exists; choose another name, or give --overwrite")
    if not path.parent.is_dir():
        raise ConfigError(f"--gguf {path}: there is no directory {path.parent}")
    model = primary(resolve([options.source]), [options.source])
    size = export(str(model.directory), path, options.dtype, _about(model.directory, model.name))
    print(f"{path}: {model.name} ({model.directory}), {size / 2**20:,.0f} MiB, {options.dtype}")
    return 0


def _about(directory: Path, name: str) -> dict[str, str | None]:
    """Name, licence and base for the file's header, as far as the manifests know them."""
    from r1hf.publish.context import root_of
    from r1hf.publish.licences import choose
    from r1hf.publish.lineage import Made, find, sources

    try:
        made = find(directory)
        root = made if made.is_import else root_of(made)
        base = root.taken_from if isinstance(root, Made) else root.repo if root is not None else None
    except R1Error:  # a model that no stage made
        return {"name": name}
    try:
        return {"name": name, "licence": choose(sources(made, {}), None), "base_model": base}
    except R1Error:  # its sources do not all say theirs: better none than a wrong one
        return {"name": name, "base_model": base}
