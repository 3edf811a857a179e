"""OpenAI's form of an error."""

from __future__ import annotations

from typing import Any

_KINDS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    503: "ServiceUnavailableError",
}


def error_body(message: str, status: int, param: str | None = None) -> dict[str, Any]:
    """The JSON body of an answer with HTTP `status`; `param` names the field at fault."""
    kind = _KINDS.get(status, "InternalServerError")
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}
