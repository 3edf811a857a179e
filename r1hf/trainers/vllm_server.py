"""The vLLM server that makes rollouts or holds a teacher: asked before training, waited for within bounds, and
explained when it fails.

TRL's own client asks without a time limit, and waits for ever on a server that answers its health check with an error.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from r1hf.core.errors import StageError

COMMAND = (
    'VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --weight-transfer-config \'{"backend": "nccl"}\' '
    "--logprobs-mode processed_logprobs --max-logprobs -1"
)
TEACHER = (
    "python -m vllm.entrypoints.openai.api_server --model TEACHER --max-logprobs -1 --logprobs-mode processed_logprobs"
)
_ASK = 10.0  # seconds for one answer to a question about the server itself
_AGAIN = 2.0


def address(args: Any) -> str:
    """The server's URL from TRL's keys."""
    return (args.vllm_server_base_url or f"http://{args.vllm_server_host}:{args.vllm_server_port}").rstrip("/")


def wait(url: str, seconds: float) -> None:
    """Returns once the server is healthy. Raises StageError, with what was last seen, where it is not in time."""
    began = time.monotonic()
    while True:
        left = max(0.1, seconds - (time.monotonic() - began))
        try:
            answer = requests.get(f"{url}/health", timeout=min(_ASK, left))
            if answer.status_code == 200:
                return
            seen = f"it answers /health with {_shown(answer)}"
        except requests.RequestException as error:
            seen = _reason(error)
        if time.monotonic() - began + _AGAIN >= seconds:
            raise StageError(
                f"the vLLM server at {url} is not ready after {seconds:g} s: {seen}; start it with `{COMMAND}` (it "
                "loads the model for minutes: raise vllm_server_timeout), or mend vllm_server_base_url"
            )
        time.sleep(_AGAIN)


def check(url: str, tokens: int) -> None:
    """Raises StageError where a healthy server lacks what TRL will ask of it. tokens: of the longest completion."""
    info = _get(url, "/server_info", config_format="json")
    config = info.get("vllm_config", {})
    if config.get("weight_transfer_config") is None:
        raise StageError(f"the vLLM server at {url} cannot take new weights; start it anew with `{COMMAND}`")
    mode = (config.get("model_config") or {}).get("logprobs_mode")
    if mode != "processed_logprobs":
        raise StageError(
            f"the vLLM server at {url} gives {mode}, which biases the importance ratio; start it anew with "
            "--logprobs-mode processed_logprobs"
        )
    models = _get(url, "/v1/models").get("data") or [{}]
    longest = models[0].get("max_model_len")
    if isinstance(longest, int) and longest <= tokens:
        raise StageError(
            f"the vLLM server at {url} takes {longest} tokens, prompt included, and max_completion_length is "
            f"{tokens}; start it with a larger --max-model-len"
        )


def _get(url: str, path: str, **query: str) -> dict[str, Any]:
    answer = requests.get(url + path, params=query, timeout=_ASK)
    if answer.status_code == 404 and path == "/server_info":
        raise StageError(
            f"the vLLM server at {url} does not show its development endpoints, through which it takes new weights; "
            f"start it anew with `{COMMAND}`"
        )
    if answer.status_code != 200:
        raise StageError(f"the vLLM server at {url} answers {path} with {_shown(answer)}; look at the server's log")
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StageError(f"{url}{path} gives no JSON object: is this a vLLM server?")
    return found


@contextlib.contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Within it, TRL's client is made with a limit for each answer, and asks no second time after one."""
    from trl.generation import vllm_client

    class Bounded(HTTPAdapter):
        def __init__(self, **named: Any):
            super().__init__(**{**named, "max_retries": named["max_retries"].new(read=0)})

        def send(self, request: Any, **named: Any) -> Any:  # type: ignore[override]
            return super().send(request, **{**named, "timeout": named.get("timeout") or (_ASK, seconds)})

    original = vllm_client.HTTPAdapter
    vllm_client.HTTPAdapter = Bounded
    try:
        yield
    finally:
        vllm_client.HTTPAdapter = original


@contextlib.contextmanager
def explained(url: str, when: str, command: str = COMMAND) -> Iterator[None]:
    """Turns the client's errors into a StageError. when: what was under way; command: what starts such a server."""
    try:
        yield
    except StageError:
        raise
    except Exception as error:
        text = reason(error)
        if text is None:
            raise
        raise StageError(
            f"the vLLM server at {url} failed ({when}): {text}; look at the server's log, start it anew with "
            f"`{command}`, then repeat this command"
        ) from error


def reason(error: Exception) -> str | None:
    """What a client's error says about the server; None for an error that is not the server's."""
    if isinstance(error, requests.RequestException | ConnectionError):
        return _reason(error)
    return str(error)[:300] if str(error).startswith("Request failed: ") else None


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, requests.ReadTimeout) or "Read timed out" in text:
        return "it took the request and did not answer in time"
    if "refused" in text:
        return "the connection is refused: nothing listens there"
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if "Name or service not known" in text or "name resolution" in text:
        return "the host's name is not known"
    if "too many 500" in text:
        return "it answers 500 (internal error), several times over"
    return text[:300]


def _shown(answer: requests.Response) -> str:
    return f"{answer.status_code} {answer.text.strip()[:200]}".strip()


def careful(generate: Callable[..., dict[str, Any]], failures: list[str]) -> Callable[..., dict[str, Any]]:
    """TRL's `VLLMClient.generate` for the main process: a failure of the server gives no completions and a note.

    All processes wait for the main one's answer: so they learn of the failure together, and can save together. After
    a failure it asks no more: the server may hold weights of an earlier step.
    """

    def call(*arguments: Any, **named: Any) -> dict[str, Any]:
        try:
            if not failures:
                return generate(*arguments, **named)
        except Exception as error:
            text = reason(error)
            if text is None:
                raise
            failures.append(text)
        return {"prompt_ids": [], "completion_ids": [], "logprobs": [], "logprob_token_ids": []}

    return call


def careful_weights(update: Callable[..., None], failures: list[str]) -> Callable[..., None]:
    """TRL's `VLLMClient.update_named_params` and `reset_prefix_cache`, likewise; whatever goes wrong is noted.

    The weights that are left are gone through all the same: with a sharded policy all processes gather each of them.
    """

    def call(*arguments: Any) -> None:
        try:
            if not failures:
                update(*arguments)
        except Exception as error:
            text = reason(error) or f"{type(error).__name__}: {error}"[:300]
            failures.append(f"it did not take the new weights: {text}")
        for _ in arguments[1] if len(arguments) > 1 else ():
            pass

    return call
