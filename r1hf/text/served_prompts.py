"""How a served model is prompted: its own chat template, or the prompt template that its stage was trained with.

A stage trained on a prompt template (R1-Zero) gets a chat template that renders it, so that every model can be talked
to with messages, whatever the engine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from r1hf.core.errors import ConfigError, DataError, R1Error
from r1hf.core.files import read_bytes, read_object, reason_of
from r1hf.text import prompt_templates as templates
from r1hf.text.grammar import THINK_OPEN

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

    fallback: an adapter's base, asked for a chat template where the adapter has none.
    """
    own = own_template(directory) or (own_template(fallback) if fallback else None)
    note = ""
    if asked := config.get("prompt_template"):
        texts = asked if isinstance(asked, dict) else {"": asked}
        try:
            loaded = {language: templates.load(name) for language, name in texts.items()}
            text = chat_template_for(loaded)
            languages = tuple(language for language in texts if language)
            return Prompt("template", _form(text, config), text, True, languages)
        except R1Error as error:
            note = f"its prompt template cannot be had ({error}), so the chat template is used"
    if own is None:
        text = chat_template_for({"": _PLAIN})
        note = note or "it has no chat template: plain User/Assistant is used"
        return Prompt("template", _form(text, config), text, True, (), note)
    return Prompt("chat", _form(own, config), own, False, (), note)


def own_template(directory: Path) -> str | None:
    """The chat template beside a tokenizer, None where there is none. Raises ConfigError where it cannot be read."""
    file = directory / "chat_template.jinja"
    try:
        if os.path.lexists(file):
            return read_bytes(file).decode("utf-8")
        found = read_object(directory / "tokenizer_config.json").get("chat_template")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {reason_of(error)}") from error
    if isinstance(found, list):  # named templates
        named = [item for item in found if isinstance(item, dict)]
        found = next((item.get("template") for item in named if item.get("name") == "default"), None)
    return found if isinstance(found, str) else None


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
    if config.get("format_mode") == "cold_start":
        return "cold_start"
    try:
        rendered = render(template, [{"role": "user", "content": "?"}])
    except DataError:
        return "inline"  # only the engine's own renderer can tell
    return "prefilled" if rendered.rstrip().endswith(THINK_OPEN) else "inline"


def render(template: str, messages: list[dict[str, str]], **variables: Any) -> str:
    """The text that a chat template makes of `messages`, as Transformers renders it. Raises DataError if it fails."""
    from jinja2 import TemplateError
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what is trained on; here it means nothing."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals.update(raise_exception=raise_exception, strftime_now=lambda form: form)
    values = {"bos_token": "", "eos_token": "", "tools": None, "add_generation_prompt": True, **variables}
    try:
        return environment.from_string(template).render(messages=messages, **values)
    except Exception as error:  # a template divides by zero, or calls itself, and says so in Python's words
        raise DataError(f"the chat template cannot be rendered: {error}") from error
