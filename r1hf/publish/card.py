"""Cards from templates: every value comes from manifests and evaluation files; what is missing refuses the push.

A value is text that somebody else may have written: a question, a column's name, a stage's. What `{{ … }}` puts into
a card is therefore shown as code where Markdown or HTML could take it for more than words (`shown`); in a snippet to
copy it is quoted for its language (`python`, `shell`).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from r1hf.core.errors import StageError

PLACEHOLDERS = re.compile(
    r"\{\{|\{%|\bTODO\b|\bTBD\b|\bFIXME\b|\bXXX\b|More Information Needed|<\s*placeholder"
    r"|\[\s*(?:fill|insert|add)\b[^\]]*\]",
    re.IGNORECASE,
)
# What Markdown or HTML makes something of, an address that is made a link included.
ACTIVE = re.compile(
    r"[\[\]<>`*|\\&~$#{}^]|://|www\.|(?<!\w)_|_(?!\w)|\w@\w[\w-]*\.|^\s*(?:[-+=]+|\d+[.)])(?:\s|$)", re.IGNORECASE
)
# A result that is typed into a template was measured by nobody.
TYPED_NUMBER = re.compile(r"\d[\d.,]*\s*(?:%|±)|±\s*\d|pass@1\s*(?:of|is|=|:)?\s*\d", re.IGNORECASE)


class CardError(StageError):
    """A card that would claim what no file shows, or that is not finished."""


def templates() -> Path:
    """The folder of the card templates: `model_cards/` of the repository, or its copy in an installed package."""
    here = Path(__file__).resolve()
    for place in (here.parents[2] / "model_cards", here.parent / "model_cards"):
        if place.is_dir():
            return place
    raise CardError("the card templates (model_cards/*.md.jinja) are not installed; run from the repository")


def render(template: str, context: Mapping[str, Any], folder: Path | None = None) -> str:
    """The card. Raises CardError for a value that the context lacks, a typed number, or a placeholder."""
    folder = folder or templates()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=shown,
    )
    environment.filters |= FILTERS
    try:
        for name in [template, *sorted(path.name for path in folder.glob("_*.jinja"))]:
            _check_source(environment, name)
        text = environment.get_template(template).render(**context)
    except jinja2.UndefinedError as error:
        raise CardError(f"{folder / template} uses a value that no manifest or evaluation gives: {error}") from None
    except jinja2.TemplateNotFound as error:
        raise CardError(f"no card template {folder / str(error)}") from None
    except jinja2.TemplateSyntaxError as error:
        raise CardError(f"{folder / (error.name or template)}:{error.lineno}: {error.message}") from None
    check(text, template)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def check(text: str, name: str) -> None:
    """Raises CardError for a placeholder in a card."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := PLACEHOLDERS.search(line):
            raise CardError(f"{name}, line {number} of the card: '{found[0]}' is a placeholder: {line.strip()[:80]!r}")
        if not is_card_text(line):
            raise CardError(f"{name}, line {number} of the card: a value is missing: {line.strip()[:80]!r}")


def is_card_text(line: str) -> bool:
    """Whether a line has no placeholder and no value that is missing."""
    return not PLACEHOLDERS.search(line) and not re.search(r"(?<![\w.-])(?:nan|inf|None)(?![\w.-])", line)


def _check_source(environment: Any, name: str) -> None:
    source, path, _ = environment.loader.get_source(environment, name)
    for line, kind, value in environment.lex(source, filename=path):
        if kind == "data" and (found := TYPED_NUMBER.search(value)):
            raise CardError(
                f"{path}:{line}: '{found[0].strip()}' is a number typed into the template; "
                "numbers come from evaluation files"
            )


def front_matter(data: Mapping[str, Any]) -> Safe:
    """YAML for the head of a card, without empty values."""
    import yaml

    kept = {key: _flat(value) for key, value in data.items() if value not in (None, [], {})}
    return Safe(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True).rstrip())


def _flat(value: Any) -> Any:
    """The same without line breaks: none of its lines can then end the head."""
    if isinstance(value, Mapping):
        return {key: _flat(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_flat(item) for item in value]
    return one_line(value) if isinstance(value, str) else value


class Safe(str):
    """Markdown that was made here."""


def shown(value: Any) -> str:
    """Words as they are; as code what Markdown, HTML or a browser would make a link, a picture or a tag of."""
    if isinstance(value, Safe | jinja2.Undefined):
        return str(value)
    text = one_line(str(value))
    return code(text) if ACTIVE.search(text) else text


def one_line(text: str) -> str:
    """Without line breaks, control characters and those that turn the direction of writing."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def code(value: Any) -> Safe:
    """Code within a line or a table's cell."""
    text = one_line(str(value)).replace("`", "'").replace("|", "\\|").strip()
    return Safe(f"`{text}`")


def python(value: Any) -> Safe:
    """A string of Python, on one line."""
    quoted = json.dumps(str(value), ensure_ascii=False)
    letters = (letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in quoted)
    return Safe("".join(letters))


def shell(value: Any) -> Safe:
    """One word of a command line."""
    return Safe(shlex.quote(one_line(str(value))))


def block(value: Any) -> Safe:
    """Lines within a fence of backticks."""
    return Safe(str(value).replace("`", "'"))


def names(values: Iterable[Any]) -> Safe:
    """Any number of names, the first fifty of them."""
    found = list(values)
    more = [f"and {len(found) - 50} more"] if len(found) > 50 else []
    return Safe(", ".join([*(shown(str(name)[:80]) for name in found[:50]), *more]))


def _filters() -> dict[str, Any]:
    from r1hf.explain.report.summary import scored
    from r1hf.explain.report.text import duration, memory, percent, plain, words

    def rest(share: float | None) -> float | None:
        return None if share is None else 1 - share

    return {
        "rest": rest,
        **{"percent": percent, "plain": plain, "duration": duration, "memory": memory, "words": words},
        **{"code": code, "python": python, "shell": shell, "block": block, "names": names},
        **{"scored": scored, "front_matter": front_matter},
    }


FILTERS = _filters()
