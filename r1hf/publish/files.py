"""The files of a push: what each is called on the Hub, where it comes from, and the proof that it holds no secret."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from r1hf.core import foreign_code
from r1hf.core.errors import StageError
from r1hf.core.secrets import scan
from r1hf.stage.hub_errors import secrets
from r1hf.stage.manifest import LOG, MANIFEST, Manifest

PROVENANCE = "provenance"  # folder of manifests and logs; its presence tells a repository that r1hf pushed

# A model's own files: what from_pretrained and vLLM read, and nothing that could run code.
MODEL_FILES = re.compile(
    r"(model|adapter_model)(-\d{5}-of-\d{5})?\.safetensors|(model|adapter_model)\.safetensors\.index\.json"
    r"|(config|generation_config|adapter_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab"
    r"|preprocessor_config|processor_config)\.json|merges\.txt|tokenizer\.model|chat_template\.(jinja|json)"
    r"|(LICENSE|NOTICE|USE_POLICY)(\.\w+)?"
)
_TEXT = (".json", ".jsonl", ".md", ".yaml", ".jinja", ".txt", ".py", ".css", ".html", ".toml")


@dataclass(frozen=True)
class Upload:
    """One file to be: `path` on the Hub, and its content as a local file or as bytes.

    sha256: known from the manifest where the file is a stage's output; it is then not read again.
    """

    path: str
    source: Path | bytes
    sha256: str

    @cached_property
    def size(self) -> int:
        """Bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    def open(self) -> IO[bytes]:
        """The content, to be read."""
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    def git_oid(self) -> str:
        """Git's SHA-1 of the content: how the Hub names a file that is not in LFS."""
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def text(path: str, content: str) -> Upload:
    """A file that the push itself writes."""
    data = content.encode()
    return Upload(path, data, hashlib.sha256(data).hexdigest())


def as_json(path: str, content: object) -> Upload:
    """The same for JSON."""
    return text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def model_files(directory: Path, inside: str, manifest: Manifest) -> list[Upload]:
    """The model in `directory/inside` as its manifest lists it, with the manifest and the training log.

    Raises StageError where there is no safetensors file, or where the model brings code of its own.
    """
    if wrong := foreign_code.faults(directory / inside):
        raise StageError("; ".join(wrong))
    prefix = f"{inside}/" if inside else ""
    found = [
        Upload(name.removeprefix(prefix), directory / name, output.sha256)
        for name, output in manifest.outputs.items()
        if name.startswith(prefix) and MODEL_FILES.fullmatch(name.removeprefix(prefix))
    ]
    if not any(item.path.endswith(".safetensors") for item in found):
        raise StageError(f"{directory / inside} holds no model in safetensors: there is nothing to push")
    if LOG in manifest.outputs:
        found.append(Upload(f"{PROVENANCE}/{LOG}", directory / LOG, manifest.outputs[LOG].sha256))
    return [*found, file(f"{PROVENANCE}/{MANIFEST}", directory / MANIFEST)]


def file(path: str, source: Path) -> Upload:
    """A small local file."""
    return Upload(path, source, hashlib.sha256(source.read_bytes()).hexdigest())


def check_secrets(uploads: Iterable[Upload]) -> None:
    """Raises StageError that names each file with a secret in it, its kind and line; the secret is not shown.

    Every byte of every file is read, weights and their metadata too.
    """
    known, found = secrets(), []
    for item in uploads:
        with item.open() as stream:
            seen = dict.fromkeys(itertools.islice(scan(stream, known), 1000))
        seen |= dict.fromkeys(scan(io.BytesIO(item.path.encode()), known))
        lines = item.path.endswith(_TEXT)
        found += [f"{item.path}{f', line {line}' if lines else ''} ({name})" for name, line in list(seen)[:3]]
    if found:
        shown = "; ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
        raise StageError(f"what is to be pushed holds a secret: {shown}; remove it there, and revoke it at its maker")
