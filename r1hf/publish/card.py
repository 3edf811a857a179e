"""Cards from templates: every value comes from manifests and evaluation files; what is missing refuses the push."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1hf.core.errors import StageError

PLACEHOLDERS = re.compile(
    r"\{\{|\{%|\bTODO\b|\bTBD\b|\bFIXME\b|\bXXX\b|More Information Needed|<\s*placeholder"
    r"|\[\s*(?:fill|insert|add)\b[^\]]*\]",
    re.IGNORECASE,
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
    import jinja2

    folder = folder or templates()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
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
        if re.search(r"(?<![\w.-])(?:nan|inf|None)(?![\w.-])", line):
            raise CardError(f"{name}, line {number} of the card: a value is missing: {line.strip()[:80]!r}")


def _check_source(environment: Any, name: str) -> None:
    source, path, _ = environment.loader.get_source(environment, name)
    for line, kind, value in environment.lex(source, filename=path):
        if kind == "data" and (found := TYPED_NUMBER.search(value)):
            raise CardError(
                f"{path}:{line}: '{found[0].strip()}' is a number typed into the template; "
                "numbers come from evaluation files"
            )


def front_matter(data: Mapping[str, Any]) -> str:
    """YAML for the head of a card, without empty values."""
    import yaml

    kept = {key: value for key, value in data.items() if value not in (None, [], {})}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True).rstrip()


def _filters() -> dict[str, Any]:
    from r1hf.explain.report.summary import scored
    from r1hf.explain.report.text import duration, memory, percent, plain, words

    def cell(value: Any) -> str:
        """Text that cannot break out of a table's cell or of code."""
        return str(value).replace("|", "\\|").replace("`", "'").replace("\n", " ")

    def rest(share: float | None) -> float | None:
        return None if share is None else 1 - share

    return {
        "rest": rest,
        **{"percent": percent, "plain": plain, "duration": duration, "memory": memory, "words": words, "cell": cell},
        **{"scored": scored, "front_matter": front_matter},
    }


FILTERS = _filters()
