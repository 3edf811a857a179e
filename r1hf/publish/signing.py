"""Signatures of what is pushed, in the format of OpenSSF Model Signing: `model.sig` beside the files that it covers.

A hash says that files belong together, and anybody can compute one; only a signature says whose they are. Signed is
every file of a repository's revision but the signature itself and what the Hub keeps there (`.gitattributes`). The
signer is a private key (elliptic curve, PEM), or a person or a workflow that Sigstore knows, which needs a network.
Strangers can check it without r1hf: `model_signing verify key me/tiny-r1 --signature model.sig --public_key key.pub`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from r1hf.core.errors import StageError
from r1hf.publish.files import Upload, file
from r1hf.stage.signatures import SIGNATURE, check_key, hashing, library, password


@dataclass(frozen=True)
class Signer:
    """Who signs: the owner of a private key, or, without one, whom Sigstore knows."""

    key: Path | None = None


def sign(uploads: Sequence[Upload], signer: Signer) -> tuple[Upload, ...]:
    """The files with their signature. Raises ConfigError for a key that cannot sign, StageError if Sigstore fails."""
    if signer.key is not None:
        check_key(signer.key, private=True)
    with tempfile.TemporaryDirectory() as folder:
        model, signature = Path(folder, "model"), Path(folder, SIGNATURE)
        for item in uploads:
            _lay_out(model / item.path, item.source)
        config = library("model_signing.signing").Config().set_hashing_config(hashing())
        if signer.key is not None:
            # The library says that a password is text, and needs bytes.
            config.use_elliptic_key_signer(private_key=signer.key, password=password())
        try:
            if signer.key is None:
                config.use_sigstore_signer(use_ambient_credentials=bool(os.environ.get("CI")))
            config.sign(model, signature)
        except Exception as error:  # Sigstore's and the network's, of any kind
            raise StageError(f"the files could not be signed ({' '.join(str(error).split())[:200]})") from error
        signed = file(SIGNATURE, signature)
        return (*uploads, replace(signed, source=signature.read_bytes()))


def _lay_out(path: Path, source: Path | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, bytes):
        path.write_bytes(source)
    else:
        path.symlink_to(source.absolute())


def stands_for(signature: bytes) -> str | None:
    """A hash of what a signature says, and by which key, since no two of one key are equal; None if it is none."""
    try:
        bundle = json.loads(signature)
        said = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        said["predicate"]["serialization"]["ignore_paths"].sort()  # a set to the library
        meaning = [said, bundle["verificationMaterial"].get("publicKey", {}).get("hint")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()
