"""Whose a download is: the signature beside it, and whom this machine trusts. `r1hf.publish.signing` makes them."""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, IntegrityError
from r1hf.core.files import read_object
from r1hf.stage.contents import is_plain

SIGNATURE = "model.sig"
TRUSTED_KEY = "R1HF_TRUSTED_KEY"  # a public key: whatever is downloaded to be used must be signed with it
PASSWORD = "R1HF_SIGN_PASSWORD"  # of a private key that is encrypted


@dataclass(frozen=True)
class Trust:
    """Whose signature is asked for: that of a public key, or of an identity that `issuer`, an address, vouches for."""

    key: Path | None = None
    identity: str | None = None
    issuer: str | None = None

    def __str__(self) -> str:
        return f"the key in {self.key}" if self.key else f"{self.identity} ({self.issuer})"


def trusted() -> Trust | None:
    """What this machine asks of every download."""
    key = os.environ.get(TRUSTED_KEY)
    return Trust(Path(key)) if key else None


def check_key(path: Path, private: bool = False, pushed: Path | None = None) -> None:
    """Raises ConfigError for what is no key of the kind. pushed: where a private key must not lie."""
    kind = "private" if private else "public"
    if not is_plain(path):
        raise ConfigError(f"{path}, which should hold a {kind} key, is not a file")
    if pushed is not None and pushed.resolve() in path.resolve().parents:
        raise ConfigError(f"the private key {path} lies in {pushed}, which is pushed; move it out of there")
    serialization = library("cryptography.hazmat.primitives.serialization")
    try:
        data = path.read_bytes()
        if private:
            key = serialization.load_pem_private_key(data, password())
        else:
            key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, OSError) as error:
        hint = f"; an encrypted one needs its password in {PASSWORD}" if private else ""
        raise ConfigError(
            f"{path} holds no {kind} key in PEM that can be read ({type(error).__name__}){hint}"
        ) from None
    if not hasattr(key, "curve"):
        raise ConfigError(f"the key in {path} is not of an elliptic curve; docs/hub.md says how to make one")


def password() -> bytes | None:
    """The password of an encrypted private key, from the environment."""
    return os.environ[PASSWORD].encode() if os.environ.get(PASSWORD) else None


def verify_signature(directory: Path, trust: Trust, name: str) -> None:
    """Raises IntegrityError unless every file in `directory` is as `trust` signed it, and none was added or left out.

    name: what the error calls it. Raises ConfigError for a public key that is none.
    """
    if trust.key is not None:
        check_key(trust.key)
    path = directory / SIGNATURE
    advice = "nothing of it is loaded; ask its publisher, or take another revision"
    if is_plain(path) is None:
        raise IntegrityError(f"{name} is not signed: it has no {SIGNATURE}; {advice}")
    config = _verifier(trust, f"{name}: whether {trust} signed it cannot be told", advice)
    try:
        read_object(path)
        config.verify(directory, path)
    except ConfigError as error:
        raise IntegrityError(f"{name}: {' '.join(error.problems)}; {advice}") from None
    except Exception as error:  # what a signature may hold is anybody's: the library names no kinds
        changed = str(error).startswith("Signature mismatch")
        wrong = _differences(str(error)) if changed else f"its {SIGNATURE} was not made by {trust}"
        raise IntegrityError(f"{name}: {wrong}; {advice}") from None


def _verifier(trust: Trust, what: str, advice: str) -> Any:
    config = library("model_signing.verifying").Config().set_hashing_config(hashing())
    if trust.key is not None:
        return config.use_elliptic_key_verifier(public_key=trust.key)
    try:
        return config.use_sigstore_verifier(identity=trust.identity, oidc_issuer=trust.issuer)
    except Exception as error:  # it asks the network for Sigstore's own keys
        raise IntegrityError(f"{what} ({' '.join(str(error).split())[:200]}); {advice}") from None


def _differences(text: str) -> str:
    """The library's list of differences without its digests."""
    changed = re.findall(r"Hash mismatch for \\*'(.+?)\\*'", text)
    others = re.findall(r"(Extra|Missing) files (?:found )?in model '.*?': (.*?)[\"']", text)
    found = [f"changed after it was signed: {', '.join(changed)}"] if changed else []
    words = {"Extra": "added after it was signed", "Missing": "signed, and not there"}
    return (
        "; ".join([*found, *(f"{words[kind]}: {names}" for kind, names in others)]) or "other files than were signed"
    )


def hashing() -> Any:
    """Which files a signature covers: all but itself and what the Hub keeps there."""
    config = library("model_signing.hashing").Config()
    return config.set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=True).set_allow_symlinks(True)


def library(name: str) -> Any:
    """A module of the extra `sign`. Raises ConfigError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"signatures need the extra 'sign' ({error.name} is not installed): make install EXTRAS=dev,sign"
        ) from None
