"""Push a run or one stage of it to the Hub, with a card made from its manifests and its evaluation.

    r1hf push runs/tiny --repo me/tiny-r1             a whole run: models, data, a collection
    r1hf push runs/tiny/r1 --repo me/tiny-r1          one model, with branch and tag
    r1hf push runs/tiny/cold_start --repo me/cold     data
    r1hf push runs/tiny/r1 --repo me/tiny-r1 --dry-run

Private unless --public. The token comes from `hf auth login` or HF_TOKEN. A push that was cut goes on when repeated.
Exit status: 0 done, 1 refused, or cut.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from r1hf.core.errors import R1Error
from r1hf.core.secrets import mask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="RUN_OR_STAGE", help="a run directory, or a finished stage in it")
    parser.add_argument("--repo", required=True, metavar="ORG/NAME", help="where to; further names begin with it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--public", action="store_true", help="make the repositories public when all is there")
    parser.add_argument("--pr", action="store_true", help="propose the content in a pull request; no branch, no tag")
    parser.add_argument("--tag", help="name of the tag (default: the stage and a hash of the content)")
    parser.add_argument("--license", dest="licence", metavar="ID", help="licence (default: what the sources ask for)")
    parser.add_argument(
        "--base-license",
        dest="licences",
        metavar="NAME=ID",
        action="append",
        default=[],
        help="licence of a base or of data that r1hf does not know; may be repeated",
    )
    parser.add_argument("--evaluation", type=Path, metavar="DIR", help="evaluation stage (default: `evaluate` beside)")
    parser.add_argument("--base", metavar="ORG/NAME", help="where the base of this model is on the Hub")
    parser.add_argument(
        "--space", metavar="ORG/NAME", help="also push the chat app as a Space that talks to the model"
    )
    signing = parser.add_mutually_exclusive_group()
    signing.add_argument("--sign-key", type=Path, metavar="FILE", help="sign everything with this private key (PEM)")
    signing.add_argument(
        "--sign", action="store_true", help="sign everything as whom Sigstore knows (needs a network)"
    )
    parser.add_argument("--cards", type=Path, metavar="DIR", help="write the cards to DIR and stop; touch no network")
    parser.add_argument("--dry-run", action="store_true", help="print what would be uploaded; touch no network")


def run(options: argparse.Namespace) -> int:
    from r1hf.explain.report.text import memory
    from r1hf.publish.push import describe, push, write_cards
    from r1hf.publish.signing import Signer
    from r1hf.publish.targets import Options, make_plan
    from r1hf.stage.signatures import check_key

    licences = dict(item.partition("=")[::2] for item in options.licences)
    asked = Options(
        options.repo,
        options.public,
        options.pr,
        options.tag,
        options.licence,
        licences,
        options.evaluation,
        options.base,
    )
    try:
        if options.sign_key:
            check_key(options.sign_key, private=True, pushed=options.path)
        plan = make_plan(options.path, asked)
        if options.space:
            from r1hf.publish.space import space_target

            plan = plan.with_target(space_target(options.space, options.repo))
        if options.cards:
            print("\n".join(map(str, write_cards(plan, options.cards))))
            return 0
        if options.dry_run:
            said = describe(plan, asked)
            print(json.dumps({"plan": said.splitlines()}, ensure_ascii=False, indent=2) if options.json else said)
            return 0
        if options.sign or options.sign_key:
            plan = plan.signed(Signer(options.sign_key))
        done = push(plan, asked, _tell) if options.json else push(plan, asked)
    except R1Error as error:
        print(mask(f"r1hf push: {error}"), file=sys.stderr)
        print(
            f"{options.path} is kept as it is. When this is mended, go on with:\n  {shlex.join(command(options))}",
            file=sys.stderr,
        )
        return 1
    if options.json:
        print(json.dumps({"places": done.places, "files": done.sent_files, "bytes": done.sent_bytes}, default=str))
        return 0
    sent = (
        f"{done.sent_files} files, {memory(done.sent_bytes / 2**20)} sent" if done.sent_files else "nothing to upload"
    )
    print("\n".join([sent, *done.places]))
    return 0


def _tell(text: str) -> None:
    """Progress, beside the JSON."""
    print(text, file=sys.stderr)


def command(options: argparse.Namespace) -> list[str]:
    """The command line that repeats this push."""
    words = ["r1hf", "push", str(options.path), "--repo", options.repo]
    for flag, value in (("--public", options.public), ("--pr", options.pr), ("--sign", options.sign)):
        words += [flag] if value else []
    pairs = {"--tag": options.tag, "--license": options.licence, "--evaluation": options.evaluation}
    pairs |= {"--base": options.base, "--space": options.space, "--sign-key": options.sign_key}
    for flag, value in pairs.items():
        words += [flag, str(value)] if value else []
    return words + [word for item in options.licences for word in ("--base-license", item)]
