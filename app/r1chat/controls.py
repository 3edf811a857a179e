"""The settings beside a question as one value: what the events are given of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from r1chat.texts import LANGUAGES


class Controls(NamedTuple):
    """The components, or the values that a browser sent of them: those may be anything."""

    language: Any = "en"
    model: Any = None
    temperature: Any = None
    top_p: Any = None
    budget: Any = None
    seed: Any = None
    use_system: Any = False
    system: Any = ""
    stages: Any = None

    @classmethod
    def read(cls, value: Any) -> Controls:
        """The values in `value`, without whatever in it is not of their type."""
        given = cls(**{name: value[name] for name in cls._fields if name in value} if isinstance(value, dict) else {})
        stages = given.stages if isinstance(given.stages, list) else []
        return given._replace(
            language=given.language if given.language in list(LANGUAGES) else "en",
            model=given.model if isinstance(given.model, str) else None,
            use_system=given.use_system is True,
            system=given.system if isinstance(given.system, str) else "",
            stages=[name for name in stages if isinstance(name, str)],
        )
