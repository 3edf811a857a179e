"""How a served model is prompted: its own chat template, or the prompt template that its stage was trained with.

A stage trained on a prompt template (R1-Zero) gets a chat template that renders it, so that every model can be talked
to with messages, whatever the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from r1hf.core.errors import ConfigError, DataError, R1Error
from r1hf.core.files import read_object
from r1hf.text import prompt_templates as templates
from r1hf.text.grammar import THINK_OPEN
from r1hf.text.renderer import Runaway, render_safely

LONGEST = 2**18  # bytes of a chat template; the longest that people write have a tenth
Form = Literal["inline", "prefilled", "cold_start"]

# Characters that tell the language of a question apart from one in Latin letters.
_CHARACTERS = {
    "zh": ("\u4e00", "\u9fff"),
    "ja": ("\u3041", "\u30ff"),
    "ko": ("\uac00", "\ud7ff"),
    "ru": ("\u0400", "\u052f"),
    "ar": ("\u0620", "\u06ff"),
}
_PLAIN = "User: {prompt}\nAssistant:\n"


@dataclass(frozen=True)
class Prompt:
    """How messages become text.

    kind: "chat" (the model's own chat template) or "template" (a stage's prompt template).
    source: Jinja text of the chat template. replaced: True if it stands in for the model's own.
    languages: those that the template was written for; empty where nothing says so.
    note: what a person should know, empty mostly.
    """

    kind: Literal["chat", "template"]
    form: Form
    source: str
    replaced: bool = False
    languages: tuple[str, ...] = ()
    note: str = ""


def prompt_of(directory: Path, config: Mapping[str, Any], fallback: Path | None = None) -> Prompt:
    """The prompt of the model in `directory`, whose manifest says `config` (empty where no stage made it).

    fallback: an adapter's base, asked for a chat template where the adapter has none. Raises DataError for a template
    that is no text.
    """
    own = own_template(directory) or (own_template(fallback) if fallback else None)
    note = ""
    if asked := config.get("prompt_template"):
        texts = asked if isinstance(asked, dict) else {"": asked}
        try:
            loaded = {language: templates.load(str(name)) for language, name in texts.items()}
            text = chat_template_for(loaded)
            languages = tuple(language for language in texts if language)
            return Prompt("template", _form(text, config), text, True, languages)
        except (R1Error, OSError, ValueError, RuntimeError) as error:  # a name may be no path at all
            note = f"its prompt template cannot be used ({str(error)[:200]}), so the chat template is used"
    if own is not None:
        try:
            return Prompt("chat", _form(own, config), own, False, (), note)
        except Runaway as error:  # an engine that renders it would stand still
            note = f"its chat template is not used ({error}): plain User/Assistant is"
    text = chat_template_for({"": _PLAIN})
    note = note or "it has no chat template: plain User/Assistant is used"
    return Prompt("template", _form(text, config), text, True, (), note)


def own_template(directory: Path) -> str | None:
    """The chat template beside a tokenizer, None where there is none. Raises DataError for a file that is no text."""
    file = directory / "chat_template.jinja"
    if file.is_file():
        try:
            if file.stat().st_size > LONGEST:
                raise DataError(f"{file} has more than {LONGEST:,} bytes, which no chat template needs")
            return file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise DataError(f"{file} cannot be read as UTF-8 text: {error}") from error
    try:
        found = read_object(directory / "tokenizer_config.json").get("chat_template")
    except (ConfigError, OSError):
        return None
    if isinstance(found, list):  # named templates
        named = [item.get("template") for item in found if isinstance(item, dict) and item.get("name") == "default"]
        found = named[-1] if named else None
    return found if isinstance(found, str) and len(found) <= LONGEST else None


def chat_template_for(texts: Mapping[str, str]) -> str:
    """A Jinja chat template that renders prompt templates, {language: text with `{prompt}`}.

    The last question's script chooses the language; the first is the default. Earlier turns stand before it, each
    in the same template, thoughts dropped. A system message stands first, as plain text.
    """
    languages = list(texts)
    lines = [f"{{%- set ns = namespace(language={_literal(languages[0])}) -%}}"]
    lines += ["{%- for message in messages if message['role'] == 'user' -%}{%- if loop.last -%}"]
    tests = [
        f"{{%- if {_literal(low)} <= char <= {_literal(high)} -%}}"
        f"{{%- set ns.language = {_literal(code)} -%}}{{%- endif -%}}"
        for code, (low, high) in _CHARACTERS.items()
        if code in languages[1:]
    ]
    lines += ["{%- for char in message['content'] -%}", *tests, "{%- endfor -%}", "{%- endif -%}{%- endfor -%}"]
    lines += ["{%- for message in messages -%}", "{%- if message['role'] == 'user' -%}"]
    for index, (language, text) in enumerate(texts.items()):
        word = "if" if index == 0 else "elif"
        lines += [f"{{%- {word} ns.language == {_literal(language)} -%}}"]
        parts = " + message['content'] + ".join(_literal(part) for part in text.split(templates.PLACEHOLDER))
        lines += [f"{{{{- {parts} -}}}}"]
    lines += ["{%- endif -%}", "{%- elif message['role'] == 'assistant' -%}"]
    lines += ["{{- (message['content'] or '').split('</think>')[-1] + (eos_token or '') + '\\n' -}}"]
    lines += ["{%- else -%}", "{{- message['content'] + '\\n' -}}", "{%- endif -%}", "{%- endfor -%}"]
    return "\n".join(lines) + "\n"


def _literal(text: str) -> str:
    """A Jinja string literal, in ASCII."""
    return '"' + text.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'


def _form(template: str, config: Mapping[str, Any]) -> Form:
    paid = (config.get("rewards") or {}).get("format")
    if "cold_start" in (config.get("format_mode"), paid.get("mode") if isinstance(paid, Mapping) else None):
        return "cold_start"  # the first: in manifests of runs before `rewards`
    try:
        rendered = render_safely(template, [{"role": "user", "content": "?"}])
    except Runaway:
        raise
    except DataError:
        return "inline"  # only the engine's own renderer can tell
    return "prefilled" if rendered.rstrip().endswith(THINK_OPEN) else "inline"
