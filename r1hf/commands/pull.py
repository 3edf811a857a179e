"""Download a model or data set of the Hub at one commit, and use it only if it is signed by whom you trust.

    r1hf pull me/tiny-r1 --key publisher.pub              whole, or not at all
    r1hf pull me/tiny-r1@v1 --identity me@org.example --issuer https://accounts.example
    r1hf pull me/tiny-r1 --key publisher.pub --to models/r1

Prints the directory. Have the key from its owner, not from the repository that it is to prove.
Exit status: 0 done, 1 refused, or not to be had.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from r1hf.core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="ORG/NAME[@REVISION]", help="a branch, a tag or a commit; default main")
    parser.add_argument("--key", type=Path, metavar="FILE", help="public key (PEM) of the publisher")
    parser.add_argument("--identity", help="whom Sigstore is to vouch for: a mail address, or a workflow's address")
    parser.add_argument("--issuer", metavar="URL", help="who knows that identity")
    parser.add_argument("--dataset", action="store_true", help="a data set, not a model")
    parser.add_argument("--to", type=Path, metavar="DIR", help="copy it there (default: the Hub's cache)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from r1hf.core.source import is_hub_id
    from r1hf.stage.hub_refs import download, pin
    from r1hf.stage.signatures import Trust, check_key, trusted

    if bool(options.identity) != bool(options.issuer) or (options.key and options.identity):
        raise ConfigError("give --key, or --identity together with --issuer")
    if not is_hub_id(options.reference):
        raise ConfigError(f"{options.reference} is not a reference to the Hub: write org/name or org/name@revision")
    if options.to is not None and os.path.lexists(options.to):
        raise ConfigError(f"--to {options.to} exists; choose another directory, or move it away")
    trust = Trust(options.key, options.identity, options.issuer) if options.key or options.identity else trusted()
    if trust is not None and trust.key is not None:
        check_key(trust.key)
    pinned = pin(options.reference, "dataset" if options.dataset else "model")
    place = download(pinned, trust=trust)
    if trust is None:
        print(f"note: nobody's signature was asked for; whose {pinned} is, is not known (--key)", file=sys.stderr)
    else:
        print(f"{pinned} is signed by {trust}", file=sys.stderr)
    where = _copied(place, options.to) if options.to is not None else place
    signed = {"signed_by": None if trust is None else str(trust)}
    print(json.dumps({"directory": str(where), "commit": str(pinned)} | signed) if options.json else where)
    return 0


def _copied(place: Path, to: Path) -> Path:
    beside = to.with_name(f".{to.name}.{os.getpid()}.tmp")
    try:
        shutil.copytree(place, beside)
        beside.rename(to)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return to
