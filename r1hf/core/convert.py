"""One value in its field's type, and types as a person who writes YAML would call them."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from r1hf.core.given import Given
from r1hf.core.secrets import MASK, mask

_UNIONS = (typing.Union, types.UnionType)


def convert(given: Given, annotation: Any) -> Any:
    """The value in its field's type. Raises ValueError that says what was expected."""
    try:
        adapter = TypeAdapter(annotation)
    except PydanticSchemaGenerationError:  # a type that no YAML value can have
        raise ValueError(f"cannot be set from YAML (expected {type_name(annotation)})") from None
    choices = _choices(annotation)
    if choices and isinstance(given.value, str) and given.value not in choices:
        raise ValueError(f"{given.value!r} is not {type_name(annotation)}")
    try:
        value = adapter.validate_python(given.value)
    except ValidationError as error:
        # `--run_name 5` is text that happens to look like a number.
        if given.text is not None and not isinstance(given.value, str):
            try:
                return adapter.validate_python(given.text, strict=True)
            except ValidationError:
                pass
        raise ValueError(_mismatch(given.value, annotation, error)) from None
    # pydantic takes `true` as 1: a bare `--learning_rate` must not mean 1.0.
    if isinstance(given.value, bool) and isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{str(given.value).lower()} is not {type_name(annotation)}")
    return value


def _mismatch(value: Any, annotation: Any, error: ValidationError) -> str:
    first = error.errors()[0]
    shown = MASK if isinstance(value, str) and mask(value) != value else repr(value)
    text = f"{shown} is not {type_name(annotation)}"
    place = [part for part in first["loc"] if isinstance(part, int)]
    constrained = first["type"] in {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
    if constrained:
        text = f"{shown}: {first['msg']}"
    return f"{text} (see item {place[0] + 1})" if place else text


def _choices(annotation: Any) -> list[str]:
    """The values of `SomeEnum | str`: transformers' way to say that a string must name a member."""
    members = typing.get_args(annotation) if typing.get_origin(annotation) in _UNIONS else ()
    enums = [member for member in members if isinstance(member, type) and issubclass(member, enum.Enum)]
    return [member.value for member in enums[0]] if len(enums) == 1 and str in members else []


def type_name(annotation: Any) -> str:
    """A type as a person who writes YAML would call it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is None or annotation is type(None):
        return "null"
    if origin is typing.Annotated:
        return type_name(arguments[0])
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(value) for value in arguments)
    if origin in _UNIONS:
        members = [member for member in arguments if member is not str or not _choices(annotation)]
        return " or ".join(dict.fromkeys(type_name(member) for member in members))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return "one of " + ", ".join(repr(member.value) for member in annotation)
    if origin in (list, tuple, set, Sequence) and arguments:
        plural = {int: "whole numbers", float: "numbers", str: "texts"}
        return f"a list of {plural.get(arguments[0], type_name(arguments[0]))}"
    if origin is dict or annotation is dict:
        return "a mapping"
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
    return plain.get(annotation, getattr(annotation, "__name__", str(annotation)))
