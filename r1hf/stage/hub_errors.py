"""What the Hub and the network answer, as sentences. No message holds a token."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

from r1hf.core.errors import R1Error
from r1hf.core.secrets import MASK, known, mask

_TRANSPORT = ("httpx", "httpx2", "httpcore", "requests", "urllib3", "ssl", "socket")
_QUOTA = re.compile(r"storage|quota|limit reached|payment|upgrade", re.IGNORECASE)
TRANSIENT = frozenset({408, 412, 425, 429, 500, 502, 503, 504})


class HubError(R1Error):
    """A push or a download that did not work; `transient` says whether the same again may."""

    transient = False


class TransientHubError(HubError):
    """The network or the Hub failed for the moment."""

    transient = True


@contextlib.contextmanager
def explained(action: str, repo: str = "") -> Iterator[None]:
    """Turns what huggingface_hub raises inside the block into HubError. `action` completes "could not …"."""
    try:
        yield
    except R1Error:
        raise
    except Exception as error:
        known = explain(error, action, repo)
        if known is None:
            raise
        raise known from None


def explain(error: BaseException, action: str, repo: str = "") -> HubError | None:
    """The sentence for an error of a Hub client, or None if it is none of theirs."""
    for cause in _causes(error):
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status is not None:
            text = _status(int(status), cause, repo)
            return _made(int(status) in TRANSIENT, f"could not {action}: {text}")
        name = type(cause).__name__
        if name == "HFValidationError":
            return HubError(f"could not {action}: {clean(str(cause))} (a name is org/name)")
        if name == "OfflineModeIsEnabled":
            return HubError(f"could not {action}: HF_HUB_OFFLINE is set; unset it to use the Hub")
        if name in ("LocalEntryNotFoundError", "IncompleteSnapshotError"):
            return _made(True, f"could not {action}: the Hub is out of reach and the cache does not hold it")
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return HubError(f"could not {action}: the disk is full ({clean(str(cause))}); make room")
        if type(cause).__module__.split(".")[0] in _TRANSPORT or isinstance(cause, ConnectionError | TimeoutError):
            return _made(True, f"could not {action}: the Hub at {endpoint()} cannot be reached ({name})")
    if isinstance(error, LookupError | TypeError | ValueError | AttributeError) and _in_client(error):
        return no_hub(action)
    return None


def no_hub(action: str) -> HubError:
    """The error for a success that has nothing of the Hub's answer in it."""
    return HubError(
        f"could not {action}: what answers at {endpoint()} is not a Hub (a proxy, or the login page of a network?); "
        "look at HF_ENDPOINT and your connection"
    )


def _in_client(error: BaseException) -> bool:
    """Whether huggingface_hub itself tripped, over an answer that it could not read."""
    frames = traceback.extract_tb(error.__traceback__)
    return any("huggingface_hub" in Path(frame.filename).parts for frame in frames)


def _status(status: int, error: BaseException, repo: str) -> str:
    said = clean(getattr(error, "server_message", None) or str(error).strip().splitlines()[-1])
    if status == 401:
        return (
            f"no token or a wrong one, or {repo or 'the repository'} is private and not yours; "
            "log in with `hf auth login`, or set HF_TOKEN"
        )
    if status in (402, 413, 507) or (status == 403 and _QUOTA.search(said)):
        return f"the quota is used up ({said}); free some storage, or push to another account"
    if status == 403:
        return f"the token may not write to {repo or 'it'} ({said}); use a token with the role 'write' of a member"
    if status == 404:
        return f"{repo or 'it'} does not exist, or is private and not yours ({said})"
    if status == 409:
        return f"{repo or 'it'} conflicts with what is there ({said})"
    if status == 412:
        return f"somebody else changed {repo or 'it'} meanwhile"
    if status == 429:
        return "the Hub asks to wait (too many requests)"
    return f"the Hub failed with status {status} ({said})" if status >= 500 else f"the Hub answered {status}: {said}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


def _made(transient: bool, text: str) -> HubError:
    return TransientHubError(text) if transient else HubError(text)


def clean(text: str) -> str:
    """The text in one line, at most 300 characters, with every secret masked."""
    for token in secrets():
        text = text.replace(token, MASK)
    return mask(" ".join(text.split()))[:300]


def secrets() -> list[str]:
    """Secrets that this process knows of: its environment's, and the token of `hf auth login`."""
    found = [os.environ.get("HF_TOKEN", ""), os.environ.get("HUGGING_FACE_HUB_TOKEN", ""), *known()]
    with contextlib.suppress(ImportError, OSError):
        from huggingface_hub import get_token

        found.append(get_token() or "")
    return sorted({token for token in found if len(token) >= 8}, key=len, reverse=True)


def endpoint() -> str:
    """The Hub's address."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)
