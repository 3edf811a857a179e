"""What a stage sets in the libraries of its process: seeds, threads, and who writes to the terminal."""

from __future__ import annotations

import importlib
import os
import random
import sys


def set_seed(seed: int) -> None:
    """Seeds Python's generator, and those of numpy and torch if the recipe imported them.

    Hash order of strings is fixed only by PYTHONHASHSEED before the start: sort sets before drawing from them.
    """
    random.seed(seed)
    if "torch" in sys.modules:
        importlib.import_module("transformers").set_seed(seed)
    elif "numpy" in sys.modules:
        importlib.import_module("numpy.random").seed(seed % 2**32)


def set_threads(threads: int | None) -> None:
    """Fixes torch's intra-op threads: the order of a sum, and so its last bits, depends on them."""
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read by a torch that is imported later
        if "torch" in sys.modules:
            importlib.import_module("torch").set_num_threads(threads)


def set_matmul_precision(precision: str) -> None:
    """How exactly torch multiplies float32 matrices; sums stay in float32.

    `medium` rounds the factors to bfloat16, which is more than twice as fast on processors that multiply such (AVX-512
    BF16, AMX), and would only lose precision on others: these stay with `highest`.
    """
    if "torch" in sys.modules:
        torch = importlib.import_module("torch")
        able = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
        torch.set_float32_matmul_precision(precision if able else "highest")


def quiet_libraries() -> None:
    """Leaves the terminal to the stage's own progress, unless a person set the libraries' own variables."""
    if "transformers" in sys.modules and "TRANSFORMERS_VERBOSITY" not in os.environ:
        logging = importlib.import_module("transformers.utils.logging")
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    if "datasets" in sys.modules and "HF_DATASETS_DISABLE_PROGRESS_BARS" not in os.environ:
        importlib.import_module("datasets").disable_progress_bars()
