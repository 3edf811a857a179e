"""What the environment sets. The backend's key stays in this process."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from r1hf.serving.door import host_name, host_of

DEFAULT_BACKEND = "http://127.0.0.1:8000/v1"


@dataclass(frozen=True)
class Settings:
    """Times in seconds; `rate` is questions a minute and person, 0 for no limit.

    hosts: names that the page is called by, besides its address. proxies: how many in front of it are believed when
    they say who asks. space: it is a Space of the Hub.
    """

    backend: str = DEFAULT_BACKEND
    key: str = field(default="", repr=False)
    login: tuple[str, str] | None = field(default=None, repr=False)
    host: str = "127.0.0.1"
    port: int = 7860
    timeout: float = 120.0
    patience: float = 180.0
    health_interval: float = 4.0
    max_question: int = 8_000
    max_tokens: int = 8_192
    max_samples: int = 16
    max_streams: int = 64
    max_waiting: int = 256
    rate: int = 60
    hosts: tuple[str, ...] = ()
    proxies: int = 0
    space: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Reads R1HF_* (and PORT's usual names). Raises SystemExit with a sentence on a value that makes no sense."""
        # A Space is reached from outside; anything else only from this machine, unless it is said otherwise.
        space = environ.get("SPACE_ID", "")
        host = "0.0.0.0" if space else "127.0.0.1"
        return cls(
            backend=_url(environ.get("R1HF_BACKEND") or DEFAULT_BACKEND),
            key=_key(environ.get("R1HF_BACKEND_KEY", "")),
            login=_login(environ.get("R1HF_LOGIN", "")),
            host=environ.get("GRADIO_SERVER_NAME") or environ.get("R1HF_CHAT_HOST") or host,
            port=_whole(environ, ("R1HF_CHAT_PORT", "GRADIO_SERVER_PORT"), cls.port, least=0),
            timeout=_number(environ, "R1HF_TIMEOUT", cls.timeout),
            patience=_number(environ, "R1HF_PATIENCE", cls.patience),
            health_interval=_number(environ, "R1HF_HEALTH_INTERVAL", cls.health_interval),
            max_question=_whole(environ, ("R1HF_MAX_QUESTION",), cls.max_question),
            max_tokens=_whole(environ, ("R1HF_MAX_TOKENS",), cls.max_tokens),
            max_samples=_whole(environ, ("R1HF_MAX_SAMPLES",), cls.max_samples),
            max_streams=_whole(environ, ("R1HF_MAX_STREAMS",), cls.max_streams),
            max_waiting=_whole(environ, ("R1HF_MAX_WAITING",), cls.max_waiting),
            rate=_whole(environ, ("R1HF_RATE",), cls.rate, least=0),
            hosts=(*_hosts(environ.get("R1HF_ALLOW_HOSTS", "")), *_space_hosts(environ)),
            proxies=_whole(environ, ("R1HF_PROXIES",), 1 if space else 0, least=0),
            space=bool(space),
        )


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise SystemExit(f"R1HF_BACKEND={text!r} is not an address: give one like {DEFAULT_BACKEND}")
    return text.rstrip("/")


def _key(text: str) -> str:
    """A key goes into a header: no line breaks, and nothing that is no text."""
    if not text.isprintable():
        raise SystemExit("R1HF_BACKEND_KEY has a line break or another character that no header can hold: set it anew")
    return text


def _hosts(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if wrong := next((name for name in names if host_name(name) is None), None):
        raise SystemExit(f"R1HF_ALLOW_HOSTS has {wrong!r}, which is not a host name: give names like chat.example.org")
    return [host for host in map(host_name, names) if host]


def _space_hosts(environ: Mapping[str, str]) -> list[str]:
    """What a Space is called by."""
    own = re.sub(r"[^a-z0-9]+", "-", environ.get("SPACE_ID", "").lower()).strip("-")
    return [host for host in (host_of(environ.get("SPACE_HOST", "")), own and f"{own}.hf.space") if host]


def _login(text: str) -> tuple[str, str] | None:
    user, _, password = text.partition(":")
    if not text:
        return None
    if not user or not password:
        raise SystemExit("R1HF_LOGIN is not of the form user:password: set both, or unset it for no login")
    return user, password


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise SystemExit(f"{name}={text!r} is not a positive number of seconds")
    return value


def _whole(environ: Mapping[str, str], names: tuple[str, ...], default: int, *, least: int = 1) -> int:
    name = next((name for name in names if environ.get(name)), None)
    if name is None:
        return default
    try:
        value = int(environ[name])
    except ValueError:
        value = least - 1
    if value < least:
        raise SystemExit(f"{name}={environ[name]!r} is not a whole number from {least}")
    return value
