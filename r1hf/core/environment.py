"""The environment of the processes that r1hf starts to serve a model or to judge what one wrote.

A list of what is passed on, since a list of secrets is never complete: GITHUB_PAT, DATABASE_URL and MYSQL_PWD have
nothing in common.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from r1hf.core.secrets import find

_NAMES = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "TMP", "TEMP", "SYSTEMROOT"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "CC", "CXX"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("TOKENIZERS_PARALLELISM", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "HUGGINGFACE_HUB_CACHE"),
        *("LOCAL_RANK", "LOCAL_WORLD_SIZE", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    }
)
_PREFIXES = (
    *("LC_", "PYTHON", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "UCX_", "ROCR_", "HIP_", "HSA_", "RCCL_", "MIOPEN_"),
    *("OMP_", "MKL_", "KMP_", "GOMP_", "MALLOC_", "TORCH", "PYTORCH_", "TRITON_", "FLASHINFER_", "VLLM_"),
    *("HF_", "TRANSFORMERS_"),
)
# Within what is allowed: VLLM_API_KEY, HF_TOKEN; not TOKENIZERS_PARALLELISM. And addresses with a password in them.
_SECRET_NAME = re.compile(r"(^|_)(TOKENS?|KEYS?|SECRETS?|PASS|PASSWORD|PASSWD|PWD|PAT|AUTH|CREDENTIALS?)(_|$)", re.I)
_COUNT_NAME = re.compile(r"_TOKENS$")  # R1HF_MAX_TOKENS=128
_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]*@")  # any at all: what looks like a placeholder is kept back too
HUB_TOKENS = ("HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN")


def child_environment(
    more: Mapping[str, str], prefixes: Sequence[str] = (), names: Sequence[str] = ()
) -> dict[str, str]:
    """What of this process's environment a child needs, and `more`.

    prefixes: further variables, of the child's own. names: variables that are passed on even though they are secret,
    such as HUB_TOKENS to a process that downloads.
    """
    allowed = (*_PREFIXES, *prefixes)
    own = {name: value for name, value in os.environ.items() if name in names or _is_allowed(name, value, allowed)}
    return {**own, **more}


def worker_environment(**more: str) -> dict[str, str]:
    """What Python needs to find the same packages, and nothing of the caller's secrets."""
    root = str(Path(__file__).resolve().parents[1])
    paths = [root, *(path for path in sys.path if path and path != root)]
    return child_environment({"PYTHONPATH": os.pathsep.join(paths), **more})


def _is_allowed(name: str, value: str, prefixes: Sequence[str]) -> bool:
    known = name in _NAMES or name.startswith(tuple(prefixes))
    counts = bool(_COUNT_NAME.search(name)) and value.isdecimal() and len(value) < 10
    return known and (counts or not _SECRET_NAME.search(name)) and not _is_secret(value)


def _is_secret(value: str) -> bool:
    return bool(_PASSWORD.search(value)) or any(find(value.encode("utf-8", "surrogateescape")))


@contextlib.contextmanager
def narrowed(names: Sequence[str] = ()) -> Iterator[None]:
    """This process's own environment as `child_environment` has it, while a library starts processes that inherit it.

    Afterwards what was hidden is there again; what was set meanwhile stays.
    """
    kept = child_environment({}, names=names)
    hidden = {name: value for name, value in os.environ.items() if name not in kept}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        for name, value in hidden.items():
            os.environ.setdefault(name, value)
