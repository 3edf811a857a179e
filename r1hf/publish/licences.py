"""Which licence a model or data set may have, given the licences of what it was made from.

A table for the common cases, not legal advice. What it does not know is refused, so that a person looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from r1hf.core.errors import StageError
from r1hf.models.students import STUDENTS

# The Hub's identifiers (hub-docs, "licenses").
PERMISSIVE = frozenset(
    "apache-2.0 mit bsd bsd-2-clause bsd-3-clause isc cc0-1.0 cc-by-3.0 cc-by-4.0 cdla-permissive-2.0 odc-by pddl "
    "unlicense wtfpl bsl-1.0 zlib".split()
)
# A derived work keeps the licence; Llama and Gemma bind outputs that train other models too.
KEEPS = frozenset(
    "llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-sa-4.0 gpl-2.0 gpl-3.0 "
    "agpl-3.0 lgpl-3.0 qwen qwen-research odbl openrail bigscience-openrail-m".split()
)
NONCOMMERCIAL = frozenset("cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-sa-4.0".split())
NO_DERIVATIVES = frozenset("cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0".split())

OWN = "apache-2.0"  # what r1hf itself makes: the tiny world's models and data

# Licences of models that are often started from or asked for data.
KNOWN = {entry.base: entry.licence for entry in STUDENTS.values()} | {
    **dict.fromkeys(
        ("deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-R1-0528", "deepseek-ai/DeepSeek-R1-Zero"), "mit"
    ),
    **{f"deepseek-ai/DeepSeek-R1-Distill-{entry.name}": entry.licence for entry in STUDENTS.values()},
    **dict.fromkeys(("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-7B"), "apache-2.0"),
    **dict.fromkeys(("Qwen/Qwen2.5-3B",), "qwen-research"),
    **dict.fromkeys(("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-3B"), "llama3.2"),
}


@dataclass(frozen=True)
class Source:
    """Something that went in: a base, a teacher, or data. `role` says which, `licence` is None where unknown.

    world: r1hf made it itself, in the tiny world.
    """

    name: str
    role: str
    licence: str | None
    world: bool = False


class LicenceError(StageError):
    """A licence that what went in does not allow, or does not tell."""


def choose(sources: Iterable[Source], wanted: str | None, repo: str = "") -> str:
    """The licence of a derived work: `wanted`, or the one that the sources ask for, or Apache-2.0.

    Raises LicenceError where a source forbids it, or has no known licence.
    """
    sources = list(sources)
    problems = [
        f"{source.name} ({source.role}) has no licence that r1hf knows; read its licence and say what it is: "
        f"--base-license {source.name}=ID"
        for source in sources
        if source.licence is None
    ]
    problems += [
        f"{source.name} ({source.role}) has the licence {source.licence}, which allows no derived work"
        for source in sources
        if source.licence in NO_DERIVATIVES
    ]
    binding = [source for source in sources if source.licence in KEEPS | NONCOMMERCIAL]
    licence = wanted or next((str(source.licence) for source in binding), OWN)
    known = PERMISSIVE | KEEPS | NONCOMMERCIAL | NO_DERIVATIVES
    if licence not in known:
        problems.append(f"the licence {licence} is not one that r1hf knows; use one of {', '.join(sorted(known))}")
    problems += [reason for source in binding if (reason := forbids(source, licence))]
    # Llama's licences: the name of a model made with it begins with "Llama".
    llama = next((source for source in binding if str(source.licence).startswith("llama3")), None)
    if llama and repo and not repo.split("/")[-1].lower().startswith("llama"):
        problems.append(
            f"{llama.name} ({llama.role}, {llama.licence}) asks that the name begins with 'Llama'; "
            f"push to {repo.split('/')[0]}/Llama-{repo.split('/')[-1]}"
        )
    if problems:
        raise LicenceError("the licence forbids this push: " + "; ".join(problems))
    return licence


def forbids(source: Source, licence: str) -> str | None:
    """Why a work made from `source` may not have `licence`, or None."""
    if source.licence in NONCOMMERCIAL and licence not in NONCOMMERCIAL:
        return f"{source.name} ({source.role}, {source.licence}) forbids commercial use, {licence} allows it"
    if source.licence in KEEPS and licence != source.licence:
        return f"{source.name} ({source.role}) has the licence {source.licence}, which must stay; asked for {licence}"
    return None
